"""A Gymnasium game for the recorder's tests: each frame tells which action led to it, and when.

Red is the last action plus one (0 after reset), green the time, blue the level seed, all modulo 256.
``FAKE_DELAY`` (seconds a step) slows it down, so that a test can kill a recording half-way.
"""

import os
import time

import gymnasium
import numpy as np


class FakeGame(gymnasium.Env):
    metadata = {
        "render_modes": [],
        "render_fps": 20,
        "action_names": ("left", "right", "jump"),
        "key_bindings": {"left": [["KeyA"]]},
    }

    def __init__(self, height=16, width=24, length=10_000, facts=True):
        self.observation_space = gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(3)
        self._frame = np.zeros((height, width, 3), np.uint8)  # one buffer for all frames, as many games have
        self._length, self._facts = length, facts

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._seed, self._time = seed, 0
        self._noise = self.np_random.integers(0, 256, self._frame.shape, dtype=np.uint8)
        return self._draw(0), self._info()

    def step(self, action):
        time.sleep(float(os.environ.get("FAKE_DELAY", 0)))
        self._time += 1
        return self._draw(action + 1), 0.0, self._time >= self._length, False, self._info()

    def _draw(self, red):
        self._frame[:] = np.roll(self._noise, self._time, axis=1)
        self._frame[0, 0] = red, self._time % 256, self._seed % 256
        return self._frame

    def _info(self):
        if not self._facts:
            return {"lives": 3, "coins": "many", "events": 7}
        masks = np.zeros((2, *self._frame.shape[:2]), np.bool_)
        masks[:, self._time % len(self._frame), 0] = True
        masks[1, 0, 1] = True
        position = np.array([self._time, 7], np.int32)
        return {
            "hero_position": position, "hero_facing": 1, "contacts": np.array([True, False, False, True]),
            "hero_mask": masks[0], "moving_mask": masks[1], "deaths": self._time // 10, "coins": 2, "theme": "grass",
            "caption": "a fake", "distance": 5 * self._time, "events": ("jump",) if self._time % 4 == 3 else (),
        }  # fmt: skip


class NoPicture(gymnasium.Env):
    metadata = {"render_modes": []}
    observation_space = gymnasium.spaces.Box(0, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)


gymnasium.register("Fake-v0", entry_point=FakeGame)
gymnasium.register("NoPicture-v0", entry_point=NoPicture)
