"""What is known of the scenery, cell by cell: boxes to the pixel, what is hidden and for how long, and scrolling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.eval.test_laws_by_hand import hero_at, seen
from worldlet.eval.scenery import (
    PUFF_FRAMES,
    UNKNOWN,
    Scenery,
    cells,
    covered,
    enemy_box,
    hero_box,
    overlap,
    scroll,
)
from worldlet.games.platformer.art import COIN, GROUND, HERO_HEIGHT, HERO_WIDTH, PLATFORM, SKY, STAFF_REACH

GRID = (16, 16)


def test_a_box_meets_the_cells_that_hold_one_of_its_pixels() -> None:
    assert cells((8, 16, 16, 24), GRID) == (slice(2, 3), slice(1, 2))
    assert cells((7, 15, 17, 25), GRID) == (slice(1, 4), slice(0, 3))
    assert cells((-9, -9, -1, -1), GRID) == (slice(0, 0), slice(0, 0)), "outside"
    assert cells((-9, -9, 1, 1), GRID) == (slice(0, 1), slice(0, 1))
    assert cells((120, 120, 140, 140), (16, 12)) == (slice(15, 16), slice(12, 12)), "rows and columns apart"


def test_boxes_overlap_where_they_share_a_pixel() -> None:
    box = (10, 20, 14, 26)
    for dx, dy, shares in ((4, 0, False), (3, 0, True), (-4, 0, False), (-3, 0, True), (0, 6, False), (0, 5, True),
                           (0, -6, False), (0, -5, True)):  # fmt: skip
        other = (10 + dx, 20 + dy, 14 + dx, 26 + dy)
        assert overlap(box, other) is overlap(other, box) is shares, (dx, dy)


@pytest.mark.parametrize("facing", [-1, 1])
def test_the_staff_reaches_where_he_looks_and_swings(facing: int) -> None:
    hero = replace(hero_at(40, 30), facing=facing)
    assert hero_box(hero) == (40, 30, 40 + HERO_WIDTH, 30 + HERO_HEIGHT) == hero_box(hero, staff=True)
    assert hero_box(hero, 2) == (38, 28, 42 + HERO_WIDTH, 32 + HERO_HEIGHT)
    left, _, right, _ = hero_box(replace(hero, pose="swing"), staff=True)
    reach = (STAFF_REACH, 0) if facing < 0 else (0, STAFF_REACH)
    assert (left, right) == (40 - reach[0], 40 + HERO_WIDTH + reach[1])
    assert hero_box(replace(hero, pose="swing")) == hero_box(hero)


def test_hero_and_enemies_hide_their_cells() -> None:
    hidden = covered(seen(hero=hero_at(40, 32), enemies=[(84, 96)]))
    wanted = np.zeros(GRID, bool)
    wanted[4:6, 5:7] = wanted[12:13, 10:12] = True
    assert np.array_equal(hidden, wanted)
    assert enemy_box(84, 96) == (84, 96, 92, 104)
    assert not covered(seen(hero=None)).any()


def test_scrolling_brings_in_what_is_not_known() -> None:
    grid = np.arange(256).reshape(GRID)
    moved = scroll(grid, 2, 7)
    assert np.array_equal(moved[:, :14], grid[:, 2:]) and (moved[:, 14:] == 7).all()
    same = scroll(grid, 0, 7)
    assert np.array_equal(same, grid) and same is not grid


def test_what_is_hidden_stays_as_it_was_last_seen() -> None:
    cell = (6, 5)
    scenery = Scenery(seen([cell]))
    scenery.follow(seen(hero=hero_at(40, 48)), 0)
    assert scenery.known_hw[cell] == COIN and not scenery.open_hw[cell]
    scenery.follow(seen(), 0)
    assert scenery.known_hw[cell] == SKY and scenery.before_hw[cell] == COIN and scenery.open_hw[cell]
    scenery.follow(seen([(6, 3)]), 2)
    assert scenery.before_hw[6, 3] == SKY and (scenery.before_hw[:, 14:] == UNKNOWN).all()
    wear = seen([cell])
    wear.clear[cell] = False
    scenery.follow(wear, 0)
    assert scenery.known_hw[cell] == SKY, "what looks like no tile is not believed"


def test_the_place_of_an_enemy_is_hidden_while_he_may_puff() -> None:
    scenery, cell = Scenery(seen(enemies=[(80, 96)])), (12, 10)
    hidden = 0
    for _ in range(2 * PUFF_FRAMES):
        scenery.follow(seen(), 0)
        hidden += not scenery.open_hw[cell]
    assert hidden == PUFF_FRAMES - 1
    scenery = Scenery(seen(enemies=[(80, 96)]))
    scenery.follow(seen(), 2)
    assert not scenery.open_hw[12, 8] and scenery.open_hw[12, 10], "his place scrolls too"


def test_around_a_lost_hero_nothing_is_believed_and_nothing_at_all_of_two() -> None:
    scenery = Scenery(seen(hero=hero_at(40, 48)))
    scenery.follow(seen(hero=None), 0)
    lost = ~scenery.open_hw
    assert lost[5:9, 4:8].all() and lost.sum() == 4 * 4, "his cells, and a tile on each side"
    scenery.follow(replace(seen(), doubles=1), 0)
    assert not scenery.open_hw.any()


def test_ground_and_platforms_are_solid() -> None:
    reading = seen(ground=[(13, 2)])
    reading.kinds[9, 4] = PLATFORM
    solid = Scenery(reading).solid_hw
    assert solid[13, 2] and solid[9, 4] and solid.sum() == 2 and reading.kinds[13, 2] == GROUND
