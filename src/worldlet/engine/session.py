"""One player's run of a world: the present moment, the past it can go back to, and how it moves on."""

from __future__ import annotations

import time
from collections import deque

import numpy as np
from numpy.typing import NDArray

from worldlet.engine import snapshots
from worldlet.engine.backends.base import Backend
from worldlet.engine.history import History
from worldlet.engine.moment import Moment, SessionData, SessionStart
from worldlet.engine.noise import check_seed, frame_noise
from worldlet.manifest import WorldManifest
from worldlet.records import StepResult

REWIND_SECONDS = 60
TIMED_STEPS = 30


class Session:
    """One player's run of a world; ``Engine.open`` makes it. Not to be used from two threads at once.

    The same seed and actions give the same frames, byte for byte, on the same backend, device and precision.
    """

    def __init__(self, backend: Backend, manifest: WorldManifest, data: SessionData) -> None:
        self.manifest = manifest
        self.backend = backend
        self._resume(data)

    def _resume(self, data: SessionData) -> None:
        self.seed: int = data.seed
        self.start: SessionStart = data.start
        self._prompt_D = data.prompt_D
        self._moment = data.moment
        self._history = History(data.moment, horizon=REWIND_SECONDS * self.manifest.fps)
        self._step_seconds: deque[float] = deque(maxlen=TIMED_STEPS)

    @property
    def index(self) -> int:
        """The number of steps from the starting frame, which has index 0, to the present one."""
        return self._moment.index

    @property
    def frame(self) -> NDArray[np.uint8]:
        """The present frame, uint8 (H, W, 3), not writable."""
        return self._moment.frame

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The tokens of the present frame, int64 (N,), row by row, not writable."""
        return self._moment.tokens_N

    @property
    def rewindable(self) -> int:
        """How many frames ``rewind`` can go back now."""
        return self.index - self._history.oldest

    @property
    def history_size(self) -> tuple[int, int]:
        """How many keyframes and how many steps are kept for ``rewind``."""
        return self._history.size

    def step(self, action: int | str) -> StepResult:
        """Do an action (number or name) at the present frame and return the frame that follows it.

        Metrics: ``frame_index``, ``step_ms`` (this step) and ``fps`` (what the last steps would allow).
        """
        number = self.manifest.action_index(action)
        began = time.perf_counter()
        self._moment = self._after(self._moment, number, self.seed)
        self._step_seconds.append(time.perf_counter() - began)
        self._history.add(self._moment, (number, self.seed))
        return StepResult(
            self.frame,
            {
                "frame_index": self.index,
                "step_ms": round(1000 * self._step_seconds[-1], 3),
                "fps": round(len(self._step_seconds) / sum(self._step_seconds), 1),
            },
        )

    def rewind(self, frames: int) -> StepResult:
        """Go back ``frames`` frames, at most ``rewindable``, and return the frame found there.

        The last keyframe before it is played on with the same actions and noise, so the frames are the same.
        """
        if isinstance(frames, bool) or not hasattr(frames, "__index__") or frames < 0:
            raise ValueError(f"rewind takes a number of frames of at least 0, not {frames!r}")
        if frames > self.rewindable:
            raise ValueError(f"cannot go back {frames} frames: this session can go back at most {self.rewindable}")
        moment, steps = self._history.route(self.index - frames)
        for action, seed in steps:
            moment = self._after(moment, action, seed)
        self._history.cut(moment.index)
        self._moment = moment
        return StepResult(self.frame, {"frame_index": self.index})

    def fork(self, seed: int | None = None) -> Session:
        """Return a second session at the same moment; with another ``seed`` its luck differs from here on."""
        twin = Session(self.backend, self.manifest, self._data())
        twin._history = self._history.copy()
        if seed is not None:
            twin.seed = check_seed(seed)
        return twin

    def snapshot(self) -> bytes:
        """Return everything the future of this session depends on, as bytes that ``restore`` reads."""
        return snapshots.pack(self.manifest, self._data())

    def restore(self, snapshot: bytes) -> None:
        """Become the session that was saved; what came before it can no longer be rewound to.

        Raises SnapshotError, and stays as it was, where the bytes are damaged or from another world.
        """
        self._resume(snapshots.unpack(self.manifest, snapshot))

    def _data(self) -> SessionData:
        return SessionData(self.seed, self._moment, self._prompt_D, self.start)

    def _after(self, moment: Moment, action: int, seed: int) -> Moment:
        """Compute the moment that follows when ``action`` is done at ``moment``."""
        result = self.backend.step(
            {name: tensor[None] for name, tensor in moment.state.items()},
            moment.tokens_N[None],
            np.array([action], np.int64),
            self._prompt_D[None],
            frame_noise(seed, moment.index + 1, self.manifest.tokens)[None],
        )
        state = {name: tensor[0] for name, tensor in result.state.items()}
        return Moment(moment.index + 1, result.tokens_BN[0], result.frames_BHWC[0], state)
