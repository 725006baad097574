"""Levels set up on purpose: chunks of chosen shapes and furnishings instead of drawn ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np

from worldlet.games import PlatformerEnv
from worldlet.games.platformer.level import BARE, FLAT, Level
from worldlet.games.platformer.rules import NOOP, Game


class Draws:
    """Stands in for a level's random generator: the chosen pairs, then flat and bare chunks, under an empty sky."""

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        self._draws = [FLAT, BARE] + [number for pair in pairs for number in pair]

    def integers(self, _: int) -> int:
        return self._draws.pop(0) if self._draws else 0

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        return np.ones(shape)


def stage(*pairs: tuple[int, int], themes: tuple[str, ...] | None = ("grass",)) -> PlatformerEnv:
    """An environment after reset whose chunks, from the second on, are the given (shape, furnishing) pairs."""

    def staged(seed: int, themes: tuple[str, ...]) -> Level:
        level = Level(seed, themes)
        level._rng = Draws(pairs)  # type: ignore[assignment]
        return level

    env = PlatformerEnv(themes=themes)
    with mock.patch("worldlet.games.platformer.rules.Level", staged):
        env.reset(seed=0)
    return env


def game_of(env: PlatformerEnv) -> Game:
    assert env.game is not None
    return env.game


def look_on(env: PlatformerEnv) -> Game:
    """Let the camera slide once: columns 6 to 21, so all of the second chunk, are on the screen then."""
    game = place(env, 72)
    for _ in range(4):
        env.step(NOOP)
    assert game.camera == 48
    return game


def place(env: PlatformerEnv, x: int, y: int | None = None, **state: Any) -> Game:
    """Put the hero somewhere in the first screen's world, on the ground by default, and set more of his state."""
    game = game_of(env)
    game.x, game.y = x, game.level.surface(x // 8) * 8 - 16 if y is None else y
    for name, value in state.items():
        setattr(game, name, value)
    return game
