"""The platformer many times over, for speed."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector.utils import batch_space

from worldlet.games.platformer.env import PlatformerEnv, checked_themes, draw, play, whole_number
from worldlet.games.platformer.rules import ACTION_NAMES, SCREEN, Game


class PlatformerVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Many levels side by side without the cost of `info`, which is always empty.

    Observations are uint8 (num_envs, 128, 128, 3), actions int (num_envs,), rewards float64 (num_envs,) as in
    `PlatformerEnv`. After `reset(seed=S)` environment i plays the level of seed S + i. Episodes never end.

    Raises:
        ValueError: on fewer than one environment or an unknown theme.
    """

    metadata = PlatformerEnv.metadata | {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int, themes: tuple[str, ...] | None = None):
        self.num_envs, self.themes = (whole_number(num_envs, "num_envs", 1), checked_themes(themes))
        self.single_observation_space = Box(0, 255, (SCREEN, SCREEN, 3), np.uint8)
        self.single_action_space = Discrete(len(ACTION_NAMES))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.games: list[Game] = []

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin `num_envs` levels; without a seed the environment's generator draws the first level's.

        Raises:
            ValueError: on a seed that is not one whole number from 0 up.
        """
        seed = None if seed is None else whole_number(seed, "seed", 0)
        super().reset(seed=seed)
        first = int(self.np_random.integers(2**31)) if seed is None else seed
        self.games = [Game(first + i, self.themes) for i in range(self.num_envs)]
        return self._frames(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one frame (1/30 s) in every level.

        Raises:
            ValueError: before the first reset, or unless there is an action from 0 to 7 for each environment.
        """
        if not self.games:
            raise ValueError("call reset before step")
        if len(actions) != self.num_envs:
            raise ValueError(f"got {len(actions)} actions for {self.num_envs} environments: give one for each")
        rewards = np.array([play(game, action) for game, action in zip(self.games, actions, strict=True)])
        never = np.zeros(self.num_envs, dtype=bool)
        return self._frames(), rewards, never, never.copy(), {}

    def _frames(self) -> np.ndarray:
        return np.stack([draw(game)[0] for game in self.games])
