"""The pages of the package: every public name is there, and is described with an example."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest
from conftest import API, ROOT

SHELF = {
    path.stem for path in (ROOT / "lrcourse").glob("*.py") if not path.stem.startswith("_")
} | {"explore", "exercises"}
each_module = pytest.mark.parametrize("name", sorted(SHELF))


def described(name):
    """The public classes and functions of a module."""
    module = import_module(f"lrcourse.{name}")
    public = {text: getattr(module, text) for text in module.__all__}
    return {k: v for k, v in public.items() if inspect.isclass(v) or inspect.isfunction(v)}


def test_every_module_of_the_shelf_has_its_page_and_is_listed():
    assert {path.stem for path in API} == SHELF
    listed = (ROOT / "book" / "api.md").read_text()
    for name in SHELF:
        assert f"(api/{name})" in listed, name


@each_module
def test_every_public_name_has_an_example(name):
    assert described(name), "nothing public"
    for text, thing in described(name).items():
        doc = inspect.getdoc(thing) or ""
        assert ">>> " in doc, f"{text} has no example"
        assert doc.splitlines()[0].endswith((".", "…")), f"{text} begins with one sentence"


@pytest.mark.site
@each_module
def test_every_public_name_is_on_the_page(site, name):
    page = (site / "book" / "api" / f"{name}.html").read_text()
    for text in import_module(f"lrcourse.{name}").__all__:
        assert f'id="lrcourse.{name}.{text}"' in page, text
