"""Run a learner's function beside the truth, and say in words what differs.

An exercise is declared where its truth is written: :func:`exercise` above the truth, and above each
wrong answer that learners are known to give, the hint that it earns.
"""

from __future__ import annotations

import dis
import html
import inspect
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from functools import update_wrapper
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from lrcourse._checks import choice, instance
from lrcourse.exercises._time_limit import TimeOver, within

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_STATES = {"right": "Right.", "wrong": "Not yet.", "unfinished": "Your turn."}
_OPS_OF_A_STUB = {
    "CACHE", "EXTENDED_ARG", "LOAD_CONST", "NOP", "POP_TOP", "RESUME", "RETURN_CONST",
    "RETURN_VALUE",
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a check found, as a sentence.

    Parameters
    ----------
    state : {"right", "wrong", "unfinished"}
        What the sentence opens with: Right, Not yet, or Your turn.
    message : str
        What agrees, what differs or what is missing.

    Examples
    --------
    >>> Result("right", "It agrees with the truth on all 3 inputs.").passed
    True
    """

    state: str
    message: str

    @property
    def passed(self) -> bool:
        """Whether the answer was right on every input."""
        return self.state == "right"

    def __repr__(self) -> str:
        return f"{_STATES[self.state]} {self.message}"

    def _repr_html_(self) -> str:
        return (
            f'<p class="lr-check lr-check-{self.state}" role="status"><strong>'
            f"{_STATES[self.state]}</strong> {html.escape(self.message)}</p>"
        )


class Exercise(Generic[P, R]):
    """A function to write: the truth, the inputs it is tried on, and known ways to miss it.

    It can be called like the truth.

    Parameters
    ----------
    truth : callable
        The reference answer.
    cases : sequence of dict
        Keyword arguments of each trial; every answer must agree with the truth on all of them.
    mistakes : mapping of str to callable, optional
        Hint → the wrong function that earns it: the hint is shown when the attempt gives what that
        function gives on every case.
    rtol : float
        Relative tolerance of the comparison.
    seconds : float
        How long an attempt may take for all cases together.

    Examples
    --------
    >>> halve = Exercise(lambda x: x / 2, [{"x": 4.0}, {"x": 1.0}])
    >>> halve.check(lambda x: x / 2)
    Right. It agrees with the truth on all 2 inputs.
    >>> halve.check(lambda x: x - 1)
    Not yet. For x=4 yours gives 3, the truth is 2.
    >>> halve.check(lambda x: None)
    Your turn. Replace the body of the function, then run the cell again.
    """

    def __init__(
        self,
        truth: Callable[P, R],
        cases: Sequence[Mapping[str, Any]],
        mistakes: Mapping[str, Callable[..., Any]] | None = None,
        rtol: float = 1e-6,
        seconds: float = 10.0,
    ) -> None:
        update_wrapper(self, truth)  # so that help() and doctests read the docstring of the truth
        if not cases:
            raise ValueError("cases must hold at least one, was empty")
        self.truth, self.cases, self.rtol, self.seconds = truth, tuple(cases), rtol, seconds
        self.mistakes = dict(mistakes or {})

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Answer as the truth does."""
        return self.truth(*args, **kwargs)

    def mistake(self, hint: str) -> Callable[[F], F]:
        """Declare the function below as a wrong answer that earns this hint.

        Parameters
        ----------
        hint : str
            What the learner has missed, in a sentence.

        Raises
        ------
        ValueError
            When another mistake has the same hint.
        """
        if hint in self.mistakes:
            raise ValueError(f"hint must be new, two mistakes have {hint!r}")

        def declare(wrong: F) -> F:
            self.mistakes[hint] = wrong
            return wrong

        return declare

    def check(self, attempt: Any) -> Result:
        """Try an attempt on every case; the first difference decides the message.

        Nothing that the attempt does is raised: errors, endless loops and the interrupt of a
        learner who has waited long enough all become a sentence.

        Parameters
        ----------
        attempt : callable
            The function of the learner.

        Returns
        -------
        Result
            What was found, in words.
        """
        if not callable(attempt):
            return _wrong(
                f"A function is needed here, this is {_show(attempt)}. "
                "Give its name, without parentheses."
            )
        misfit = _misfit(attempt, self.cases[0])
        if misfit:
            return _wrong(misfit)
        answers: list[Any] = []

        def answer() -> None:
            for case in self.cases:
                answers.append(_call(attempt, case))

        try:
            with redirect_stdout(_Heard()) as heard, np.errstate(all="ignore"):
                within(self.seconds, answer)
            return self._judge(attempt, answers, heard.getvalue())
        except TimeOver:
            reached = self._inputs(min(len(answers), len(self.cases) - 1))
            return _wrong(
                f"For {reached} yours was still running after {self.seconds:g} s: an endless loop?"
            )
        except KeyboardInterrupt:
            return _wrong("You stopped it before it had answered.")

    def _judge(self, attempt: Callable[..., Any], answers: Sequence[Any], heard: str) -> Result:
        """Put in words what the answers are worth."""
        empty = [k for k, given in enumerate(answers) if given is None]
        if any(isinstance(a, (NotImplementedError, type(...))) for a in answers) or (
            empty and _is_stub(attempt)
        ):
            return Result(
                "unfinished", "Replace the body of the function, then run the cell again."
            )
        if empty and heard:
            return _wrong(
                f"Yours prints {_short(heard)} and returns nothing. Write return instead of print."
            )
        if len(empty) == len(answers):
            return _wrong("Yours computes something and returns nothing. End it with a return.")
        if empty:
            return _wrong(
                f"For {self._inputs(empty[0])} yours returns nothing: it ends there without a "
                "return."
            )
        sys.stdout.write(heard)
        with np.errstate(all="ignore"):
            for k, given in enumerate(answers):
                difference = _difference(given, _call(self.truth, self.cases[k]), self.rtol)
                if difference:
                    end = "" if difference.endswith("?") else "."
                    return _wrong(f"For {self._inputs(k)} {difference}{end}{self._hint(answers)}")
        return Result("right", f"It agrees with the truth on all {len(self.cases)} inputs.")

    def _hint(self, answers: Sequence[Any]) -> str:
        for hint, wrong in self.mistakes.items():
            given = (_call(wrong, case) for case in self.cases)
            if not any(_difference(a, w, self.rtol) for a, w in zip(answers, given, strict=True)):
                return f" Hint: {hint}"
        return ""

    def _inputs(self, k: int) -> str:
        return ", ".join(f"{name}={_show(value)}" for name, value in self.cases[k].items())


def exercise(
    *, cases: Sequence[Mapping[str, Any]], rtol: float = 1e-6, seconds: float = 10.0
) -> Callable[[Callable[P, R]], Exercise[P, R]]:
    """Declare the function below as the truth of an exercise.

    Parameters
    ----------
    cases : sequence of dict
        Keyword arguments of each trial.
    rtol : float
        Relative tolerance of the comparison.
    seconds : float
        How long an attempt may take for all cases together.

    Returns
    -------
    callable
        A decorator that makes an :class:`Exercise` of the truth.

    Examples
    --------
    >>> @exercise(cases=[{"x": 4.0}, {"x": 1.0}])
    ... def halve(x):
    ...     return x / 2
    >>> @halve.mistake("That is twice x, not half of it.")
    ... def _doubled(x):
    ...     return 2 * x
    >>> halve(10)
    5.0
    >>> halve.check(lambda x: x + x)
    Not yet. For x=4 yours gives 8, the truth is 2. Hint: That is twice x, not half of it.
    """
    return lambda truth: Exercise(truth, cases, rtol=rtol, seconds=seconds)


def check(name: str, attempt: Any) -> Result:
    """Check an attempt at an exercise of the course.

    Parameters
    ----------
    name : str
        ``"chapter.exercise"``, as in ``"basics.updates_needed"``.
    attempt : callable
        The function of the learner.

    Returns
    -------
    Result
        What was found, in words.

    Raises
    ------
    ValueError
        When there is no chapter or no exercise of that name.

    Examples
    --------
    >>> def updates_needed(curvatures, factor):
    ...     return np.log(factor) / -np.log(1 - 2 / (1 + max(curvatures) / min(curvatures)))
    >>> print(check("basics.updates_needed", updates_needed).message.split("Hint: ")[1])
    Updates come whole, and the last one must bring the error below the target: round up.
    """
    chapter, _, key = instance("name", name, str, "'chapter.exercise'").partition(".")
    known = chapter.isidentifier() and find_spec(f"lrcourse.chapters.{chapter}") is not None
    found = vars(import_module(f"lrcourse.chapters.{chapter}")) if known else {}
    exercises = {key: value for key, value in found.items() if isinstance(value, Exercise)}
    if not exercises:
        raise ValueError(f"name must be 'chapter.exercise' of this course, was {name!r}")
    return exercises[choice("name", key, list(exercises))].check(attempt)


class _Heard(io.StringIO):
    """Keep what is printed, but not for ever: an endless loop may print in every turn."""

    def write(self, text: str) -> int:
        return super().write(text) if self.tell() < 20_000 else len(text)


def _wrong(message: str) -> Result:
    return Result("wrong", message)


def _call(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    """What the function returns, or the exception it raised: a learner never sees a traceback."""
    try:
        return _own(function(**_own(dict(case))))
    except (TimeOver, KeyboardInterrupt):
        raise
    except BaseException as error:  # exit() raises SystemExit, which is no Exception
        return error


def _own(value: Any) -> Any:
    """A copy, where there can be one, so that a function cannot change it afterwards."""
    try:
        return deepcopy(value)
    except Exception:
        return value


def _misfit(attempt: Callable[..., Any], case: Mapping[str, Any]) -> str:
    """Say that an attempt cannot be called with the names of the arguments; "" when it can."""
    try:
        signature = inspect.signature(attempt)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return ""
    try:
        signature.bind(**case)
    except TypeError:
        taken = ", ".join(map(str, signature.parameters.values())) or "no arguments"
        return (
            f"It is called with the arguments {', '.join(case)}; yours takes {taken}. "
            "Keep their names."
        )
    return ""


def _is_stub(attempt: Callable[..., Any]) -> bool:
    """Whether the body does nothing: a docstring, ``...``, ``pass`` or ``return None``."""
    code = getattr(inspect.unwrap(attempt), "__code__", None)
    return code is not None and all(
        op.opname in _OPS_OF_A_STUB for op in dis.get_instructions(code)
    )


def _difference(given: Any, truth: Any, rtol: float) -> str:
    """Say how `given` differs from `truth`; the empty string when it does not."""
    if isinstance(given, BaseException):
        return f"yours stops with {type(given).__name__}: {_short(given)}".removesuffix(": ")
    if inspect.isgenerator(given):
        return "yours gives a generator: write return instead of yield"
    if isinstance(truth, (str, bool)):
        same = bool(isinstance(given, (type(truth), np.bool_)) and given == truth)
        return "" if same else f"yours gives {_show(given)}, the truth is {_show(truth)}"
    try:
        raw = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        if raw.dtype.kind in "USV":
            raise TypeError("text is no number, even if it reads like one")
        a = raw if raw.dtype.kind == "c" else raw.astype(float)
        b = np.asarray(truth, dtype=float)
    except Exception:
        return f"yours gives {_show(given)}, which is not {_kind(truth)}"
    if a.shape != b.shape:
        return f"yours gives {_kind(a)}, the truth is {_kind(b)}"
    if a.dtype.kind == "c" and a.size:
        value = a.ravel()[int(np.argmax(a.imag.ravel() != 0))]
        return f"yours gives {value:.6g}, a complex number: from the root of a negative one?"
    differ = ~np.isclose(a, b, rtol=rtol, atol=rtol * 1e-3, equal_nan=True)
    if not differ.any():
        return ""
    undefined = differ & np.isnan(a)
    why = "from 0/0, or the root or logarithm of a negative number?"
    if a.ndim == 0:
        both = f"yours gives {_show(given)}, the truth is {_show(truth)}"
        return f"{both}: {why}" if undefined.any() else both
    index = tuple(int(i) for i in np.argwhere(undefined if undefined.any() else differ)[0])
    place = index[0] if len(index) == 1 else index
    if undefined.any():
        return f"{undefined.sum()} of {a.size} values are nan, the first at index {place}: {why}"
    return (
        f"{differ.sum()} of {a.size} values differ, the first at index {place}: "
        f"yours is {_show(a[index])}, the truth is {_show(b[index])}"
    )


def _kind(value: Any) -> str:
    shape = np.shape(value)
    return f"an array of shape {shape}" if shape else "a number"


def _short(text: Any) -> str:
    """One line of at most 80 characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def _show(value: Any) -> str:
    """A short text of a value: six digits for numbers, the first entries of long arrays."""
    if inspect.isfunction(value):
        return value.__name__
    try:
        if isinstance(value, (float, np.floating)):
            return f"{value:.6g}"
        if isinstance(value, (np.ndarray, list, tuple)) and np.size(value) > 6:
            return f"{_kind(value)} starting with {np.ravel(np.asarray(value))[:3].tolist()}"
        return _short(
            repr(value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value)
        )
    except Exception:  # ragged lists have no size, very long integers no text
        return f"something of type {type(value).__name__}"
