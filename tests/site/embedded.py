"""Read the cubes that a built page carries, without the explorer's own code."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

STATE = re.compile(
    r'<script type="application/vnd\.jupyter\.widget-state\+json">(.*?)</script>', re.S
)


def explorers(page: Path) -> list[tuple[dict[str, Any], bytes]]:
    """The specification and the bytes of every explorer of a page, by title."""
    state = json.loads(STATE.search(page.read_text()).group(1))["state"]
    found = []
    for model in state.values():
        if "spec" in model["state"] and "_esm" in model["state"]:
            buffers = {tuple(b["path"]): base64.b64decode(b["data"]) for b in model["buffers"]}
            found.append((model["state"]["spec"], buffers[("data",)]))
    return found


def median(rows: np.ndarray) -> np.ndarray:
    """The middle run, point by point; not NumPy's, which turns 0 times infinity into no number."""
    ordered, n = np.sort(rows, axis=0), len(rows)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return np.where(low == high, low, 0.5 * (low + high))


class EmbeddedCube:
    """The numbers of one explorer, decoded from its bytes by the documented formula."""

    def __init__(self, spec: dict[str, Any], data: bytes):
        self.spec, self.data = spec, data

    def rows(self, name: str, selection: dict[str, int], axis: str) -> np.ndarray:
        """The runs of the band along `axis` at a selection: shape (runs, places)."""
        meta = self.spec["arrays"][name]
        kind = {"f4": "<f4", "q2": "<u2"}[meta["type"]]
        values = np.frombuffer(self.data, kind, meta["size"], meta["offset"]).astype(float)
        if meta["type"] == "q2":
            values = np.where(
                values == 65535,
                np.nan,
                meta["scale"] * np.sinh(meta["low"] + meta["step"] * values),
            )
        values = values.reshape(meta["shape"])
        dims = list(meta["dims"])
        for dim in [d for d in dims if d not in (axis, self.spec["band"])]:
            values = values.take(selection[dim], axis=dims.index(dim))
            dims.remove(dim)
        if axis not in dims:  # nothing changes along it
            values = np.stack([values] * self.spec["dims"][axis]["n"], axis=-1)
            dims.append(axis)
        return np.moveaxis(values, dims.index(axis), -1).reshape(-1, values.shape[dims.index(axis)])

    def selection(self, labels: dict[str, str]) -> dict[str, int]:
        """The indices that a page's labels stand for."""
        options = {d: v["labels"] for d, v in self.spec["dims"].items() if "labels" in v}
        return {k: (options | self.spec["choices"])[k].index(v) for k, v in labels.items()}

    def expected(self, labels: dict[str, str]) -> dict[tuple[int, str], np.ndarray]:
        """What each curve of each line panel must show: (panel, variable) → the median run."""
        at, found = self.selection(labels), {}
        for number, panel in enumerate(self.spec["panels"]):
            if panel["kind"] == "lines":
                names = panel["y"]
                names = [names[at[panel["choose"]]]] if panel["choose"] else names
                for name in names:
                    rows = self.rows(name, at, panel["x"])
                    worst = self.spec["arrays"][name]["worst"]
                    shown = (
                        np.where(np.isfinite(rows), rows, worst * np.inf) if len(rows) > 1 else rows
                    )
                    found[number, name] = median(shown)
            elif panel["kind"] == "descent":
                for axis in ("x", "y"):
                    found[number, axis] = self.rows(panel[axis], at, panel["along"])
        return found
