"""Grids of runs: a sequence becomes a dimension.

One grammar serves every function that makes many runs.  A hyperparameter given as a list, a tuple,
a range, a one-dimensional array, tensor, pandas or xarray column spans a dimension of its name, and
so does a dict, whose keys are the labels.  Anything else is one value that all runs share.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcourse._checks import LARGEST, plain

__all__ = ["Axis", "axes_of", "is_axis", "known", "round_rates", "specs_of", "stable_repr"]

Index = tuple[int, ...]
Record = dict[str, Any]

NOTHING = {"clip": math.inf, "batch_size": -1}  # how None is labelled where others are numbers


#: Steps of nearly one ratio through a decade, on numbers that one can say, by how many there are.
DECADES = {
    3: (1.0, 2.0, 5.0),
    6: (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    10: (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    20: (1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8,
         3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0),
}  # fmt: skip


def round_rates(low: float, high: float, per_decade: int = 10) -> NDArray[np.float64]:
    """Return round numbers from `low` to `high`, spaced about evenly on a logarithmic scale.

    Parameters
    ----------
    low, high : float
        The range, both ends included where they are round; above 0.
    per_decade : {3, 6, 10, 20}
        How many numbers stand in a factor of ten.

    Returns
    -------
    ndarray of float, shape (n,)
        Rising; each is the number that its shortest decimal form names.

    Raises
    ------
    ValueError
        A range that is empty or not above 0, or another `per_decade`.

    Examples
    --------
    >>> round_rates(0.01, 0.3, 6).tolist()
    [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3]
    """
    if per_decade not in DECADES:
        raise ValueError(f"per_decade must be one of {sorted(DECADES)}, was {per_decade!r}")
    if not 0 < low <= high < math.inf:
        raise ValueError(f"low and high must be rising numbers above 0, were {low!r} and {high!r}")
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    every = [float(f"{step}e{power}") for power in powers for step in DECADES[per_decade]]
    rates = [rate for rate in every if low * (1 - 1e-9) <= rate <= high * (1 + 1e-9)]
    if not rates:
        raise ValueError(f"low and high must have a round number between, were {low!r}, {high!r}")
    return np.array(rates)


def stable_repr(value: Any) -> str:
    """Return a value in words that are the same in every session, without addresses.

    >>> stable_repr(partial(max, 3)), stable_repr(np.float64(0.5)), stable_repr([None, "a"])
    ('partial(max, 3)', '0.5', "[None, 'a']")
    """
    if isinstance(value, partial):
        given = [stable_repr(v) for v in value.args]
        given += [f"{name}={stable_repr(v)}" for name, v in value.keywords.items()]
        return f"partial({', '.join([_name(value.func), *given])})"
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        inside = ", ".join(map(stable_repr, value)) + "," * (
            isinstance(value, tuple) and len(value) == 1
        )
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if callable(value) and hasattr(value, "__name__"):
        return _name(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(plain(value)))


def _name(function: Any) -> str:
    return getattr(function, "__name__", None) or stable_repr(function)


def is_axis(name: str, value: Any, single: Mapping[str, int] | None = None) -> bool:
    """Say whether a hyperparameter was given many values.

    Parameters
    ----------
    name : str
        What it is called.
    value : object
        What was given.
    single : mapping of str to int, optional
        Hyperparameters of which one value is itself so many numbers, as ``betas`` are two.

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        For a generator, which can be read only once, and for a set, which has no order.

    Examples
    --------
    >>> is_axis("lr", [0.1, 0.2]), is_axis("betas", (0.9, 0.99)), is_axis("optimizer", "sgd")
    (True, False, False)
    """
    if isinstance(value, Iterator):
        raise TypeError(
            f"{name} must be one value, or a sequence such as a list: a generator can be read only "
            f"once, was {type(value).__name__}"
        )
    if isinstance(value, Set) and not isinstance(value, KeysView):
        raise TypeError(
            f"{name} must be one value, or a sequence: a set has no order, was {value!r}"
        )
    if isinstance(value, str | bytes):
        return False
    if isinstance(value, Mapping | KeysView | ValuesView):
        return True
    shape = getattr(value, "shape", None)
    many = isinstance(value, Sequence) if shape is None else len(shape) > 0
    length = {"betas": 2, **(single or {})}.get(name)
    if many and length is not None and len(value) == length:
        return not all(_is_number(v) for v in value)
    return many


def _is_number(value: Any) -> bool:
    one = plain(value)
    return isinstance(one, int | float) and not isinstance(one, bool)


class Axis:
    """One dimension of a grid: its name, its values, and the labels of its coordinate.

    Numbers, bools and strings label themselves, other values their ``label``, their ``__name__`` or
    their words; a dict gives labels of its own.  No clipping is labelled inf, a full batch -1.

    Parameters
    ----------
    name : str
        What the dimension is called.
    values : sequence, array or mapping
        Each value once, in the order of the dimension.

    Raises
    ------
    ValueError
        For no value at all, for two dimensions in one, for a value that stands twice.
    TypeError
        For labels that are neither text nor numbers.

    Examples
    --------
    >>> Axis("clip", [None, 1.0]).labels
    array([inf,  1.])
    >>> Axis("lr", [0.1, 0.2, 0.1])
    Traceback (most recent call last):
        ...
    ValueError: lr must hold each value once, 0.1 stands there twice
    """

    def __init__(self, name: str, values: Any) -> None:
        self.name = name
        if isinstance(values, Mapping):
            labels, self.values = (
                [plain(key) for key in values],
                [plain(v) for v in values.values()],
            )
            for label in labels:
                if not isinstance(label, str | bool | int | float):
                    raise TypeError(f"{name} must have text or numbers as labels, had {label!r}")
        else:
            self.values = self._listed(values)
            labels = [self._label(value) for value in self.values]
        if not labels:
            raise ValueError(f"{name} must hold at least one value, was empty")
        if any(isinstance(label, str) for label in labels):
            labels = list(map(str, labels))
        for i, label in enumerate(labels):
            if label in labels[:i]:
                raise ValueError(f"{name} must hold each value once, {label!r} stands there twice")
            if label != label or (isinstance(label, int) and abs(label) > LARGEST):
                raise ValueError(f"{name} must have labels that a file can hold, had {label!r}")
        self.labels: NDArray[Any] = np.array(labels)

    def _listed(self, values: Any) -> list[Any]:
        shape: tuple[int, ...] = getattr(values, "shape", (0,))
        if len(shape) > 1 and not (len(shape) == 2 and shape[1] == 2 and self.name == "betas"):
            raise ValueError(f"{self.name} must be one-dimensional, had shape {tuple(shape)}")
        if hasattr(values, "shape"):
            return [plain(v) if len(shape) == 1 else tuple(v) for v in np.asarray(values).tolist()]
        return [plain(value) for value in values]

    def _label(self, value: Any) -> Any:
        if isinstance(value, str | bool | int | float):
            return value
        if value is None:
            return NOTHING.get(self.name, "none")
        label = getattr(value, "label", None) or getattr(value, "name", None)
        return label if isinstance(label, str) else stable_repr(value)


def axes_of(settings: Mapping[str, Any], single: Mapping[str, int] | None = None) -> list[Axis]:
    """Return the dimensions of a grid in the order given, seed last.

    Parameters
    ----------
    settings : mapping of str to object
        What was given for each hyperparameter.
    single : mapping of str to int, optional
        As in `is_axis`.

    Returns
    -------
    list of Axis

    Examples
    --------
    >>> [axis.name for axis in axes_of({"seed": range(3), "lr": [0.1, 0.2], "steps": 5})]
    ['lr', 'seed']
    """
    many = {name: value for name, value in settings.items() if is_axis(name, value, single)}
    return sorted((Axis(*item) for item in many.items()), key=lambda axis: axis.name == "seed")


def specs_of(settings: Mapping[str, Any], axes: Sequence[Axis]) -> Iterator[tuple[Index, Record]]:
    """Yield the place in the grid and the plain settings of every run.

    Parameters
    ----------
    settings : mapping of str to object
        What was given for each hyperparameter.
    axes : sequence of Axis
        Its dimensions, from `axes_of`.

    Yields
    ------
    tuple of (tuple of int, dict)

    Examples
    --------
    >>> grid = {"lr": [0.1, 0.2], "steps": 5}
    >>> list(specs_of(grid, axes_of(grid)))
    [((0,), {'lr': 0.1, 'steps': 5}), ((1,), {'lr': 0.2, 'steps': 5})]
    """
    shared = {name: plain(value) for name, value in settings.items()}
    for index in itertools.product(*(range(len(axis.values)) for axis in axes)):
        chosen = {axis.name: axis.values[i] for axis, i in zip(axes, index, strict=True)}
        yield index, {**shared, **chosen}


def known(names: Sequence[str], options: Sequence[str], kind: str = "setting") -> None:
    """Refuse names that are not among the options, with a guess at what was meant.

    Parameters
    ----------
    names : sequence of str
        What was given.
    options : sequence of str
        What there is.
    kind : str
        What the message calls such a name.

    Raises
    ------
    TypeError

    Examples
    --------
    >>> known(["learning_rat"], ["lr", "learning_rate"])
    Traceback (most recent call last):
        ...
    TypeError: 'learning_rat' is no setting; did you mean 'learning_rate'?
    """
    from difflib import get_close_matches

    for name in names:
        if name not in options:
            near = get_close_matches(name, options, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(options)}"
            raise TypeError(f"{name!r} is no {kind}; {hint}")
