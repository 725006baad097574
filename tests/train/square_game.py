"""A game of one square on a striped floor, small enough to learn in seconds; it stops at the walls."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import gymnasium
import numpy as np

from worldlet.data.codec import encode_episode
from worldlet.data.coverage import episode_coverage, merge, summarise
from worldlet.data.record import enter_shard
from worldlet.data.shards import FORMAT, ShardWriter, write_manifest
from worldlet.records import Episode

NAMES = ("stay", "left", "right", "down")
MOVES = ((0, 0), (0, -2), (0, 2), (2, 0))  # rows, columns; the square comes up again at the top
HEIGHT, WIDTH, SIDE = 16, 24, 4


class SquareGame(gymnasium.Env):
    metadata = {"render_modes": [], "render_fps": 20, "action_names": NAMES}
    observation_space = gymnasium.spaces.Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.row, self.column = 2 * int(self.np_random.integers(7)), 2 * int(self.np_random.integers(11))
        self.floor = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.floor[:, :, 2] = self.np_random.integers(0, 120, (1, WIDTH))
        return self.draw(), {}

    def step(self, action):
        rows, columns = MOVES[action]
        self.row = (self.row + rows) % (HEIGHT - SIDE + 2)
        self.column = min(max(self.column + columns, 0), WIDTH - SIDE)
        return self.draw(), 0.0, False, False, {}

    def draw(self):
        frame = self.floor.copy()
        frame[self.row : self.row + SIDE, self.column : self.column + SIDE] = (255, 220, 40)
        return frame


class UncopiableGame(SquareGame):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy a socket")


class SharingGame(SquareGame):
    def __deepcopy__(self, memo):
        return copy.copy(self) if not hasattr(self, "row") else self


def play(level_seed: int, length: int, split: str = "train") -> Episode:
    game, rng = SquareGame(), np.random.default_rng([level_seed, 5])
    frames, actions = [game.reset(seed=level_seed)[0]], rng.integers(0, 4, length)
    frames += [game.step(action)[0] for action in actions]
    meta = {
        "episode_id": f"{split}-{level_seed:06d}", "env_id": "nowhere/Square-v0", "level_seed": level_seed,
        "split": split, "policy": "random", "action_names": list(NAMES), "fps": 20.0, "theme": "", "caption": "",
        "events": {"hop": [3, length]},
    }  # fmt: skip
    return Episode(np.stack(frames), actions.astype(np.int64), {"time": np.arange(length + 1)}, meta)


def write_data(
    folder: Path, plays: Mapping[str, Sequence[Episode]], names: Sequence[str] = NAMES, fps: float = 20.0
) -> Path:
    """Write plays as a data folder, one shard a split."""
    folder.mkdir(parents=True)
    splits = {split: {"level_seeds": [0, 1000], "episodes": 0, "frames": 0} for split in ("val", "test", "train")}
    manifest = {
        "format": FORMAT, "env_id": "nowhere/Square-v0", "options": {}, "frame_size": [HEIGHT, WIDTH], "fps": fps,
        "action_names": list(names), "key_bindings": {"left": [["ArrowLeft"]]}, "seed": 0, "recording": {},
        "complete": True, "splits": splits, "coverage": summarise(merge([])), "shards": [],
    }  # fmt: skip
    write_manifest(folder, manifest)
    for split, episodes in plays.items():
        writer = ShardWriter(folder / f"{split}-000000.tar")
        for episode in episodes:
            writer.write(episode.meta["episode_id"], encode_episode(episode))
        frames = sum(len(episode.frames_THWC) for episode in episodes)
        coverages = [episode_coverage(episode, {}) for episode in episodes]
        enter_shard(folder, manifest, split, writer.path.name, writer.close(), frames, coverages)
    return folder
