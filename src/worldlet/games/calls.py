"""One way to call environments of every age: `reset` and `step` of old Gym packages answer as Gymnasium's do.

Old packages return the observation alone from `reset`, four values from `step`, take no seed in `reset`, and draw with
`render("rgb_array")`. Which calls an environment takes is read from its signatures, never tried.
"""

from __future__ import annotations

import inspect
import random
from typing import Any

import numpy as np


class Caller:
    """Calls one environment; it need not be a `gymnasium.Env`, only have `reset` and `step`."""

    def __init__(self, env: Any) -> None:
        self.env = env
        self._takes_seed = takes(env.reset, "seed")
        self._draws_by_mode = getattr(env, "render_mode", None) is None and takes(getattr(env, "render", None), "mode")

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """Begin the level of `seed`; return its observation and info."""
        if self._takes_seed:
            answer = self.env.reset(seed=seed)
        else:
            self._sow(seed)
            answer = self.env.reset()
        if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict):
            return answer
        return answer, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Do one action; return observation, reward, terminated, truncated and info."""
        answer = self.env.step(action)
        if len(answer) == 5:
            observation, reward, terminated, truncated, info = answer
        else:
            observation, reward, done, info = answer
            truncated = bool(done) and bool(info.get("TimeLimit.truncated"))
            terminated = bool(done) and not truncated
        return observation, float(reward), bool(terminated), bool(truncated), info

    def render(self) -> Any:
        """Return the picture as the environment draws it."""
        return self.env.render(mode="rgb_array") if self._draws_by_mode else self.env.render()

    def _sow(self, seed: int) -> None:
        """Seed an environment that takes no seed in `reset`: by its own method, and the generators it may share."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        if hasattr(self.env, "seed") and callable(self.env.seed):
            self.env.seed(seed)


def takes(function: Any, name: str) -> bool:
    """Return whether a function or class takes an argument of this name."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
