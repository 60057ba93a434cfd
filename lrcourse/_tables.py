"""Tables of results for a page and for a test: one set of rounded cells, in HTML and in plain text.

`lrcourse.results.table` is the public name.  Nothing here computes anything but the rounding.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Literal, NamedTuple

import xarray as xr

from lrcourse._checks import choice, count, plain

Better = Literal["low", "high"]
Label = tuple[Any, ...]

WORDS = {
    "lr": "learning rate",
    "used": "used rate",
    "planned": "planned rate",
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy",
    "train_loss": "training loss",
    "eval_step": "update",
    "step": "update",
    "x0": "x₀",
    "x1": "x₁",
}
POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Table:
    """Rounded results with a caption, as HTML in a page and as text elsewhere; made by `table`.

    Parameters
    ----------
    caption : str
        What the table shows.
    corner : list of str
        What each column of row labels is called.
    over : str
        What stands above the columns, or nothing.
    columns : list of str
        What each column is called, with its unit.
    rows : list of list of str
        The labels of each row.
    cells : list of list of str
        The rounded values of each row.
    marked : list of list of bool
        Which of them are the best.
    note : str
        What the mark means.

    Examples
    --------
    >>> Table("Loss", ["rule"], "", ["loss"], [["SGD"]], [["0.3"]], [[False]], "")
    Loss
    <BLANKLINE>
    rule  loss
    SGD    0.3
    """

    def __init__(
        self,
        caption: str,
        corner: list[str],
        over: str,
        columns: list[str],
        rows: list[list[str]],
        cells: list[list[str]],
        marked: list[list[bool]],
        note: str,
    ) -> None:
        self.caption, self.corner, self.over, self.columns = caption, corner, over, columns
        self.rows, self.cells, self.marked, self.note = rows, cells, marked, note

    def __repr__(self) -> str:
        starred = [any(column) for column in zip(*self.marked, strict=True)]
        lines = [
            [*self.corner, *(c + "  " * s for c, s in zip(self.columns, starred, strict=True))]
        ]
        for row, cells, marks in zip(self.rows, self.cells, self.marked, strict=True):
            stars = [" *" if m else "  " * s for m, s in zip(marks, starred, strict=True)]
            lines.append([*row, *map(str.__add__, cells, stars)])
        width = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = len(self.corner)
        text = [
            [t.ljust(w) if i < left else t.rjust(w) for i, (t, w) in enumerate(pairs)]
            for pairs in (zip(line, width, strict=True) for line in lines)
        ]
        body = ["  ".join(line).rstrip() for line in text]
        if self.over:
            body.insert(0, " " * sum(w + 2 for w in width[:left]) + self.over)
        return "\n".join([self.caption, "", *body, *([f"* {self.note}"] if self.note else [])])

    def _repr_html_(self) -> str:
        e = html.escape
        note = f' <span class="lr-table-note">Bold: {e(self.note)}.</span>' if self.note else ""
        depth = ' rowspan="2"' if self.over else ""
        corner = "".join(f'<th scope="col"{depth}>{e(name)}</th>' for name in self.corner)
        heads = "".join(f'<th scope="col">{e(name)}</th>' for name in self.columns)
        if self.over:
            span = f'<th scope="colgroup" colspan="{len(self.columns)}">{e(self.over)}</th>'
            heads = f"{span}</tr>\n<tr>{heads}"
        lines = []
        for row, cells, marks in zip(self.rows, self.cells, self.marked, strict=True):
            names = "".join(f'<th scope="row">{e(name)}</th>' for name in row)
            values = "".join(
                f"<td><strong>{e(text)}</strong></td>" if best else f"<td>{e(text)}</td>"
                for text, best in zip(cells, marks, strict=True)
            )
            lines.append(f"<tr>{names}{values}</tr>")
        return "\n".join(
            [
                f'<div class="lr-table" role="region" tabindex="0" aria-label="{e(self.caption)}"'
                ' style="overflow-x: auto; max-width: 100%">',
                "<table>",
                f"<caption>{e(self.caption)}{note}</caption>",
                f"<thead>\n<tr>{corner}{heads}</tr>\n</thead>",
                "<tbody>",
                *lines,
                "</tbody>\n</table>\n</div>",
            ]
        )


def table(
    data: Any,
    *,
    caption: str,
    units: str | Mapping[Any, str] | None = None,
    best: Better | Mapping[Any, Better] | None = None,
    among: Literal["column", "row"] = "column",
    digits: int | Mapping[Any, int] = 3,
    rename: Mapping[Any, str] | None = None,
    rows: str | None = None,
    columns: str | Sequence[str] | None = None,
    missing: str = "–",
) -> Table:
    r"""Return a table of results: captioned and accessible in a page, aligned text in a terminal.

    Numbers are rounded to significant digits, so that a last bit that differs from one machine to
    the next changes nothing; whole numbers are shown in full.  What is infinite has diverged, and
    the table says so.

    Parameters
    ----------
    data : DataArray, Dataset, pandas DataFrame or Series, or dict
        A DataArray has its last dimension across, a Dataset its variables.  A dict maps the label
        of a row to a dict of its cells, or to its only cell.  A cell is a number, a text, a bool, a
        pair for "from to", or three numbers for "middle (from to)".
    caption : str
        What the table shows, in one sentence.
    units : str or dict from column to str, optional
        Shown in the headers.  A variable's attribute ``units`` needs no mention.
    best : {"low", "high"} or dict from column (or row) to one, optional
        Marks the best of each column or row, bold in a page and with a star in a text.  Values that
        look alike are marked alike.
    among : {"column", "row"}, default "column"
        Where the best is looked for.
    digits : int or dict from column to int, default 3
        Significant digits.
    rename : dict to str, optional
        Words for names of columns and dimensions, and for labels.
    rows : str, optional
        What the labels of the rows are called, where the data have no name for them.
    columns : str or sequence of str, optional
        The dimensions of a DataArray that go across; the last one by default.
    missing : str, default "–"
        What stands for no value; "never", say.

    Returns
    -------
    Table

    Raises
    ------
    TypeError
        For data of another kind, and for a cell that is none of those above.
    ValueError
        For no rows, a dimension or column that does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> found = {
    ...     "SGD": {"loss": 0.27061, "lr": 0.1, "updates": 1400},
    ...     "Adam": {"loss": 0.31009, "lr": 10**-2.5, "updates": None},
    ...     "GD": {"loss": np.inf, "lr": 3.0, "updates": None},
    ... }
    >>> table(found, caption="Final loss", best={"loss": "low"}, rows="method", missing="never")
    Final loss
    <BLANKLINE>
    method      loss    learning rate  updates
    SGD        0.271 *            0.1    1,400
    Adam       0.310          0.00316    never
    GD      diverged                3    never
    * best of its column
    >>> rates = xr.DataArray([[0.5, 2.0], [-3.2, np.nan]], {"rule": ["a", "b"], "angle": [0, 45]})
    >>> table(rates, caption="Two rules", units={"angle": "°"})
    Two rules
    <BLANKLINE>
          angle (°)
    rule     0  45
    a      0.5   2
    b     −3.2   –
    """
    if not isinstance(caption, str) or not caption.strip():
        raise ValueError(f"caption must say what the table shows, was {caption!r}")
    parts = _parts(data, columns)
    if not parts.rows or not parts.columns:
        raise ValueError("data must have at least one row and one column, had none")
    names = [rows] if rows is not None and len(parts.names) == 1 else parts.names
    rename = rename or {}
    known: dict[Any, str] = {**WORDS, **parts.words, **rename}
    unit = units if isinstance(units, Mapping) else {}
    keys, lines = (
        [one[0] if len(one) == 1 else one for one in labels]
        for labels in (parts.columns, parts.rows)
    )
    marks = lines if choice("among", among, ["column", "row"]) == "row" else keys
    _known("units", unit, [*keys, *parts.across])
    _known("best", best, marks)
    _known("digits", digits, keys)

    def name(key: Any) -> str:
        measured = unit.get(key, known.get((key, "units"), ""))
        words = known.get(key, str(key).replace("_", " "))
        return f"{words} ({measured})" if measured else words

    def label(one: Any) -> str:
        text = _number(one, 3) if _is_number(one) else str(one)
        return rename.get(one, text)

    named = parts.across == [""]
    titles = [name(c[0]) if named else ", ".join(map(label, c)) for c in parts.columns]
    over = ", ".join(map(name, filter(None, parts.across)))
    if isinstance(units, str):
        over = f"{units}, by {over}" if over else units
    whole = [all(map(_whole, column)) for column in zip(*parts.cells, strict=True)]
    whole = [all(whole)] * len(whole) if parts.alike else whole
    figures = [
        count("digits", digits.get(key, 3) if isinstance(digits, Mapping) else digits, low=1)
        for key in keys
    ]
    texts = [
        [_cell(v, n, w, missing) for v, n, w in zip(row, figures, whole, strict=True)]
        for row in parts.cells
    ]
    marked = [[False] * len(keys) for _ in lines]
    for i, key in enumerate(marks):
        sign = best.get(key) if isinstance(best, Mapping) else best
        if sign is not None:
            choice("best", sign, ["low", "high"])
            at = [(i, c) for c in range(len(keys))] if among == "row" else [
                (r, i) for r in range(len(lines))]  # fmt: skip
            for r, c in _best(at, parts.cells, texts, -1 if sign == "high" else 1):
                marked[r][c] = True
    return Table(
        caption,
        corner=list(map(name, names)),
        over=over,
        columns=titles,
        rows=[list(map(label, one)) for one in parts.rows],
        cells=texts,
        marked=marked,
        note=f"best of its {among}" if best else "",
    )


def _known(name: str, asked: Any, there: list[Any]) -> None:
    for key in asked if isinstance(asked, Mapping) else ():
        if key not in there:
            has = ", ".join(map(str, there))
            raise ValueError(f"{name} must name what the table has ({has}), had {key!r}")


def _best(
    line: list[tuple[int, int]], cells: list[list[Any]], texts: list[list[str]], sign: int
) -> list[tuple[int, int]]:
    """The places in a column or row whose text is that of the best value."""
    heads = {(r, c): _head(cells[r][c]) for r, c in line}
    ranked = {at: sign * v for at, v in heads.items() if _is_number(v) and math.isfinite(v)}
    if not ranked:
        return []
    r, c = min(ranked, key=lambda at: ranked[at])
    shown = _lead(texts[r][c])
    return [(i, j) for i, j in ranked if _lead(texts[i][j]) == shown]


def _head(cell: Any) -> Any:
    """What a cell is judged by: the first of three numbers."""
    return plain(cell[0]) if isinstance(cell, tuple) and len(cell) == 3 else cell


def _lead(text: str) -> str:
    """How that is written."""
    return text.split(" (")[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _whole(cell: Any) -> bool:
    """Whether the numbers of a cell are whole, or are none."""
    if isinstance(cell, tuple):
        return all(map(_whole, cell))
    if not _is_number(cell) or not math.isfinite(cell):
        return True
    return bool(abs(cell) < 1e7 and abs(cell - round(cell)) <= 1e-9 * abs(cell))


def _cell(value: Any, digits: int, whole: bool, missing: str) -> str:
    if value is None:
        return missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple) and len(value) in (2, 3):
        *middle, low, high = (_cell(plain(v), digits, whole, missing) for v in value)
        interval = f"{low} to {high}"
        return f"{middle[0]} ({interval})" if middle else interval
    if not _is_number(value):
        raise TypeError(
            f"a cell must be a number, a text, a bool or two or three numbers, was {value!r}"
        )
    if math.isnan(value):
        return missing
    if math.isinf(value):
        return "diverged"
    return _number(round(value) if whole else value, digits)


def _number(value: Any, digits: int) -> str:
    """A number to significant digits; zeros at the end go where the number is no longer than that.

    >>> [_number(v, 3) for v in (0.1, 0.27004, 1234.5, -3.2e-5, 123456.7, 1e-6, 0, 0.9996)]
    ['0.1', '0.270', '1,230', '−3.2×10⁻⁵', '1.23×10⁵', '10⁻⁶', '0', '1.00']
    """
    if math.isnan(value):
        return "–"
    if value < 0:
        return "−" + _number(-value, digits)
    if math.isinf(value):
        return "∞"
    if isinstance(value, int) and value < 1e7:
        return f"{value:,}"
    value = float(f"{value:.10g}")  # a tie must not hang on the last bit
    rounded = float(f"{value:.{digits}g}")
    exact = abs(rounded - value) <= 1e-6 * value
    mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
    if -4 <= int(power) < 5:
        text = f"{rounded:,.{max(0, digits - 1 - int(power))}f}"
        return _stripped(text) if exact else text
    mantissa = _stripped(mantissa) if exact else mantissa
    ten = "10" + str(int(power)).translate(POWERS)
    return ten if mantissa == "1" else f"{mantissa}×{ten}"


def _stripped(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


class _Parts(NamedTuple):
    """A table before rounding: every label is a tuple, with one entry for each name."""

    names: list[Any]  # of the rows' labels
    rows: list[Label]
    across: list[Any]  # names of the columns' labels
    columns: list[Label]
    cells: list[list[Any]]
    words: dict[Any, str]  # what attributes call things, and their units
    alike: bool  # whether all columns hold the same quantity


def _parts(data: Any, columns: str | Sequence[str] | None) -> _Parts:
    if isinstance(data, xr.DataArray):
        return _of_array(data, columns)
    if columns is not None:
        raise ValueError(f"columns must be left out unless data is a DataArray, was {columns!r}")
    if isinstance(data, xr.Dataset):
        return _of_dataset(data)
    if type(data).__module__.split(".")[0] == "pandas" and hasattr(data, "to_numpy"):
        frame = data if hasattr(data, "columns") else data.to_frame()
        names, across = ([n or "" for n in i.names] for i in (frame.index, frame.columns))
        cells = [list(map(plain, row)) for row in frame.itertuples(index=False, name=None)]
        return _Parts(names, _tuples(frame.index), across, _tuples(frame.columns), cells, {}, False)
    if isinstance(data, Mapping):
        lines = {k: v if isinstance(v, Mapping) else {"value": v} for k, v in data.items()}
        heads = list(dict.fromkeys(key for line in lines.values() for key in line))
        cells = [[plain(line.get(head)) for head in heads] for line in lines.values()]
        return _Parts([""], _tuples(lines), [""], [(h,) for h in heads], cells, {}, False)
    raise TypeError(
        f"data must be a DataArray, a Dataset, a pandas frame or a dict of rows, was {data!r}"
    )


def _tuples(index: Any) -> list[Label]:
    return [tuple(map(plain, v)) if isinstance(v, tuple) else (plain(v),) for v in index]


def _of_array(data: xr.DataArray, columns: str | Sequence[str] | None) -> _Parts:
    if columns is None:
        columns = [str(data.dims[-1])] if data.ndim > 1 else []
    across = [columns] if isinstance(columns, str) else list(columns)
    for dim in across:
        if dim not in data.dims:
            has = ", ".join(map(str, data.dims)) or "none"
            raise ValueError(f"columns must be dimensions of data ({has}), was {dim!r}")
    names = [str(d) for d in data.dims if d not in across]
    array = data.transpose(*names, *across)
    heads = _labels(data, across) if across else [(data.name or "value",)]
    cells = array.values.reshape(-1, len(heads)).tolist()
    long = _words(data, [*names, *across, data.name])
    return _Parts(names, _labels(data, names), across or [""], heads, cells, long, True)


def _of_dataset(data: xr.Dataset) -> _Parts:
    names, variables = list(map(str, data.dims)), list(data.data_vars)
    wide = xr.broadcast(*data.data_vars.values())
    cells = zip(*(v.transpose(*names).values.ravel().tolist() for v in wide), strict=True)
    long = _words(data, [*names, *variables])
    heads: list[Label] = [(v,) for v in variables]
    return _Parts(names, _labels(data, names), [""], heads, list(map(list, cells)), long, False)


def _labels(data: xr.DataArray | xr.Dataset, dims: Sequence[str]) -> list[Label]:
    """Every combination of the labels of these dimensions, the last one turning fastest."""
    labels: list[Label] = [()]
    for dim in dims:
        labels = [(*label, one) for label in labels for one in data[dim].values.tolist()]
    return labels


def _words(data: xr.DataArray | xr.Dataset, names: Sequence[Any]) -> dict[Any, str]:
    """What the attributes call these names, and their units."""
    found: dict[Any, str] = {}
    for name in names:
        if isinstance(data, xr.DataArray) and name == data.name:
            attrs = data.attrs
        else:
            attrs = data[name].attrs if name in data.coords or name in data else {}
        if "long_name" in attrs:
            found[name] = str(attrs["long_name"])
        if "units" in attrs:
            found[name, "units"] = str(attrs["units"])
    return found
