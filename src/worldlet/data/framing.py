"""How a picture of any size becomes a frame of the data set: bars and margins cut, aspect ratio kept, then resized.

Sizes are (H, W), boxes and margins (left, top, right, bottom), all in pixels of the source unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELL = 8
"""Frame sides are multiples of this, so that every tokenizer's patches fit."""
BAR_LEVEL = 20
"""A bar's pixels are never brighter than this (of 255); 16 is the black of broadcast video, plus coding noise."""
MOST_CUT = 0.12
"""The greatest part of a picture that may be cut to reach the data set's aspect ratio."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Framing:
    """The part of the source that is kept, and the frame size (H, W) it is resized to."""

    box: Box
    size: tuple[int, int]

    def apply(self, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the frame, uint8 (H, W, 3) of ``size``.

        Shrinking averages areas, which undoes a whole-number enlargement exactly; whole-number growth repeats pixels.
        """
        left, top, right, bottom = self.box
        part = picture_HWC[top:bottom, left:right]
        height, width = self.size
        if part.shape[:2] == self.size:
            return np.ascontiguousarray(part)
        if height <= part.shape[0] and width <= part.shape[1]:
            method = Image.Resampling.BOX
        elif height % part.shape[0] == 0 and width % part.shape[1] == 0:
            method = Image.Resampling.NEAREST
        else:
            method = Image.Resampling.BICUBIC
        return np.asarray(Image.fromarray(part).resize((width, height), method))


def frame_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Return the size nearest to the aspect ratio of (height, width) whose longer side is ``longer``, all by 8."""
    short = longer * min(height, width) / max(height, width)
    shorter = max(CELL, CELL * round(short / CELL))
    return (shorter, longer) if height <= width else (longer, shorter)


def fit(height: int, width: int, margins: Box, size: tuple[int, int]) -> Framing:
    """Return the framing of a (height, width) picture without its margins, its middle cut to the aspect of ``size``.

    Raises ValueError where the margins leave nothing, or more than an eighth or so would have to be cut.
    """
    left, top, right, bottom = margins
    inner_height, inner_width = height - top - bottom, width - left - right
    if inner_height < 1 or inner_width < 1:
        raise ValueError(f"margins {margins} leave nothing of a picture of {width}x{height} pixels")
    aspect = size[1] / size[0]
    kept_width = min(inner_width, round(inner_height * aspect)) or 1
    kept_height = min(inner_height, round(inner_width / aspect)) or 1
    if kept_width * kept_height < (1 - MOST_CUT) * inner_width * inner_height:
        raise ValueError(
            f"its picture of {inner_width}x{inner_height} pixels has another shape than frames of {size[1]}x{size[0]}: "
            "prepare it into a data set of its own, or cut it with --crop"
        )
    left += (inner_width - kept_width) // 2
    top += (inner_height - kept_height) // 2
    return Framing((left, top, left + kept_width, top + kept_height), size)


def find_bars(frames: Iterable[NDArray[np.uint8]]) -> Box:
    """Return the margins that are black in all of these frames of one size, (0, 0, 0, 0) where there are none.

    A frame that is dark all over tells nothing; where every frame is, or sizes differ, no bar is found.
    """
    brightest_HW: NDArray[np.uint8] | None = None
    for frame in frames:
        level_HW = frame.max(-1)
        if (level_HW > 3 * BAR_LEVEL).mean() < 0.05:
            continue
        if brightest_HW is not None and brightest_HW.shape != level_HW.shape:
            return 0, 0, 0, 0
        brightest_HW = level_HW if brightest_HW is None else np.maximum(brightest_HW, level_HW)
    if brightest_HW is None:
        return 0, 0, 0, 0
    rows = np.flatnonzero((brightest_HW > BAR_LEVEL).mean(1) > 0.01)
    columns = np.flatnonzero((brightest_HW > BAR_LEVEL).mean(0) > 0.01)
    height, width = brightest_HW.shape
    return int(columns[0]), int(rows[0]), int(width - 1 - columns[-1]), int(height - 1 - rows[-1])
