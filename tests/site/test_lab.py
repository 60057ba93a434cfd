"""The notebooks where learners run them: a live kernel in JupyterLab, a slider, a new picture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from conftest import ROOT

pytestmark = pytest.mark.browser

TOKEN = "reader"
READY = """async () => (await (await fetch("/api/kernels")).json()).some(
    (kernel) => kernel.connections && kernel.execution_state === "idle")"""


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab server on a copy of the first page; gives its address."""
    shutil.copy(ROOT / "book" / "index.ipynb", tmp_path / "index.ipynb")
    log = (tmp_path / "log").open("w+")
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0",
        "--ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment)
    try:
        address = None
        for _ in range(300):
            log.seek(0)
            address = re.search(r"http://127\.0\.0\.1:\d+", log.read())
            if address or server.poll() is not None:
                break
            time.sleep(0.2)
        log.seek(0)
        assert address, log.read()
        yield address.group()
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def test_a_notebook_runs_live_and_its_slider_and_handles_move_the_curve(lab, chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(f"{lab}/lab/tree/index.ipynb?token={TOKEN}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    # Run All asks which kernel to use unless one is attached, and the indicator says idle before.
    page.wait_for_selector(".jp-Toolbar-kernelName:has-text('Python 3')", timeout=60_000)
    page.wait_for_function(READY, timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    root = page.locator(".lrx-root").first
    root.wait_for(state="attached", timeout=240_000)
    root.scroll_into_view_if_needed()
    drawn = "() => JSON.stringify(document.querySelector('.lrx-root').lrx.series())"
    before = page.evaluate(drawn)
    handle = page.locator(".jp-OutputArea .noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"before => ({drawn})() !== before", arg=before)
    assert handle.get_attribute("aria-label")
    page.locator(".jp-MarkdownOutput a[href^='#lrx:']").first.click()
    asked = "() => JSON.parse(document.querySelector('.lrx-root').dataset.selection).lr === '0.001'"
    page.wait_for_function(asked)
    context.close()
