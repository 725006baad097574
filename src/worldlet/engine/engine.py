"""A loaded world: it opens sessions, restores them, and steps several at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldlet.engine import snapshots
from worldlet.engine.backends.base import Backend
from worldlet.engine.bundle import Bundle, open_bundle
from worldlet.engine.moment import SessionData, SessionStart
from worldlet.engine.noise import check_seed
from worldlet.engine.opening import check_opening, pick_start, warm_up
from worldlet.engine.session import Session
from worldlet.manifest import WorldManifest, suggestion
from worldlet.records import StepResult

BACKENDS = ("onnx", "torch")


def load(world: str | Path, device: str = "auto", backend: str = "onnx", threads: int = 2) -> Engine:
    """Load a world by shipped name, world folder or RUN folder, after checking all of its files.

    ``device`` is ``auto``, ``cpu`` or ``cuda``; ``backend`` is ``onnx``, or ``torch`` for comparison (it needs the
    training extra); ``threads`` is the number of CPU threads of one step. Raises WorldError or ValueError.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"backend is one of {', '.join(BACKENDS)}, not {backend!r}{suggestion(str(backend), BACKENDS)}"
        )
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    bundle = open_bundle(world)
    return Engine(bundle, _make_backend(backend, bundle, device, threads))


def _make_backend(name: str, bundle: Bundle, device: str, threads: int) -> Backend:
    if name == "torch":
        return _make_torch_backend(bundle, device, threads)
    from worldlet.engine.backends.onnx import OnnxBackend

    return OnnxBackend(bundle.folder, bundle.manifest, device, threads)


def _make_torch_backend(bundle: Bundle, device: str, threads: int) -> Backend:
    try:
        from worldlet.engine.backends.torch import TorchBackend
        from worldlet.world import WorldModel
    except ImportError as error:
        raise ValueError("the torch backend needs the training extra: pip install 'worldlet[train]'") from error
    return TorchBackend(WorldModel.load(bundle.folder), device, threads)


class Engine:
    """A loaded world. Sessions of one engine share its networks and nothing else."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._bundle = bundle
        self.backend = backend
        self._session: Session | None = None

    @property
    def manifest(self) -> WorldManifest:
        """What the world is."""
        return self._bundle.manifest

    @property
    def folder(self) -> Path:
        """The world folder."""
        return self._bundle.folder

    @property
    def device(self) -> str:
        """Where the networks run: ``cpu`` or ``cuda``."""
        return self.backend.device

    @property
    def themes(self) -> tuple[str, ...]:
        """The themes among which the starts can be picked, sorted; none where a game has none."""
        return tuple(sorted({start.theme for start in self._bundle.starts} - {""}))

    def open(
        self,
        prompt: str | None = None,
        frames: NDArray[np.uint8] | None = None,
        actions: Sequence[int | str] | None = None,
        seed: int = 0,
        theme: str | None = None,
    ) -> Session:
        """Open a session: at one of the world's starts, or at the last of the given ``frames``.

        ``frames`` is uint8 (H, W, 3) or (K, H, W, 3) with the K-1 ``actions`` done between them. Otherwise ``prompt``
        picks the start whose caption shares most words (of ``theme``, if given), and ``seed`` decides between equals.
        ``session.start`` says how the start was chosen. Raises ValueError.
        """
        seed = check_seed(seed)
        if frames is not None:
            if prompt is not None or theme is not None:
                raise ValueError("a session starts from frames, or from a prompt or theme: give one of the two")
            context, between = check_opening(self.manifest, frames, actions)
            start = SessionStart(None, None, None, f"from {len(context)} given frames")
        elif actions is not None:
            raise ValueError("actions at the opening are those between given frames: give frames too")
        else:
            chosen, start = pick_start(self._bundle.starts, prompt, theme, seed)
            context, between = self._bundle.start_frames(chosen), list(chosen.actions)
        # No prompt encoder yet: every session runs with the zero vector that training used.
        prompt_D = np.zeros(self.manifest.prompt_width, np.float32)
        moment = warm_up(self.backend, self.manifest, context, between, prompt_D)
        return Session(self.backend, self.manifest, SessionData(seed, moment, prompt_D, start))

    def restore(self, snapshot: bytes) -> Session:
        """Open a session from what ``session.snapshot()`` returned; raises SnapshotError."""
        return Session(self.backend, self.manifest, snapshots.unpack(self.manifest, snapshot))

    def step_many(self, sessions: Sequence[Session], actions: Sequence[int | str]) -> list[StepResult]:
        """Step several sessions of this engine, each with its action: the same bytes as stepping each alone.

        They are computed one after the other. On a CPU one batch took as long as its parts, and no kernel promises
        the same bits for every batch size. Where any action is wrong (ValueError), no session moves.
        """
        numbers = self._check_group(sessions, actions)
        return [session.step(number) for session, number in zip(sessions, numbers, strict=True)]

    def generate_interactive(self, prompt: str | None = None, seed: int = 0) -> NDArray[np.uint8]:
        """Open the engine's own session and return its first frame; ``step`` moves it on."""
        self._session = self.open(prompt=prompt, seed=seed)
        return self._session.frame

    def step(self, action: int | str) -> tuple[NDArray[np.uint8], dict[str, float | int | str]]:
        """Step the session that ``generate_interactive`` opened and return its frame and metrics."""
        if self._session is None:
            raise ValueError("no session is open: call generate_interactive(prompt) before step(action)")
        result = self._session.step(action)
        return result.frame, result.metrics

    def _check_group(self, sessions: Sequence[Session], actions: Sequence[int | str]) -> list[int]:
        """Refuse the whole group before any session has moved."""
        if len(sessions) != len(actions):
            raise ValueError(f"{len(sessions)} sessions need as many actions, not {len(actions)}")
        if len({id(session) for session in sessions}) != len(sessions):
            raise ValueError("a session can be stepped once at a time: it is in the group twice")
        if any(session.backend is not self.backend for session in sessions):
            raise ValueError("step_many takes sessions of this engine only")
        return [self.manifest.action_index(action) for action in actions]
