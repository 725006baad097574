"""How far the hero and the scenery have moved, read from frame to frame: the same for real and dreamed frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 8
SCROLL_TILES = 2
"""The camera moves by this many tiles at a time, once a frame at most."""
SCROLL = SCROLL_TILES * TILE
CLOSE_CALL = 0.03
"""Where the tiles fit either way to within this fraction, the hero decides: he walks, he does not leap 16 pixels."""


class Odometer:
    """Follows the scenery by its tiles and the hero across it.

    ``scroll``: pixels that the scenery has moved to the left since the first reading. ``hero_x``: the hero's x in
    those coordinates, None where he is not found. ``furthest``: the greatest ``hero_x`` of a living hero so far.
    """

    def __init__(self, reading: Any) -> None:
        self.scroll = 0
        self._last = reading
        self.hero_x: int | None = None if reading.hero is None else int(reading.hero.x)
        self.furthest = self.hero_x or 0

    def follow(self, reading: Any) -> int:
        """Take the next reading; return how many columns of tiles have scrolled into view."""
        scrolled = _scrolled(self._last, reading)
        self._last = reading
        self.scroll += scrolled * SCROLL
        self.hero_x = None if reading.hero is None else int(reading.hero.x) + self.scroll
        if self.hero_x is not None and reading.hero.pose != "dead":
            self.furthest = max(self.furthest, self.hero_x)
        return scrolled * SCROLL_TILES


def _scrolled(before: Any, after: Any) -> bool:
    """Return whether the scenery moved by one step of the camera between two readings."""
    still = _agreement(before.tiles, after.tiles)
    moved = _agreement(before.tiles[:, SCROLL_TILES:], after.tiles[:, :-SCROLL_TILES])
    close = abs(moved - still) <= CLOSE_CALL
    walking = before.hero is not None and after.hero is not None and before.hero.pose != "dead"
    if close and walking:
        return abs(after.hero.x + SCROLL - before.hero.x) < abs(after.hero.x - before.hero.x)
    return moved > still


def _agreement(before_hw: NDArray[np.uint8], after_hw: NDArray[np.uint8]) -> float:
    return float((before_hw == after_hw).mean())
