"""Any environment as what Worldlet calls a game: RGB frames of one size, actions 0 to n-1 with names and keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from worldlet.games.actions import Actions, key_bindings
from worldlet.games.calls import Caller
from worldlet.games.picture import Resizer, choose_size, image_key, rgb, white_of, white_of_space

_MASKS = ("hero_mask", "moving_mask")


class AdaptedGame(gymnasium.Env[np.ndarray, np.int64]):
    """The environment that ``opener`` opens, as a game: `Box(uint8, (H, W, 3))`, `Discrete(n)`, names in `metadata`.

    ``opener(drawn)`` opens it, with ``render_mode="rgb_array"`` where ``drawn``, which is asked for only if its
    observations hold no picture. Every action is held for ``frame_skip`` of its frames, of which the last is shown
    (with ``flicker`` the brighter of the last two, pixel by pixel, because old consoles draw half of the things in
    every other frame). ``size`` is what `picture.choose_size` takes. ``reset`` opens a new environment unless
    ``fresh`` says that the environment's own leaves nothing over from the episode before.

    Raises ValueError where it draws nothing, or its actions cannot be flattened.
    """

    def __init__(
        self,
        opener: Callable[[bool], Any],
        name: str,
        *,
        frame_skip: int = 1,
        size: str = "",
        fps: float = 0.0,
        flicker: bool = False,
        fresh: bool = False,
        levels: bool | None = None,
        action_names: Sequence[str] = (),
    ) -> None:
        if frame_skip < 1:
            raise ValueError(f"frame_skip is {frame_skip}: it must be at least 1")
        self._opener, self._name, self._skip, self._flicker, self._fresh = opener, name, frame_skip, flicker, fresh
        self._drawn, self._used = False, False
        self._white: float | None = None
        self._open(self._drawn)
        self._key = image_key(getattr(self._env, "observation_space", None))
        if self._key is None:
            self._reopen_drawn()
        else:
            self._white = white_of_space(self._env.observation_space, self._key)
        try:
            self._actions = Actions(self._env, action_names)
            native = self._native_size()
            self._resize = Resizer(native, choose_size(native, size))
            self.observation_space = Box(0, 255, (*choose_size(native, size), 3), np.uint8)
            self._resized = self.observation_space.shape[:2] != native
        except ValueError as error:
            self.close()
            raise ValueError(f"{name}: {error}") from None
        self.action_space = Discrete(self._actions.count)
        self.metadata = self._metadata(fps, levels)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the level of ``seed``, or without one a level that the generator draws."""
        super().reset(seed=seed)
        level = int(self.np_random.integers(2**31 - 1)) if seed is None else int(seed)
        if self._used and not self._fresh:
            self.close()
            self._open(self._drawn)
        self._used = True
        observation, info = self._caller.reset(level)
        return self._resize(self._picture(observation)), self._facts(info)

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold one action for ``frame_skip`` frames of the game, or until it ends; rewards are added up."""
        native = self._actions.native(int(action))
        total, before = 0.0, None
        for left in reversed(range(self._skip)):
            observation, reward, terminated, truncated, info = self._caller.step(native)
            total += reward
            if terminated or truncated or left == 0:
                break
            before = self._picture(observation) if self._flicker and left == 1 else None
        frame = self._picture(observation)
        if before is not None:
            frame = np.maximum(frame, before)
        return self._resize(frame), total, terminated, truncated, self._facts(info)

    def close(self) -> None:
        """Close the environment."""
        if hasattr(self._env, "close"):
            self._env.close()

    def _open(self, drawn: bool) -> None:
        self._env = self._opener(drawn)
        self._caller = Caller(self._env)

    def _reopen_drawn(self) -> None:
        metadata = getattr(self._env, "metadata", None) or {}
        modes = metadata.get("render_modes") or metadata.get("render.modes") or ()
        space = getattr(self._env, "observation_space", None)
        self.close()
        if "rgb_array" not in modes:
            raise ValueError(f"{self._name} shows no pictures: its observations are {space} and it draws no rgb_array")
        self._drawn = True
        self._open(self._drawn)

    def _native_size(self) -> tuple[int, int]:
        # A drawn picture's size is known once it is drawn; a declared one by the space.
        if not self._drawn:
            space = self._env.observation_space
            space = space[self._key] if self._key else space
            height, width = rgb(np.zeros(space.shape, space.dtype)).shape[:2]
        else:
            self._used = True
            height, width = self._picture(self._caller.reset(0)[0]).shape[:2]
        return height, width

    def _picture(self, observation: Any) -> np.ndarray:
        picture = self._caller.render() if self._drawn else observation[self._key] if self._key else observation
        if self._white is None:  # the first frame that is not all black tells, and the others have to agree
            self._white = white_of(picture)
        return rgb(picture, self._white)

    def _facts(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return the game's own info, without masks that no longer fit the frame."""
        return {key: value for key, value in info.items() if not (self._resized and key in _MASKS)}

    def _metadata(self, fps: float, levels: bool | None) -> dict[str, Any]:
        own = getattr(self._env, "metadata", None) or {}
        fps = fps or float(own.get("render_fps") or own.get("video.frames_per_second") or 30)
        metadata = {
            "render_modes": [],
            "render_fps": fps / self._skip,
            "action_names": self._actions.names,
            "key_bindings": key_bindings(self._env, self._actions),
            "fresh_reset": True,
            "levels": levels,
        }
        kept = ("action_weights", "themes")
        return metadata | {key: own[key] for key in kept if key in own}
