"""The living part of an explorer: standard controls, linked in the browser to one view.

The page holds the script and the stylesheet of all views once, in a model of their own (`Code`);
each view carries `loader.js`, which finds them.  The script is `view.js` with all that it imports,
joined into one ES module, so that nothing has to be built.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from lrcourse import plots
from lrcourse.explore.pack import Packed, places
from lrcourse.explore.panels import Panel
from lrcourse.explore.room import heights
from lrcourse.explore.words import divergence

HERE = Path(__file__).parent
IMPORT = re.compile(r'^import [^;]*? from "([^"]+)";\n+', re.MULTILINE)
COLOURS = 64  # of a still picture
WIDGET = "application/vnd.jupyter.widget-view+json"


def script(entry: Path = HERE / "view.js") -> str:
    """Join a script and all that it imports: each file once, after those that it needs."""
    parts: dict[Path, str] = {}

    def add(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        for name in IMPORT.findall(text):
            needed = (path.parent / name).resolve()
            if needed not in parts:
                add(needed)
        parts[path] = IMPORT.sub("", text)

    add(entry.resolve())
    return "\n".join(parts.values())


class Code(ipywidgets.Widget):  # type: ignore[misc]
    """The script and the stylesheet of all views, so that a page holds them once."""

    script = traitlets.Unicode().tag(sync=True)
    style = traitlets.Unicode().tag(sync=True)
    shared: Code | None = None

    @classmethod
    def get(cls) -> Code:
        """The one that is in use, or a new one if it was closed."""
        if cls.shared is None or cls.shared.comm is None:
            style = HERE.joinpath("explore.css").read_text(encoding="utf-8")
            cls.shared = cls(script=script(), style=style)
        return cls.shared


class View(anywidget.AnyWidget):
    """The drawing part of an explorer; one integer trait ``i_<dim>`` for each choice."""

    _esm = HERE / "loader.js"
    code: Any = traitlets.Instance(Code).tag(sync=True, **ipywidgets.widget_serialization)
    spec: Any = traitlets.Dict().tag(sync=True)
    data: Any = traitlets.Bytes().tag(sync=True)
    pins: Any = traitlets.List().tag(sync=True)

    def __init__(self, spec: dict[str, Any], data: bytes, pins: list[dict[str, Any]]) -> None:
        start = {f"i_{k}": traitlets.Int(i).tag(sync=True) for k, i in spec["start"].items()}
        self.add_traits(**start)
        super().__init__(code=Code.get(), spec=spec, data=data, pins=pins)

    def _get_embed_state(self, drop_defaults: bool = False) -> Any:
        """Keep the defaults: a page knows nothing of this class."""
        return super()._get_embed_state(drop_defaults=False)


class Explorer(ipywidgets.VBox):  # type: ignore[misc]
    """A row of controls above a view; made by `explore`.

    Where scripts do not run, it is its still picture and its sentence.

    Attributes
    ----------
    controls : dict from str to ipywidgets.Widget
        The control of each dimension.
    panels : tuple of Panel
        What is drawn, side by side.
    packed : Packed
        The runs as they travel.
    view : View
        The drawing part.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from lrcourse.explore import explore
    >>> loss = xr.DataArray([[1.0, 0.5], [1.0, 0.1]], dims=["lr", "step"], coords={"lr": [0.1, 1]})
    >>> explorer = explore(xr.Dataset({"loss": loss}), y="loss")
    >>> explorer.select(lr=1).selection
    {'lr': 1.0}
    >>> print(explorer.sentence())
    Learning rate 1: loss 0.1 at step 1.
    >>> explorer.still().startswith(b"\\x89PNG")
    True
    """

    def __init__(
        self, packed: Packed, panels: Sequence[Panel], view: View, controls: Mapping[str, Any]
    ) -> None:
        self.packed, self.panels, self.view = packed, tuple(panels), view
        self.controls = dict(controls)
        self._links = [
            ipywidgets.jslink((control, "index"), (view, f"i_{key}"))
            for key, control in controls.items()
        ]
        row = ipywidgets.Box(list(controls.values()))
        row.add_class("lrx-controls")
        heading = ipywidgets.HTML(html.escape(view.spec["title"]))
        heading.add_class("lrx-title")
        parts = {heading: view.spec["title"], row: controls, view: True}
        super().__init__([part for part, there in parts.items() if there])
        self.add_class("lrx")

    @property
    def selection(self) -> dict[str, Any]:
        """The chosen value of each dimension."""
        at = self._at()
        return {d: self.packed.values(d).tolist()[at[d]] for d in self.view.spec["named"]}

    def _at(self, panel: int = 0) -> dict[str, int]:
        """The chosen indices, with ``choice`` for the curve that a panel shows."""
        at = {key: int(getattr(self.view, f"i_{key}")) for key in self.view.spec["start"]}
        return {**at, "choice": at.get(f"choice{panel}", 0)}

    def select(self, **values: Any) -> Explorer:
        """Move to the run with these values (the nearest, for numbers)."""
        for dim, i in places(self.packed, self.view.spec["named"], values).items():
            if dim in self.controls:
                self.controls[dim].index = i
            setattr(self.view, f"i_{dim}", i)
        return self

    def sentence(self) -> str:
        """What is shown, in words and numbers; the page says the same."""
        spec, at = self.view.spec, self._at()
        if says := spec["says"]:
            place = np.ravel_multi_index([at.get(d, 0) for d in says["dims"]], says["shape"])
            return " ".join(filter(None, [says["texts"][says["at"][place]], spec["held"]]))
        dims, named = spec["dims"], spec["named"]
        where = ", ".join(f"{dims[d]['label']} {dims[d]['labels'][at[d]]}" for d in named)
        clauses = [p.clause(self.packed, self._at(k), named) for k, p in enumerate(self.panels)]
        said = "; ".join(filter(None, dict.fromkeys(clauses)))
        text = ": ".join(filter(None, [where, said]))
        lost = spec["diverged"] and divergence(self.packed.rows(spec["diverged"], at, None)[:, 0])
        if text[:1].isascii():  # ε is a symbol: its capital would be another one
            text = text[:1].upper() + text[1:]
        return " ".join(filter(None, [f"{text}.", lost, spec["held"]]))

    def still(self) -> bytes:
        """A small PNG picture of the present state, in the house style.

        Its few colours are chosen for it, so that pictures of all explorers weigh little in a
        repository.
        """
        with plots.style():
            figure = Figure(figsize=(min(12.0, 5.6 * len(self.panels)), 3.6))
            axes = figure.subplots(1, len(self.panels), squeeze=False)[0]
            for k, (ax, panel) in enumerate(zip(axes, self.panels, strict=True)):
                panel.draw(ax, self.packed, self._at(k), self.view.spec["named"])
                ax.set_title(getattr(panel, "title", None) or "")
            figure.suptitle(self.view.spec["title"], x=0.01, ha="left", weight="bold")
            drawn, small = io.BytesIO(), io.BytesIO()
            figure.savefig(drawn, format="png")
        picture = Image.open(drawn).convert("RGB")
        widest = Image.Quantize.MAXCOVERAGE  # keeps rare colours, as a ring has
        picture = picture.quantize(COLOURS, widest, dither=Image.Dither.NONE)
        picture.save(small, format="png", optimize=True)
        return small.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        if not bundle:
            return bundle
        room = heights(self.view.spec, list(self.controls.values()), len(self.view.pins))
        view = {WIDGET: {**bundle[WIDGET], "heights": room}}
        return {**bundle, **view, "text/plain": self.sentence(), "image/png": self.still()}
