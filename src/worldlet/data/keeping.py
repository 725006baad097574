"""What of a play goes into a data folder, and that only one recording writes there at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldlet.data.codec import decode_episode, encode_episode
from worldlet.data.coverage import episode_coverage
from worldlet.data.duplicates import cut, fingerprints, unseen_spans
from worldlet.data.episodes import Sample
from worldlet.data.shards import DataManifest, read_episodes

MOST_BARREN = 200
"""So many plays in a row that give nothing to keep end a recording."""


class Keeper:
    """Decides what of a play is kept: nothing of a crash, and no frame whose fingerprint is in ``seen``."""

    def __init__(self, env_id: str, folder: Path, skip_crashes: bool, seen: set[int] | None) -> None:
        self._env_id, self._folder, self._skip_crashes, self._seen = env_id, folder, skip_crashes, seen
        self._barren = 0

    def kept(self, sample: Sample) -> list[Sample]:
        """Return the samples to write of one that was played; ValueError where it ends the recording."""
        if sample.failure and not self._skip_crashes:
            raise ValueError(
                f"{sample.failure}. What is in {self._folder} is intact: the same command goes on from there, "
                "and with --skip_crashes without the episodes that crash"
            )
        kept = [] if sample.failure else self._unseen(sample)
        self._barren = 0 if kept else self._barren + 1
        if self._barren == MOST_BARREN:
            raise ValueError(
                sample.failure
                or f"{MOST_BARREN} plays of {self._env_id} in a row showed nothing that the other splits do not hold: "
                "record fewer frames, let other players play, or hold out by level alone with --held_out levels"
            )
        return kept

    def _unseen(self, sample: Sample) -> list[Sample]:
        if not self._seen or sample.prints_T is None:
            return [sample]
        spans = unseen_spans(sample.prints_T, self._seen)
        if spans == [(0, sample.frames)]:
            return [sample]
        episodes = cut(decode_episode(sample.members), spans)
        return [
            Sample(e.meta["episode_id"], encode_episode(e), len(e.frames_THWC), episode_coverage(e, {}))
            for e in episodes
        ]


def prints_of_others(folder: Path, manifest: DataManifest, split: str) -> set[int]:
    """Return the fingerprints of all frames that the other splits hold."""
    filled = [name for name, entry in manifest["splits"].items() if name != split and entry["frames"]]
    episodes = (episode for name in filled for episode in read_episodes(folder, name))
    return {int(value) for episode in episodes for value in fingerprints(episode.frames_THWC)}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second recording out of the folder; the system gives the lock back however this process ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sentence = f"another recording is writing to {folder}: wait for it, or choose another folder"
            raise ValueError(sentence) from None
        yield
    finally:
        os.close(handle)
