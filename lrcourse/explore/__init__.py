"""Explorers: a cube of recorded runs that a reader walks through, with or without a kernel.

>>> import numpy as np, xarray as xr
>>> from lrcourse import explore
>>> lr, step = np.geomspace(0.01, 1, 9), np.arange(50)
>>> loss = (1 - 0.8 * lr[:, None]) ** (2 * step)
>>> runs = xr.Dataset({"loss": (("lr", "step"), loss)}, {"lr": lr, "step": step})
>>> explorer = explore(runs, y="loss", x="step", log="y", start={"lr": 0.1})
>>> print(explorer.sentence())
Learning rate 0.1: loss 0.000283 at step 49.
>>> explorer.select(lr=1).selection
{'lr': 1.0}

Every dimension that no panel draws out becomes a control; `seed` becomes a band.  The controls are
ordinary ipywidgets, linked in the browser to one view that holds the runs, so the same explorer
lives in JupyterLab and in a static page.  `build` makes it, `widget` is what lives, `panels` are
the kinds of pictures, `pack` is how the runs travel and `words` how they are spoken of; each script
stands beside the module that it mirrors.

The package can be called, and is then `explore.explore`: in ``from lrcourse import explore`` the
package and its function have one name, and either may be what was imported first.
"""

from __future__ import annotations

import sys
from inspect import getdoc, signature
from types import ModuleType

from lrcourse.explore.build import explore
from lrcourse.explore.panels.descent import Descent
from lrcourse.explore.panels.heat import HeatMap
from lrcourse.explore.panels.lines import Lines
from lrcourse.explore.widget import Explorer

__all__ = ["Descent", "Explorer", "HeatMap", "Lines", "explore"]


class _Callable(ModuleType):
    __call__ = staticmethod(explore)


__signature__ = signature(explore)
__doc__ = f"{getdoc(explore)}\n\n{__doc__}"
sys.modules[__name__].__class__ = _Callable
