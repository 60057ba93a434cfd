"""What an explorer of 1,000 runs × 200 steps weighs in a page, and how fast a slider answers.

A step is timed in headless Chromium on a page from disk, twice: the work alone (the change of the
control until the new picture is laid out) and what a reader waits (until the frame that shows it).
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from ipywidgets.embed import dependency_state

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "explore"))

from explorer_cubes import regression  # noqa: E402
from static_page import write_page  # noqa: E402

from lrcourse.explore import HeatMap, Lines, explore  # noqa: E402

STEP = """async ([dim, n]) => {
  const view = document.querySelector('.lrx-root');
  const slider = document.querySelectorAll('.lrx-controls .noUi-target')[dim].noUiSlider;
  const frame = () => new Promise(r => requestAnimationFrame(() => setTimeout(r)));
  const work = [], wait = [];
  for (let k = 0; k < 150; k++) {
    await frame();
    await new Promise(r => setTimeout(r, Math.random() * 16));
    const before = view.lrx.updates, start = performance.now();
    slider.set(k % n);
    const linked = performance.now() - start;
    while (view.lrx.updates === before && performance.now() - start < 500) await frame();
    wait.push(performance.now() - start);
    const layout = performance.now();
    view.getBoundingClientRect();
    work.push(linked + view.lrx.ms + performance.now() - layout);
  }
  return [work, wait];
}"""


def report(name: str, explorer: object, folder: Path, browser: object, dims: list[int]) -> None:
    """Print weight and times of one explorer; `dims` are the lengths of its sliders."""
    state = dependency_state([explorer])
    whole = len(json.dumps(state))
    code = sum(len(json.dumps(state[m]["state"].get("script", ""))) for m in state)
    page = browser.new_page(viewport={"width": 1280, "height": 900})  # type: ignore[attr-defined]
    page.goto(write_page(folder, explorer).as_uri())
    page.wait_for_selector(".lrx-root[data-selection]")
    print(f"{name}: adds {whole / 1e6:.2f} MB to the page ({code / 1e3:.0f} kB of it are code)")
    for k, n in enumerate(dims):
        work, wait = page.evaluate(STEP, [k, n])
        numbers = [f(v) for v in (work, wait) for f in (np.median, lambda v: np.quantile(v, 0.95))]
        print(
            "  slider {}: work {:.1f} ms median, {:.1f} ms at 95 %; "
            "shown after {:.1f} ms median, {:.1f} ms at 95 %".format(k + 1, *numbers)
        )
    page.close()


def main() -> None:
    """Measure one panel, and the same runs beside a map with faint companions."""
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        sys.exit("no Chromium found")
    runs = regression(lrs=np.geomspace(0.001, 1, 40), momenta=np.linspace(0, 0.95, 5), seeds=5)
    print(f"{runs.loss.size // 200:,} runs of 200 steps")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=flags)
        one = explore(runs, y="loss", x="step", log="y")
        report("one panel", one, Path(folder), browser, [40, 5])
        two = explore(
            runs,
            Lines("loss", log="y", faint="lr"),
            HeatMap("final_loss", "lr", "momentum", log=True),
        )
        report("beside a map", two, Path(folder), browser, [40, 5])
        browser.close()


if __name__ == "__main__":
    main()
