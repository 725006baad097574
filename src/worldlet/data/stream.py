"""Clips straight from the shards, for data sets that do not fit into memory.

Every epoch draws all episodes in a new order and fills one buffer after another with them; each buffer's clips come in
an order of their own. All of it follows from (seed, epoch) alone, so a stream goes on exactly from a saved position by
reading no more than that position's buffer. Shape letters: ``B`` batch, ``T`` time, ``H W`` pixels, ``C`` colours.
"""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import decode_episode
from worldlet.data.shards import check_shard, read_manifest, shards_of
from worldlet.records import Clip, Episode

_ACTIONS = "actions.npy"


@dataclass(frozen=True)
class Position:
    """Which clip comes next: ``clip`` counts from 0 within ``epoch``, which counts from 0 too."""

    epoch: int = 0
    clip: int = 0

    def __post_init__(self) -> None:
        if self.epoch < 0 or self.clip < 0:
            raise ValueError(f"a position in a stream counts from 0: {self}")


@dataclass(frozen=True, eq=False)
class ClipBatch:
    """``frames_BTHWC`` uint8 with length + 1 frames, ``actions_BT`` int64 with length."""

    frames_BTHWC: NDArray[np.uint8]
    actions_BT: NDArray[np.int64]


@dataclass(frozen=True)
class _Entry:
    """Where an episode lies in its shard: a (first byte, size) for each member, and its number of actions."""

    shard: Path
    members: dict[str, tuple[int, int]]
    steps: int


class ClipStream:
    """Clips of ``length`` actions from a split, without end, the same ones in the same order for the same seed.

    In an epoch an episode is cut into clips that do not overlap, beginning at an offset that changes from epoch to
    epoch; episodes shorter than a clip are left out. No more than ``buffer_frames`` decoded frames are held, or one
    episode if that alone is longer. Iterating goes on from ``position``, which may be read and set at any time.

    Raises ValueError for an unknown or empty split, a missing or damaged shard, and where no episode is long enough.
    """

    def __init__(
        self,
        folder: Path | str,
        split: str,
        length: int,
        seed: int = 0,
        buffer_frames: int = 16_384,
        position: Position | None = None,
    ) -> None:
        if length < 1 or buffer_frames < 1:
            raise ValueError(f"length and buffer_frames must be at least 1, not {length} and {buffer_frames}")
        self.length, self.seed, self.position = length, seed, position or Position()
        self._buffer_frames = buffer_frames
        self._entries = [entry for entry in _entries(Path(folder), split) if entry.steps >= length]
        if not self._entries:
            raise ValueError(f"no episode of the split {split!r} of {folder} has room for a clip of {length} actions")
        self._plan_of: tuple[int, _Plan] | None = None
        self._held: tuple[tuple[int, int], dict[int, Episode]] | None = None

    def __iter__(self) -> Iterator[Clip]:
        while True:
            yield self._next()

    def batch(self, size: int) -> ClipBatch:
        """Return the next ``size`` clips, across the end of an epoch where it comes to that."""
        clips = [self._next() for _ in range(size)]
        return ClipBatch(np.stack([clip.frames_THWC for clip in clips]), np.stack([clip.actions_T for clip in clips]))

    def clips(self, epoch: int) -> int:
        """Return how many clips an epoch has."""
        return self._plan(epoch).ends[-1]

    def _next(self) -> Clip:
        plan = self._plan(self.position.epoch)
        while self.position.clip >= plan.ends[-1]:
            self.position = Position(self.position.epoch + 1)
            plan = self._plan(self.position.epoch)
        number = int(np.searchsorted(plan.ends, self.position.clip, side="right"))
        buffer = plan.buffers[number]
        episodes = self._load((self.position.epoch, number), buffer)
        index = self.position.clip - (plan.ends[number - 1] if number else 0)
        episode, start = buffer.clips[index]
        clip = episodes[episode].clip(start, self.length)
        self.position = Position(self.position.epoch, self.position.clip + 1)
        return clip

    def _load(self, which: tuple[int, int], buffer: _Buffer) -> dict[int, Episode]:
        if self._held is None or self._held[0] != which:
            self._held = None  # the old buffer is gone before the new one is decoded
            self._held = which, {index: _read(self._entries[index]) for index in buffer.episodes}
        return self._held[1]

    def _plan(self, epoch: int) -> _Plan:
        if self._plan_of is None or self._plan_of[0] != epoch:
            self._plan_of = epoch, _plan(self._entries, self.length, self.seed, epoch, self._buffer_frames)
        return self._plan_of[1]


@dataclass(frozen=True)
class _Buffer:
    """Episodes that are in memory together, and their clips as (episode, first frame) in the order they come."""

    episodes: list[int]
    clips: list[tuple[int, int]]


@dataclass(frozen=True)
class _Plan:
    """An epoch: its buffers, and how many clips there are up to the end of each."""

    buffers: list[_Buffer]
    ends: list[int]


def _plan(entries: list[_Entry], length: int, seed: int, epoch: int, buffer_frames: int) -> _Plan:
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch])))
    buffers = []
    for episodes in _groups(entries, rng.permutation(len(entries)).tolist(), buffer_frames):
        clips = list[tuple[int, int]]()
        for index in episodes:
            steps = entries[index].steps
            offset = int(rng.integers(min(length, steps - length + 1)))
            clips += [(index, start) for start in range(offset, steps - length + 1, length)]
        order = rng.permutation(len(clips)).tolist()
        buffers.append(_Buffer(episodes, [clips[number] for number in order]))
    return _Plan(buffers, list(itertools.accumulate(len(buffer.clips) for buffer in buffers)))


def _groups(entries: list[_Entry], order: list[int], buffer_frames: int) -> Iterator[list[int]]:
    """Yield the episodes of one buffer after another."""
    group, frames = list[int](), 0
    for index in order:
        more = entries[index].steps + 1
        if group and frames + more > buffer_frames:
            yield group
            group, frames = [], 0
        group.append(index)
        frames += more
    yield group


def _entries(folder: Path, split: str) -> Iterator[_Entry]:
    """Yield where every episode of a split lies, after checking each shard's hash."""
    for shard in shards_of(folder, read_manifest(folder), split):
        path = check_shard(folder, shard)
        by_key: dict[str, dict[str, tuple[int, int]]] = {}
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                by_key.setdefault(key, {})[extension] = member.offset_data, member.size
        with open(path, "rb") as file:
            for key, members in by_key.items():
                if _ACTIONS not in members:
                    raise ValueError(f"the sample {key!r} of the shard {path} lacks {_ACTIONS}: record the data again")
                first, size = members[_ACTIONS]
                file.seek(first)
                actions_T = np.load(io.BytesIO(file.read(size)), allow_pickle=False)
                yield _Entry(path, members, len(actions_T))


def _read(entry: _Entry) -> Episode:
    members = {}
    with open(entry.shard, "rb") as file:
        for extension, (first, size) in entry.members.items():
            file.seek(first)
            members[extension] = file.read(size)
    try:
        return decode_episode(members)
    except ValueError as error:
        raise ValueError(
            f"an episode of the shard {entry.shard} is damaged ({error}): record the data again"
        ) from error
