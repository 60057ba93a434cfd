"""Python and the page speak alike."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import skip_or_fail

from lrcourse.explore.widget import script
from lrcourse.explore.words import divergence, in_words, value_text

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def node():
    """Evaluate an expression of the explorer's script, with `given` in it."""
    if shutil.which("node") is None:
        skip_or_fail("no node found")

    def run(expression, given=None):
        source = (
            'import { lrx, script } from "./joined.mjs";'
            f"const given = JSON.parse({json.dumps(json.dumps(given))});"
            f"console.log(JSON.stringify({expression}));"
        )
        command = ["node", "--input-type=module", "-e", source]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


def test_numbers_are_written_alike(node):
    rng = np.random.default_rng(3)
    values = rng.choice([-1, 1], 400) * 10 ** rng.uniform(-12, 12, 400)
    values = [*values, *rng.integers(-(10**7), 10**7, 50), 0, 0.1, 99999.5, 0.09999, 1e5, 1e7]
    values = [float(v) for v in values]
    assert node("given.map((v) => lrx.inWords(v))", values) == [in_words(v) for v in values]


def test_divergence_is_said_alike(node):
    gone, missing = 12, None
    cases = [
        [-1], [gone], [missing], [-1, -1], [gone, 7], [gone, -1, 30],
        [gone, missing], [-1, missing, missing], [missing, missing],
    ]  # fmt: skip
    said = node("given.map((at) => lrx.divergence(at.map((t) => t ?? NaN)))", cases)
    assert said == [divergence(np.array(at, dtype=float)) for at in cases]


def test_a_missing_run_did_not_diverge_at_0():
    assert divergence(np.array([np.nan])) == "The run is missing."
    assert divergence(np.array([-1, np.nan])) == "None of the 2 runs diverged; 1 is missing."
    assert "the first at step 12; 2 are missing" in divergence(np.array([12, np.nan, np.nan]))


def test_medians_are_said_alike(node):
    cases = [(0.4, 0.5, 0.6, 5), (0.5, 0.5, 0.5, 5), (0.5, 0.5, 0.5, 1)]
    page = node(
        'given.map(([l, m, h, n]) => lrx.valueText("loss", " at step 9", m, l, h, n, "seed"))',
        cases,
    )
    own = [value_text("loss", " at step 9", case[:3], case[3], "seed") for case in cases]
    assert page == own
    assert value_text("loss", "", (1, math.inf, math.inf), 1, "seed") == "no finite loss"


def test_the_script_tests_and_the_page_join_the_same_text(node):
    assert node("script") == script()
