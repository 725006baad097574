"""Mixed play of the platformer for its tests: a good runner, a mischievous one and a random player take turns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldlet.games import PlatformerEnv
from worldlet.games.platformer.reading import truth
from worldlet.games.platformer.rules import ACTION_NAMES
from worldlet.games.platformer.runner import Runner

TURN = 50  # frames that a player keeps the controls


@dataclass(frozen=True)
class Moment:
    """One frame of a run, what the game says about it, and the action and reward that led to it (None at first)."""

    env: PlatformerEnv
    frame: np.ndarray
    info: dict[str, Any]
    action: int | None = None
    reward: float | None = None


def mixed_play(seed: int, steps: int, **options: Any) -> Iterator[Moment]:
    """Play the level of a seed for some steps; the moments share one environment, so look at each before the next."""
    env = PlatformerEnv(**options)
    players = (Runner(seed), Runner(seed + 1, mischief=0.03), None)
    rng = np.random.default_rng([seed, 5])
    frame, info = env.reset(seed=seed)
    yield Moment(env, frame, info)
    action = 0
    for t in range(steps):
        player = players[t // TURN % len(players)]
        if player is not None:
            action = player.act(truth(env))
        elif t % 5 == 0:
            action = int(rng.integers(len(ACTION_NAMES)))
        frame, reward, _, _, info = env.step(action)
        yield Moment(env, frame, info, action, float(reward))


def digest(moments: Iterator[Moment]) -> str:
    """A hash of every pixel, every fact, every action and every reward of a run."""
    total = hashlib.sha256()
    for moment in moments:
        total.update(moment.frame.tobytes())
        total.update(repr((moment.action, moment.reward)).encode())
        for key in sorted(moment.info):
            value = moment.info[key]
            if isinstance(value, np.ndarray):
                total.update(f"{key} {value.dtype.str} {value.shape}".encode() + value.tobytes())
            else:
                total.update(f"{key} {value!r}".encode())
    return total.hexdigest()
