"""A tiny real game for the tiny world: 16x24 frames in which every action counts; it can end, and knows no truth."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

FRAME = (16, 24, 3)
ACTIONS = 8


class TinyGame(gymnasium.Env[Any, Any]):
    """A stripe whose place follows from the seed and all actions. ``ends_after`` actions the level is over."""

    def __init__(
        self,
        ends_after: int | None = None,
        themes: tuple[str, ...] = (),
        theme: str | None = None,
        draws_end: bool = True,
    ) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, FRAME, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(ACTIONS)
        self.metadata = {"render_fps": 30, "render_modes": [], **({"themes": themes} if themes else {})}
        self.theme = theme
        self.closed = False
        self.taken: list[int] = []
        self.level_seed: int | None = None
        self._ends_after = ends_after
        self._draws_end = draws_end
        self._frame = np.zeros(FRAME, np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.level_seed, self.taken = seed, []
        return self._show(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        ended = len(self.taken) == self._ends_after
        if ended and not self._draws_end:
            return self._frame, 0.0, True, False, {"frame_missing": True}
        return self._show(), 0.0, ended, False, {}

    def close(self) -> None:
        self.closed = True

    def _show(self) -> np.ndarray:
        # One array for all frames: who keeps a frame must copy it.
        self._frame[:] = 40
        place = ((self.level_seed or 0) + sum(3 * action + 1 for action in self.taken)) % FRAME[1]
        self._frame[:, place] = 250
        return self._frame
