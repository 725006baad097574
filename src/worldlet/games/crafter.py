"""Crafter as a Gymnasium environment: a world to survive in, seen from above; runs where `crafter` is installed.

The package takes its seed when an environment is made, and none at reset. Here one reset is one world, that of
its seed.
"""

import importlib
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from worldlet.games.calls import Caller


class Crafter(gymnasium.Env[np.ndarray, np.int64]):
    """Crafter at its native 64x64 picture; `options` are the package's own, such as length=10000.

    `info` holds the package's ground truth (inventory, achievements, player_pos, semantic map).
    """

    def __init__(self, **options: Any) -> None:
        self._make = importlib.import_module("crafter").Env
        self._options = options
        self._game = Caller(self._make(seed=0, **options))
        height, width = self._game.env.observation_space.shape[:2]
        self.observation_space = Box(0, 255, (height, width, 3), np.uint8)
        self.action_space = Discrete(int(self._game.env.action_space.n))
        self.metadata = {"render_modes": [], "render_fps": 10, "action_names": tuple(self._game.env.action_names)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the world of `seed`."""
        super().reset(seed=seed)
        world = int(self.np_random.integers(2**31 - 1)) if seed is None else int(seed)
        self._game = Caller(self._make(seed=world, **self._options))
        frame, info = self._game.reset(world)
        return frame, {**info, "level_seed": world}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Do one thing in the world."""
        return self._game.step(int(action))
