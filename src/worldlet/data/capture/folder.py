"""The data folder that a capture fills: episodes to splits, shards written aside while the game goes on.

A captured game has no levels to hold out, so splits are stretches of time. Where the split changes, the frames around
the change are left out, and a picture that one split holds is kept out of the others: near-duplicates never cross.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.capture.picture import fingerprint
from worldlet.data.codec import encode_episode
from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.record import COVERAGE_NAME, SHARD_BYTES, SPLITS
from worldlet.data.shards import (
    MANIFEST_NAME,
    UNFINISHED,
    DataManifest,
    ShardWriter,
    read_episodes,
    read_manifest,
    write_manifest,
)
from worldlet.manifest import write_atomic
from worldlet.records import Episode

FRACTIONS = {"val": 0.05, "test": 0.05, "train": 0.9}
LEAST_ACTIONS = 8
"""A stretch with fewer actions than this is left out."""
_AHEAD = 4  # episodes that may wait to be encoded before the game has to wait


class CaptureFolder:
    """Takes episodes in the order they were played; what its manifest lists is whole at any moment.

    Encoding and writing happen in one thread of their own; what goes wrong there is raised by the next call here.
    """

    def __init__(self, path: Path, manifest: DataManifest, shard_episodes: int) -> None:
        self.path = path
        self.manifest = manifest
        self.shared = 0
        """Frames left out because another split holds the same picture."""
        self._shard_episodes = shard_episodes
        self._open: dict[str, _OpenShard] = {}
        self._frames = {split: entry["frames"] for split, entry in manifest["splits"].items()}
        self._episodes = {split: entry["episodes"] for split, entry in manifest["splits"].items()}
        self._owner = _owners(path, manifest)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._jobs: deque[Future[None]] = deque()
        self._broken = False

    @property
    def frames(self) -> int:
        """Frames taken so far, those of earlier runs included."""
        return sum(self._frames.values())

    def next_split(self) -> str:
        """Return the split that lacks most of its share; training comes first, then the two that judge it."""
        return max(FRACTIONS, key=lambda split: FRACTIONS[split] * (self.frames + 1) - self._frames[split])

    def add(
        self,
        split: str,
        frames_THWC: NDArray[np.uint8],
        actions_T: NDArray[np.int64],
        times_T: NDArray[np.float64],
        meta: Mapping[str, Any],
        changes: Mapping[str, Any],
    ) -> int:
        """Take T+1 frames with their times in seconds and T actions; return how many frames were kept.

        ``changes`` enter the manifest together with the shard. Frames whose picture another split holds are cut out,
        and what remains becomes one or more episodes.
        """
        self.check()
        prints = [fingerprint(frame) for frame in frames_THWC]
        free = np.array([self._owner.get(print_, split) == split for print_ in prints])
        kept = 0
        for first, stop in _runs(free):
            if stop - first <= LEAST_ACTIONS:
                continue
            self._owner.update(dict.fromkeys(prints[first:stop], split))
            index = self._episodes[split]
            facts = {"time": times_T[first:stop] - times_T[first]}
            own = {"episode_id": f"{split}-{index:06d}", "split": split, "level_seed": SPLITS[split].start + index}
            episode = Episode(
                frames_THWC[first:stop], actions_T[first : stop - 1], facts, {**meta, **own, "events": {}}
            )
            self._jobs.append(self._thread.submit(self._write, episode, changes))
            self._episodes[split] += 1
            kept += stop - first
        self._frames[split] += kept
        self.shared += int((~free).sum())
        while len(self._jobs) > _AHEAD:
            self._jobs.popleft().result()
        return kept

    def check(self) -> None:
        """Raise what went wrong while writing, if anything did."""
        while self._jobs and self._jobs[0].done():
            self._jobs.popleft().result()

    def close(self, changes: Mapping[str, Any], complete: bool, title: str) -> None:
        """Write out what was taken, shards that are not full included, and the manifest with ``changes``."""
        try:
            while self._jobs:
                self._jobs.popleft().result()
            for split in list(self._open):
                self._thread.submit(self._finish_shard, split).result()
            coverage = merge(shard["coverage"] for shard in self.manifest["shards"])
            _guarded(self.path, write_atomic, self.path / COVERAGE_NAME, draw_coverage(coverage, title))
            self.manifest.update(changes)  # type: ignore[typeddict-item]
            self.manifest["complete"] = complete
            _guarded(self.path, write_manifest, self.path, self.manifest)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Drop shards that are not finished; those in the manifest stay."""
        self._thread.shutdown(cancel_futures=True)
        for shard in self._open.values():
            shard.writer.discard()
        self._open.clear()

    def _write(self, episode: Episode, changes: Mapping[str, Any]) -> None:
        if self._broken:  # episodes stay in order: none is written after one that was not
            return
        self._broken = True
        self._encode(episode, changes)
        self._broken = False

    def _encode(self, episode: Episode, changes: Mapping[str, Any]) -> None:
        split = episode.meta["split"]
        members, coverage = encode_episode(episode), episode_coverage(episode, {})
        if split not in self._open:
            number = sum(shard["split"] == split for shard in self.manifest["shards"])
            self._open[split] = _guarded(self.path, _OpenShard, self.path / f"{split}-{number:06d}.tar")
        shard = self._open[split]
        _guarded(self.path, shard.writer.write, episode.meta["episode_id"], members)
        shard.frames += len(episode.frames_THWC)
        shard.coverages.append(coverage)
        self.manifest.update(changes)  # type: ignore[typeddict-item]
        if len(shard.coverages) >= self._shard_episodes or shard.writer.bytes >= SHARD_BYTES:
            self._finish_shard(split)

    def _finish_shard(self, split: str) -> None:
        """Give a shard its name, then enter it into the manifest."""
        shard = self._open[split]
        file = _guarded(self.path, shard.writer.close)
        del self._open[split]
        entry = self.manifest["splits"][split]
        entry["episodes"] += len(shard.coverages)
        entry["frames"] += shard.frames
        self.manifest["shards"].append(
            {
                "file": shard.writer.path.name,
                "split": split,
                "sha256": file.sha256,
                "bytes": file.bytes,
                "episodes": len(shard.coverages),
                "frames": shard.frames,
                "coverage": merge(shard.coverages),
            }
        )
        self.manifest["coverage"] = summarise(merge(shard["coverage"] for shard in self.manifest["shards"]))
        _guarded(self.path, write_manifest, self.path, self.manifest)


class _OpenShard:
    """A shard that still takes episodes."""

    def __init__(self, path: Path) -> None:
        self.writer = ShardWriter(path)
        self.frames = 0
        self.coverages: list[dict[str, Any]] = []


def find_begun(path: Path, settings: Mapping[str, Any]) -> DataManifest | None:
    """Return the manifest of a folder that was begun with the same settings, or None where nothing is there yet.

    Raises ValueError where the folder holds something else or was begun with other settings.
    """
    if (path / MANIFEST_NAME).exists():
        found = read_manifest(path)
        theirs = {name: found["recording"].get(name) for name in settings}
        if other := [name for name in settings if theirs[name] != settings[name]]:
            was = ", ".join(f"{name} {theirs[name]!r} (now {settings[name]!r})" for name in other)
            raise ValueError(f"{path} was begun with {was}: use the same settings to go on, or another folder")
        return found
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not empty and not a data folder: choose another one")
    return None


def begin(path: Path, manifest: DataManifest) -> None:
    """Make the folder where it is new, and clear away what a kill left half written."""
    path.mkdir(parents=True, exist_ok=True)
    for leftover in path.glob(f"*{UNFINISHED}"):
        leftover.unlink()
    _guarded(path, write_manifest, path, manifest)


def _owners(path: Path, manifest: DataManifest) -> dict[int, str]:
    """Return which split holds each picture of a folder that is gone on with."""
    splits = {shard["split"] for shard in manifest["shards"]}
    episodes = ((split, episode) for split in sorted(splits) for episode in read_episodes(path, split))
    return {fingerprint(frame): split for split, episode in episodes for frame in episode.frames_THWC}


def _runs(free: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Return (first, stop) of every unbroken run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]]).astype(np.int8)))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def _guarded(path: Path, function: Any, *arguments: Any) -> Any:
    """Call what writes; where the disk is full, raise an OSError that says what to do."""
    try:
        return function(*arguments)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(f"the disk is full: make room, then run the same command to go on in {path}") from error
