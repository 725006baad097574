"""Episodes of a recording, played and encoded one after another, here or in worker processes."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import encode_episode
from worldlet.data.coverage import episode_coverage
from worldlet.data.duplicates import fingerprints
from worldlet.data.play import GameFailed, describe_game, make_episode, open_game, play_episode
from worldlet.data.policies import make_policy

SPLITS = {"val": range(10**6, 2 * 10**6), "test": range(2 * 10**6, 3 * 10**6), "train": range(0, 10**6)}
"""The level seeds of each split, in the order they are recorded: what training is measured on is there first."""
_SEED_STRIDE = 10_007  # recordings with neighbouring seeds begin this many levels apart


@dataclass(frozen=True)
class Sample:
    """One episode, played and encoded; ``frames`` counts them, ``prints_T`` are their fingerprints where asked for.

    ``failure`` says why it is missing, where the game crashed in it: then it holds nothing.
    """

    key: str
    members: dict[str, bytes]
    frames: int
    coverage: dict[str, Any]
    prints_T: NDArray[np.uint64] | None = None
    failure: str = ""


@dataclass(frozen=True)
class Sitting:
    """What is played in a recording, and how: all that an episode follows from, beside its split and number."""

    env: str
    players: str
    seed: int
    episode_steps: int
    agents: Path
    options: dict[str, Any] = field(default_factory=dict)
    fingerprinted: bool = False


def split_of(level_seed: int) -> str:
    """Return the split that an episode belongs to by its level seed; ValueError for a seed of no split."""
    for split, seeds in SPLITS.items():
        if level_seed in seeds:
            return split
    raise ValueError(f"the level seed {level_seed} belongs to no split: splits end at {3 * 10**6}")


def level_seed(seed: int, split: str, index: int) -> int:
    """Return the level seed of a split's episode number ``index``; none repeats within a split's million."""
    seeds = SPLITS[split]
    return seeds[(seed * _SEED_STRIDE + index) % len(seeds)]


class Recorder:
    """Plays the episodes of a sitting, on one open game where that leaves nothing over at a reset."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting
        self._game: gymnasium.Env[Any, Any] | None = None

    def episode(self, split: str, index: int) -> Sample:
        """Play and encode a split's episode number ``index``; where the game crashes, the sample tells how."""
        sitting = self._sitting
        seed = level_seed(sitting.seed, split, index)
        assert split_of(seed) == split
        key = f"{split}-{index:06d}"
        try:
            game = self._open()
            facts = describe_game(game)
            policy = make_policy(sitting.players, game, facts.action_names, sitting.agents)
            policy.reset(int(np.random.SeedSequence([sitting.seed, seed]).generate_state(1)[0]))
            frames, actions, infos = play_episode(game, policy, seed, sitting.episode_steps)
        except GameFailed as error:
            self.close()  # what is left of it is not to be trusted
            failure = f"the game {sitting.env} crashed in the episode {key} (level seed {seed}) {error}"
            return Sample(key, {}, 0, {}, failure=failure)
        meta = {
            "episode_id": key,
            "env_id": sitting.env,
            "options": sitting.options,
            "level_seed": seed,
            "split": split,
            "policy": sitting.players,
            "action_names": list(facts.action_names),
            "fps": facts.fps,
        }
        episode = make_episode(frames, actions, infos, meta)
        prints_T = fingerprints(episode.frames_THWC) if sitting.fingerprinted else None
        return Sample(key, encode_episode(episode), len(frames), episode_coverage(episode, infos[-1]), prints_T)

    def close(self) -> None:
        """Close the game that is open."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _open(self) -> gymnasium.Env[Any, Any]:
        if self._game is None or not self._game.metadata.get("fresh_reset"):
            self.close()
            self._game = open_game(self._sitting.env, self._sitting.options)
        return self._game


class Team:
    """Plays a sitting in so many processes; what it plays never depends on how many."""

    def __init__(self, sitting: Sitting, workers: int) -> None:
        self._sitting, self._workers = sitting, workers
        self._pool: ProcessPoolExecutor | None = None

    def episodes(self, split: str, index: int) -> Iterator[Sample]:
        """Yield the episodes of a split in order from ``index`` on, without end, a few of them played ahead."""
        if self._pool is None:
            with closing(Recorder(self._sitting)) as recorder:
                while True:
                    yield recorder.episode(split, index)
                    index += 1
        ahead: deque[Future[Sample]] = deque()
        try:
            while True:
                while len(ahead) < 2 * self._workers:
                    ahead.append(self._pool.submit(_episode_in_worker, split, index))
                    index += 1
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    @contextmanager
    def gathered(self) -> Iterator[Team]:
        """Start the processes, and end them with the block."""
        if self._workers > 1:
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(self._sitting,)
            )
        try:
            yield self
        finally:
            if self._pool:
                self._pool.shutdown(cancel_futures=True)


_worker_recorder: Recorder | None = None
"""The recorder of this worker process."""


def _episode_in_worker(split: str, index: int) -> Sample:
    assert _worker_recorder is not None
    return _worker_recorder.episode(split, index)


def _start_worker(sitting: Sitting) -> None:
    """Be ready to play; leave Ctrl-C to the parent, and end when it is gone, even if it was killed."""
    global _worker_recorder
    _worker_recorder = Recorder(sitting)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
