"""The exercise pattern: every answer gets words, never a traceback."""

import _thread
import functools
import inspect
import threading
import time

import numpy as np
import pytest
import torch

from lrcourse.exercises import Exercise, check, exercise
from lrcourse.exercises._time_limit import TimeOver, within


@exercise(cases=[{"x": 1.0}, {"x": np.array([1.0, 2.0])}])
def double(x):
    """Twice x."""
    return 2 * x


@double.mistake("You squared it.")
def squared(x):
    return x**2


def test_an_exercise_can_be_called_and_read_like_its_truth():
    assert double(4) == 8
    assert inspect.getdoc(double) == "Twice x."
    assert str(inspect.signature(double)) == "(x)"


def test_a_right_answer_passes():
    assert double.check(lambda x: x + x).passed
    assert double.check(lambda x: torch.as_tensor(x).requires_grad_() * 2).passed


def test_a_known_mistake_gets_its_hint():
    result = double.check(lambda x: x * x)
    assert result.state == "wrong"
    assert result.message == "For x=1 yours gives 1, the truth is 2. Hint: You squared it."


def test_a_hint_belongs_to_one_mistake():
    with pytest.raises(ValueError, match="hint must be new"):
        double.mistake("You squared it.")
    with pytest.raises(ValueError, match="cases must hold at least one"):
        Exercise(abs, [])


def ellipsis(x):
    """Return twice x."""
    ...


def passing(x):
    pass


def nothing(x):
    return None


def refusing(x):
    raise NotImplementedError


def ellipsis_returned(x):
    half = x / 2  # noqa: F841
    return ...


@functools.lru_cache
def wrapped(x): ...


@pytest.mark.parametrize(
    "stub", [ellipsis, passing, nothing, refusing, ellipsis_returned, lambda x: None, lambda x: ...]
)
def test_an_untouched_stub_is_an_invitation(stub):
    assert double.check(stub).state == "unfinished"


def test_a_stub_under_a_decorator_is_an_invitation_too():
    assert Exercise(lambda x: x, [{"x": 1}]).check(wrapped).state == "unfinished"


def test_a_missing_return_is_named(capsys):
    def computes(x):
        y = 2 * x  # noqa: F841

    result = double.check(computes)
    assert result.state == "wrong"
    assert result.message == "Yours computes something and returns nothing. End it with a return."


def test_a_print_in_place_of_a_return_is_named(capsys):
    result = double.check(lambda x: print(2 * x))
    assert result.state == "wrong"
    assert "Yours prints 2.0 [2. 4.] and returns nothing" in result.message
    assert capsys.readouterr().out == ""


def test_what_is_printed_beside_an_answer_is_seen(capsys):
    def chatty(x):
        print("x is", x)
        return 2 * x

    assert double.check(chatty).passed
    assert capsys.readouterr().out == "x is 1.0\nx is [1. 2.]\n"


def test_a_path_without_a_return_is_named():
    def sometimes(x):
        if np.ndim(x) == 0:
            return 2 * x

    assert "For x=[1.0, 2.0] yours returns nothing" in double.check(sometimes).message


class Ragged:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda x: 1 / 0, "yours stops with ZeroDivisionError: division by zero."),
        (lambda x: exit(), "yours stops with SystemExit"),
        (lambda x: x + missing, "yours stops with NameError: name 'missing' is not defined."),  # noqa: F821
        (lambda y: y, "It is called with the arguments x; yours takes y. Keep their names."),
        (lambda: 2, "It is called with the arguments x; yours takes no arguments."),
        (lambda x, y: 2, "It is called with the arguments x; yours takes x, y."),
        (lambda x: len(x=x), "yours stops with TypeError: len() takes no keyword arguments."),
        (lambda x: "two", "which is not a number"),
        (lambda x: "2", "yours gives '2', which is not a number"),
        (lambda x: 10**5000, "something of type int, which is not a number"),
        (lambda x: Ragged(), "something of type Ragged, which is not a number"),
        (lambda x: {"x": 2}, "yours gives {'x': 2}, which is not a number"),
        (lambda x: (yield 2), "yours gives a generator: write return instead of yield."),
        (lambda x: [2.0, 2.0], "an array of shape (2,), the truth is a number"),
        (lambda x: 2 * x if np.ndim(x) == 0 else x, "2 of 2 values differ, the first at index 0"),
        (lambda x: float("nan"), "yours gives nan, the truth is 2: from 0/0, or the root"),
        (lambda x: np.nan if np.ndim(x) == 0 else 2 * x, "negative number?"),
        (
            lambda x: np.where(np.arange(2) > 0, np.nan, 2 * x) if np.ndim(x) else 2 * x,
            "1 of 2 values are nan, the first at index 1: from 0/0",
        ),
        (lambda x: (-1) ** 0.5, "yours gives 6.12323e-17+1j, a complex number: from the root"),
        (lambda x: 2 * np.asarray(x) + 0j, "yours gives 2+0j, a complex number"),
        (lambda x: 2 * x + 1j * np.arange(2) if np.ndim(x) else 2 * x, "yours gives 4+1j, a comp"),
        (3, "A function is needed here, this is 3. Give its name, without parentheses."),
    ],
)
def test_a_wrong_answer_is_told_what_differs(attempt, words):
    result = double.check(attempt)
    assert result.state == "wrong"
    assert words in result.message
    assert "?." not in result.message


def test_a_matrix_is_told_the_place():
    identity = Exercise(lambda n: np.eye(n), [{"n": 2}])
    message = identity.check(lambda n: np.ones((n, n))).message
    assert "2 of 4 values differ, the first at index (0, 1): yours is 1, the truth is 0" in message


def test_an_attempt_cannot_change_the_inputs_of_the_next():
    def vandal(x):
        if np.ndim(x):
            x *= 0
        return np.zeros_like(x) if np.ndim(x) else 2 * x

    assert not double.check(vandal).passed
    assert double.check(lambda x: 2 * x).passed


def test_an_answer_that_changes_later_is_judged_as_it_was_given():
    kept = np.zeros(())

    def reuses(n):
        kept[...] = n
        return kept

    assert Exercise(lambda n: n, [{"n": 1}, {"n": 2}]).check(reuses).passed


hurried = Exercise(lambda x: x, [{"x": 1.0}], seconds=0.3)


def endless(x):
    while True:
        x = -x


def stubborn(x):
    while True:
        try:
            x = -x
        except:  # noqa: E722
            x = 1


def in_a_thread(work):
    box = []
    thread = threading.Thread(target=lambda: box.append(work()))
    thread.start()
    thread.join(timeout=10)
    return box[0]


@pytest.mark.parametrize("where", [lambda work: work(), in_a_thread], ids=["main", "elsewhere"])
@pytest.mark.parametrize("attempt", [endless, stubborn])
def test_an_endless_loop_ends(attempt, where):
    result = where(lambda: hurried.check(attempt))
    assert result.state == "wrong"
    assert result.message == "For x=1 yours was still running after 0.3 s: an endless loop?"


def test_an_endless_print_ends_and_fills_no_memory(capsys):
    def babbles(x):
        while True:
            print("again")

    assert "still running" in hurried.check(babbles).message
    assert capsys.readouterr().out == ""


def test_nothing_is_raised_after_the_end():
    """Work that lasts about as long as its limit, many times: it ends or is stopped, no more."""

    def lasts(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        return "ended"

    outcomes = []
    for k in range(100):
        seconds = 0.01 + 1e-4 * k  # threads take turns every 5 ms
        try:
            outcomes.append(within(0.01, lambda seconds=seconds: lasts(seconds)))
        except TimeOver:
            outcomes.append("stopped")
    alive = time.monotonic() + 1.2  # a waiting thread left over would raise within half a second
    while time.monotonic() < alive:
        pass
    assert set(outcomes) == {"ended", "stopped"}


def test_no_threads_no_limit(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert double.check(lambda x: 2 * x).passed


def test_an_interrupt_gives_one_line():
    patient = Exercise(lambda x: x, [{"x": 1.0}], seconds=8)
    threading.Timer(0.2, _thread.interrupt_main).start()
    result = patient.check(endless)
    assert result.state == "wrong"
    assert result.message == "You stopped it before it had answered."


def test_what_a_learner_wrote_is_escaped():
    result = double.check(lambda x: "<script>")
    assert "<script>" not in result._repr_html_()


@pytest.mark.parametrize("name", ["nowhere.f", "no dots", "quiz.f", "checking.", "basics._X", ""])
def test_unknown_exercises_are_refused(name):
    with pytest.raises(ValueError, match="name must be"):
        check(name, lambda: 0)


def test_a_forgotten_name_is_refused():
    with pytest.raises(TypeError, match="name must be 'chapter.exercise'"):
        check(len, len)
