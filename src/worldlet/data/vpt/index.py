"""Index files of the VPT data: ``{"basedir": URL, "relpaths": [...]}``, one path a segment of up to five minutes.

A path reads ``<recorder-version>/<contractor-alias>-<session-id>-<date>-<time>``. Segments of one session follow each
other in time and show the same world, so a session never crosses the splits.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldlet.data.record import SPLITS

VIDEO, LOG = ".mp4", ".jsonl"
"""What a segment's files end in; ``-options.json`` and ``.zip`` (a saved world) lie beside them and are not used."""
_STAMP = re.compile(r"-\d{8}-\d{6}$")
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Segment:
    """One relative path of an index, such as ``8.0/cheeky-cornflower-setter-74ae6c2eae2e-20220315-122354``."""

    path: str

    def __post_init__(self) -> None:
        parts = self.path.split("/")
        if not self.path or any(part in ("", ".", "..") for part in parts) or "\\" in self.path or ":" in self.path:
            raise ValueError(f"the index names {self.path!r}, which is no relative path: check the index file")

    @property
    def version(self) -> str:
        """The recorder's version, such as ``8.0``; empty where the path has none."""
        return self.path.split("/")[-2] if "/" in self.path else ""

    @property
    def session(self) -> str:
        """Contractor and session, without date and time: what the splits go by."""
        return _STAMP.sub("", self.path.rsplit("/", 1)[-1])

    def level_seed(self, val_fraction: float, test_fraction: float) -> int:
        """Return a seed from the range of the session's split, a pure function of the session's name."""
        digest = hashlib.sha256(self.session.encode()).digest()
        draw, number = int.from_bytes(digest[:8]) / 2**64, int.from_bytes(digest[8:16])
        split = "test" if draw < test_fraction else "val" if draw < test_fraction + val_fraction else "train"
        return SPLITS[split][number % len(SPLITS[split])]


@dataclass(frozen=True)
class Index:
    """Where segments lie: a URL or a folder, always ending in a slash, and their paths below it."""

    basedir: str
    segments: tuple[Segment, ...]

    @property
    def remote(self) -> bool:
        """Whether the segments have to be downloaded."""
        return _is_url(self.basedir)

    def choose(self, count: int, seed: int) -> tuple[Segment, ...]:
        """Return ``count`` segments drawn by ``seed``, in the index's order; all of them for 0."""
        if not 0 < count < len(self.segments):
            return self.segments
        chosen = np.random.default_rng(seed).permutation(len(self.segments))[:count]
        return tuple(self.segments[index] for index in sorted(chosen.tolist()))


def read_index(source: str) -> Index:
    """Read an index file, given by path or URL, or list a folder that holds ``.mp4`` and ``.jsonl`` pairs.

    Raises ValueError where there is none, or it is none.
    """
    if Path(source).is_dir():
        return _list_folder(Path(source))
    try:
        if _is_url(source):
            with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as answer:
                text = answer.read()
        else:
            text = Path(source).read_bytes()
    except OSError as error:
        raise ValueError(
            f"the index {source} cannot be read ({error}): give an index file, its URL or a folder"
        ) from error
    try:
        values = json.loads(text)
        basedir, paths = values["basedir"], values["relpaths"]
        if not isinstance(basedir, str) or not all(isinstance(path, str) for path in paths) or not paths:
            raise ValueError("basedir is a text and relpaths a list of texts")
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{source} is no VPT index of basedir and relpaths ({error}): download it again") from error
    # Some lists name the video itself; a segment is what its files have in common.
    names = dict.fromkeys(path.removesuffix(VIDEO) for path in paths)
    return Index(basedir.rstrip("/") + "/", tuple(Segment(name) for name in names))


def _list_folder(folder: Path) -> Index:
    videos = sorted(folder.rglob(f"*{VIDEO}"))
    names = [
        video.relative_to(folder).as_posix().removesuffix(VIDEO) for video in videos if video.with_suffix(LOG).is_file()
    ]
    if not names:
        raise ValueError(f"{folder} holds no pair of {VIDEO} and {LOG}: give the folder the VPT files lie in")
    return Index(f"{folder}/", tuple(Segment(name) for name in names))


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))
