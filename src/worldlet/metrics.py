"""How far two pictures differ, in decibels, with numpy alone.

Pictures are uint8. PSNR is ``10 log10(255² / mean squared error)``; several pictures are *pooled* (all squared errors
over all pixels, then one logarithm), so that one ruined frame is not averaged away by many good ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PSNR_CAP_DB = 100.0
"""What two equal pictures score, since JSON knows no infinity."""


@dataclass
class PooledError:
    """A sum of squared errors over the pixels of several pictures.

    ``squared`` sums over pixels and colours, ``pixels`` counts pixels, ``frames`` the pictures that had any.
    """

    squared: int = 0
    pixels: int = 0
    frames: int = 0

    def add(
        self, seen_HWC: NDArray[np.uint8], real_HWC: NDArray[np.uint8], mask_HW: NDArray[Any] | None = None
    ) -> None:
        """Add one pair of pictures of shape (H, W, 3), or only those of its pixels where the mask is true."""
        _check_pair(seen_HWC, real_HWC)
        difference = seen_HWC.astype(np.int32) - real_HWC
        if mask_HW is not None:
            difference = difference[mask_HW.astype(bool)]
        pixels = difference.size // 3
        self.squared += int(np.square(difference).sum(dtype=np.int64))
        self.pixels += pixels
        self.frames += pixels > 0

    @property
    def psnr_db(self) -> float | None:
        """The pooled PSNR in decibels, at most 100; None before the first pixel."""
        if not self.pixels:
            return None
        if not self.squared:
            return PSNR_CAP_DB
        mean = self.squared / (3 * self.pixels)
        return min(PSNR_CAP_DB, float(10 * np.log10(255.0**2 / mean)))


def psnr(seen: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    """Return the PSNR of two equally shaped uint8 pictures (..., 3) in decibels, at most 100."""
    pooled = PooledError()
    pooled.add(seen, real)
    if pooled.psnr_db is None:
        raise ValueError("pictures without pixels have no PSNR")
    return pooled.psnr_db


def _check_pair(seen: NDArray[Any], real: NDArray[Any]) -> None:
    if seen.dtype != np.uint8 or real.dtype != np.uint8:
        raise ValueError(f"pictures are uint8, not {seen.dtype} and {real.dtype}")
    if seen.shape != real.shape or seen.shape[-1:] != (3,):
        raise ValueError(f"two pictures of one shape (..., 3) are compared, not {seen.shape} and {real.shape}")
