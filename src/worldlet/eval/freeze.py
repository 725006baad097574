"""Freeze the gold suite of the platformer: ``python -m worldlet.eval.freeze`` writes ``eval/gold/platformer.json``.

To be run once. It is run again only when the game itself changes, and then every world is measured again.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from worldlet.eval.bench import FULL
from worldlet.eval.gold import CONTEXT, FILES, FIRST_SEED, Gold, GoldPlay
from worldlet.eval.real import RealSession, open_game, replay
from worldlet.eval.rollout import HORIZONS, LONG_HORIZONS
from worldlet.manifest import write_atomic

ENV_ID = "worldlet/Platformer-v0"
PLAY_ACTIONS = 300
DRIFT_START = 30
RUNNING, MISCHIEF, RANDOM = range(3)
"""Kinds of player: one who gets on, one who also dawdles, and one who presses keys at random and holds them a while."""


def freeze() -> Gold:
    """Play the suite's levels with mixed players and return it; the same suite every time for the same game."""
    return Gold(
        ENV_ID,
        plays=tuple(play_entry(1, i, PLAY_ACTIONS, 0, (MISCHIEF, RANDOM)[i % 4 == 3]) for i in range(FULL.plays)),
        rollouts=tuple(rollout_entry(i) for i in range(FULL.rollouts)),
        control=tuple(control_entry(i) for i in range(FULL.control)),
        drift=tuple(play_entry(4, i, DRIFT_START, DRIFT_START, RUNNING) for i in range(FULL.drift)),
        long=tuple(long_entry(i) for i in range(FULL.long)),
    )


def rollout_entry(index: int) -> GoldPlay:
    """Return a start somewhere in a play that goes on for the longest horizon."""
    start = int(np.random.default_rng([2, index]).integers(40, 300))
    return play_entry(2, index, start + HORIZONS[-1], start, MISCHIEF if index % 4 else RANDOM)


def long_entry(index: int) -> GoldPlay:
    """Return a start early in a play that goes on for the longest horizon of the full suite."""
    start = int(np.random.default_rng([5, index]).integers(40, 120))
    return play_entry(5, index, start + LONG_HORIZONS[-1], start, MISCHIEF if index % 4 else RANDOM)


def control_entry(index: int) -> GoldPlay:
    """Return a random history that ends with a living hero: a dead one obeys no player."""
    rng = np.random.default_rng([3, index])
    start = int(rng.integers(40, 200))
    play = play_entry(3, index, start, start, MISCHIEF if index % 2 else RANDOM)
    session = RealSession(ENV_ID, play.level_seed)
    alive = 0
    for t, action in enumerate(play.actions, start=1):
        session.step(action)
        if t >= CONTEXT and session.info["hero_pose"] != "dead":
            alive = t
    fingerprint = replay(ENV_ID, play.level_seed, play.actions[:alive]).fingerprint
    return GoldPlay(play.level_seed, play.actions[:alive], alive, fingerprint)


def play_entry(kind: int, index: int, length: int, start: int, player: int) -> GoldPlay:
    """Return ``length`` actions of one kind of player in the level of entry ``index``."""
    seed = _level_seed(kind, index)
    actions = _random_actions(seed, length) if player == RANDOM else _runner_actions(seed, length, player)
    return GoldPlay(seed, tuple(actions), start, replay(ENV_ID, seed, actions).fingerprint)


def _level_seed(kind: int, index: int) -> int:
    """Return the level of an entry: seeds of one kind go round the themes, so that none is left out."""
    themes = open_game(ENV_ID).metadata["themes"]
    fitting = (
        seed for seed in itertools.count(FIRST_SEED + 1000 * kind)
        if RealSession(ENV_ID, seed).info["theme"] == themes[index % len(themes)]
    )  # fmt: skip
    return next(itertools.islice(fitting, index // len(themes), None))


def _runner_actions(seed: int, length: int, player: int) -> list[int]:
    from worldlet.games.platformer.reading import truth
    from worldlet.games.platformer.runner import Runner

    session = RealSession(ENV_ID, seed)
    runner = Runner(seed, mischief=0.03 if player == MISCHIEF else 0.0)
    actions: list[int] = []
    for _ in range(length):
        actions.append(int(runner.act(truth(session.env))))
        session.step(actions[-1])
    return actions


def _random_actions(seed: int, length: int) -> list[int]:
    """Return random actions, each held for 1 to 12 frames, those to the right twice as likely."""
    rng = np.random.default_rng(seed)
    choices = [0, 1, 2, 3, 3, 4, 5, 6, 7, 7]
    actions: list[int] = []
    while len(actions) < length:
        actions += [int(rng.choice(choices))] * int(rng.integers(1, 13))
    return actions[:length]


if __name__ == "__main__":
    path = Path(__file__).parent / "gold" / FILES[ENV_ID]
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, freeze().to_json().encode())
    print(f"{path}: {path.stat().st_size:,} bytes")
