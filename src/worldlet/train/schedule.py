"""When training ends, how large a step is, and when something is due: pure arithmetic on steps and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Budget:
    """How long a run lasts: so many minutes or so many steps, never both. `progress` runs from 0 to 1 over it."""

    minutes: float | None
    steps: int | None

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("give exactly one of minutes and steps")
        if (self.minutes is not None and self.minutes <= 0) or (self.steps is not None and self.steps <= 0):
            raise ValueError("minutes or steps must be greater than 0")

    def progress(self, step: int, elapsed: float) -> float:
        """Return the share of the budget that is spent after `step` steps and `elapsed` seconds, in [0, 1]."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        assert self.minutes is not None
        return min(elapsed / (self.minutes * 60), 1.0)

    def seconds_left(self, step: int, elapsed: float, seconds_per_step: float) -> float:
        """Estimate the seconds still to go."""
        if self.steps is not None:
            return max(self.steps - step, 0) * seconds_per_step
        assert self.minutes is not None
        return max(self.minutes * 60 - elapsed, 0.0)


def learning_rate_at(
    progress: float, peak: float, warmup: float, floor: float, decay: Literal["cosine", "linear"]
) -> float:
    """Return the learning rate at `progress` in [0, 1]: a linear rise over `warmup`, then down to `floor * peak`.

    `warmup` is a share of the whole run, so that the schedule scales with the budget.
    """
    if progress < warmup:
        return peak * (0.01 + 0.99 * progress / warmup)  # not 0, or the very first step would do nothing
    done = (progress - warmup) / (1 - warmup)
    left = 0.5 * (1 + math.cos(math.pi * done)) if decay == "cosine" else 1 - done
    return peak * (floor + (1 - floor) * left)


class Cadence:
    """Says when something is due again: every so many steps, else every so many minutes, else never."""

    def __init__(self, minutes: float | None, steps: int | None, elapsed: float = 0.0) -> None:
        self._steps = steps
        self._seconds = None if minutes is None else minutes * 60
        self._last = elapsed

    def due(self, step: int, elapsed: float) -> bool:
        """Answer for `step` finished steps and `elapsed` seconds; a yes by the clock starts the next wait."""
        if self._steps is not None:
            return step % self._steps == 0
        if self._seconds is None or elapsed - self._last < self._seconds:
            return False
        self._last = elapsed
        return True
