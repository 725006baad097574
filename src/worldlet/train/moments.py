"""Frames and actions in memory, looked at as moments: one action and the frames around it.

Letters: F frames of the whole table, M moments, W frames of a window, B batch, A actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.shards import read_episodes, read_manifest
from worldlet.dynamics.inverse import InverseConfig, resize, window_rows
from worldlet.records import Clip, Episode

Play = Episode | Clip
HELD_OUT = 6
"""Where a data set has no splits, one episode in so many tunes the judge's sureness and one reports."""


@dataclass(frozen=True, eq=False)
class MomentTable:
    """Frames uint8 (F, H, W, 3), one play after another; moment m does ``actions_M[m]`` at frame ``at_M[m]``.

    ``first_M`` and ``last_M`` are the rows of the first and last frame of its play.
    """

    frames_FHWC: NDArray[np.uint8]
    at_M: NDArray[np.int64]
    actions_M: NDArray[np.int64]
    first_M: NDArray[np.int64]
    last_M: NDArray[np.int64]

    @classmethod
    def build(cls, plays: Iterable[Play], size: tuple[int, int]) -> MomentTable:
        """Put plays into a table at the working size; ValueError where there is no action at all."""
        frames, columns, begin = [], list[NDArray[np.int64]](), 0
        for play in plays:
            count = len(play.actions_T)
            frames.append(resize(play.frames_THWC, size))
            at = begin + np.arange(count)
            columns.append(np.stack([at, play.actions_T, np.full(count, begin), np.full(count, begin + count)]))
            begin += count + 1
        if not columns or not any(column.size for column in columns):
            raise ValueError("there is no moment to learn from: record or label at least one action")
        at_M, actions_M, first_M, last_M = np.concatenate(columns, axis=1)
        return cls(np.concatenate(frames), at_M, actions_M, first_M, last_M)

    def __len__(self) -> int:
        """Return the number of moments M."""
        return len(self.at_M)

    def windows(self, moments_B: NDArray[np.int64], config: InverseConfig) -> NDArray[np.uint8]:
        """Return the windows uint8 (B, W, H, W, 3) of some moments."""
        rows = window_rows(self.at_M[moments_B], self.first_M[moments_B], self.last_M[moments_B], config)
        windows: NDArray[np.uint8] = self.frames_FHWC[rows]
        return windows

    def draw(self, step: int, batch_size: int, seed: int, weights_A: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return moments (B,) of the batch of ``step``, an action ``weights_A[a]`` times as likely as recorded."""
        cumulative = np.cumsum(weights_A[self.actions_M])
        draws = np.random.default_rng([seed, step, 11]).random(batch_size) * cumulative[-1]
        return np.minimum(np.searchsorted(cumulative, draws, side="right"), len(self) - 1)

    def spread(self, count: int) -> NDArray[np.int64]:
        """Return up to ``count`` moments, evenly spread over the table."""
        return np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))


@dataclass(frozen=True)
class LabelledPlays:
    """Plays to learn from, plays to tune the judge's sureness on, and plays that only report."""

    train: list[Play]
    calibrate: list[Play]
    report: list[Play]
    manifest: dict[str, Any]


def read_labelled(folder: str | Path, max_frames: int) -> LabelledPlays:
    """Read a labelled data set, up to ``max_frames`` frames to learn from and a third of that for each of the others.

    Its own val and test splits tune and report. Where it has only one of them that one is halved, and where it has
    neither, whole episodes are taken from train, or ends of episodes where there are too few. ValueError where the
    folder cannot be read or holds too little.
    """
    manifest = dict(read_manifest(folder))
    limits = {"train": max_frames, "val": max_frames // 3, "test": max_frames // 3}
    train, val, test = (_read(folder, manifest, split, limit) for split, limit in limits.items())
    if not train and (val or test):
        train, val, test = val + test, [], []
    if not val and not test:
        train, val, test = _hold_out(train)
    elif not (val and test):
        val, test = _halves(val or test)
    if not (train and val and test):
        raise ValueError(f"{folder} holds too little: it takes at least some 60 labelled frames to train and to judge")
    return LabelledPlays(train, val, test, manifest)


def _read(folder: str | Path, manifest: dict[str, Any], split: str, max_frames: int) -> list[Play]:
    plays: list[Play] = []
    if not manifest["splits"].get(split, {}).get("episodes"):
        return plays
    left = max_frames
    for episode in read_episodes(folder, split):
        if left < 2:
            break
        if len(episode):
            count = min(len(episode), left - 1)
            # A copy where it is cut, so that the rest can be forgotten; facts are not needed.
            frames = episode.frames_THWC if count == len(episode) else episode.frames_THWC[: count + 1].copy()
            plays.append(Episode(frames, episode.actions_T[:count], {}, episode.meta))
            left -= count + 1
    return plays


def _hold_out(plays: Sequence[Play]) -> tuple[list[Play], list[Play], list[Play]]:
    if len(plays) >= HELD_OUT:
        parts: tuple[list[Play], list[Play], list[Play]] = ([], [], [])
        for index, play in enumerate(plays):
            parts[{HELD_OUT - 2: 1, HELD_OUT - 1: 2}.get(index % HELD_OUT, 0)].append(play)
        return parts
    long = [play for play in plays if len(play) >= 20]
    cuts = [(play, len(play) * 7 // 10, len(play) * 17 // 20) for play in long]
    return (
        [_cut(play, 0, early) for play, early, _ in cuts],
        [_cut(play, early, late) for play, early, late in cuts],
        [_cut(play, late, len(play)) for play, _, late in cuts],
    )


def _halves(plays: Sequence[Play]) -> tuple[list[Play], list[Play]]:
    if len(plays) > 1:
        return list(plays[0::2]), list(plays[1::2])
    half = len(plays[0]) // 2
    if not half:
        return list(plays), []
    return [_cut(plays[0], 0, half)], [_cut(plays[0], half, len(plays[0]))]


def _cut(play: Play, start: int, end: int) -> Clip:
    frames = slice(start, end + 1)
    return Clip(play.frames_THWC[frames], play.actions_T[start:end], {}, dict(play.meta))
