"""A dreamed world as a Gymnasium environment: what plays the real game plays the dream.

``gymnasium.make("worldlet/Dream-v0", world="platformer")`` works once this module has been imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.engine.engine import Engine, load
from worldlet.engine.session import Session
from worldlet.manifest import suggestion

ENV_ID = "worldlet/Dream-v0"
RESET_OPTIONS = ("prompt", "theme")


class DreamEnv(gymnasium.Env[NDArray[np.uint8], int]):
    """One dreamed session after another: ``Box(uint8, (H, W, 3))`` frames, one discrete action a frame.

    ``world`` is an engine, or what ``worldlet.load`` takes. An episode never terminates and gives no reward: nobody
    keeps score in a dream. ``reset(seed=S)`` opens the session of seed S; its ``options`` are ``prompt`` and ``theme``.
    ``info`` holds ``frame_index``, ``theme``, ``caption`` and ``start`` (how the start was chosen).
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, world: Engine | str | Path = "platformer", render_mode: str | None = None) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode is 'rgb_array' or None, not {render_mode!r}")
        self.engine = world if isinstance(world, Engine) else load(world)
        self.render_mode = render_mode
        manifest = self.engine.manifest
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": manifest.fps,
            "action_names": manifest.action_names,
            "key_bindings": manifest.key_bindings,
            "themes": self.engine.themes,
        }
        self.observation_space = gymnasium.spaces.Box(0, 255, (*manifest.frame_size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(manifest.action_names))  # type: ignore[assignment]
        self.session: Session | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Open a new session and return its first frame; without a seed, the environment's generator draws one."""
        super().reset(seed=seed)
        options = options or {}
        for name in options:
            if name not in RESET_OPTIONS:
                raise ValueError(f"no reset option is named {name!r}{suggestion(str(name), RESET_OPTIONS)}")
        if seed is None:
            seed = int(self.np_random.integers(2**32))
        self.session = self.engine.open(seed=seed, prompt=options.get("prompt"), theme=options.get("theme"))
        return self.session.frame.copy(), self._info(self.session)

    def step(self, action: int) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Do one action and return the next frame."""
        session = self._opened()
        result = session.step(action)
        return result.frame.copy(), 0.0, False, False, self._info(session)

    def render(self) -> NDArray[np.uint8] | None:
        """Return the present frame, uint8 (H, W, 3), in ``rgb_array`` mode."""
        return self._opened().frame.copy() if self.render_mode == "rgb_array" else None

    def _opened(self) -> Session:
        if self.session is None:
            raise ValueError("call reset() before step() or render()")
        return self.session

    @staticmethod
    def _info(session: Session) -> dict[str, Any]:
        start = session.start
        return {
            "frame_index": session.index,
            "theme": start.theme,
            "caption": start.caption,
            "start": start.chosen,
        }


def register() -> None:
    """Make the environment known to ``gymnasium.make``; calling it again changes nothing."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, entry_point="worldlet.engine.dream_env:DreamEnv")


register()
