"""The one way to open a game: `make`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


def make(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Open a game by its id: one of ours, any of Gymnasium's, or a known one such as procgen/coinrun.

    Raises ValueError where it is unknown, not installed, or refuses its options.
    """
    if env_id.startswith("procgen/"):
        from worldlet.games.remote.client import RemoteGame
        from worldlet.games.remote.setup import environment_python

        return RemoteGame(environment_python("procgen"), env_id, options)
    return make_here(env_id, options)


def make_here(env_id: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Open a game in this process."""
    if env_id.startswith("procgen/"):
        from worldlet.games.procgen import Procgen

        return Procgen(env_id.removeprefix("procgen/"), **options)
    import worldlet.games  # noqa: F401 (registers the package's own games)

    try:
        env = gymnasium.make(env_id, disable_env_checker=True, **options)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"the game {env_id!r} cannot be made: {error}") from error
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3:
        raise ValueError(
            f"{env_id} must show uint8 frames of shape (H, W, 3), not {space}: wrap it to render its screen"
        )
    if space.shape[2] != 3:
        raise ValueError(f"{env_id} must show RGB frames of shape (H, W, 3), not {space.shape}")
    if not isinstance(env.action_space, gymnasium.spaces.Discrete) or env.action_space.start != 0:
        raise ValueError(f"{env_id} must have Discrete actions from 0 up, not {env.action_space}")
    return env
