"""What a page and a notebook hold of an explorer: the code once, a still picture, a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ipywidgets.embed import dependency_state

from lrcourse import plots
from lrcourse.explore import HeatMap, Lines, explore
from lrcourse.explore.widget import Code

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    "panels",
    [
        [Lines("loss", log="xy", faint="lr", hlines={"one": 1}), Lines("loss", spread="runs")],
        [Lines("final_loss", "lr", log="xy"), HeatMap("final_loss", "lr", "momentum")],
    ],
)
def test_a_still_picture_and_a_sentence_stand_beside_the_view(runs, panels):
    explorer = explore(runs, *panels, title="Descent", start={"lr": 1, "momentum": 0.9})
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(PNG)
    assert bundle["text/plain"] == explorer.sentence()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_an_embedded_page_keeps_what_is_at_its_default(runs):
    explorer = explore(runs, y="loss")
    state = dependency_state([explorer], drop_defaults=True)[explorer.view.model_id]["state"]
    assert {"_esm", "code", "i_lr", "i_momentum"} <= set(state)


def test_a_page_holds_the_code_once(runs):
    both = [explore(runs, y="loss"), explore(runs, y="final_loss", x="lr")]
    states = [model["state"] for model in dependency_state(both).values()]
    assert sum("script" in state for state in states) == 1
    assert sum("spec" in state for state in states) == 2
    Code.get().close()
    assert Code.get().script
    assert explore(runs, y="loss").view.code is Code.get()


def test_the_stylesheet_and_the_still_pictures_share_a_palette():
    css = Path(explore.__globals__["__file__"]).with_name("explore.css").read_text()
    light = css[: css.index("html[data-theme")]
    accents = re.findall(r"--lrx-(?:accent|[1-4]): (#\w{6})", light)
    assert tuple(accents) == plots.PALETTE[:5]
    assert f"--lrx-ink: {plots.INK}" in light
    assert f"--lrx-muted: {plots.MUTED}" in light
