"""What must not come or go by itself: coins and enemies, followed from reading to reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worldlet.eval.scenery import Box, Scenery, cells, enemy_box, hero_box, overlap, scroll
from worldlet.games.platformer.art import COIN, ENEMY_WIDTH, TILE

SLACK = 2
"""Pixels by which the reader may be wrong."""
REACH = 6
"""Pixels around the hero within which an enemy may meet him or his staff in the frame that was not shown."""
STRIDE = 3
"""Pixels that an enemy may be further than a frame before: he walks one, and the reader may be wrong."""
PATIENCE = 2
"""Frames for which an enemy may be missed by the reader."""
EDGE = 4
"""Pixels from the left edge at which enemies leave the screen and come back to it."""
ENTRY = 3 * TILE
"""Pixels from the right edge in which enemies may appear when new columns do."""


class Coins:
    """Counts coins that were seen, and of them those that came by themselves, went untouched, or outlived a touch."""

    def __init__(self, scenery: Scenery) -> None:
        shape = scenery.known_hw.shape
        self._touched_hw, self._grasped_hw, self._wrong_hw = (np.zeros(shape, dtype=bool) for _ in range(3))
        self.seen = int((scenery.known_hw == COIN).sum())
        self.wrong = 0

    def follow(self, scenery: Scenery, hero: Any, columns: int) -> None:
        """Take the scenery after a frame into which ``columns`` columns have scrolled, and its hero."""
        grids = (self._touched_hw, self._grasped_hw, self._wrong_hw)
        self._touched_hw, self._grasped_hw, self._wrong_hw = (scroll(grid, columns, 0) for grid in grids)
        shape = scenery.known_hw.shape
        if hero is not None:
            self._touched_hw[cells(hero_box(hero, SLACK), shape)] = True
            if hero.pose not in ("dead", "crouch"):  # crouching he is lower than his box
                self._grasped_hw[cells(hero_box(hero, -SLACK), shape)] = True
        else:
            self._touched_hw[:] = True  # who is not seen may have been anywhere
        before_hw, now_hw, open_hw = scenery.before_hw, scenery.known_hw, scenery.open_hw
        was_hw, is_hw = before_hw == COIN, (now_hw == COIN) & open_hw
        new_hw = is_hw & ~was_hw
        from_nothing_hw = new_hw & (before_hw < np.uint8(255))
        gone_hw = was_hw & open_hw & ~is_hw
        outlived_hw = is_hw & was_hw & self._grasped_hw
        bad_hw = (from_nothing_hw | (gone_hw & ~self._touched_hw) | outlived_hw) & ~self._wrong_hw
        self.seen += int(new_hw.sum())
        self.wrong += int(bad_hw.sum())
        self._wrong_hw = (self._wrong_hw | bad_hw) & ~gone_hw
        # Whatever is open now has been judged: only later touches excuse later losses.
        self._touched_hw &= ~open_hw
        self._grasped_hw &= ~open_hw


@dataclass
class _Walker:
    x: int
    y: int
    wrong: bool
    missed: int = 0


class Enemies:
    """Follows enemies; counts those that were seen, and of them those that came from nothing or went by themselves.

    They come with new columns at the right, or back over the left edge; they go over that edge, or near the hero, who
    stomps them, knocks them out with his staff, or hides them. While he is not seen they may go.
    """

    def __init__(self, reading: Any) -> None:
        self._walkers = [_Walker(x, y, False) for x, y in reading.enemies]
        self._hero: Box | None = None
        self._entered = 0
        self.seen = len(self._walkers)
        self.wrong = 0
        self._see_hero(reading.hero, 0)

    def follow(self, reading: Any, hero: Any, columns: int) -> None:
        """Take the next reading, into which ``columns`` columns have scrolled, and its hero, None if unknown."""
        width = reading.kinds.shape[1] * TILE
        earlier = self._hero
        self._see_hero(hero, columns * TILE)
        near = [box for box in (earlier, self._hero) if box is not None]
        self._entered = PATIENCE + 1 if columns else max(0, self._entered - 1)
        left = list(reading.enemies)
        for walker in self._walkers:
            walker.x -= columns * TILE
            reach = STRIDE + walker.missed
            match = [place for place in left if place[1] == walker.y and abs(place[0] - walker.x) <= reach]
            if match:
                walker.x, walker.y = min(match, key=lambda place: abs(place[0] - walker.x))
                left.remove((walker.x, walker.y))
                walker.missed = 0
            else:
                walker.missed += 1
        self._part(near, hero is None)
        for x, y in left:
            entered = x <= EDGE or (self._entered > 0 and x >= width - ENTRY - ENEMY_WIDTH)
            wrong = not entered and not _meets(x, y, near)
            self._walkers.append(_Walker(x, y, wrong))
            self.seen += 1
            self.wrong += wrong

    def _part(self, near: list[Box], unseen: bool) -> None:
        """Part with those who are gone: at once where they may be, after some patience where they may not."""
        staying = []
        for walker in self._walkers:
            excused = unseen or walker.x <= EDGE or _meets(walker.x, walker.y, near)
            if walker.missed and excused:
                continue
            if walker.missed > PATIENCE:
                self.wrong += not walker.wrong
                continue
            staying.append(walker)
        self._walkers = staying

    def _see_hero(self, hero: Any, scrolled: int) -> None:
        """Remember where he is, or where he was when he was last seen."""
        if hero is not None:
            self._hero = hero_box(hero, REACH, staff=True)
        elif self._hero is not None:
            left, top, right, bottom = self._hero
            self._hero = left - scrolled, top, right - scrolled, bottom


def _meets(x: int, y: int, boxes: list[Box]) -> bool:
    return any(overlap(enemy_box(x, y), box) for box in boxes)
