"""Rollouts: dream and real game go on from the same frames under the same actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import pictures
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT
from worldlet.eval.real import Play
from worldlet.metrics import PooledError

HORIZONS = (1, 5, 10, 30, 60)
SHOWN = 3
"""Rollouts drawn as film strips."""
ENEMY_EVENTS = {"death", "stomp"}
"""What may happen to a hero through an enemy."""
REACH = 8
"""Pixels around the hero's box whose terrain may act on him: one tile."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    return len(bench.suite.rollouts[: bench.size.rollouts]) * (CONTEXT + HORIZONS[-1])


def measure(bench: Bench) -> dict[str, Any]:
    """Compare dreamed with real frames at each horizon, pooling squared errors over the starts.

    ``hero_psnr_db``: over the real hero mask, where the past determines the hero (see `determined`).
    ``known_psnr_db``: over the columns that had been seen at the start. ``copy_psnr_db`` and ``copy_hero_psnr_db``:
    the same measures for a dream that only repeats the last real frame.
    """
    scores = {horizon: _Scores() for horizon in HORIZONS}
    films: list[list[NDArray[np.uint8]]] = []
    for seed, entry in enumerate(bench.suite.rollouts[: bench.size.rollouts]):
        real, start = bench.suite.replay(entry), entry.start
        dream = bench.dream(real, start, seed)
        known_T = determined(real, start)
        dreamed = [dream.step(action).frame for action in real.actions[start : start + HORIZONS[-1]]]
        for horizon, score in scores.items():
            score.add(dreamed[horizon - 1], real, start, horizon, bool(known_T[horizon]))
        if seed < SHOWN:
            shown = (1, 2, *HORIZONS[1:])
            films += [[real.frames_THWC[start + t] for t in shown], [dreamed[t - 1] for t in shown]]
        bench.tick(CONTEXT + HORIZONS[-1])
    labels = ["real", "dreamed"] * (len(films) // 2)
    pictures.save(pictures.strips(films, labels), bench.pictures / "rollout.png")
    figures = {
        name: {str(horizon): score.figures()[name] for horizon, score in scores.items()}
        for name in next(iter(scores.values())).figures()
    }
    curves = {name: [figures[f"{name}_psnr_db"][str(h)]["value"] for h in HORIZONS] for name in ("hero", "copy_hero")}
    curves |= {name: [figures[key][str(h)]["value"] for h in HORIZONS] for name, key in _WHOLE.items()}
    drawn = pictures.curves(HORIZONS, curves, "PSNR (dB) by dreamed frames")
    pictures.save(drawn, bench.pictures / "rollout_psnr.png")
    return figures


_WHOLE = {"frame": "psnr_db", "known": "known_psnr_db", "copy": "copy_psnr_db"}


def determined(real: Play, start: int) -> NDArray[np.bool_]:
    """Return, for each frame from ``start`` on, whether what has been seen by then determines the hero.

    The level's columns left of ``edge`` have been seen at the start. The hero stays determined while all his pixels,
    and one tile beside them, lie left of it. After new columns have appeared, an enemy may have come from them: from
    the first death or stomp then, he is no longer determined. What was lost once is not regained.
    """
    width = real.frames_THWC.shape[2]
    edge = int(real.camera_x[start]) + width
    known = np.ones(len(real.frames_THWC) - start, dtype=bool)
    for t in range(start + 1, len(real.frames_THWC)):
        columns = np.flatnonzero(real.hero_mask_THW[t].any(axis=0))
        among_seen = not len(columns) or int(real.camera_x[t] + columns[-1]) + 1 + REACH <= edge
        scrolled = int(real.camera_x[t]) + width > edge
        touched = scrolled and bool(ENEMY_EVENTS & set(real.events[t]))
        known[t - start] = known[t - start - 1] and among_seen and not touched
    return known


class _Scores:
    """The pooled errors of one horizon."""

    def __init__(self) -> None:
        self.whole, self.hero, self.known = PooledError(), PooledError(), PooledError()
        self.copy, self.copy_hero = PooledError(), PooledError()
        self.undetermined = self.without_hero = 0

    def add(self, dreamed_HWC: NDArray[np.uint8], real: Play, start: int, horizon: int, determined: bool) -> None:
        real_HWC, last_HWC = real.frames_THWC[start + horizon], real.frames_THWC[start]
        self.whole.add(dreamed_HWC, real_HWC)
        self.copy.add(last_HWC, real_HWC)
        columns = int(real.camera_x[start] - real.camera_x[start + horizon]) + real_HWC.shape[1]
        if columns > 0:
            self.known.add(dreamed_HWC[:, :columns], real_HWC[:, :columns])
        mask_HW = real.hero_mask_THW[start + horizon]
        if not mask_HW.any():
            self.without_hero += 1
        elif not determined:
            self.undetermined += 1
        else:
            self.hero.add(dreamed_HWC, real_HWC, mask_HW)
            self.copy_hero.add(last_HWC, real_HWC, mask_HW)

    def figures(self) -> dict[str, Any]:
        left_out = {"undetermined": self.undetermined, "without_hero": self.without_hero}
        return {
            "psnr_db": figure(self.whole.psnr_db, self.whole.frames),
            "known_psnr_db": figure(self.known.psnr_db, self.known.frames),
            "hero_psnr_db": figure(self.hero.psnr_db, self.hero.frames, **left_out),
            "copy_psnr_db": figure(self.copy.psnr_db, self.copy.frames),
            "copy_hero_psnr_db": figure(self.copy_hero.psnr_db, self.copy_hero.frames, **left_out),
        }
