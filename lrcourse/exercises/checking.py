"""Run a learner's function beside the truth, and say in words what differs."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from lrcourse._checks import choice

_STATES = {"right": "Right.", "wrong": "Not yet.", "unfinished": "Your turn."}


@dataclass(frozen=True)
class Result:
    """What the check found: `state` is ``"right"``, ``"wrong"`` or ``"unfinished"``."""

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


@dataclass(frozen=True)
class Exercise:
    """A function to write, the truth, the inputs it is tried on, and known ways to miss it.

    Parameters
    ----------
    truth : callable
        The reference answer.
    cases : sequence of dict
        Keyword arguments of each trial; every answer must agree with the truth on all of them.
    mistakes : mapping of str to callable
        Hint → the wrong function that earns it: the hint is shown when the attempt gives what that
        function gives on every case.
    rtol : float
        Relative tolerance of the comparison.

    Examples
    --------
    >>> halve = Exercise(lambda x: x / 2, [{"x": 4.0}, {"x": 1.0}],
    ...                  mistakes={"That is twice x, not half of it.": lambda x: 2 * x})
    >>> halve.check(lambda x: x / 2)
    Right. It agrees with the truth on all 2 inputs.
    >>> halve.check(lambda x: 2 * x)
    Not yet. For x=4 yours gives 8, the truth is 2. Hint: That is twice x, not half of it.
    >>> halve.check(lambda x: None)
    Your turn. Replace the body of the function, then run the cell again.
    """

    truth: Callable[..., Any]
    cases: Sequence[Mapping[str, Any]]
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    rtol: float = 1e-6

    def check(self, attempt: Any) -> Result:
        """Try `attempt` on every case; the first difference decides the message."""
        if not callable(attempt):
            return Result("wrong", f"A function is needed here, this is {_show(attempt)}.")
        answers = []
        for case in self.cases:
            given = _call(attempt, case)
            if given is None or given is Ellipsis or isinstance(given, NotImplementedError):
                return Result(
                    "unfinished", "Replace the body of the function, then run the cell again."
                )
            answers.append(given)
        truths = [self.truth(**deepcopy(dict(case))) for case in self.cases]
        for case, given, truth in zip(self.cases, answers, truths, strict=True):
            difference = _difference(given, truth, self.rtol)
            if difference:
                inputs = ", ".join(f"{name}={_show(value)}" for name, value in case.items())
                hint = self._hint(answers)
                return Result("wrong", f"For {inputs} {difference}.{hint}")
        return Result("right", f"It agrees with the truth on all {len(self.cases)} inputs.")

    def _hint(self, answers: Sequence[Any]) -> str:
        for hint, wrong in self.mistakes.items():
            given = (_call(wrong, case) for case in self.cases)
            if not any(_difference(a, w, self.rtol) for a, w in zip(answers, given, strict=True)):
                return f" Hint: {hint}"
        return ""


def check(name: str, attempt: Callable[..., Any]) -> Result:
    """Check `attempt` against the exercise called ``"chapter.exercise"``.

    Raises
    ------
    ValueError
        When there is no chapter or no exercise of that name.
    """
    chapter, _, exercise = name.partition(".")
    known = chapter.isidentifier() and find_spec(f"lrcourse.chapters.{chapter}") is not None
    module = import_module(f"lrcourse.chapters.{chapter}") if known else None
    exercises: dict[str, Exercise] = getattr(module, "EXERCISES", {})
    if not exercises:
        raise ValueError(f"name must be 'chapter.exercise' of this course, was {name!r}")
    return exercises[choice("name", exercise, list(exercises))].check(attempt)


def _call(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    """What the function returns, or the exception it raised: a learner never sees a traceback."""
    try:
        with np.errstate(all="ignore"):
            return function(**deepcopy(dict(case)))
    except Exception as error:
        return error


def _difference(given: Any, truth: Any, rtol: float) -> str:
    """Say how `given` differs from `truth`; the empty string when it does not."""
    if isinstance(given, Exception):
        return f"yours stops with {type(given).__name__}: {given}"
    if isinstance(truth, (str, bool)):
        same = bool(isinstance(given, (type(truth), np.bool_)) and given == truth)
        return "" if same else f"yours gives {_show(given)}, the truth is {_show(truth)}"
    try:
        a, b = np.asarray(given, dtype=float), np.asarray(truth, dtype=float)
    except (TypeError, ValueError):
        return f"yours gives {_show(given)}, which is not {_kind(truth)}"
    if a.shape != b.shape:
        return f"yours gives {_kind(a)}, the truth is {_kind(b)}"
    if np.allclose(a, b, rtol=rtol, atol=rtol * 1e-3, equal_nan=True):
        return ""
    if a.ndim == 0:
        return f"yours gives {_show(given)}, the truth is {_show(truth)}"
    where = np.flatnonzero(~np.isclose(a, b, rtol=rtol, atol=rtol * 1e-3, equal_nan=True).ravel())
    first = int(where[0])
    return (
        f"{len(where)} of {a.size} values differ, the first at index {first}: "
        f"yours is {_show(a.ravel()[first])}, the truth is {_show(b.ravel()[first])}"
    )


def _kind(value: Any) -> str:
    shape = np.shape(value)
    return f"an array of shape {shape}" if shape else "a number"


def _show(value: Any) -> str:
    """A short text of a value: six digits for numbers, the first entries of long arrays."""
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, (np.ndarray, list, tuple)) and np.size(value) > 6:
        return f"{_kind(value)} starting with {np.ravel(np.asarray(value))[:3].tolist()}"
    return repr(value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value)
