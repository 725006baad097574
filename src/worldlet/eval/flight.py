"""Flights of the hero as read, and how well they fall as the real game's do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

IN_AIR = ("jump", "fall")
SHORTEST = 6
"""Heights that a flight needs before a parabola is fitted to it."""
KICK = 8
"""A speed (pixels a frame) that falls by so much at once is a bounce, with which another flight begins."""
TAKEOFF = 3
"""Frames within which a leap that was asked for must leave the ground."""
HANG = 6
"""Frames in the air at one height that no flight has: in the real game there are at most four, off an edge."""


class Flights:
    """Collects the flights of one run: the heights (y, screen pixels) from the last frame on the ground on.

    A flight ends where the hero lands, dies, is lost, meets something with his head, or falls as fast as he ever does.
    ``refused``: leaps that were asked for on the ground and left it at none of the next frames; ``hung``: how often he
    hung in the air.
    """

    def __init__(self, fastest: int) -> None:
        self.curves: list[list[int]] = []
        self.refused = self.hung = 0
        self._fastest = fastest
        self._curve: list[int] = []
        self._ground_y: int | None = None
        self._asked = 0
        self._still: list[int] = []

    def follow(self, hero: Any, leap: bool, bumped: bool) -> None:
        """Take the next frame: its hero or None, whether the action before it asked for a leap, whether his head met
        something."""
        flies = hero is not None and hero.pose in IN_AIR
        self._count_refusals(hero, leap, flies)
        self._count_hangs(hero.y if flies else None)
        if not flies or bumped:
            self._end()
        elif self._curve:
            self._go_on(hero.y)
        elif self._ground_y is not None:
            self._curve = [self._ground_y, hero.y]
        self._ground_y = None if hero is None or flies or hero.pose == "dead" else hero.y

    def finish(self) -> None:
        """Take what has been flown when the run is over."""
        self._end()

    def _count_refusals(self, hero: Any, leap: bool, flies: bool) -> None:
        if flies or hero is None or hero.pose == "dead":
            self._asked = 0
        elif self._asked:
            self._asked -= 1
            self.refused += self._asked == 0
        elif leap and self._ground_y is not None:
            self._asked = TAKEOFF - 1

    def _count_hangs(self, y: int | None) -> None:
        """Count where he begins to hang: a height in the air that lasts."""
        self._still = [] if y is None else [*(height for height in self._still if height == y), y]
        self.hung += len(self._still) == HANG

    def _go_on(self, y: int) -> None:
        speed, last = y - self._curve[-1], self._curve[-1] - self._curve[-2]
        if speed <= last - KICK:
            foot = self._curve[-1]
            self._end()
            self._curve = [foot, y]
            return
        self._curve.append(y)
        if speed >= self._fastest:
            self._end()

    def _end(self) -> None:
        if len(self._curve) >= SHORTEST:
            self.curves.append(list(self._curve))
        self._curve = []


def acceleration(curve: Sequence[int]) -> float:
    """Return the acceleration (pixels a frame, each frame) of the parabola that fits heights best, by least squares."""
    times = np.arange(len(curve))
    return float(2 * np.polyfit(times, np.asarray(curve, dtype=np.float64), 2)[0])


class Law:
    """How flights fall in the real game: for each speed at which one begins, the curves seen."""

    def __init__(self, curves: Sequence[Sequence[int]]) -> None:
        self._by_launch: dict[int, list[Sequence[int]]] = {}
        for curve in curves:
            self._by_launch.setdefault(curve[1] - curve[0], []).append(curve)

    def score(self, curve: Sequence[int]) -> float | None:
        """Return 1 for a flight that accelerates as the real ones that begin at the speed nearest to its own.

        Less by the fraction that its acceleration is off, at the least 0; both are fitted over equally many heights.
        None where the real game was never seen to fly.
        """
        if not self._by_launch:
            return None
        launch = min(self._by_launch, key=lambda speed: (abs(speed - (curve[1] - curve[0])), speed))
        real = self._by_launch[launch]
        length = min(len(curve), max(map(len, real)))
        wanted = float(np.median([acceleration(other[:length]) for other in real if len(other) >= length]))
        if wanted == 0:
            return None
        return max(0.0, 1 - abs(acceleration(curve[:length]) / wanted - 1))
