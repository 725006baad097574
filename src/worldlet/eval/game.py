"""The real game itself: how much there is to dream, so that nobody wins by a dull game."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import GoldPlay
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
    plays: list[_Seen] = []
    patches: set[bytes] = set()
    for play, theirs in ahead(partial(_look_at, bench), bench.suite.plays[: bench.size.plays]):
        plays.append(play)
        patches |= theirs
    frames, themes = sum(play.frames for play in plays), {play.theme for play in plays}
    copies = {lag: [play.copies[lag] for play in plays] for lag in LAGS}
    return {
        "bytes_per_frame": rate_figure([(play.video_bytes, play.frames) for play in plays]),
        "png_bytes_per_frame": mean_figure([play.png_bytes for play in plays]),
        "distinct_patches": figure(len(patches), frames),
        "themes": figure(len(themes), frames),
        "copy_psnr_db": {str(lag): psnr_figure(pooled) for lag, pooled in copies.items()},
    }


@dataclass(frozen=True)
class _Seen:
    """What one play weighs: ``copies`` holds the errors of the frame so many frames before, by that lag."""

    frames: int
    theme: str
    video_bytes: int
    png_bytes: Sequence[float]
    copies: dict[int, PooledError]


def _look_at(bench: Bench, entry: GoldPlay) -> tuple[_Seen, set[bytes]]:
    """Measure one play; return its different patches beside it."""
    from worldlet.data.codec import encode_frames

    play = bench.suite.replay(entry)
    frames_THWC = play.frames_THWC
    copies = {lag: PooledError() for lag in LAGS}
    for lag, pooled in copies.items():
        for before_HWC, frame_HWC in zip(frames_THWC, frames_THWC[lag:], strict=False):
            pooled.add(before_HWC, frame_HWC)
    video_bytes = len(encode_frames(frames_THWC, float(bench.engine.manifest.fps)))
    png_bytes = [_png_size(frame_HWC) for frame_HWC in frames_THWC[::PNG_EVERY]]
    bench.tick(len(frames_THWC))
    return _Seen(len(frames_THWC), play.theme, video_bytes, png_bytes, copies), _patches(frames_THWC)


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
