"""What the pixels of each frame tell a filter: darkness, change, roughness, and a small grey likeness to compare.

Shape letters: ``T`` frames, ``H W`` pixels, ``G`` = 256 cells of a 16x16 grid laid over a frame of any size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.manifest import atomic_path

GRID = 16
DARK_LEVEL = 24
"""A pixel with a grey level (0 to 255) below this is dark."""
CHANGE_LEVEL = 20
"""A pixel changed when one of its colours moved by more than this; coding noise of usual videos stays below."""
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class Measures:
    """Figures of T frames, a row each.

    ``dark_T`` float32: share of dark pixels. ``rough_T`` float32: mean grey step between neighbouring pixels.
    ``changed_TG`` bool: cells that hold a pixel that differs from the frame before (none at the first frame).
    ``likeness_TG`` uint8: mean grey level of each cell. ``damaged_T`` bool: frames that could not be decoded; their
    other figures are those of a black frame.
    """

    dark_T: NDArray[np.float32]
    rough_T: NDArray[np.float32]
    changed_TG: NDArray[np.bool_]
    likeness_TG: NDArray[np.uint8]
    damaged_T: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of frames T."""
        return len(self.dark_T)

    def save(self, path: Path) -> None:
        """Write the arrays as npz, under a temporary name first."""
        with atomic_path(path) as unfinished, open(unfinished, "wb") as file:
            np.savez_compressed(file, **{item.name: getattr(self, item.name) for item in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Measures:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{item.name: arrays[item.name] for item in fields(cls)})


def measure(frames: Iterable[NDArray[np.uint8] | None], size: tuple[int, int]) -> Measures:
    """Return the measures of frames, uint8 (H, W, 3) of ``size`` each, None for a damaged one; memory stays bounded."""
    parts, before_HWC = [], None
    stream = iter(frames)
    while chunk := list(islice(stream, _CHUNK)):
        damaged_T = np.array([frame is None for frame in chunk])
        frames_THWC = np.stack([np.zeros((*size, 3), np.uint8) if frame is None else frame for frame in chunk])
        parts.append(_measure(frames_THWC, before_HWC, damaged_T))
        before_HWC = frames_THWC[-1]
    assert parts, "no frames to measure"
    return Measures(*(np.concatenate([getattr(p, item.name) for p in parts]) for item in fields(Measures)))


def likeness(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one frame's likeness, uint8 (G,)."""
    return _likeness(_grey(frame_HWC[None]))[0]


def _measure(
    frames_THWC: NDArray[np.uint8], before_HWC: NDArray[np.uint8] | None, damaged_T: NDArray[np.bool_]
) -> Measures:
    grey_THW = _grey(frames_THWC)
    dark_T = (grey_THW < DARK_LEVEL).mean((1, 2), dtype=np.float32)
    steps = np.abs(np.diff(grey_THW, axis=2)).mean((1, 2)) + np.abs(np.diff(grey_THW, axis=1)).mean((1, 2))
    earlier_THWC = np.concatenate([frames_THWC[:1] if before_HWC is None else before_HWC[None], frames_THWC[:-1]])
    above = np.maximum(frames_THWC, earlier_THWC) - np.minimum(frames_THWC, earlier_THWC)
    most_THW = np.maximum(np.maximum(above[..., 0], above[..., 1]), above[..., 2])  # several times as fast as max(-1)
    moved_THW = most_THW > CHANGE_LEVEL
    changed_TG = _by_cell(np.logical_or, moved_THW)
    return Measures(dark_T, (steps / 2).astype(np.float32), changed_TG, _likeness(grey_THW), damaged_T)


def _grey(frames_THWC: NDArray[np.uint8]) -> NDArray[np.int16]:
    red, green, blue = (frames_THWC[..., colour].astype(np.uint16) for colour in range(3))
    return ((77 * red + 150 * green + 29 * blue) >> 8).astype(np.int16)


def _likeness(grey_THW: NDArray[np.int16]) -> NDArray[np.uint8]:
    sums_TG = _by_cell(np.add, grey_THW.astype(np.int32))
    areas_G = _by_cell(np.add, np.ones((1, *grey_THW.shape[1:]), np.int32))[0]
    return (sums_TG // areas_G).astype(np.uint8)


def _by_cell(operation: np.ufunc, values_THW: NDArray[Any]) -> NDArray[Any]:
    """Reduce each cell of the grid; a frame smaller than the grid repeats its rows or columns."""
    for axis in (1, 2):
        size = values_THW.shape[axis]
        if size < GRID:
            values_THW = values_THW.repeat(-(-GRID // size), axis=axis)
            size = values_THW.shape[axis]
        values_THW = operation.reduceat(values_THW, np.arange(GRID) * size // GRID, axis=axis)
    return values_THW.reshape(len(values_THW), GRID * GRID)
