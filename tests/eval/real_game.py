"""The real game as a dream: an engine whose sessions are the real game, so that every measure must be perfect.

Faults are planted through ``RealGame(wrap=...)``, which puts something between a session and the one who plays it.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from worldlet.eval import freeze
from worldlet.eval.bench import Size
from worldlet.eval.gold import CONTEXT, Gold
from worldlet.eval.real import RealSession
from worldlet.games.platformer.env import KEY_BINDINGS
from worldlet.games.platformer.rules import ACTION_NAMES
from worldlet.manifest import ParameterCounts, StateSpec, WorldManifest
from worldlet.records import StepResult

TINY = Size("tiny", 2, 20, 2, 2, 1, 90, 5, 0, forced=1, memory=1, memory_frames=16)
MANIFEST = WorldManifest(
    "real", "The real game", "worldlet/Platformer-v0", (128, 128), (16, 16), 30, ACTION_NAMES,
    KEY_BINDINGS, 512, 1, (StateSpec("s", (1,), "float16"),), ParameterCounts(1, 1), {}, "MIT",
)  # fmt: skip


def tiny_gold() -> Gold:
    """Return a tiny suite made like the frozen one."""
    return Gold(
        freeze.ENV_ID,
        plays=tuple(freeze.play_entry(1, i, 60, 0, freeze.MISCHIEF) for i in range(TINY.plays)),
        rollouts=tuple(freeze.rollout_entry(i) for i in range(TINY.rollouts)),
        control=tuple(freeze.control_entry(i) for i in range(TINY.control)),
        drift=tuple(freeze.play_entry(4, i, 30, 30, freeze.RUNNING) for i in range(TINY.drift)),
    )


class PatchTokens:
    """A tokenizer without loss: every different 8x8 patch is a token of its own."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._patches: list[np.ndarray] = []
        self._lock = threading.Lock()

    def encode(self, frames_BHWC: np.ndarray) -> np.ndarray:
        batch = len(frames_BHWC)
        grid = frames_BHWC.reshape(batch, 16, 8, 16, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 3)
        with self._lock:
            return np.array([self._id(patch) for patch in grid], dtype=np.int64).reshape(batch, 256)

    def decode(self, tokens_BN: np.ndarray) -> np.ndarray:
        grid = np.stack([self._patches[token] for token in tokens_BN.ravel()]).reshape(-1, 16, 16, 8, 8, 3)
        return np.ascontiguousarray(grid.transpose(0, 1, 3, 2, 4, 5)).reshape(-1, 128, 128, 3)

    def _id(self, patch: np.ndarray) -> int:
        key = patch.tobytes()
        if key not in self._ids:
            self._ids[key] = len(self._patches)
            self._patches.append(patch.copy())
        return self._ids[key]


class RealDream:
    """A real game that passes for a dream; ``fault`` changes what is done and what is seen."""

    def __init__(self, session: RealSession, fault: Fault) -> None:
        self._session = session
        self._fault = fault
        self.frame = session.frame

    def step(self, action: int) -> StepResult:
        done = self._fault.action(int(action))
        self._session.step(done)
        self.frame = self._fault.frame(self._session)
        return StepResult(self.frame)

    def fork(self) -> RealDream:
        return copy.deepcopy(self)

    def snapshot(self) -> bytes:
        return b"x" * 1000


class Fault:
    """No fault at all; subclasses plant one."""

    def action(self, action: int) -> int:
        return action

    def frame(self, session: RealSession) -> np.ndarray:
        return session.frame


class RealGame:
    """An engine that knows the gold suite's histories and opens the real game where they end."""

    manifest = MANIFEST

    def __init__(self, gold: Gold, fault: Callable[[], Fault] = Fault, backend: Any = None) -> None:
        self.backend = backend or PatchTokens()
        self._fault = fault
        self._known: dict[str, RealSession] = {}
        for entry in (*gold.rollouts, *gold.control, *gold.drift):
            session = RealSession(gold.env_id, entry.level_seed)
            frames = [session.frame]
            frames += [session.step(action).frame for action in entry.actions[: entry.start]]
            self._known[_digest(np.stack(frames[-CONTEXT:]))] = copy.deepcopy(session)
            for action in entry.actions[entry.start :]:  # rollouts are entered later as well
                frames.append(session.step(action).frame)
                self._known[_digest(np.stack(frames[-CONTEXT:]))] = copy.deepcopy(session)

    def open(self, *, frames: np.ndarray | None = None, actions: Any = None, seed: int = 0) -> RealDream:
        if frames is None:
            return RealDream(RealSession(MANIFEST.env_id, 1), self._fault())
        assert len(frames) == CONTEXT and len(actions) == CONTEXT - 1
        return RealDream(copy.deepcopy(self._known[_digest(frames)]), self._fault())


def _digest(frames: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()
