"""A screen becomes a frame: its aspect ratio is kept, and both sides are multiples of eight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.data.duplicates import fingerprints

GRAIN = 8
"""Both sides of a frame are multiples of this, so that patches divide it."""


def frame_size(screen: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return the (H, W) of frames from a screen of (H, W) pixels; a height of 0 follows from the aspect ratio."""
    if height == 0:
        height = max(GRAIN, round(width * screen[0] / screen[1] / GRAIN) * GRAIN)
    return height, width


def crop_box(screen: tuple[int, int], frame: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of the largest centred part of a screen that has a frame's aspect ratio."""
    scale = min(screen[0] / frame[0], screen[1] / frame[1])
    top, left = (screen[0] - frame[0] * scale) / 2, (screen[1] - frame[1] * scale) / 2
    return left, top, screen[1] - left, screen[0] - top


def make_frame(pixels_HWC: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut and scale a screen, uint8 (H, W, 3), to a frame of ``size`` (H, W).

    Pixels are averaged over what they cover, which gives back pixel art exactly where it was enlarged a whole number
    of times.
    """
    screen = (pixels_HWC.shape[0], pixels_HWC.shape[1])
    if screen == size:
        return pixels_HWC
    box = crop_box(screen, size)
    image = Image.fromarray(pixels_HWC).resize((size[1], size[0]), Image.Resampling.BOX, box)
    return np.asarray(image)


def fingerprint(frame_HWC: NDArray[np.uint8]) -> int:
    """Return 63 bits that are the same for frames whose colours, in steps of 8 of 255, are the same."""
    return int(fingerprints(frame_HWC[None])[0]) >> 1
