"""Coins, enemies, walls and flights followed through readings made by hand, where what is right can be counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.eval.real_game import TINY, RealGame
from worldlet.eval import physics
from worldlet.eval.bench import Bench
from worldlet.eval.conserved import EDGE, Coins, Enemies
from worldlet.eval.detector import matched, places
from worldlet.eval.flight import Law, acceleration
from worldlet.eval.gold import Gold
from worldlet.eval.laws import LONGEST, LawBook, Laws
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.recorded import RecordedSuite
from worldlet.eval.scenery import Scenery
from worldlet.games.platformer.art import COIN, ENEMY_WIDTH, GROUND, HERO_HEIGHT, SKY, TILE, TILE_ID
from worldlet.games.platformer.reading import HeroReading, Reading
from worldlet.games.platformer.rules import ACTION_NAMES, SCREEN

Cell = tuple[int, int]
FAR = HeroReading(100, 8, "fall", 1, 0.0)
NOOP = ACTION_NAMES.index("noop")


def seen(
    coins: Iterable[Cell] = (),
    hero: HeroReading | None = FAR,
    ground: Iterable[Cell] = (),
    enemies: Iterable[Cell] = (),
    doubles: int = 0,
) -> Reading:
    """Return a reading with coins and ground in some cells (row, column)."""
    kinds = np.full((16, 16), SKY, np.uint8)
    for kind, cells in ((COIN, coins), (GROUND, ground)):
        for cell in cells:
            kinds[cell] = kind
    return Reading("grass", kinds, np.full((16, 16), TILE_ID["sky"], np.uint8), hero, tuple(enemies), doubles)


def coins_of(*readings: tuple[Reading, int]) -> tuple[int, int]:
    """Return the coins seen and those gone wrong along readings, each with the columns that scrolled into it."""
    scenery = Scenery(readings[0][0])
    coins = Coins(scenery)
    for reading, columns in readings[1:]:
        scenery.follow(reading, columns)
        coins.follow(scenery, reading.hero, columns)
    return coins.seen, coins.wrong


def still(*readings: Reading) -> list[tuple[Reading, int]]:
    return [(reading, 0) for reading in readings]


def hero_at(x: int, y: int, pose: str = "fall") -> HeroReading:
    return HeroReading(x, y, pose, 1, 0.0)


COIN_CELL = (6, 5)  # pixels 40 to 47 across and 48 to 55 down
ON_IT, GRAZING = hero_at(38, 42), hero_at(40 - 12 - 1, 48)  # one pixel between him and the cell


def test_a_coin_goes_where_the_hero_has_been_and_nowhere_else() -> None:
    there, gone = seen([COIN_CELL]), seen()
    assert coins_of(*still(there, seen([COIN_CELL], ON_IT), gone)) == (1, 0)
    assert coins_of(*still(there, there, gone)) == (1, 1)


def test_a_coin_that_was_left_alone_once_is_safe_until_he_is_back() -> None:
    there, gone = seen([COIN_CELL]), seen()
    grazed = seen([COIN_CELL], GRAZING)
    assert coins_of(*still(there, seen([], GRAZING), gone)) == (1, 0), "close enough to have taken it"
    assert coins_of(*still(there, grazed, gone)) == (1, 1), "it was there after he was"
    assert coins_of(*still(there, seen([COIN_CELL], ON_IT), there, there)) == (1, 1), "it outlived his touch"
    crouching = hero_at(38, 42, "crouch")
    assert coins_of(*still(there, seen([COIN_CELL], crouching), there)) == (1, 0), "crouching he may be under it"


def test_a_coin_from_nothing_counts_once_however_it_goes() -> None:
    there, none = seen([COIN_CELL]), seen()
    assert coins_of(*still(none, there)) == (1, 1)
    assert coins_of(*still(none, there, none)) == (1, 1)
    assert coins_of(*still(none, there, none, there)) == (2, 2), "another one"


def test_what_scrolls_into_view_begins_anew() -> None:
    none, right = seen(), [(6, 15)]
    assert coins_of((none, 0), (seen(right), 2)) == (1, 0)
    assert coins_of((none, 0), (seen(right), 2), (none, 0)) == (1, 1), "nobody touched it"
    assert coins_of((seen([COIN_CELL]), 0), (seen([(6, 3)]), 2), (seen([(6, 3)]), 0)) == (1, 0), "it moves along"


def test_an_unseen_hero_may_have_taken_anything() -> None:
    there = seen([COIN_CELL])
    assert coins_of(*still(there, seen([COIN_CELL], None), seen([], None))) == (1, 0)


def enemies_of(*readings: tuple[Reading, int]) -> tuple[int, int]:
    enemies = Enemies(readings[0][0])
    for reading, columns in readings[1:]:
        enemies.follow(reading, reading.hero, columns)
    return enemies.seen, enemies.wrong


ROW = 96


@pytest.mark.parametrize(
    ("x", "columns", "later", "wrong"),
    [
        (EDGE, 0, 0, 0), (EDGE + 1, 0, 0, 1),  # back over the left edge
        (SCREEN - 3 * TILE - ENEMY_WIDTH, 2, 0, 0), (SCREEN - 3 * TILE - ENEMY_WIDTH - 1, 2, 0, 1),  # with new columns
        (SCREEN - ENEMY_WIDTH, 0, 0, 1), (SCREEN - ENEMY_WIDTH, 2, 2, 0), (SCREEN - ENEMY_WIDTH, 2, 3, 1),  # and soon
    ],
)  # fmt: skip
def test_enemies_come_over_the_edges(x: int, columns: int, later: int, wrong: int) -> None:
    before = [(seen(), 0)] * later
    scrolled = [(seen(), columns)] if later else []
    last = (seen(enemies=[(x, ROW)]), 0 if later else columns)
    assert enemies_of((seen(), 0), *scrolled, *before[1:], last) == (1, wrong)


def test_each_enemy_is_the_one_nearest_to_where_it_was() -> None:
    first, then = [(50, ROW), (46, ROW)], [(51, ROW), (47, ROW)]
    assert enemies_of(*still(seen(enemies=first), seen(enemies=then))) == (2, 0)


def test_enemies_go_near_the_hero_or_over_the_edge_and_may_be_missed_for_two_frames() -> None:
    there, gone = seen(enemies=[(60, ROW)]), seen()
    assert enemies_of(*still(there, gone, gone, there)) == (1, 0)
    assert enemies_of(*still(there, gone, gone, gone)) == (1, 1)
    stomping = hero_at(58, ROW - HERO_HEIGHT)
    assert enemies_of(*still(there, seen(hero=stomping), gone, gone, gone)) == (1, 0)
    assert enemies_of(*still(seen(enemies=[(EDGE, ROW)]), gone, gone, gone, gone)) == (1, 0)


FLOOR = [(13, column) for column in range(16)]
STANDING_Y = 13 * TILE - HERO_HEIGHT


def laws_of(*readings: Reading) -> Laws:
    laws = Laws(readings[0])
    for reading in readings[1:]:
        laws.follow(NOOP, reading, 0)
    return laws


@pytest.mark.parametrize(("off", "stands"), [(0, 1), (2, 1), (-2, 1), (3, 0), (-3, 0)])
def test_he_stands_within_two_pixels_of_the_ground(off: int, stands: int) -> None:
    walks = seen(hero=hero_at(40, STANDING_Y + off, "run"), ground=FLOOR)
    assert laws_of(seen(ground=FLOOR), walks).tally().contact == (stands, 1)


def test_where_two_heroes_are_nothing_else_is_judged() -> None:
    walks = seen(hero=hero_at(40, STANDING_Y, "run"), ground=FLOOR)
    tally = laws_of(walks, walks, replace(walks, doubles=2), walks).tally()
    assert tally.doubled == 1 and tally.hero == (2, 3) and tally.contact == (2, 2)


def test_inside_a_wall_is_not_beside_it() -> None:
    wall = [(row, 8) for row in range(16)]
    beside, within = hero_at(8 * TILE - 12, 40), hero_at(8 * TILE - 8, 40)
    first = seen(ground=wall)
    assert laws_of(first, seen(hero=beside, ground=wall)).tally().walls == (1, 1)
    assert laws_of(first, seen(hero=within, ground=wall)).tally().walls == (0, 1)


@pytest.mark.parametrize(("x", "y", "meets"), [
    (64 - 12, 40, True), (64 - 12 - 1, 40, False), (72, 40, True), (73, 40, False),  # a pillar, columns 8
    (20, 8, True), (20, 9, False),  # a ceiling, row 0
])  # fmt: skip
def test_he_meets_what_touches_him_to_the_pixel(x: int, y: int, meets: bool) -> None:
    solid = [(row, 8) for row in range(16)] + [(0, column) for column in range(7)]
    assert laws_of(seen(ground=solid), seen(hero=hero_at(x, y), ground=solid)).tally().walls == (meets, meets)


def test_where_the_ground_is_not_known_nobody_says_that_he_walks_on_air() -> None:
    """Of the two cells under him one has never been seen: behind an enemy, say."""
    hero = hero_at(40, STANDING_Y, "run")
    hidden = seen(enemies=[(40, 104)])
    assert laws_of(hidden, seen(hero=hero, enemies=[(40, 104)])).tally().contact == (0, 0)
    assert laws_of(seen(), seen(hero=hero)).tally().contact == (0, 1)


def test_a_run_is_watched_for_so_many_frames() -> None:
    reading = seen(hero=hero_at(40, STANDING_Y, "run"), ground=FLOOR)
    assert laws_of(*[reading] * (LONGEST + 6)).tally().hero == (LONGEST, LONGEST)


def test_a_place_is_matched_by_the_nearest() -> None:
    assert matched([(10, 10), (12, 13)], [(11, 12), (10, 10)]) == 2
    assert matched([(10, 10), (7, 10)], [(8, 10), (10, 10)]) == 2
    assert matched([(10, 10), (10, 7)], [(10, 8), (10, 10)]) == 2


def test_a_flight_is_held_against_those_that_began_as_fast() -> None:
    slow = [0, -4, -7, -9, -10, -10, -9]
    fast = [0, -8, -14, -18, -20, -20, -18]
    law = Law([slow, fast])
    assert law.score(slow) == law.score(fast) == pytest.approx(1.0)
    nearly = [0, -7, -13, -17, -19, -19, -17]
    assert law.score(nearly) == pytest.approx(1 - abs(acceleration(nearly) / acceleration(fast) - 1))


def test_the_detector_asks_for_what_is_on_the_screen() -> None:
    half = ENEMY_WIDTH // 2
    on, off = [(-half, ROW), (SCREEN - half, ROW)], [(-half - 1, ROW), (SCREEN - half + 1, ROW)]
    found = places(seen([(6, 5)], hero_at(30, 40), enemies=on + off))
    assert found == {"hero": [(30, 40)], "enemies": on, "coins": [(5 * TILE, 6 * TILE)]}


def test_the_detector_does_the_work_it_announces(gold: Gold, tmp_path: Path) -> None:
    ticks: list[int] = []
    bench = Bench(RealGame(gold), gold, PlatformerReader(), TINY, tmp_path, None, ticks.append)
    physics.detect(bench)
    assert sum(ticks) == physics.work(bench)


def test_laws_are_read_only_where_there_are_eyes_and_the_game_itself(gold: Gold, tmp_path: Path) -> None:
    bench = Bench(RealGame(gold), gold, PlatformerReader(), TINY, tmp_path, None, lambda n: None)
    recorded = RecordedSuite("elsewhere/Square-v0", "test", [], 1, None, ("noop",))
    assert LawBook(bench).open
    assert not LawBook(replace(bench, reader=None)).open and not LawBook(replace(bench, gold=recorded)).open


def test_without_a_run_there_is_no_score() -> None:
    empty = {"value": None, "n": 0, "interval": None, "units": 0}
    assert physics._combined([], physics.CONSERVED, physics._worst) == empty
