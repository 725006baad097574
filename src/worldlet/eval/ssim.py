"""Structural similarity in double precision (float32 loses three digits on flat pixel art)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RADIUS, SIGMA = 5, 1.5
"""The window of Wang et al. (2004): 11x11 pixels, Gaussian."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Array = NDArray[np.float64]


def ssim(seen_BHWC: NDArray[np.uint8], real_BHWC: NDArray[np.uint8]) -> list[float]:
    """Return the structural similarity of each pair of uint8 frames: 1 where they are equal.

    The mean over colours and pixels; at the borders the picture is mirrored, as torchmetrics does it.
    """
    return [_ssim(seen_HWC, real_HWC) for seen_HWC, real_HWC in zip(seen_BHWC, real_BHWC, strict=True)]


def _ssim(seen_HWC: NDArray[np.uint8], real_HWC: NDArray[np.uint8]) -> float:
    border = ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0))
    seen, real = (np.pad(frame.astype(np.float64), border, mode="reflect") for frame in (seen_HWC, real_HWC))
    mean_seen, mean_real = _blur(seen), _blur(real)
    spread_seen = _blur(seen * seen) - mean_seen**2
    spread_real = _blur(real * real) - mean_real**2
    together = _blur(seen * real) - mean_seen * mean_real
    likeness = (2 * mean_seen * mean_real + C1) * (2 * together + C2)
    scale = (mean_seen**2 + mean_real**2 + C1) * (spread_seen + spread_real + C2)
    return float((likeness / scale).mean())


def _blur(picture_HWC: Array) -> Array:
    """Return Gaussian means where the window fits: (H - 10, W - 10, C) of (H, W, C)."""
    weights = np.exp(-((np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2) / 2)
    weights /= weights.sum()
    height, width = picture_HWC.shape[0] - 2 * RADIUS, picture_HWC.shape[1] - 2 * RADIUS
    rows = sum((w * picture_HWC[k : k + height] for k, w in enumerate(weights)), np.zeros(()))
    return sum((w * rows[:, k : k + width] for k, w in enumerate(weights)), np.zeros(()))
