"""What a page and a notebook hold of an explorer: the code once, a still picture, a sentence."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from explorer_cubes import Ravine
from ipywidgets.embed import dependency_state
from PIL import Image

from lrcourse import plots
from lrcourse.explore import Descent, HeatMap, Lines, build, explore
from lrcourse.explore.widget import Code, script

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
    wide, middle, narrow = bundle["application/vnd.jupyter.widget-view+json"]["heights"]
    assert 400 < wide < narrow
    assert 400 < middle < narrow
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
    css = Path(build.__file__).with_name("explore.css").read_text()
    light = css[: css.index("html[data-theme")]
    accents = re.findall(r"--lrx-(?:accent|[1-4]): (#\w{6})", light)
    assert tuple(accents) == plots.PALETTE[:5]
    assert f"--lrx-ink: {plots.INK}" in light
    assert f"--lrx-muted: {plots.MUTED}" in light


def test_a_script_holds_each_file_once_after_what_it_needs():
    text = script()
    folder = Path(build.__file__).parent
    files = [p for p in [*folder.glob("*.js"), *folder.glob("panels/*.js")] if p.stem != "loader"]
    places = {p.stem: text.index(p.read_text().splitlines()[0]) for p in files}
    assert places["scales"] < places["drawing"] < places["frame"] < places["lines"]
    assert max(places, key=places.get) == "view"
    assert not re.search("^import ", text, re.MULTILINE)
    assert text.count("class Frame") == text.count("export default") == 1


def test_a_still_picture_is_small_and_has_few_colours(runs, descent):
    shown = [
        explore(
            runs,
            Lines("loss", log="y", faint="lr"),
            HeatMap("final_loss", "lr", "momentum", log=True),
            title="Runs beside a map",
        ),
        explore(descent, Descent("x0", "x1", surface=Ravine(), faint="lr"), Lines("loss", log="y")),
        explore(runs, Lines("loss", spread="runs")),
    ]
    stills = [explorer.still() for explorer in shown]
    assert sum(map(len, stills)) / len(stills) < 25_000
    for still in stills:
        picture = Image.open(io.BytesIO(still))
        assert picture.mode == "P"
        assert len(picture.getcolors()) <= 64
        assert picture.width >= 600


def test_a_still_picture_keeps_rare_colours(runs):
    explorer = explore(runs, HeatMap("final_loss", "lr", "momentum", log=True))
    picture = Image.open(io.BytesIO(explorer.still())).convert("RGB")
    seen = np.unique(np.asarray(picture).reshape(-1, 3), axis=0).astype(int)
    for colour in ((0xD5, 0x5E, 0x00), (0xFE, 0xE8, 0x38), (0x00, 0x22, 0x4E)):
        assert np.abs(seen - colour).max(axis=1).min() <= 16, colour  # the ring, both ends
