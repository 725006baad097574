"""What scrolls into view: gaps, coins, spikes and enemies in new columns, read from pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from worldlet.eval.odometer import TILE

FEATURES = ("gaps", "coins", "spikes", "enemies")


class TerrainCount:
    """Counts features in the columns of tiles that appear after the first frame, as they look when they appear.

    A gap is a run of columns without ground, counted where it begins; coins and spikes are tiles; an enemy counts
    where his box begins in a new column.
    """

    def __init__(self) -> None:
        self.columns = 0
        self.counts = dict.fromkeys(FEATURES, 0)
        self._over_gap = False

    def begin(self, reading: Any) -> None:
        """Take the first reading: nothing in it is new."""
        self._over_gap = not _has_ground(reading.kinds[:, -1])

    def reveal(self, reading: Any, new: int) -> None:
        """Count what the ``new`` rightmost columns of a reading show."""
        if not new:
            return
        kinds_hw = reading.kinds[:, -new:]
        self.columns += new
        for column_h in kinds_hw.T:
            gap = not _has_ground(column_h)
            self.counts["gaps"] += gap and not self._over_gap
            self._over_gap = gap
        self.counts["coins"] += int((kinds_hw == _kind("coin")).sum())
        self.counts["spikes"] += int((kinds_hw == _kind("spike")).sum())
        first_new = (reading.kinds.shape[1] - new) * TILE
        self.counts["enemies"] += sum(x >= first_new for x, _ in reading.enemies)


def per_hundred(runs: Sequence[TerrainCount], name: str) -> tuple[float | None, float | None]:
    """Return a feature's count per 100 new columns over several runs, and the standard error of that rate.

    The error is that of a ratio estimator over runs; None before the first column, and for fewer than two runs.
    """
    columns = sum(run.columns for run in runs)
    if not columns:
        return None, None
    rate = sum(run.counts[name] for run in runs) / columns
    if len(runs) < 2:
        return 100 * rate, None
    spread = sum((run.counts[name] - rate * run.columns) ** 2 for run in runs)
    return 100 * rate, 100 * math.sqrt(len(runs) / (len(runs) - 1) * spread) / columns


def _has_ground(column_h: Any) -> bool:
    return bool((column_h == _kind("ground")).any())


def _kind(name: str) -> int:
    from worldlet.games.platformer.art import KINDS

    return KINDS.index(name)
