"""Each rule of the game that a dream breaks shows under its own name, and the game itself breaks none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import TINY, Fault, RealGame
from worldlet.eval import freeze, physics
from worldlet.eval.alarms import alarms
from worldlet.eval.bench import Bench
from worldlet.eval.detector import matched
from worldlet.eval.flight import Flights, Law, acceleration
from worldlet.eval.gold import Gold, GoldPlay
from worldlet.eval.laws import LawBook
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.real import RealSession, replay
from worldlet.games.platformer.art import HERO_HEIGHT, TILE_ID, sprites
from worldlet.games.platformer.env import draw
from worldlet.games.platformer.reading import HeroReading
from worldlet.games.platformer.rules import ACTION_NAMES, Game

RIGHT = ACTION_NAMES.index("right")
WALL, COINS, ENEMIES = 9_008_008, 9_008_004, 9_008_003
"""Levels with a step to run against, with coins, and with an enemy, soon after the start."""


@pytest.fixture(scope="module")
def gold() -> Gold:
    """Runs against a wall, past coins, past an enemy."""
    into_wall = GoldPlay(WALL, (RIGHT,) * 60, 30, replay(freeze.ENV_ID, WALL, (RIGHT,) * 60).fingerprint)
    runs = [freeze.play_entry(8, index, 160, 100, freeze.RUNNING) for index in (8, 3)]
    assert [run.level_seed for run in runs] == [COINS, ENEMIES]
    return Gold(freeze.ENV_ID, plays=tuple(runs), rollouts=(into_wall, *runs), control=(), drift=())


@pytest.fixture(scope="module")
def laws_of(gold: Gold, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Fault]], dict[str, Any]]:
    """Return the figures of physics for the real game with a fault."""
    kept: dict[str, Any] = {}
    plays = [gold.replay(entry) for entry in gold.rollouts]
    moves = [entry.actions[entry.start :] for entry in gold.rollouts]

    def keep(name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if name not in kept:
            kept[name] = make()
        return dict(kept[name])

    game = RealGame(gold)
    folder: Path = tmp_path_factory.mktemp("pictures")

    @cache
    def measure(fault: Callable[[], Fault]) -> dict[str, Any]:
        game._fault = fault
        kept.clear()
        bench = Bench(game, gold, PlatformerReader(), TINY, folder, None, lambda n: None, keep=keep)
        book = LawBook(bench)
        for play, actions in zip(plays, moves, strict=True):
            dream = bench.dream(play, len(play.actions) - len(actions), 0)
            book.watch("dream", [dream.frame, *(dream.step(action).frame for action in actions)], actions)
            real = play.frames_THWC[-len(actions) - 1 :]
            book.watch("real", real, actions)
            book.watch("copy", [real[0]] * len(real), actions)
        book.keep("rollout")
        LawBook(bench).keep("drift")
        return physics.measure(bench)

    return measure


def values(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    return {name: figures[prefix + name]["value"] for name in (*physics.LAWS, *physics.CONSERVED, "score")}


def caught(figures: dict[str, Any]) -> set[str]:
    """Return the laws that a dream breaks."""
    names = ("gravity", "walls", "contact", *physics.CONSERVED)
    return {name for name in names if figures[name]["value"] is not None and figures[name]["value"] < 0.9}


def test_the_game_keeps_all_of_its_rules(laws_of: Callable[..., dict[str, Any]]) -> None:
    figures = laws_of(Fault)
    assert alarms({"physics": figures}) == []
    for prefix in ("", "real_"):
        assert set(values(figures, prefix).values()) == {1.0}
    assert figures["walls"]["n"] > 10 and figures["contact"]["n"] > 50 and figures["hero"]["n"] == 150
    assert figures["gravity"]["flights"] >= 3 and figures["gravity"]["acceleration"] == pytest.approx(1.0, abs=0.05)
    assert figures["coins"]["n"] >= 3 and figures["enemies"]["n"] >= 1
    assert figures["score"]["interval"] == [1.0, 1.0] and figures["score"]["units"] == 3


def test_a_still_picture_does_not_fly(laws_of: Callable[..., dict[str, Any]]) -> None:
    figures = laws_of(Fault)
    assert figures["copy_gravity"]["value"] == 0.0 and figures["copy_gravity"]["refused"] > 0
    assert figures["copy_score"]["value"] < 0.8 < figures["score"]["value"]


class Ruled(Fault):
    """The game by other rules, from the first dreamed frame on."""

    rules: type[Game]

    def frame(self, session: RealSession) -> np.ndarray:
        session.env.game.__class__ = self.rules
        return session.frame


class Floating(Game):
    """Half the gravity: every speed of a flight lasts twice as long."""

    beat = False

    def _fall(self) -> bool:
        before = self.air
        bumped = super()._fall()
        self.beat = not self.beat
        if self.beat and not bumped:
            self.air = before
        return bumped


class Ghost(Game):
    """Walls let through."""

    def _run(self, dx: int) -> tuple[bool, bool]:
        self.x += dx
        return False, False


class HalvedGravity(Ruled):
    rules = Floating


class OpenWalls(Ruled):
    rules = Ghost


class Doubled(Fault):
    """A second hero stands in the sky."""

    def frame(self, session: RealSession) -> np.ndarray:
        frame, hero = session.frame.copy(), sprites("grass")["idle"]
        place = frame[8 : 8 + HERO_HEIGHT, 60:72]
        solid = hero[..., 3] > 0
        place[solid] = hero[..., :3][solid]
        return frame


class Sometimes(Fault):
    """Something is wrong from the twentieth frame on; subclasses say what."""

    frames = 0

    def frame(self, session: RealSession) -> np.ndarray:
        self.frames += 1
        return session.frame if self.frames < 20 else self.wrong(session)

    def wrong(self, session: RealSession) -> np.ndarray:
        return session.frame


class CoinsVanish(Sometimes):
    def wrong(self, session: RealSession) -> np.ndarray:
        game = copy.copy(session.env.game)
        game.grid = np.where(game.grid == TILE_ID["coin"], TILE_ID["sky"], game.grid)
        return draw(game)[0]


class EnemiesVanish(Sometimes):
    def wrong(self, session: RealSession) -> np.ndarray:
        game = copy.copy(session.env.game)
        game.enemies = []
        return draw(game)[0]


class HeroGone(Sometimes):
    def wrong(self, session: RealSession) -> np.ndarray:
        game = copy.copy(session.env.game)
        game.y = 1000
        return draw(game)[0]


class Hovering(Fault):
    """On foot, the hero is drawn six pixels above the ground."""

    def frame(self, session: RealSession) -> np.ndarray:
        game = copy.copy(session.env.game)
        game.y -= 6 * (game.air < 0)
        return draw(game)[0]


@pytest.mark.parametrize(
    ("fault", "name", "alarm"),
    [
        (HalvedGravity, "gravity", "gravity is another"),
        (OpenWalls, "walls", "walls let through"),
        (Doubled, "hero", "there is not one hero"),
        (HeroGone, "hero", "there is not one hero"),
        (CoinsVanish, "coins", "coins come or go by themselves"),
        (EnemiesVanish, "enemies", "enemies come or go by themselves"),
        (Hovering, "contact", "the hero walks on air"),
    ],
)
def test_a_broken_rule_is_caught_by_name(
    fault: type[Fault], name: str, alarm: str, laws_of: Callable[..., dict[str, Any]]
) -> None:
    figures = laws_of(fault)
    assert caught(figures) == {name}, values(figures)
    assert [found.name for found in alarms({"physics": figures})] == [alarm]
    assert set(values(figures, "real_").values()) == {1.0}
    assert figures["score"]["value"] < 1.0


def test_halved_gravity_shows_in_the_acceleration(laws_of: Callable[..., dict[str, Any]]) -> None:
    assert laws_of(HalvedGravity)["gravity"]["acceleration"] == pytest.approx(0.5, abs=0.1)


def test_the_detector_finds_what_is_there_and_its_misses_count(gold: Gold, tmp_path: Path) -> None:
    class Blurred(PlatformerReader):
        """Sees the hero four pixels to the right, and no coins."""

        def read(self, frame_HWC: np.ndarray) -> Any:
            true = super().read(frame_HWC)
            return replace(true, hero=replace(true.hero, x=true.hero.x + 4), kinds=np.zeros_like(true.kinds))

    clear = Bench(RealGame(gold), gold, PlatformerReader(), TINY, tmp_path, None, lambda n: None)
    figures = physics.detect(clear)
    assert figures["value"] == 1.0 and figures["false_alarms"]["value"] == 0.0
    assert all(figures[name]["value"] == 1.0 and figures[name]["n"] > 0 for name in ("hero", "enemies", "coins"))
    blurred = physics.detect(replace(clear, reader=Blurred()))
    assert blurred["hero"]["value"] == blurred["coins"]["value"] == 0.0 and blurred["enemies"]["value"] == 1.0
    assert blurred["false_alarms"]["value"] > 0.5


def test_places_match_within_two_pixels_and_once() -> None:
    assert matched([(10, 10)], [(12, 8)]) == 1
    assert matched([(10, 10)], [(13, 10)]) == 0
    assert matched([(10, 10), (11, 10)], [(10, 10)]) == 1


def hero(y: int, pose: str) -> HeroReading:
    return HeroReading(40, y, pose, 1, 0.0)


def test_flights_begin_on_the_ground_and_bounces_are_flights_of_their_own() -> None:
    flights = Flights(fastest=6)
    flights.follow(hero(88, "run"), False, False)
    for y in (80, 72, 66, 60, 56, 52, 50, 48, 48, 48, 50, 52):
        flights.follow(hero(y, "jump"), True, False)
    for y in (46, 40, 36, 32, 30, 28):  # a stomp throws him up again
        flights.follow(hero(y, "jump"), False, False)
    flights.follow(hero(28, "idle"), False, False)
    flights.finish()
    assert [curve[0] for curve in flights.curves] == [88, 52]
    assert flights.refused == 0
    law = Law([[0, -8, -16, -22, -28, -32, -36, -38]])
    assert law.score(flights.curves[0]) == pytest.approx(1.0)
    slow = [0, -8, -16, -23, -31, -38, -45, -51]
    assert law.score(slow) == pytest.approx(acceleration(slow) / acceleration([0, -8, -16, -22, -28, -32, -36, -38]))
    assert Law([]).score(slow) is None


def test_a_leap_that_does_not_leave_the_ground_is_refused() -> None:
    flights = Flights(fastest=6)
    for _ in range(4):
        flights.follow(hero(88, "idle"), True, False)
    assert flights.refused == 1 and flights.curves == []


def test_who_hangs_in_the_air_is_counted_once_and_who_turns_there_is_not() -> None:
    flights = Flights(fastest=6)
    for y in (50, 48, 48, 48, 48, 50, 52):
        flights.follow(hero(y, "fall"), False, False)
    assert flights.hung == 0
    for _ in range(20):
        flights.follow(hero(52, "jump"), False, False)
    assert flights.hung == 1
