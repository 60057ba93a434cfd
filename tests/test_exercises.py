"""The exercise pattern: every answer gets words, never a traceback."""

import importlib
import pkgutil

import numpy as np
import pytest

import lrcourse.exercises
from lrcourse.exercises import Exercise, check, quiz

double = Exercise(
    lambda x: 2 * x,
    [{"x": 1.0}, {"x": np.array([1.0, 2.0])}],
    mistakes={"You squared it.": lambda x: x**2},
)


def test_a_right_answer_passes():
    assert double.check(lambda x: x + x).passed


@pytest.mark.parametrize("blank", [lambda x: None, lambda x: ...])
def test_an_unfinished_answer_is_an_invitation(blank):
    assert double.check(blank).state == "unfinished"


def test_not_implemented_is_an_invitation():
    def stub(x):
        raise NotImplementedError

    assert double.check(stub).state == "unfinished"


def test_a_known_mistake_gets_its_hint():
    result = double.check(lambda x: x**2)
    assert result.state == "wrong"
    assert "For x=1 yours gives 1, the truth is 2. Hint: You squared it." in str(result)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda x: 1 / 0, "stops with ZeroDivisionError"),
        (lambda y: y, "stops with TypeError"),
        (lambda x: "two", "which is not a number"),
        (lambda x: [2.0, 2.0], "an array of shape (2,), the truth is a number"),
        (lambda x: 2 * x if np.ndim(x) == 0 else x, "2 of 2 values differ, the first at index 0"),
        (lambda x: float("nan"), "yours gives nan"),
        (3, "A function is needed here"),
    ],
)
def test_a_wrong_answer_is_told_what_differs(attempt, words):
    result = double.check(attempt)
    assert result.state == "wrong"
    assert words in result.message


def test_an_attempt_cannot_change_the_inputs_of_the_next():
    def vandal(x):
        if np.ndim(x):
            x *= 0
        return np.zeros_like(x) if np.ndim(x) else 2 * x

    assert not double.check(vandal).passed
    assert double.check(lambda x: 2 * x).passed


def test_what_a_learner_wrote_is_escaped():
    result = double.check(lambda x: "<script>")
    assert "<script>" not in result._repr_html_()


@pytest.mark.parametrize("name", ["nowhere.f", "no dots", "quiz.f", "checking."])
def test_unknown_exercises_are_refused(name):
    with pytest.raises(ValueError, match="name must be"):
        check(name, lambda: 0)


def chapters():
    for module in pkgutil.iter_modules(lrcourse.exercises.__path__):
        found = importlib.import_module(f"lrcourse.exercises.{module.name}")
        if hasattr(found, "EXERCISES"):
            yield from ((f"{module.name}.{key}", value) for key, value in found.EXERCISES.items())


@pytest.mark.parametrize(("name", "exercise"), list(chapters()))
def test_every_exercise_accepts_the_truth_and_catches_its_known_mistakes(name, exercise):
    assert exercise.check(exercise.truth).passed
    for hint, wrong in exercise.mistakes.items():
        result = exercise.check(wrong)
        assert result.state == "wrong", f"{name}: a listed mistake passes"
        assert hint in result.message, f"{name}: another hint than the listed one"


def test_a_quiz_shows_each_answer_and_needs_no_script():
    page = quiz("Is 1 < 2?", {"yes": (True, "It is."), "no": (False, "Count.")})._repr_html_()
    assert page.count('type="radio"') == 2
    assert "1 &lt; 2" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    "choices",
    [{"a": (True, "")}, {"a": (True, ""), "b": (True, "")}, {"a": (False, ""), "b": (False, "")}],
)
def test_a_quiz_has_exactly_one_right_answer(choices):
    with pytest.raises(ValueError, match="exactly one of them right"):
        quiz("?", choices)
