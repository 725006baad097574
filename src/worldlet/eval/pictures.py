"""Pictures for a card, drawn with Pillow: film strips, curves, bars, a matrix, and a GIF of dream beside game."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worldlet.engine.film import open_film
from worldlet.manifest import atomic_path

INK, PAPER, GRID = (32, 32, 40), (255, 255, 255), (222, 222, 228)
COLOURS = ((214, 72, 60), (52, 108, 196), (40, 150, 90), (150, 90, 180), (200, 140, 30), (30, 160, 170),
           (230, 120, 180), (110, 110, 120), (140, 90, 50), (120, 180, 40), (60, 60, 140))  # fmt: skip
GAP = 4
LABEL = 88
"""Pixels left of a strip for its label."""


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG; a crash leaves no half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        picture.save(temporary)


def save_film(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], path: Path, fps: int) -> None:
    """Write a GIF of the real game (left) beside the dream (right), twice as large."""
    with open_film(path, fps, scale=2) as film:
        for real_HWC, dreamed_HWC in pairs:
            wall_HWC = np.full((len(real_HWC), GAP, 3), 255, dtype=np.uint8)
            film.add(np.concatenate([real_HWC, wall_HWC, dreamed_HWC], axis=1))


def strips(rows: Sequence[Sequence[NDArray[np.uint8]]], labels: Sequence[str]) -> Image.Image:
    """Draw rows of equally large frames, each row with its label."""
    height, width, _ = rows[0][0].shape
    size = (LABEL + max(map(len, rows)) * (width + GAP), len(rows) * (height + GAP) + GAP)
    picture, draw = _sheet(size)
    for r, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = GAP + r * (height + GAP)
        draw.text((GAP, top + height // 2 - 6), label, fill=INK)
        for c, frame_HWC in enumerate(row):
            picture.paste(Image.fromarray(frame_HWC), (LABEL + c * (width + GAP), top))
    return picture


def curves(xs: Sequence[int], ys: Mapping[str, Sequence[float | None]], title: str) -> Image.Image:
    """Draw one line per name over equally spaced ``xs``; None leaves a hole."""
    picture, draw = _sheet((640, 400))
    left, top, right, bottom = 56, 36, 500, 356
    values = [y for line in ys.values() for y in line if y is not None] or [0.0, 1.0]
    low = 10 * math.floor(min(values) / 10)
    high = max(low + 10, 10 * math.ceil(max(values) / 10))
    draw.text((left, 12), title, fill=INK)
    for level in range(low, high + 1, 10):
        y = bottom - (level - low) / (high - low) * (bottom - top)
        draw.line([(left, y), (right, y)], fill=GRID)
        draw.text((12, y - 6), str(level), fill=INK)
    at = np.linspace(left, right, len(xs))
    for x, label in zip(at, xs, strict=True):
        draw.text((x - 6, bottom + 8), str(label), fill=INK)
    for n, (name, line) in enumerate(ys.items()):
        colour = COLOURS[n % len(COLOURS)]
        points = [
            (float(x), float(bottom - (y - low) / (high - low) * (bottom - top)))
            for x, y in zip(at, line, strict=True) if y is not None
        ]  # fmt: skip
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.rectangle([right + 20, top + 22 * n, right + 32, top + 22 * n + 12], fill=colour)
        draw.text((right + 38, top + 22 * n), name, fill=INK)
    return picture


def bars(pairs: Mapping[str, tuple[float | None, float | None]], names: tuple[str, str], title: str) -> Image.Image:
    """Draw two bars beside each other for every name."""
    picture, draw = _sheet((160 + 110 * len(pairs), 300))
    bottom, height = 256, 200
    highest = max((value or 0.0 for pair in pairs.values() for value in pair), default=0.0) or 1.0
    draw.text((24, 12), title, fill=INK)
    for n, name in enumerate(names):
        draw.rectangle([picture.width - 110, 36 + 22 * n, picture.width - 98, 48 + 22 * n], fill=COLOURS[n])
        draw.text((picture.width - 92, 36 + 22 * n), name, fill=INK)
    for place, (name, pair) in enumerate(pairs.items()):
        x = 30 + 110 * place
        draw.text((x, bottom + 10), name, fill=INK)
        for n, value in enumerate(pair):
            top = bottom - (value or 0.0) / highest * height
            draw.rectangle([x + 36 * n, top, x + 36 * n + 30, bottom], fill=COLOURS[n])
            draw.text((x + 36 * n + 2, top - 14), "-" if value is None else f"{value:.1f}", fill=INK)
    draw.line([(20, bottom), (picture.width - 120, bottom)], fill=INK)
    return picture


def matrix(counts: NDArray[np.int64], rows: Sequence[str], columns: Sequence[str], title: str) -> Image.Image:
    """Draw a table of counts, darker where a row has more of its own."""
    cell, left, top = 44, 170, 170
    picture, draw = _sheet((left + cell * len(columns) + 20, top + 28 * len(rows) + 20))
    draw.text((16, 12), title, fill=INK)
    for c, name in enumerate(columns):
        label = Image.new("RGB", (130, 14), PAPER)
        ImageDraw.Draw(label).text((0, 0), name, fill=INK)
        picture.paste(label.rotate(90, expand=True), (left + cell * c + 14, top - 134))
    for r, name in enumerate(rows):
        y = top + 28 * r
        draw.text((16, y + 8), name, fill=INK)
        whole = max(1, int(counts[r].sum()))
        for c in range(len(columns)):
            share = counts[r, c] / whole
            shade = tuple(int(255 - share * (255 - channel)) for channel in COLOURS[1])
            draw.rectangle([left + cell * c, y, left + cell * (c + 1) - 2, y + 26], fill=shade, outline=GRID)
            if counts[r, c]:
                draw.text((left + cell * c + 8, y + 8), str(counts[r, c]), fill=PAPER if share > 0.6 else INK)
    return picture


def _sheet(size: tuple[int, int]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", size, PAPER)
    return picture, ImageDraw.Draw(picture)
