"""What has been read of the scenery so far: tiles behind hero and enemies stay as they were last seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.games.platformer.art import (
    ENEMY_HEIGHT,
    ENEMY_WIDTH,
    GROUND,
    HERO_HEIGHT,
    HERO_WIDTH,
    PLATFORM,
    STAFF_REACH,
    TILE,
)

UNKNOWN = 255
PUFF_FRAMES = 4
"""Frames for which the place of an enemy that is gone may still show his puff."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in screen pixels, the last two outside."""


def hero_box(hero: Any, margin: int = 0, staff: bool = False) -> Box:
    """Return the hero's box, wider by a margin on all sides, and by his staff where he swings it."""
    reach = STAFF_REACH if staff and hero.pose == "swing" else 0
    left, right = hero.x - reach * (hero.facing < 0), hero.x + HERO_WIDTH + reach * (hero.facing > 0)
    return left - margin, hero.y - margin, right + margin, hero.y + HERO_HEIGHT + margin


def enemy_box(x: int, y: int) -> Box:
    """Return the box of an enemy whose top left is at x, y."""
    return x, y, x + ENEMY_WIDTH, y + ENEMY_HEIGHT


def overlap(first: Box, second: Box) -> bool:
    """Return whether two boxes share a pixel."""
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def cells(box: Box, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of the tiles that a box meets; empty where it lies outside."""
    left, top, right, bottom = box
    rows = slice(min(max(top // TILE, 0), shape[0]), min(max(-(-bottom // TILE), 0), shape[0]))
    columns = slice(min(max(left // TILE, 0), shape[1]), min(max(-(-right // TILE), 0), shape[1]))
    return rows, columns


def covered(reading: Any) -> NDArray[np.bool_]:
    """Return the cells (rows, columns) that a reading's hero and enemies hide, in part or whole."""
    hidden_hw = np.zeros(reading.kinds.shape, dtype=bool)
    for x, y in reading.enemies:
        hidden_hw[cells(enemy_box(x, y), hidden_hw.shape)] = True
    if reading.hero is not None:
        hidden_hw[cells(hero_box(reading.hero, staff=True), hidden_hw.shape)] = True
    return hidden_hw


class Scenery:
    """The kinds of tiles on the screen, each as it was last seen uncovered (`UNKNOWN` where it never was).

    Cells that look like no tile, such as what a hero leaves behind in a dream, are not believed either.
    ``open_hw``: what the last reading showed uncovered; ``before_hw``: what was known until then, scrolled along.
    Around a hero who is lost, nothing is believed until he is found, and nothing at all while there are two.
    """

    def __init__(self, reading: Any) -> None:
        self.known_hw = np.full(reading.kinds.shape, UNKNOWN, dtype=np.uint8)
        self._puffs_hw = np.zeros(reading.kinds.shape, dtype=np.int64)
        self._hero_box: Box | None = None
        self.follow(reading, 0)

    def follow(self, reading: Any, columns: int) -> None:
        """Take the next reading, into which ``columns`` columns have scrolled."""
        self.before_hw = scroll(self.known_hw, columns, UNKNOWN)
        self._puffs_hw = np.maximum(scroll(self._puffs_hw, columns, 0) - 1, 0)
        for x, y in reading.enemies:
            self._puffs_hw[cells(enemy_box(x, y), self._puffs_hw.shape)] = PUFF_FRAMES
        hidden_hw = covered(reading) | (self._puffs_hw > 0) | ~reading.clear
        if reading.hero is not None:
            self._hero_box = hero_box(reading.hero, TILE)
        elif self._hero_box is not None:
            hidden_hw[cells(self._hero_box, hidden_hw.shape)] = True
        hidden_hw |= reading.doubles > 0
        self.open_hw = ~hidden_hw
        self.known_hw = np.where(self.open_hw, reading.kinds, self.before_hw)

    @property
    def solid_hw(self) -> NDArray[np.bool_]:
        """What nobody may walk through."""
        return np.asarray((self.known_hw == GROUND) | (self.known_hw == PLATFORM))


def scroll(grid_hw: NDArray[Any], columns: int, fill: int) -> NDArray[Any]:
    """Return a grid moved to the left by some columns, with ``fill`` in the new ones."""
    if not columns:
        return grid_hw.copy()
    moved = np.full_like(grid_hw, fill)
    moved[:, :-columns] = grid_hw[:, columns:]
    return moved
