"""What was dropped from a recording and why, in pictures: a contact sheet for each reason, a timeline, report.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worldlet.manifest import atomic_path, write_atomic

REPORT_FOLDER = "report"
REPORT_NAME = "report.json"
TIMELINE_NAME = "timeline.png"
SHOWN = 40
"""Spans on a contact sheet at most, spread over all of them; report.json lists every one."""
COLOURS = {
    "glitched": (214, 72, 60), "black": (40, 44, 52), "menu": (150, 90, 180), "frozen": (52, 108, 196),
    "stuck": (200, 140, 30), "unlogged": (120, 124, 134), "repeated": (40, 150, 90),
}  # fmt: skip
_PAPER, _INK, _KEPT = (250, 249, 245), (40, 44, 52), (206, 226, 206)
_TILE, _COLUMNS, _TEXT, _GAP = 176, 5, 44, 8
_ROW, _LABEL, _LINE = 16, 190, 800


@dataclass(frozen=True)
class Drop:
    """A dropped span: frames ``first`` up to ``stop`` of an episode or video, ``place`` of its first within its row.

    A ``row`` of the timeline is a shard or a video; ``figure`` says what was measured; ``picture`` is the file of the
    span's first frame in the report's folder, or empty where it could not be decoded.
    """

    row: str
    episode: str
    first: int
    stop: int
    place: int
    seconds: float
    reason: str
    figure: str
    picture: str = ""


def save_picture(folder: Path, name: str, frame_HWC: NDArray[np.uint8]) -> str:
    """Write a span's first frame into the report of a data folder and return its name there."""
    path = folder / REPORT_FOLDER / "spans" / f"{name.replace('/', '-')}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        Image.fromarray(frame_HWC).save(unfinished)
    return f"spans/{path.name}"


def write_report(folder: Path, rows: Mapping[str, int], drops: Sequence[Drop], thresholds: Mapping[str, Any]) -> None:
    """Write the report into the data folder; ``rows`` holds the frames of each row of the timeline, in order."""
    report = folder / REPORT_FOLDER
    report.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, Counter[str]] = {}
    for drop in drops:
        reasons.setdefault(drop.reason, Counter()).update(spans=1, frames=drop.stop - drop.first)
    for reason in reasons:
        _save(_sheet([drop for drop in drops if drop.reason == reason], reason, report), report / f"{reason}.png")
    _save(_timeline(rows, drops), report / TIMELINE_NAME)
    told = {
        "frames": sum(rows.values()),
        "dropped": sum(drop.stop - drop.first for drop in drops),
        "reasons": {reason: dict(counts) for reason, counts in sorted(reasons.items())},
        "thresholds": dict(thresholds),
        "spans": [asdict(drop) for drop in drops],
    }
    write_atomic(report / REPORT_NAME, json.dumps(told, indent=1).encode())


def _sheet(drops: Sequence[Drop], reason: str, report: Path) -> Image.Image:
    """Draw the first frames of some spans of one reason, each with where it was and what was measured."""
    shown = [drops[i] for i in sorted(set(np.linspace(0, len(drops) - 1, min(SHOWN, len(drops))).astype(int).tolist()))]
    tiles = [_tile(report / drop.picture if drop.picture else None) for drop in shown]
    height = max(tile.height for tile in tiles) + _TEXT
    rows = -(-len(shown) // _COLUMNS)
    picture, draw = _paper(_COLUMNS * (_TILE + _GAP) + _GAP, rows * (height + _GAP) + 40)
    frames = sum(drop.stop - drop.first for drop in drops)
    draw.text((_GAP, 12), f"{reason}: {len(drops)} spans, {frames:,} frames; {len(shown)} shown", fill=_INK)
    for place, (drop, tile) in enumerate(zip(shown, tiles, strict=True)):
        left, top = _GAP + place % _COLUMNS * (_TILE + _GAP), 36 + place // _COLUMNS * (height + _GAP)
        picture.paste(tile, (left, top))
        draw.rectangle((left, top, left + _TILE - 1, top + tile.height - 1), outline=COLOURS.get(reason, _INK), width=2)
        lines = [f"{drop.episode[-27:]}", f"frame {drop.first}, {drop.seconds:.1f} s", drop.figure[:29]]
        for line, text in enumerate(lines):
            draw.text((left, top + tile.height + 2 + 13 * line), text, fill=_INK)
    return picture


def _tile(path: Path | None) -> Image.Image:
    if path is None:
        return Image.new("RGB", (_TILE, _TILE // 2), (120, 124, 134))
    with Image.open(path) as picture:
        height = max(1, round(picture.height * _TILE / picture.width))
        return picture.convert("RGB").resize((_TILE, height), Image.Resampling.NEAREST)


def _timeline(rows: Mapping[str, int], drops: Sequence[Drop]) -> Image.Image:
    """Draw every row from left to right, to one scale, dropped spans in their reason's colour."""
    longest = max(rows.values())
    legend = list(dict.fromkeys(drop.reason for drop in drops))
    picture, draw = _paper(_LABEL + _LINE + 3 * _GAP, len(rows) * _ROW + 60)
    for n, reason in enumerate(["kept", *legend]):
        left = _GAP + 110 * n
        draw.rectangle((left, 12, left + 12, 24), fill=COLOURS.get(reason, _INK) if reason != "kept" else _KEPT)
        draw.text((left + 18, 12), reason, fill=_INK)
    tops = {name: 44 + n * _ROW for n, name in enumerate(rows)}
    for name, frames in rows.items():
        draw.text((_GAP, tops[name]), name[-30:], fill=_INK)
        draw.rectangle((_LABEL, tops[name], _LABEL + _LINE * frames // longest, tops[name] + _ROW - 4), fill=_KEPT)
    for drop in drops:
        left, right = (_LABEL + _LINE * (drop.place + n) // longest for n in (0, drop.stop - drop.first))
        box = (left, tops[drop.row], max(left, right - 1), tops[drop.row] + _ROW - 4)
        draw.rectangle(box, fill=COLOURS.get(drop.reason, _INK))
    return picture


def _paper(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), _PAPER)
    return picture, ImageDraw.Draw(picture)


def _save(picture: Image.Image, path: Path) -> None:
    with atomic_path(path) as unfinished:
        picture.save(unfinished)
