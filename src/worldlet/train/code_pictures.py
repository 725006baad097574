"""A picture of what each code does: real frames before and after it, and one frame dreamed on under every code."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worldlet.dynamics.latent import LatentActions, to_pixels
from worldlet.train.moments import MomentTable

EXAMPLES = 4
"""Real moments shown of each code."""
HELD = 6
"""Frames for which a code is held in what the model imagines."""
_LEAST_SIDE, _GAP, _LABEL = 96, 6, 84


def draw_codes(model: LatentActions, table: MomentTable, shares: Sequence[float], seed: int) -> bytes:
    """Return a PNG with a row for each code.

    Left: held-out moments that the model calls so, each as before, after, and what changed (before in red, after in
    cyan). Right: two held-out frames after the code was held for some frames, as the model imagines it, in the same
    colours; from row to row only the code differs.
    """
    codes_M = _codes(model, table)
    rng = np.random.default_rng([seed, 17])
    starts = rng.choice(len(table), min(2, len(table)), replace=False)
    rows = []
    for code, share in enumerate(shares):
        cells: list[NDArray[np.uint8] | None] = []
        found = rng.permutation(np.flatnonzero(codes_M == code))[:EXAMPLES]
        for moment in found:
            window = table.windows(np.array([moment]), model.config.window)[0]
            cells += [window[1], window[2], change(window[1], window[2])]
        cells += [None] * (3 * (EXAMPLES - len(found)))
        for moment in starts:
            window = table.windows(np.array([moment]), model.config.window)[0]
            cells.append(change(window[1], _hold(model, window, code)))
        rows.append((f"code {code}\n{share:.1%}", cells))
    return _grid(rows, f"real: before, after, change ({EXAMPLES}x)", f"imagined: held {HELD} frames")


def change(before_HWC: NDArray[np.uint8], after_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return both frames in one, in grey: the first in red, the second in green and blue; what stays is grey."""
    grey = [frame.mean(-1).astype(np.uint8) for frame in (before_HWC, after_HWC)]
    return np.stack([grey[0], grey[1], grey[1]], -1)


def _codes(model: LatentActions, table: MomentTable) -> NDArray[np.int64]:
    """Return the code of every moment of the table, -1 for those not looked at (the table is sampled where large)."""
    codes_M = np.full(len(table), -1, np.int64)
    moments = table.spread(2000)
    for i in range(0, len(moments), 64):
        part = moments[i : i + 64]
        codes_M[part] = model.codes_of(to_pixels(table.windows(part, model.config.window))).numpy()
    return codes_M


def _hold(model: LatentActions, window_WHWC: NDArray[np.uint8], code: int) -> NDArray[np.uint8]:
    past = window_WHWC[None, :2]
    for _ in range(HELD):
        past = np.stack([past[:, 1], model.imagine(past, np.array([code]))], 1)
    return past[0, 1]


def _grid(rows: Sequence[tuple[str, list[NDArray[np.uint8] | None]]], left_title: str, right_title: str) -> bytes:
    height, width = next(cell.shape[:2] for _, cells in rows for cell in cells if cell is not None)
    scale = max(1, -(-_LEAST_SIDE // max(height, width)))
    height, width = height * scale, width * scale
    columns = max(len(cells) for _, cells in rows)
    image = Image.new("RGB", (_LABEL + columns * (width + _GAP), 24 + len(rows) * (height + _GAP)), "white")
    draw = ImageDraw.Draw(image)
    draw.text((_LABEL, 6), left_title, fill="black")
    draw.text((_LABEL + (columns - 2) * (width + _GAP), 6), right_title, fill="black")
    for r, (label, cells) in enumerate(rows):
        top = 24 + r * (height + _GAP)
        draw.text((6, top + height // 3), label, fill="black")
        for c, cell in enumerate(cells):
            if cell is not None:
                picture = Image.fromarray(cell).resize((width, height), Image.Resampling.NEAREST)
                image.paste(picture, (_LABEL + c * (width + _GAP), top))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
