"""Curves: the median run with its quartiles, or every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lrcourse._checks import choice
from lrcourse.explore.pack import Limits, Packed, Selection, extent
from lrcourse.explore.panels import Panel, check_along, check_limits, check_log, visible
from lrcourse.explore.words import in_words, listing, value_text
from lrcourse.plots import INK, MUTED, PALETTE
from lrcourse.results import quartiles

LOST = "diverged"


@dataclass(frozen=True)
class Lines(Panel):
    """Curves of one or more variables: the median run with its quartiles, or every run.

    Parameters
    ----------
    y : str or sequence of str
        A variable, or up to three (solid, dashed, dotted).
    x : str
        The dimension along the axis.  If it is also a control, the curve carries a marker at the
        choice, and clicking the curve chooses.
    log : str
        Axes that start logarithmic, out of ``"xy"``; the reader can switch.
    faint : str, optional
        A control whose other runs stay in sight, faintly.
    choose : bool
        Show one `y` at a time, with a toggle; then there may be nine.
    spread : {"band", "runs"}
        Quartiles, or every run of the band.
    guess : str, optional
        A question that stands over the empty axes until the reader has clicked an answer; `x` must
        be a control.
    missing : str
        What it means that a value is not finite, in words.  Unless runs diverge, the curve has a
        gap there and no cross.
    title, ylabel : str, optional
        Words for the panel and its axis.
    xlim, ylim : (float, float), optional
        Limits of the axes, else from the runs that did not diverge.
    hlines, vlines : mapping from str to float or str
        Reference lines, label -> number, or -> variable over the controls.

    Raises
    ------
    ValueError, TypeError
        For options that do not exist; names are checked by `explore`.

    Examples
    --------
    >>> Lines("loss", x="step", log="y").axes()
    ('step',)
    >>> Lines(["loss", "used"], hlines={"target": 0.1}).variables()
    ('loss', 'used')
    """

    y: str | Sequence[str]
    x: str = "step"
    _: KW_ONLY
    log: str = ""
    faint: str | None = None
    choose: bool = False
    spread: str = "band"
    guess: str | None = None
    missing: str = LOST
    title: str | None = None
    ylabel: str | None = None
    xlim: Limits | None = None
    ylim: Limits | None = None
    hlines: Mapping[str, float | str] = field(default_factory=dict)
    vlines: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.y, (str, Sequence)):
            raise TypeError(f"y must be a variable or a list of variables, was {self.y!r}")
        names = (self.y,) if isinstance(self.y, str) else tuple(self.y)
        most = 9 if self.choose else 3
        if not 1 <= len(names) <= most or len(set(names)) < len(names):
            raise ValueError(f"y must be one to {most} different variables, was {self.y!r}")
        object.__setattr__(self, "y", names)
        check_log(self.log, "xy")
        choice("spread", self.spread, ["band", "runs"])

    def variables(self) -> tuple[str, ...]:
        """The variables it shows, with those that place reference lines."""
        rules = (*self.hlines.values(), *self.vlines.values())
        return (*self.y, *(v for v in rules if isinstance(v, str)))

    def axes(self) -> tuple[str, ...]:
        """The dimension along the axis."""
        return (self.x,)

    def _domain(self, packed: Packed, name: str, log: bool) -> Limits | None:
        rows = packed.curves(name, self.x, spread=self.spread == "band")
        if self.ylim is None:
            return extent(rows, log)
        low, high = check_limits("ylim", self.ylim)
        return (low, high) if low > 0 or not log else None

    def spec(self, packed: Packed, dims: Sequence[str], key: str) -> dict[str, Any]:
        """The panel for the page."""
        for name in self.y:
            check_along(packed, "x", self.x, name)
        if "x" in self.log and not (packed.values(self.x) > 0).any():
            raise ValueError(f"log='x' needs positive values of {self.x}")
        if self.faint is not None and self.faint not in dims:
            raise ValueError(f"faint must be a control ({listing(dims)}), was {self.faint!r}")
        if self.guess is not None and self.x not in dims:
            must = f"only along a control ({listing(dims)})"
            raise ValueError(f"guess must be {must}, x is {self.x!r}")
        x = packed.values(self.x)
        kinds = {"linear": False, "log": True}
        domain = {
            name: {kind: self._domain(packed, name, log) for kind, log in kinds.items()}
            for name in self.y
        }
        possible = all(pair["log"] for pair in domain.values())
        rules = [("y", *rule) for rule in self.hlines.items()]
        rules += [("x", *rule) for rule in self.vlines.items()]
        return {
            "kind": "lines",
            "title": self.title,
            "ylabel": self.ylabel,
            "x": self.x,
            "y": [packed.pack(name) for name in self.y],
            "log": self.log if possible else self.log.replace("y", ""),
            "xlog": bool(x.min() > 0 and x.max() >= 20 * x.min()),
            "faint": self.faint,
            "choose": key if self.choose else None,
            "spread": self.spread,
            "guess": self.guess,
            "missing": self.missing,
            "selects": self.x in dims,
            "domain": domain,
            "xlim": self.xlim and check_limits("xlim", self.xlim),
            "rules": [
                (axis, label, packed.pack(at) if isinstance(at, str) else float(at))
                for axis, label, at in rules
            ],
        }

    def _shown(self, at: Selection) -> Sequence[str]:
        return [self.y[at["choice"]]] if self.choose else self.y

    def clause(self, packed: Packed, at: Selection, dims: Sequence[str]) -> str:
        """The last value of each curve, or the value at the chosen place."""
        k = at[self.x] if self.x in dims else packed.ds.sizes[self.x] - 1
        place = f" at {packed.long_name(self.x)} {in_words(packed.values(self.x)[k])}"
        where = "" if self.x in dims else place
        parts = []
        for name in self._shown(at):
            rows = packed.rows(name, at, self.x)
            low, mid, high = (float(q[k]) for q in quartiles(rows, packed.worst(name)))
            spread = low, mid, high
            if self.missing != LOST and not np.isfinite(mid):
                parts.append(f"{packed.long_name(name)}{where}: {self.missing}")
                continue
            parts.append(value_text(packed.long_name(name), where, spread, len(rows), packed.band))
        return "; ".join(parts)

    def draw(self, ax: Axes, packed: Packed, at: Selection, dims: Sequence[str]) -> None:
        """Median and quartiles of each variable, crosses where runs end."""
        x, names = packed.values(self.x).astype(float), self._shown(at)
        log = "y" in self.log and all(self._domain(packed, n, True) for n in names)
        ends = [pair for n in names if (pair := self._domain(packed, n, log))]
        bottom, top = min(e[0] for e in ends), max(e[1] for e in ends)
        ax.set(xscale="log" if "x" in self.log else "linear", yscale="log" if log else "linear")
        wide = x[x > 0] if "x" in self.log else x
        ax.set(ylim=(bottom, top), xlim=self.xlim or (wide.min(), wide.max()))
        ax.set_xlabel(packed.long_name(self.x))
        ax.set_ylabel(self.ylabel or (packed.long_name(names[0]) if len(names) == 1 else ""))
        for i in range(packed.ds.sizes[self.faint]) if self.faint else ():
            mid = quartiles(packed.rows(names[0], {**at, self.faint or "": i}, self.x))[1]
            ax.plot(x, visible(mid), color=MUTED, alpha=0.25, lw=0.7)
        looks = ((PALETTE[0], "-"), (INK, "--"), (PALETTE[3], ":"))
        for name, (color, dash) in zip(names, looks, strict=False):
            rows, worst = packed.rows(name, at, self.x), packed.worst(name)
            low, mid, high = (q.clip(bottom, top) for q in quartiles(rows, worst))
            if len(rows) > 1 and self.spread == "band":
                ax.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
            elif len(rows) > 1:
                ax.plot(x, rows.T, color=color, alpha=0.35, lw=0.7)
            mid = quartiles(rows, worst)[1]
            ax.plot(x, visible(mid), color=color, ls=dash, label=packed.long_name(name))
            if self.x in dims:
                ax.plot(x[at[self.x]], mid[at[self.x]], "o", color=color)
            if self.x in dims or self.missing != LOST:
                continue
            missing = np.resize(packed.missing(at), len(rows))  # rows may be one for the band
            for row in rows[~missing]:
                seen = np.flatnonzero(np.isfinite(row))
                k = seen[-1] if seen.size else 0
                if k < len(row) - 1:
                    y = float(np.clip(row[k], bottom, top)) if seen.size else top
                    ax.plot(x[k], y, "x", color=color, clip_on=False)
        for rules, line in ((self.hlines, ax.axhline), (self.vlines, ax.axvline)):
            for rule in rules.values():
                value = packed.rows(rule, at, None)[0, 0] if isinstance(rule, str) else rule
                line(float(value), color=MUTED, lw=0.8, ls=":")
        if len(names) > 1:
            ax.legend()
