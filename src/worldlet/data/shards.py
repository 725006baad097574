"""A data set folder: webdataset tar shards and the manifest that says what is in them.

A shard appears under its final name only when it is whole, and the manifest is replaced only after that, so whatever
the manifest lists can be trusted after a kill at any moment.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NotRequired, TypedDict, cast

from worldlet.data.codec import FRAME_MEMBERS, decode_episode
from worldlet.manifest import FileEntry, hash_file, suggestion, write_atomic
from worldlet.records import Episode

FORMAT = 1
MANIFEST_NAME = "manifest.json"
UNFINISHED = ".tmp"
"""Suffix of a shard that is still being written."""
_ADVICE = "delete the folder and record it again"


class ShardEntry(TypedDict):
    """One finished shard: its file, what it holds, and the hash that a reader checks.

    ``encoding`` is how its frames are kept, see ``shard_encoding``; shards of earlier versions do not say. ``source``
    names the recording that a shard holds, where a shard holds just one.
    """

    file: str
    split: str
    sha256: str
    bytes: int
    episodes: int
    frames: int
    coverage: dict[str, Any]
    encoding: NotRequired[str]
    source: NotRequired[str]


class SplitEntry(TypedDict):
    """What one split holds so far, and the half-open range [first, end) that its level seeds come from."""

    level_seeds: list[int]
    episodes: int
    frames: int


class DataManifest(TypedDict):
    """``manifest.json``: the game's facts, how it was recorded, and every finished shard in order."""

    format: int
    env_id: str
    options: dict[str, Any]
    frame_size: list[int]
    fps: float
    action_names: list[str]
    key_bindings: dict[str, Any]
    seed: int
    recording: dict[str, Any]
    complete: bool
    splits: dict[str, SplitEntry]
    coverage: dict[str, Any]
    shards: list[ShardEntry]


class ShardWriter:
    """Writes one tar shard of webdataset samples under a temporary name, and renames it when it is whole.

    The bytes depend on the samples alone: no times, no owners.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.bytes = 0
        self._unfinished = self.path.with_name(self.path.name + UNFINISHED)
        self._file: BinaryIO = open(self._unfinished, "wb")  # noqa: SIM115
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def write(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add one sample, its members sorted by extension."""
        for extension, data in sorted(members.items()):
            entry = tarfile.TarInfo(f"{key}.{extension}")
            entry.size = len(data)
            self._tar.addfile(entry, io.BytesIO(data))
            self.bytes += len(data)

    def close(self) -> FileEntry:
        """Finish the shard: flush it to the disk, give it its name, return its hash and size."""
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        entry = hash_file(self._unfinished)
        os.replace(self._unfinished, self.path)
        return entry

    def discard(self) -> None:
        """Drop the unfinished shard."""
        self._file.close()
        self._unfinished.unlink(missing_ok=True)


def write_manifest(folder: Path | str, manifest: DataManifest) -> None:
    """Replace the manifest in one step; shards that do not say yet how their frames are encoded are looked at."""
    for shard in manifest["shards"]:
        path = Path(folder) / shard["file"]
        if "encoding" not in shard and path.is_file():
            shard["encoding"] = shard_encoding(path)
    write_atomic(Path(folder) / MANIFEST_NAME, json.dumps(manifest, indent=1).encode())


def shard_encoding(path: Path) -> str:
    """Return how the frames of a shard are encoded: ``zstd``, ``h264`` or ``xz``, joined by + where several occur."""
    with tarfile.open(path, "r:") as tar:
        extensions = {name.partition(".")[2] for name in tar.getnames()}
    return "+".join(sorted(name for name, member in FRAME_MEMBERS.items() if member in extensions))


def read_manifest(folder: Path | str) -> DataManifest:
    """Return the manifest of a data folder; ValueError where there is none, or it is damaged or of another version."""
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        raise ValueError(f"{folder} holds no {MANIFEST_NAME}: record a data set there first with 'worldlet record'")
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): record the data set again") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f"{path} is not a data manifest of format {FORMAT}: record the data set again")
    missing = sorted(DataManifest.__required_keys__ - values.keys())
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: record the data set again")
    return cast(DataManifest, values)


def read_episodes(folder: Path | str, split: str) -> Iterator[Episode]:
    """Yield the episodes of a split in the order they were recorded.

    Raises ValueError at once for an unknown or empty split, and on the way for a missing or damaged shard, whose file
    it names.
    """
    shards = shards_of(folder, read_manifest(folder), split)
    return (episode for shard in shards for episode in _read_shard(Path(folder), shard))


def shards_of(folder: Path | str, manifest: DataManifest, split: str) -> list[ShardEntry]:
    """Return the shards of a split in order; ValueError where the split is unknown or still empty."""
    if split not in manifest["splits"]:
        known = manifest["splits"]
        raise ValueError(f"unknown split {split!r}{suggestion(split, known)}: {folder} has {', '.join(known)}")
    shards = [shard for shard in manifest["shards"] if shard["split"] == split]
    if not shards:
        raise ValueError(f"the split {split!r} of {folder} is still empty: let 'worldlet record' finish")
    return shards


def data_mark(folder: Path | str, split: str | None = None) -> str:
    """Return a hash of a split's shards, or of all of them, which changes when anything is recorded anew or added.

    ValueError where the folder or the split cannot be read.
    """
    manifest = read_manifest(folder)
    shards = manifest["shards"] if split is None else shards_of(folder, manifest, split)
    return hashlib.sha256("".join(shard["sha256"] for shard in shards).encode()).hexdigest()[:12]


def check_shard(folder: Path, shard: ShardEntry) -> Path:
    """Return the path of a shard; ValueError names the file that is missing or not what the manifest says."""
    path = folder / shard["file"]
    if path.parent != folder or not path.is_file():
        raise ValueError(f"the shard {path} is missing: {_ADVICE}")
    if hash_file(path).sha256 != shard["sha256"]:
        raise ValueError(f"the shard {path} is damaged (its SHA-256 is not the manifest's): {_ADVICE}")
    return path


def _read_shard(folder: Path, shard: ShardEntry) -> Iterator[Episode]:
    path = check_shard(folder, shard)
    for key, members in read_samples(path):
        try:
            episode = decode_episode(members)
        except ValueError as error:
            raise ValueError(f"the sample {key!r} of the shard {path} is damaged ({error}): {_ADVICE}") from error
        yield episode


def read_samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield (key, members by extension) of a tar whose samples lie together, as webdataset wants them."""
    key, members = "", dict[str, bytes]()
    with tarfile.open(path, "r:") as tar:
        for entry in tar:
            file = tar.extractfile(entry)
            if file is None:
                continue
            stem, _, extension = entry.name.partition(".")
            if members and stem != key:
                yield key, members
                members = {}
            key = stem
            members[extension] = file.read()
    if members:
        yield key, members
