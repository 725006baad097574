"""Breakout, read from pixels: whether the paddle follows the keys, and whether the ball is where it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldlet.data.paddle import find_ball, find_paddle, sides
from worldlet.eval.intervals import rate_figure

BALL_FRAME = 10
"""Dreamed frames after which the ball is looked for."""
NEAR = 4.0
"""Pixels that the ball may be off, of the frame as the world has it."""
SPAN = 3
"""Frames over which the paddle is watched."""
STILL = 0.02
"""Share of the field's width below which the paddle has not moved."""


class Films(NamedTuple):
    """One start: the real frames that led to it, and what followed in the real game, in the dream, and in another
    dream under other actions, where there are others; uint8 (T, H, W, 3), the last three equally long."""

    past_THWC: NDArray[np.uint8]
    real_THWC: NDArray[np.uint8]
    dream_THWC: NDArray[np.uint8]
    shuffled_THWC: NDArray[np.uint8] | None = None


def measure(films: Sequence[Films]) -> dict[str, Any]:
    """Return ``paddle``, ``ball_near`` and what trivial answers score beside them; units: starts.

    ``paddle``: of spans of three frames, the fraction in which the dreamed paddle went where the real one did (left,
    right, nowhere); ``paddle_shuffled`` for dreams under other actions. ``ball_near``: of the starts whose real ball is
    in the field below the bricks after ten frames, the fraction whose dreamed ball is within four pixels of it;
    ``copy_ball_near`` for the ball of the last real frame.
    """
    paddle: dict[str, list[tuple[int, int]]] = {"paddle": [], "paddle_shuffled": []}
    near: dict[str, list[tuple[int, int]]] = {"ball_near": [], "copy_ball_near": []}
    for film in films:
        begun = film.past_THWC[-1:]
        truth = _moves(np.concatenate([begun, film.real_THWC]))
        for name, frames_THWC in (("paddle", film.dream_THWC), ("paddle_shuffled", film.shuffled_THWC)):
            if frames_THWC is None:
                continue
            ours = _moves(np.concatenate([begun, frames_THWC]))
            known = [pair for pair in zip(truth, ours, strict=True) if pair[0] is not None]
            paddle[name].append((sum(real == mine for real, mine in known), len(known)))
        ball = find_ball(film.real_THWC[BALL_FRAME - 1])
        for name, frame_HWC in (("ball_near", film.dream_THWC[BALL_FRAME - 1]), ("copy_ball_near", begun[0])):
            hit = ball is not None and _near(ball, find_ball(frame_HWC), frame_HWC.shape[:2])
            near[name].append((int(hit), int(ball is not None)))
    return {name: rate_figure(counts) for name, counts in {**paddle, **near}.items()}


def _moves(frames_THWC: NDArray[np.uint8]) -> list[int | None]:
    """Return for each span -1, 0 or 1 for where the paddle went; None where it cannot be found."""
    places = [find_paddle(frame_HWC) for frame_HWC in frames_THWC[::SPAN]]
    moves: list[int | None] = []
    for before, after in zip(places, places[1:], strict=False):
        if before is None or after is None:
            moves.append(None)
        else:
            moves.append(0 if abs(after - before) <= STILL else 1 if after > before else -1)
    return moves


def _near(real: tuple[float, float], ours: tuple[float, float] | None, size: tuple[int, ...]) -> bool:
    if ours is None:
        return False
    left, right = sides(size[1])
    off = np.hypot((real[0] - ours[0]) * (right - left), (real[1] - ours[1]) * size[0])
    return bool(off <= NEAR + 1e-6)  # places are shares: four pixels come out as hardly more
