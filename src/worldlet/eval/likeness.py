"""Visual likeness of rollouts, by horizon and over time, collected start by start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.bench import figure
from worldlet.eval.intervals import mean_figure
from worldlet.eval.ssim import ssim
from worldlet.eval.visual import (
    MS_WINDOW,
    Networks,
    RandomFeatures,
    VideoNetwork,
    clips,
    flicker,
    frechet,
    ms_ssim,
    scales,
)

Frames = NDArray[np.uint8]


class Likeness:
    """Collects, for several answers to the same starts, SSIM, MS-SSIM and a perceptual distance.

    ``add`` is called once for every answer to a start, ``add_run`` once for every start with the whole dream.
    """

    def __init__(self, networks: Networks, horizons: Sequence[int]) -> None:
        self._networks = networks
        self._measures = {"ssim": ssim, "ms_ssim": ms_ssim, networks.perceptual_name: networks.perceptual}
        self._horizons = tuple(horizons)
        self._values: dict[str, dict[int, list[float]]] = {}
        self._flicker: list[list[float]] = []
        self._seen: list[Frames] = []
        self._real: list[Frames] = []
        self._copied: list[Frames] = []

    def add(self, prefix: str, seen_BHWC: Frames, real_BHWC: Frames, horizons: Sequence[int]) -> None:
        """Add the frames of one answer (``prefix``, empty for the dream) at some horizons."""
        for name, measure in self._measures.items():
            by_horizon = self._values.setdefault(prefix + name, {horizon: [] for horizon in self._horizons})
            if name == "ms_ssim" and min(real_BHWC.shape[1:3]) < MS_WINDOW:
                continue
            for horizon, value in zip(horizons, measure(seen_BHWC, real_BHWC), strict=True):
                by_horizon[horizon].append(value)

    def add_run(self, seen_THWC: Frames, real_THWC: Frames, last_HWC: Frames) -> None:
        """Add one dreamed run and the real one, from the first dreamed frame on, and the real frame before it."""
        if len(seen_THWC) > 1:
            self._flicker.append([flicker(self._networks.perceptual, seen_THWC, real_THWC)])
        self._seen += clips(seen_THWC)
        self._real += clips(real_THWC)
        self._copied += clips(np.broadcast_to(last_HWC, real_THWC.shape))

    def figures(self, data: str) -> dict[str, Any]:
        """Return all figures; ``data`` names in words what was compared. Units of intervals: starts."""
        found: dict[str, Any] = {
            name: {str(horizon): mean_figure([[value] for value in values]) for horizon, values in by.items()}
            for name, by in self._values.items()
        }
        if self._real:
            height, width = self._real[0].shape[1:3]
            for name, by_horizon in found.items():
                if name.endswith("ms_ssim") and min(height, width) >= MS_WINDOW:
                    for measured in by_horizon.values():
                        measured["scales"] = scales(height, width)
        perceptual, video = self._networks.names
        found[f"temporal_{perceptual}"] = mean_figure(self._flicker)
        found[video] = frechet_figure(self._networks.video, self._seen, self._real, self._copied, data)
        return found


def frechet_figure(
    network: RandomFeatures | VideoNetwork,
    seen: Sequence[Frames],
    real: Sequence[Frames],
    copied: Sequence[Frames],
    data: str,
) -> dict[str, Any]:
    """Return the Fréchet distance of dreamed and real clips as a figure that names its data, clip length and size.

    ``copy``: the same for the last real frames, repeated; ``real_halves``: between every other real clip and the rest,
    for scale. It has no interval: clips drawn twice make a spread look smaller than it is, so that the bootstrap of
    this distance is biased.
    """
    if len(real) < 4:
        return figure(None, len(real), interval=None, why="fewer than four clips")
    seen_ND, real_ND, copied_ND = (
        np.concatenate([network(np.ascontiguousarray(clip)[None]) for clip in side]) for side in (seen, real, copied)
    )
    length, height, width, _ = real[0].shape
    return figure(
        frechet(seen_ND, real_ND), len(real), interval=None, data=data, clip_length=length,
        resolution=[height, width], features=seen_ND.shape[1], copy=frechet(copied_ND, real_ND),
        real_halves=frechet(real_ND[::2], real_ND[1::2]),
    )  # fmt: skip
