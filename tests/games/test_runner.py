"""The scripted runner gets on, by truth and by pixels alike, and does the same again."""

from __future__ import annotations

import numpy as np
import pytest

from worldlet.games import PlatformerEnv
from worldlet.games.platformer.reading import read_frame, truth
from worldlet.games.platformer.rules import Game
from worldlet.games.platformer.runner import Runner

SEEDS, FRAMES = range(20), 180


def run(seed: int, mischief: float = 0.0) -> tuple[list[int], Game]:
    """A runner's actions in a level, and the game after them; nothing is drawn."""
    env, runner = PlatformerEnv(), Runner(seed, mischief)
    env.reset(seed=seed)
    assert env.game is not None
    actions = []
    for _ in range(FRAMES):
        actions.append(runner.act(truth(env)))
        env.game.step(actions[-1])
    return actions, env.game


def test_he_gets_on_far_better_than_a_random_player() -> None:
    random = []
    for seed in SEEDS:
        game, rng = Game(seed), np.random.default_rng(seed)
        for _ in range(FRAMES):
            game.step(int(rng.integers(8)))
        random.append(game.distance)
    runner = [run(seed)[1] for seed in SEEDS]
    assert np.mean([game.distance for game in runner]) > 3 * np.mean(random)
    assert np.mean([game.distance for game in runner]) > 0.5 * 2 * FRAMES  # half of a run without a stop
    assert sum(game.coins for game in runner) > 20


def test_he_does_the_same_again() -> None:
    assert run(3, mischief=0.05)[0] == run(3, mischief=0.05)[0]
    assert run(3, mischief=0.05)[0] != run(3)[0]


def test_mischief_uses_every_action() -> None:
    actions = {action for seed in range(4) for action in run(seed, mischief=0.05)[0]}
    assert actions == set(range(8))


def test_he_gets_on_by_pixels_too() -> None:
    env, runner = PlatformerEnv(), Runner(0)
    frame, info = env.reset(seed=0)
    for _ in range(FRAMES):
        frame, *_, info = env.step(runner.act(read_frame(frame)))
    assert info["distance"] > 0.5 * 2 * FRAMES


def test_mischief_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="mischief is 1.5: use a chance from 0 to 1"):
        Runner(0, mischief=1.5)
