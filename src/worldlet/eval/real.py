"""The real game behind the words of a dreamed session, and real plays with their ground truth."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldlet.games import make
from worldlet.records import StepResult


class Playable(Protocol):
    """What every measure needs of a game, dreamed or real: a frame (uint8 HWC), a step, a copy."""

    @property
    def frame(self) -> NDArray[np.uint8]:
        """The frame that the player sees now."""

    def step(self, action: int) -> StepResult:
        """Do one action and return the next frame."""

    def fork(self) -> Playable:
        """Return a copy that goes on by itself."""


class RealSession:
    """A real game as a session: ``frame``, ``step``, ``fork``; ``info`` and ``env`` hold the truth about ``frame``."""

    def __init__(self, env_id: str, level_seed: int) -> None:
        self.env = open_game(env_id)
        self.frame, self.info = self.env.reset(seed=level_seed)

    def step(self, action: int) -> StepResult:
        """Do one action in the real game."""
        self.frame, _, _, _, self.info = self.env.step(action)
        return StepResult(self.frame)

    def fork(self) -> RealSession:
        """Return a copy of the whole game that goes on by itself."""
        return copy.deepcopy(self)


@dataclass(frozen=True, eq=False)
class Play:
    """A real play: frames uint8 (T+1, H, W, 3), its T actions, and the truth about each frame.

    ``hero_mask_THW`` bool; ``camera_x`` int (T+1,), world pixels; ``events`` of the step to frame t.
    """

    level_seed: int
    frames_THWC: NDArray[np.uint8]
    actions: tuple[int, ...]
    hero_mask_THW: NDArray[np.bool_]
    camera_x: NDArray[np.int64]
    events: tuple[tuple[str, ...], ...]
    theme: str

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits over all pixels: two plays with the same one look the same."""
        return hashlib.sha256(self.frames_THWC.tobytes()).hexdigest()[:16]


def idle_action(action_names: Sequence[str]) -> int:
    """Return the action that does nothing: ``noop`` where a game has one, else its first."""
    return list(action_names).index("noop") if "noop" in action_names else 0


def open_game(env_id: str) -> Any:
    """Open a game as `worldlet.games.make` does, without wrappers, since the copies of a game must be cheap."""
    return make(env_id).unwrapped


def replay(env_id: str, level_seed: int, actions: Sequence[int]) -> Play:
    """Play an action list in the level of a seed and keep frames and truth."""
    session = RealSession(env_id, level_seed)
    frames, infos = [session.frame], [session.info]
    for action in actions:
        frames.append(session.step(action).frame)
        infos.append(session.info)
    return Play(
        level_seed=level_seed,
        frames_THWC=np.stack(frames),
        actions=tuple(int(action) for action in actions),
        hero_mask_THW=np.stack([info["hero_mask"] for info in infos]).astype(bool),
        camera_x=np.array([int(info["camera"][0]) for info in infos]),
        events=tuple(tuple(info["events"]) for info in infos),
        theme=str(infos[-1]["theme"]),
    )
