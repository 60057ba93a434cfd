"""What the API pages need: a table of a module's public names, and links between them.

The directive ``public-names`` lists what a module offers, from its `__all__`; `automodule`
describes it below.  A text in single backticks becomes a link where it is a public name of the
shelf, and code where it is anything else, such as a parameter.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.ext.autosummary import Autosummary
from sphinx.util.docutils import SphinxRole

PAGES = Path(__file__).resolve().parents[1] / "api"


@cache
def homes() -> dict[str, str]:
    """The full name of every public name of the shelf; of a re-export, that of its first page."""
    found: dict[str, str] = {}
    for page in sorted(PAGES.glob("*.md")):
        module = import_module(f"lrcourse.{page.stem}")
        found[module.__name__] = module.__name__
        for name in module.__all__:
            found.setdefault(name, f"{module.__name__}.{name}")
            found[f"{module.__name__}.{name}"] = f"{module.__name__}.{name}"
            found.setdefault(f"lrcourse.{name}", found[name])
    return found


class PublicNames(Autosummary):
    """Autosummary of all public names of the module given as argument."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        (module,) = self.arguments
        names = [f"~{module}.{name}" for name in import_module(module).__all__]
        self.content = StringList(names, source=module)
        self.options["nosignatures"] = None
        return super().run()


class Name(SphinxRole):
    """A link to a public name, or code."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        shown = nodes.literal(self.rawtext, self.text)
        target = homes().get(self.text.removesuffix("()"))
        if target is None:
            return [shown], []
        link = pending_xref(
            self.rawtext, shown, refdomain="py", reftype="obj", reftarget=target, refwarn=True
        )
        link["refdoc"] = self.env.docname
        return [link], []


def setup(app: Sphinx) -> dict[str, object]:
    app.setup_extension("sphinx.ext.autosummary")
    app.add_directive("public-names", PublicNames)
    app.add_role("name", Name())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
