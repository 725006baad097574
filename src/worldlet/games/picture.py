"""What a game shows, as RGB frames of one size whose sides divide into patches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

SHORT_SIDE = 64
"""Pixels of the shorter side where nothing else is asked for: an Atari screen becomes 84 high and 64 wide."""
LARGEST_KEPT = 128
"""A picture whose shorter side is no longer than this, and whose sides divide, stays as it is."""
_ROUNDING = 1.001  # floats may be off by so much
_SMALLEST = 16  # a smaller "image" is a grid of symbols
_IMAGE_KEYS = ("rgb", "image", "screen", "pixels", "pov", "frame", "observation", "obs")


def image_key(space: Any) -> str | None:
    """Return where an observation holds the picture: "" for all of it, a key of a Dict, or None for nowhere."""
    spaces = getattr(space, "spaces", None)
    if isinstance(spaces, Mapping):
        keys = sorted(spaces, key=lambda key: (key not in _IMAGE_KEYS, str(key)))
        return next((key for key in keys if _is_image(spaces[key])), None)
    return "" if _is_image(space) else None


def white_of_space(space: Any, key: str) -> float | None:
    """Return what white is in the float pictures of an observation space, as its bounds have it; None for integers."""
    box = space[key] if key else space
    if np.dtype(box.dtype).kind != "f":
        return None
    return 1.0 if np.max(box.high) <= 1 else 255.0


def white_of(picture: Any) -> float | None:
    """Return what white is in a picture of floats, 1 or 255; None where it is all black, or holds integers.

    ValueError where its floats may as well be the one as the other: those just above 1.
    """
    pixels = np.asarray(picture)
    if pixels.dtype.kind != "f" or not pixels.size:
        return None
    highest = float(pixels.max())
    if highest <= 0:
        return None
    if _ROUNDING < highest < 2:
        raise ValueError(f"the game draws floats up to {highest:g}: draw uint8, or floats of [0, 1] or [0, 255]")
    return 1.0 if highest <= _ROUNDING else 255.0


def rgb(picture: Any, white: float | None = None) -> np.ndarray:
    """Return a picture as uint8 (H, W, 3): grey repeated, alpha dropped, colours last.

    Floats are of [0, ``white``], or by themselves of what `white_of` says; integers of [0, 255]. ValueError where it
    is no picture, or not of that range.
    """
    pixels = np.asarray(picture)
    if pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3:
        return pixels
    if pixels.dtype.kind in "uif" and pixels.dtype != np.uint8 and pixels.size:
        most = (white or white_of(pixels) or 1.0) if pixels.dtype.kind == "f" else 255
        lowest, highest = float(pixels.min()), float(pixels.max())
        if not (lowest >= -1e-3 * most and highest <= _ROUNDING * most):  # not a number is neither
            raise ValueError(
                f"the game draws {pixels.dtype} from {lowest:g} to {highest:g} where 0 is black and {most:g} white: "
                "draw uint8, or floats of [0, 1] or [0, 255]"
            )
        pixels = np.round(np.clip(pixels, 0, most) * (255 / most))
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3) and pixels.shape[2] not in (1, 3, 4):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or pixels.dtype.kind not in "uif":
        raise ValueError(f"the game must draw frames of shape (H, W, 3), not {pixels.shape} of {pixels.dtype}")
    pixels = pixels[..., :3].astype(np.uint8, copy=False)
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def choose_size(native: tuple[int, int], wanted: str = "") -> tuple[int, int]:
    """Return the (H, W) to record at: ``wanted`` ("84x64", height first, or the shorter side alone), or what suits.

    What suits keeps the aspect ratio: sides that 8 divides where that is within 3 %, otherwise sides that 4 divides.
    Raises ValueError for a wanted size that is no size or that 4 does not divide.
    """
    height, width = native
    if wanted:
        found = re.fullmatch(r"(\d+)(?:x(\d+))?", wanted.strip())
        sides = [int(side) for side in found.groups() if side] if found else []
        if not sides or any(side % 4 or side < _SMALLEST for side in sides):
            raise ValueError(
                f"size is {wanted!r}: give height x width in pixels, such as 84x64, or the shorter side alone, "
                "each side divisible by 4 and at least 16"
            )
        return (sides[0], sides[1]) if len(sides) == 2 else _scaled(height, width, sides[0])
    if min(native) <= LARGEST_KEPT and max(native) <= 2 * LARGEST_KEPT and height % 4 == 0 and width % 4 == 0:
        return native
    return _scaled(height, width, SHORT_SIDE)


class Resizer:
    """Brings pictures of one size to another by averaging; black bars where the aspect ratios differ."""

    def __init__(self, native: tuple[int, int], size: tuple[int, int]) -> None:
        self._native, self._size = native, size
        scale = min(size[0] / native[0], size[1] / native[1])
        height, width = (max(1, round(side * scale)) for side in native)
        # Sides that divide are worth a few per cent of aspect ratio; bars are not.
        self._inner = size if abs(height - size[0]) + abs(width - size[1]) <= 0.05 * max(size) else (height, width)
        self._corner = (size[0] - self._inner[0]) // 2, (size[1] - self._inner[1]) // 2

    def __call__(self, frame_HWC: np.ndarray) -> np.ndarray:
        """Return the frame, uint8 RGB, at the wanted size; ValueError where its size is not what it was at first."""
        if frame_HWC.shape[:2] != self._native:
            raise ValueError(
                f"the game drew a frame of {frame_HWC.shape[:2]} after frames of {self._native}: give it a fixed size"
            )
        if self._native == self._size:
            return frame_HWC
        height, width = self._inner
        small = np.asarray(Image.fromarray(frame_HWC).resize((width, height), Image.Resampling.BOX))
        if self._inner == self._size:
            return small
        frame = np.zeros((*self._size, 3), np.uint8)
        top, left = self._corner
        frame[top : top + height, left : left + width] = small
        return frame


def _scaled(height: int, width: int, short_side: int) -> tuple[int, int]:
    scale = short_side / min(height, width)
    sides = height * scale, width * scale
    for patch in (8, 4):
        rounded = tuple(max(patch, round(side / patch) * patch) for side in sides)
        if patch == 4 or all(abs(side - exact) <= 0.03 * exact for side, exact in zip(rounded, sides, strict=True)):
            break
    return rounded[0], rounded[1]


def _is_image(space: Any) -> bool:
    shape, dtype = getattr(space, "shape", None), getattr(space, "dtype", None)
    if type(space).__name__ != "Box" or dtype is None or not shape or len(shape) not in (2, 3):
        return False
    highest, lowest = np.max(space.high), np.min(space.low)
    whole = highest <= 1 or highest == 255  # as floats have it
    bounded = dtype == np.uint8 or (np.dtype(dtype).kind == "f" and whole and lowest >= 0)
    if len(shape) == 2:
        return bounded and min(shape) >= _SMALLEST
    channels_first = shape[0] in (1, 3) and shape[2] not in (1, 3, 4)
    sides, channels = (shape[1:], shape[0]) if channels_first else (shape[:2], shape[2])
    return bounded and channels in (1, 3, 4) and min(sides) >= _SMALLEST
