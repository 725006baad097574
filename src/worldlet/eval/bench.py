"""What every part of the suite measures with: the engine, the gold suite, the game's reader, sizes and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.gold import CONTEXT, Gold
from worldlet.eval.reading import GameReader
from worldlet.eval.real import Play, Playable
from worldlet.eval.recorded import RecordedSuite
from worldlet.eval.visual import Networks
from worldlet.manifest import WorldManifest

if TYPE_CHECKING:
    from worldlet.dynamics.inverse import InverseDynamics


class Dream(Playable, Protocol):
    """What the measures need of a dreamed session."""

    def snapshot(self) -> bytes:
        """Return the whole state of the session."""


class Backend(Protocol):
    """What the measures need of an engine's backend: the tokenizer's two directions."""

    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the tokens (B, N) of frames."""

    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the frames (B, H, W, 3) of tokens."""


class Dreamer(Protocol):
    """What the measures need of an engine."""

    @property
    def manifest(self) -> WorldManifest:
        """The world's manifest."""

    @property
    def backend(self) -> Any:
        """The `Backend` that runs the world's graphs."""

    def open(
        self,
        *,
        frames: NDArray[np.uint8] | None = None,
        actions: Sequence[int | str] | None = None,
        seed: int = 0,
    ) -> Any:
        """Open a `Dream` that has seen ``frames`` (K, H, W, 3) and the K-1 ``actions`` between them."""


@dataclass(frozen=True)
class Size:
    """How much is measured: entries of each gold list, and frames.

    ``stride``: one pair of frames in so many is reconstructed. ``drift_frames``: how long the closed loop runs.
    ``long_session``: the frame of one session whose step time is compared with that of frame 100; 0 for none.
    ``forced``: how many of the rollouts are answered teacher-forced as well. ``horizon``: how many runs of the closed
    loop go on for ``horizon_frames``. ``memory``: how many outings there are, of up to ``memory_frames`` each.
    """

    name: str
    plays: int
    stride: int
    rollouts: int
    control: int
    drift: int
    drift_frames: int
    speed_frames: int
    long_session: int
    long: int = 0
    forced: int = 0
    horizon: int = 0
    horizon_frames: int = 0
    memory: int = 0
    memory_frames: int = 0


QUICK = Size("quick", 12, 10, 24, 24, 8, 300, 300, 0, forced=8, memory=6, memory_frames=128)
FULL = Size(
    "full", 48, 5, 96, 96, 20, 900, 1000, 10_000, long=24, forced=96, horizon=2, horizon_frames=18_000, memory=24,
    memory_frames=512,
)  # fmt: skip
BATCH = 16
"""Frames that are encoded or decoded at once."""


@dataclass(frozen=True)
class Bench:
    """One world on the bench.

    ``gold`` and ``reader`` are None for games that have none; ``world`` is the folder of the world where there is one;
    ``tick(n)`` reports n more units of work done (a step of a dream, a frame encoded or read); ``networks`` judge what
    looks alike, ``judge`` (for recorded suites) which action lies between two frames. ``keep(name, make)`` returns what
    ``make()`` does, a JSON object, or what an interrupted run has left of it.
    """

    engine: Dreamer
    gold: Gold | RecordedSuite | None
    reader: GameReader | None
    size: Size
    pictures: Path
    world: Path | None
    tick: Callable[[int], None]
    networks: Networks = field(default_factory=Networks)
    judge: InverseDynamics | None = None
    keep: Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]] = lambda name, make: make()

    @property
    def suite(self) -> Gold | RecordedSuite:
        """The gold suite, where the part asked for it."""
        assert self.gold is not None
        return self.gold

    @property
    def eyes(self) -> GameReader:
        """The game's reader, where the part asked for it."""
        assert self.reader is not None
        return self.reader

    def dream(self, real: Play, start: int, seed: int) -> Dream:
        """Open a dream that has seen the last frames of a real play up to ``start``."""
        first = start - CONTEXT + 1
        assert first >= 0, "a gold start lies too early for its context"
        frames_KHWC = real.frames_THWC[first : start + 1]
        dream: Dream = self.engine.open(frames=frames_KHWC, actions=real.actions[first:start], seed=seed)
        return dream

    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the tokens (B, N) of any number of frames."""
        parts = [self.engine.backend.encode(part_BHWC) for part_BHWC in _batches(frames_BHWC)]
        return np.concatenate(parts)

    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the frames (B, H, W, 3) of any number of token grids."""
        return np.concatenate([self.engine.backend.decode(part_BN) for part_BN in _batches(tokens_BN)])


def figure(value: float | int | None, n: int, **beside: Any) -> dict[str, Any]:
    """Return the one shape that every figure of a card has: a value, how many it rests on, and what stands beside.

    ``eval.intervals`` makes figures with ``interval`` and ``units`` beside the value, wherever runs can be drawn anew.
    """
    return {"value": _rounded(value), "n": int(n), **{name: _rounded(other) for name, other in beside.items()}}


def _rounded(value: Any) -> Any:
    return round(float(value), 6) if isinstance(value, (float, np.floating)) else value


def _batches(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
