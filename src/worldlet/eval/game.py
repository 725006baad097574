"""The real game itself: how much there is to dream, so that nobody wins by a dull game."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.eval.bench import Bench, figure
from worldlet.eval.intervals import mean_figure, psnr_figure, rate_figure
from worldlet.metrics import PooledError

PATCH = 8
LAGS = (1, 10)
PNG_EVERY = 10


def work(bench: Bench) -> int:
    """Return the units of work ahead: frames looked at."""
    return sum(len(entry.actions) + 1 for entry in bench.suite.plays[: bench.size.plays])


def measure(bench: Bench) -> dict[str, Any]:
    """Measure the gold plays.

    ``bytes_per_frame``: lossless, in the codec of the recorder. ``png_bytes_per_frame``: each frame alone.
    ``distinct_patches``: different 8x8 patches on the 8-pixel grid. ``copy_psnr_db``: of a frame against the one 1 or
    10 frames before, errors pooled over all pairs. Units of intervals: plays.
    """
    from worldlet.data.codec import encode_frames

    frames = 0
    video: list[tuple[int, int]] = []
    pngs: list[list[float]] = []
    patches: set[bytes] = set()
    copies: dict[int, list[PooledError]] = {lag: [] for lag in LAGS}
    themes: set[str] = set()
    for entry in bench.suite.plays[: bench.size.plays]:
        play = bench.suite.replay(entry)
        frames += len(play.frames_THWC)
        coded = encode_frames(play.frames_THWC, float(bench.engine.manifest.fps))
        video.append((len(coded), len(play.frames_THWC)))
        pngs.append([_png_size(frame_HWC) for frame_HWC in play.frames_THWC[::PNG_EVERY]])
        patches |= _patches(play.frames_THWC)
        themes.add(play.theme)
        for lag, pooled in copies.items():
            pooled.append(PooledError())
            for t in range(lag, len(play.frames_THWC)):
                pooled[-1].add(play.frames_THWC[t - lag], play.frames_THWC[t])
        bench.tick(len(play.frames_THWC))
    return {
        "bytes_per_frame": rate_figure(video),
        "png_bytes_per_frame": mean_figure(pngs),
        "distinct_patches": figure(len(patches), frames),
        "themes": figure(len(themes), frames),
        "copy_psnr_db": {str(lag): psnr_figure(pooled) for lag, pooled in copies.items()},
    }


def _patches(frames_THWC: NDArray[np.uint8]) -> set[bytes]:
    """Return the different whole patches of 8x8 pixels on the grid, each as its bytes."""
    time, down, across = len(frames_THWC), frames_THWC.shape[1] // PATCH, frames_THWC.shape[2] // PATCH
    whole = frames_THWC[:, : down * PATCH, : across * PATCH]  # a frame of 84 rows ends in half a patch
    grid = whole.reshape(time, down, PATCH, across, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
    rows = np.ascontiguousarray(grid).reshape(-1, PATCH * PATCH * 3)
    return {row.tobytes() for row in rows}


def _png_size(frame_HWC: NDArray[np.uint8]) -> int:
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC).save(buffer, format="PNG", optimize=True)
    return len(buffer.getvalue())
