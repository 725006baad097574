"""A place that is left and come back to is what it was in the game, and a dream that changes it is caught."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import TINY, Fault, RealGame
from worldlet.eval import freeze, memory
from worldlet.eval.alarms import alarms
from worldlet.eval.bench import Bench
from worldlet.eval.gold import CONTEXT, Gold, GoldPlay
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.real import RealSession, replay
from worldlet.games.platformer.art import TILE_ID, atlas
from worldlet.games.platformer.env import draw
from worldlet.games.platformer.reading import HeroReading, Reading
from worldlet.games.platformer.rules import ACTION_NAMES

NOOP, RIGHT, UP = (ACTION_NAMES.index(name) for name in ("noop", "right", "up"))
LEVEL = 9_003_000
SIZE = replace(TINY, memory=2, memory_frames=64)


def _compare(*args: Any) -> tuple[float, float, bool]:
    back = memory._compare(*args)
    return back.same, back.screen, back.returned


def entry(actions: tuple[int, ...]) -> GoldPlay:
    return GoldPlay(LEVEL, actions, len(actions), replay(freeze.ENV_ID, LEVEL, actions).fingerprint)


@pytest.fixture(scope="module")
def gold() -> Gold:
    """A start at the screen's left edge, one in mid-air, and two from which one can go and come back."""
    still = (NOOP,) * CONTEXT
    starts = [still + (RIGHT,) * steps for steps in (8, 16)]
    leaping = (NOOP,) * (CONTEXT - 4) + (UP,) * 4
    control = tuple(entry(actions) for actions in (leaping, *starts))
    return Gold(freeze.ENV_ID, plays=(), rollouts=(), control=control, drift=())


@pytest.fixture(scope="module")
def figures_of(gold: Gold, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    game = RealGame(gold)
    folder: Path = tmp_path_factory.mktemp("pictures")

    def measure(fault: Callable[[], Fault] = Fault) -> dict[str, Any]:
        game._fault = fault
        done: list[int] = []
        bench = Bench(game, gold, PlatformerReader(), SIZE, folder, None, done.append)
        figures = memory.measure(bench)
        assert sum(done) == memory.work(bench)
        assert (folder / "memory.png").is_file() and (folder / "memory_strip.png").is_file()
        return figures

    return measure


class Changed(Fault):
    """Once the hero has been away, the ground where he had stood looks otherwise."""

    home: int | None = None
    left = False

    def frame(self, session: RealSession) -> np.ndarray:
        x = int(session.info["hero_screen"][0])
        self.home = x if self.home is None else self.home
        self.left = self.left or abs(x - self.home) > 10
        frame = session.frame.copy()
        if self.left:
            frame[104:112, self.home : self.home + 8] = atlas(session.info["theme"])[TILE_ID["coin"]]
        return frame


class Fading(Fault):
    """From the fortieth frame on, the ground is gone."""

    frames = 0

    def frame(self, session: RealSession) -> np.ndarray:
        self.frames += 1
        if self.frames < 40:
            return session.frame
        game = copy.copy(session.env.game)
        game.grid = np.where(np.arange(16)[:, None] > 11, TILE_ID["sky"], game.grid)
        return draw(game)[0]


class Deaf(Fault):
    """Nobody ever goes."""

    def action(self, action: int) -> int:
        return NOOP


def test_in_the_game_every_place_is_as_it_was_left(figures_of: Callable[..., dict[str, Any]]) -> None:
    figures = figures_of()
    assert alarms({"memory": figures}) == []
    assert list(figures["same"]) == ["16", "32", "64"]
    for prefix in ("", "real_"):
        for name in ("same", "screen", "returned"):
            assert {figure["value"] for figure in figures[prefix + name].values()} == {1.0}, prefix + name
        assert figures[f"{prefix}score"]["value"] == 1.0 and figures[f"{prefix}score"]["n"] == 2
    assert figures["outings"] == {"value": 2, "n": 3}


def test_outings_that_cannot_be_made_are_done_as_well(gold: Gold, tmp_path: Path) -> None:
    """Where fewer starts than asked for allow one, the progress still comes to its end."""
    done: list[int] = []
    size = replace(SIZE, memory=5, memory_frames=16)
    bench = Bench(RealGame(gold), gold, PlatformerReader(), size, tmp_path, None, done.append)
    assert memory.measure(bench)["outings"]["value"] == 2
    assert sum(done) == memory.work(bench) and min(done) > 0


def reading(x: int, unclear: tuple[int, ...] = (), changed: tuple[int, ...] = (), y: int = 40) -> Reading:
    """Return a reading of a hero at x; in the columns ``unclear`` nothing is told, in those ``changed`` all differs."""
    tiles = np.zeros((16, 16), np.uint8)
    clear = np.ones((16, 16), bool)
    clear[:, list(unclear)], tiles[:, list(changed)] = False, 1
    return Reading("grass", tiles, tiles, HeroReading(x, y, "idle", 1, 0.0), (), 0, clear)


def test_what_hero_or_wear_hides_is_not_compared_and_what_is_lost_is_missed() -> None:
    """His box is columns 5 and 6; his place is two columns more on each side."""
    first = reading(40)
    assert _compare(first, reading(40), True, [])[:2] == (1.0, 1.0)
    assert _compare(reading(40, unclear=(4,)), reading(40, changed=(4,)), True, [])[:2] == (1.0, 1.0)
    assert _compare(first, reading(40, unclear=(4,)), True, [])[0] < 0.9
    away = _compare(first, reading(40, changed=(12,)), True, [])
    assert away[0] == 1.0 and away[1] == pytest.approx(1 - 16 / (256 - 4))
    hidden = np.zeros((16, 16), np.uint8)
    hidden[5:7, 5:7] = 1
    behind = replace(first, tiles=hidden)
    assert _compare(first, behind, True, [])[:2] == _compare(behind, first, True, [])[:2] == (1.0, 1.0)
    assert [_compare(first, reading(40 + off), True, [])[2] for off in (memory.HOME, memory.HOME + 1)] == [True, False]


def test_who_copies_or_stays_has_left_nothing(figures_of: Callable[..., dict[str, Any]]) -> None:
    figures = figures_of(Deaf)
    assert figures["score"]["value"] == figures["copy_score"]["value"] == 0.0
    assert {figure["left"] for figure in figures["same"].values()} == {0}
    assert {figure["left"] for figure in figures["real_same"].values()} == {2}


def test_a_place_that_is_not_what_was_left_is_caught(figures_of: Callable[..., dict[str, Any]]) -> None:
    figures = figures_of(Changed)
    assert all(0.9 < figure["value"] < 1.0 for figure in figures["same"].values())
    assert all(figure["value"] == 1.0 for figure in figures["returned"].values())
    assert figures["real_score"]["value"] == 1.0
    assert [alarm.name for alarm in alarms({"memory": figures})] == ["places come back changed"]


def test_what_fades_while_he_is_away_shows_in_the_curve(figures_of: Callable[..., dict[str, Any]]) -> None:
    figures = figures_of(Fading)
    same = {time: figure["value"] for time, figure in figures["same"].items()}
    assert [alarm.path for alarm in alarms({"memory": figures})] == ["memory.same.64"]
    assert same["16"] == same["32"] == 1.0 and same["64"] < 0.9
