"""How tall an explorer will be, so that a page keeps its place before scripts have run.

The sizes are those of ``explore.css`` and of the panels' scripts; the widths of letters are means.
Tests of the built site hold each estimate within 90 px, and how far a page moves as it comes alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import ipywidgets

WIDE, MIDDLE, NARROW = 960, 690, 358  # widths of an explorer: on a screen, a tablet, a phone
GAP = 40  # between panels, and between controls
TOOLS, PIN, LINE = 32, 28, 20.3


def heights(spec: dict[str, Any], controls: Sequence[ipywidgets.Widget], pins: int) -> list[int]:
    """Return the heights of an explorer on a screen, a tablet and a phone.

    Parameters
    ----------
    spec : dict
        What a view draws.
    controls : sequence of Widget
    pins : int
        How many runs are pinned from the start.

    Returns
    -------
    list of int
        In pixels, with the margins.
    """
    return [_height(spec, controls, pins, width) for width in (WIDE, MIDDLE, NARROW)]


def _height(spec: dict[str, Any], controls: Any, pins: int, width: int) -> int:
    wide = width > 640
    text = min(width, 736)  # of prose below the panels
    parts = [40.0]  # margins
    if spec["title"]:
        title = 22 * _lines(f"Figure 9. {spec['title']}", width - 336 * wide, 8.8)
        parts.append(6 + max(title, TOOLS * wide))
    if not wide or not spec["title"]:
        parts.append(TOOLS)
    across = 1 + (wide and len(controls) > 1)
    if controls:
        room = (width - GAP * (across - 1)) / across
        each = [_control(control, min(room, 576)) for control in controls]
        rows = [max(each[k : k + across]) for k in range(0, len(each), across)]
        parts.append(10 + sum(rows) + 4 * (len(rows) - 1))
    parts.append((PIN if wide else 45) * bool(pins) + 5)
    panels = spec["panels"]
    across = 1 + (wide and len(panels) > 1)
    room = (width - GAP * (across - 1)) / across
    for k in range(0, len(panels), across):
        row = panels[k : k + across]
        parts.append(
            12 + max(_head(spec, p, room) for p in row) + max(_plot(spec, p, room) for p in row)
        )
    said = max(spec["says"]["texts"], key=len) if spec["says"] else ""
    parts.append(8 + max(44, 21.8 * _lines(" ".join([said, spec["held"]]), text, 7.1)))
    if pins and any(panel["kind"] != "descent" for panel in spec["panels"]):
        parts.append(6 + 44)  # how the latest pin compares
    if spec["caption"]:
        parts.append(6 + LINE * _lines(spec["caption"], text, 6.9))
    return ceil(sum(parts))


def _lines(text: str, width: float, letter: float) -> int:
    return max(1, ceil(len(text) * letter / width))


def _rows(widths: Sequence[float], room: float, gap: float) -> int:
    """In how many rows things wrap."""
    rows, used = 1, 0.0
    for width in widths:
        if used and used + width > room:
            rows, used = rows + 1, 0.0
        used += width + gap
    return rows


def _control(control: Any, room: float) -> float:
    if not isinstance(control, ipywidgets.ToggleButtons):
        return 32
    label = 7 * len(control.description) + 14
    widths = [7 * len(label) + 24 for label in _labels(control)]
    rows = _rows(widths, room - label, 5)
    return 33 * rows + 5 * (rows - 1)


def _labels(control: Any) -> list[str]:
    """What stands on the buttons: options may be pairs of a text and a value."""
    return [str(label) for label in control._options_labels]


def _legend(spec: dict[str, Any], panel: dict[str, Any]) -> list[str]:
    names = panel["y"] if panel["kind"] == "lines" and not panel["choose"] else []
    return [spec["arrays"][name]["label"] for name in names] if len(names) > 1 else []


def _head(spec: dict[str, Any], panel: dict[str, Any], room: float) -> float:
    title = 7.6 * len(panel["title"] or "")
    legend = [7.4 * len(label) + 28 for label in _legend(spec, panel)]
    beside = title + 14 + sum(legend) + 14 * len(legend) <= room
    rows = _rows([title], room, 0) if beside else 1 + _rows(legend, room, 14)
    return max(30.0, 23.5 * rows)


def _plot(spec: dict[str, Any], panel: dict[str, Any], room: float) -> float:
    if panel["kind"] != "heat":
        height = 24 + min(max(0.6 * room, 260), 320) + 14 * (room < NARROW + 1)
        labels = _legend(spec, panel)
        told = [6.6 * (len(label) + 14) + 22 for label in labels]
        return height + 18 * (_rows(told, room, 16) - 1 if labels else 0)
    cells = int(spec["dims"][panel["y"]]["n"])
    words = [6.4 * len(panel["missing"]) + 24, *([65] if panel["best"] else [])]
    name = spec["arrays"][panel["value"]]["label"]
    named = [] if panel["title"] == name else [6.3 * len(name)]
    key = 19 + 22 * _rows([*named, 208, *words], room, 16)
    return 24 + key + min(max(cells * 30 + 66, 220), 400)
