"""Procgen's sixteen games, CoinRun among them, as Gymnasium environments; runs where `procgen-mirror` is installed.

The package speaks an API of its own (gym3), draws levels at random and shows the next level's first frame where a game
ends. Here one reset is one level, that of its seed, and a game that ends says that its last frame was never drawn.
"""

import importlib
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from worldlet.games.catalog import PROCGEN_NAMES
from worldlet.manifest import suggestion

ACTION_NAMES = (
    "left_down", "left", "left_up", "down", "noop", "up", "right_down", "right", "right_up",
    "fire_d", "fire_a", "fire_w", "fire_s", "fire_q", "fire_e",
)  # fmt: skip
"""Procgen's fifteen actions in its own order: directions, then the keys D A W S Q E, which some games shoot with."""
_KEYS = {
    "left": ["KeyA", "ArrowLeft"], "right": ["KeyD", "ArrowRight"], "up": ["KeyW", "ArrowUp"],
    "down": ["KeyS", "ArrowDown"],
}  # fmt: skip
_FIRE = {"fire_d": "KeyJ", "fire_a": "KeyG", "fire_w": "KeyU", "fire_s": "KeyK", "fire_q": "KeyY", "fire_e": "KeyI"}
_RIGHTWARDS = {"right_up": 5.0, "right": 5.0, "right_down": 1.0, "left": 1.0, "left_up": 1.0, "up": 1.0}
"""How often a random player of a side-scroller should do what; all else 0.3."""
_SIDE_SCROLLERS = ("coinrun",)
_ONE_BUTTON = ("bossfight", "caveflyer", "dodgeball", "fruitbot", "plunder")
_ALL_BUTTONS = ("ninja", "starpilot")
"""Games in which the key D does something, or all six do; in the others none does (tried on twelve levels each)."""


class Procgen(gymnasium.Env[np.ndarray, np.int64]):
    """One Procgen game at its native 64x64 picture; `options` are the package's own, such as use_backgrounds=False.

    `reset(seed=S)` makes the level of seed S, bit-exact per seed and action list, and says S in its info. Where the
    game ends, `step` repeats the frame before and sets `info["frame_missing"]`, because none was drawn.

    Raises:
        ImportError: where the package is not installed.
        ValueError: on a name that is not Procgen's or an option that it does not know.
    """

    def __init__(self, name: str, **options: Any) -> None:
        procgen = importlib.import_module("procgen")

        if name not in PROCGEN_NAMES:
            known = ", ".join(PROCGEN_NAMES)
            raise ValueError(
                f"there is no Procgen game {name!r}{suggestion(name, PROCGEN_NAMES)}: the games are {known}"
            )
        self._make, self._name, self._options = procgen.ProcgenGym3Env, name, options
        self._game: Any = None
        self.observation_space = Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = Discrete(len(ACTION_NAMES))
        self.metadata = {
            "render_modes": [],
            "render_fps": 15,
            "action_names": ACTION_NAMES,
            "key_bindings": _key_bindings(),
            "action_weights": _weights(name),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the level of `seed`, or without one a level that the environment's generator draws."""
        super().reset(seed=seed)
        level = int(self.np_random.integers(2**31 - 1)) if seed is None else int(seed)
        self.close()
        # A game of its own for every level: whatever one keeps past its end cannot reach the next.
        try:
            self._game = self._make(
                num=1, env_name=self._name, num_levels=1, start_level=level, rand_seed=0, num_threads=0, **self._options
            )
        except (TypeError, AssertionError) as error:
            raise ValueError(f"Procgen refuses these options: {error}") from None
        self._frame = self._observe()[1]
        return self._frame, {"level_seed": level}

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one frame (1/15 s)."""
        if self._game is None:
            raise ValueError("call reset before step")
        self._game.act(np.array([action]))
        reward, frame, ended = self._observe()
        if ended:
            return self._frame, reward, True, False, {"frame_missing": True}
        self._frame = frame
        return frame, reward, False, False, {}

    def close(self) -> None:
        """Free the level that is open."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _observe(self) -> Any:
        reward, observation, first = self._game.observe()
        return float(reward[0]), observation["rgb"][0].copy(), bool(first[0])


def _weights(name: str) -> list[float]:
    """Return how often a random player should do what; what does nothing seldom, for a model has to learn that too."""
    if name in _SIDE_SCROLLERS:
        return [_RIGHTWARDS.get(action, 0.3) for action in ACTION_NAMES]
    buttons = tuple(_FIRE) if name in _ALL_BUTTONS else ("fire_d",) if name in _ONE_BUTTON else ()
    return [0.1 if action in _FIRE and action not in buttons else 1.0 for action in ACTION_NAMES]


def _key_bindings() -> dict[str, list[list[str]]]:
    bindings: dict[str, list[list[str]]] = {}
    for name in ACTION_NAMES:
        if name in _FIRE:
            bindings[name] = [[_FIRE[name]]]
        elif name == "noop":
            bindings[name] = [[]]
        else:
            bindings[name] = [list(keys) for keys in zip(*(_KEYS[part] for part in name.split("_")), strict=True)]
    bindings["up"].append(["Space"])
    return bindings
