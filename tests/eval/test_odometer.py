"""Odometer, terrain and outcomes by hand: what is read from a frame is given, so each number can be told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from worldlet.eval.control import HOLD, LOST, MOVED, _delays, outcome
from worldlet.eval.odometer import SCROLL, SCROLL_TILES, TILE, Odometer
from worldlet.eval.terrain import TerrainCount, per_hundred
from worldlet.games.platformer.art import KINDS

LEVEL = np.random.default_rng(0).integers(0, 9, (16, 60)).astype(np.uint8)


def hero(x: int, y: int = 50, pose: str = "run", facing: int = 1) -> Any:
    return SimpleNamespace(x=x, y=y, pose=pose, facing=facing)


def screen(column: int, who: Any = None, level: np.ndarray = LEVEL) -> Any:
    """What is read where the screen's first column is ``column`` of the level."""
    return SimpleNamespace(tiles=level[:, column : column + 16], hero=who)


def test_the_scenery_scrolls_by_two_tiles_and_carries_the_hero() -> None:
    odometer = Odometer(screen(0, hero(60)))
    assert (odometer.scroll, odometer.hero_x, odometer.furthest) == (0, 60, 60)
    assert odometer.follow(screen(0, hero(62))) == 0
    assert (odometer.scroll, odometer.hero_x, odometer.furthest) == (0, 62, 62)
    assert odometer.follow(screen(2, hero(48))) == SCROLL_TILES
    assert (odometer.scroll, odometer.hero_x, odometer.furthest) == (SCROLL, 64, 64)
    assert odometer.follow(screen(2, hero(40))) == 0
    assert (odometer.hero_x, odometer.furthest) == (56, 64), "going back loses nothing"
    assert odometer.follow(screen(4)) == SCROLL_TILES
    assert (odometer.scroll, odometer.hero_x, odometer.furthest) == (2 * SCROLL, None, 64)


def test_the_dead_get_no_further() -> None:
    odometer = Odometer(screen(0, hero(60)))
    odometer.follow(screen(0, hero(80, pose="dead")))
    assert (odometer.hero_x, odometer.furthest) == (80, 60)
    assert Odometer(screen(0)).furthest == 0


@pytest.mark.parametrize(("x", "scrolled"), [(62, 0), (46, SCROLL_TILES), (54, 0), (51, SCROLL_TILES)])
def test_where_the_tiles_fit_either_way_the_hero_decides(x: int, scrolled: int) -> None:
    """He was at 60: at 54 he is nearer to having walked 6 back than to having run 10 on while the screen moved."""
    flat = np.zeros((16, 60), np.uint8)
    odometer = Odometer(screen(0, hero(60), flat))
    assert odometer.follow(screen(0, hero(x), flat)) == scrolled


def test_without_a_living_hero_a_tie_is_no_scrolling() -> None:
    flat = np.zeros((16, 60), np.uint8)
    for before, after in ((None, hero(40)), (hero(60), None), (hero(60, pose="dead"), hero(40))):
        assert Odometer(screen(0, before, flat)).follow(screen(0, after, flat)) == 0


def kinds(*columns: str) -> np.ndarray:
    """Sixteen columns; the last ones hold the kinds that are named, from the lowest tile up."""
    shown = np.full((16, 16), KINDS.index("sky"), np.uint8)
    shown[-1] = KINDS.index("ground")
    for place, names in enumerate(columns, 16 - len(columns)):
        for row, name in enumerate(names.split()):
            shown[15 - row, place] = KINDS.index(name)
    return shown


def seen(shown: np.ndarray, *enemies: tuple[int, int]) -> Any:
    return SimpleNamespace(kinds=shown, enemies=enemies)


def test_new_columns_are_counted_as_they_appear() -> None:
    terrain = TerrainCount()
    terrain.begin(seen(kinds()))
    terrain.reveal(seen(kinds("pit", "pit")), 0)
    assert (terrain.columns, terrain.counts["gaps"]) == (0, 0), "nothing is new"
    terrain.reveal(seen(kinds("ground coin coin", "pit spike")), 2)
    assert terrain.columns == 2
    assert terrain.counts == {"gaps": 1, "coins": 2, "spikes": 1, "enemies": 0}
    terrain.reveal(seen(kinds("pit", "ground")), 2)
    assert terrain.counts["gaps"] == 1, "the same gap goes on"
    terrain.reveal(seen(kinds("pit", "ground"), (14 * TILE, 8), (14 * TILE - 1, 8), (15 * TILE, 8)), 2)
    assert terrain.counts == {"gaps": 2, "coins": 2, "spikes": 1, "enemies": 2}
    assert terrain.columns == 6


def test_a_gap_in_sight_at_the_start_is_not_new() -> None:
    terrain = TerrainCount()
    terrain.begin(seen(kinds("pit")))
    terrain.reveal(seen(kinds("pit", "ground")), 2)
    assert terrain.counts["gaps"] == 0


def test_a_single_run_has_a_rate_and_no_error() -> None:
    run = TerrainCount()
    assert per_hundred([run], "coins") == (None, None)
    run.columns, run.counts["coins"] = 40, 3
    assert per_hundred([run], "coins") == (pytest.approx(7.5), None)


def test_outcomes_say_where_he_went_and_how_he_ended() -> None:
    def came(dx: int, dy: int, pose: str = "run") -> str:
        first, last = screen(0, hero(60)), screen(0, hero(60 + dx, 50 + dy, pose))
        odometer = Odometer(first)
        odometer.follow(last)
        return outcome(first, last, odometer)

    assert came(0, 0) == came(MOVED - 1, 1 - MOVED) == "stay level"
    assert came(MOVED, 0) == "right level"
    assert came(-MOVED, -MOVED) == "left rise"
    assert came(0, MOVED) == "stay fall"
    assert came(0, 0, "crouch") == "stay level crouch" and came(0, 0, "swing") == "stay level swing"
    assert came(9, 9, "dead") == "dead"
    lost = screen(0)
    assert outcome(screen(0, hero(60)), lost, Odometer(lost)) == LOST
    assert outcome(lost, screen(0, hero(60)), Odometer(lost)) == LOST


def test_a_delay_is_counted_from_where_an_action_shows() -> None:
    def path(*xs: int | None) -> Any:
        return [None if x is None else (x, 50, "run", 1) for x in xs]

    idle = path(*[0] * HOLD)
    real = [idle, path(0, 2, 4, 6, 8, 10), path(2, 4, 6, 8, 10, 12), idle]
    late = [idle, path(0, 0, 0, 2, 4, 6), path(2, 4, 6, 8, 10, 12), path(0, 0, 2, 4, 6, 8)]
    assert _delays(late, real, 0) == [2.0, 0.0]
    assert _delays(real, late, 0) == [-2.0, 0.0]
    assert _delays([idle, path(None, 2, 2, 2, 2, 2)], [idle, path(2, 2, 2, 2, 2, 2)], 0) == [1.0]
