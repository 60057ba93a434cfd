"""The package can be called, whatever was imported before it, and helps like its function."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest

import lrcourse
from lrcourse.explore.build import explore as function

ORDERS = [
    "from lrcourse import *",
    "import lrcourse.explore as explore",
    "import lrcourse; lrcourse.explore; from lrcourse import explore",
    "from lrcourse.explore import explore, Lines; from lrcourse import explore",
    "from lrcourse.explore import explore",
    "from lrcourse import explore; import lrcourse.explore; explore = lrcourse.explore",
    "from lrcourse import plots, sweep; from lrcourse.explore.build import Lines; "
    "from lrcourse import explore",
]
USE = """
import inspect, xarray as xr
runs = xr.Dataset({"loss": ("step", [1.0, 0.5])})
print(explore(runs, y="loss").sentence(), *list(inspect.signature(explore).parameters)[:3])
"""


@pytest.mark.parametrize("order", ORDERS)
def test_whatever_was_imported_first(order):
    done = subprocess.run(
        [sys.executable, "-c", order + USE], capture_output=True, text=True, check=False
    )
    assert done.stdout == "Loss 0.5 at step 1. ds panels y\n", done.stderr


def test_the_package_and_its_function_have_one_signature():
    assert lrcourse.explore.explore is function
    assert inspect.signature(lrcourse.explore) == inspect.signature(function)
    assert inspect.signature(lrcourse.explore.__call__) == inspect.signature(function)


@pytest.mark.filterwarnings("ignore:Widget:DeprecationWarning")  # help looks at every attribute
def test_help_tells_the_arguments():
    for text in (pydoc.render_doc(lrcourse.explore), inspect.getdoc(lrcourse.explore)):
        assert "Make an explorer of the runs in a dataset." in text
        assert "max_bytes : int" in text


def test_a_notebook_completes_arguments_and_panels():
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell(user_ns={"explore": lrcourse.explore})
    with provisionalcompleter():
        for typed, offered in (("explore(pi", "pins="), ("explore.Li", "Lines")):
            found = {c.text.lstrip(".") for c in shell.Completer.completions(typed, len(typed))}
            assert offered in found
