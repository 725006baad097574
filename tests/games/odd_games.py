"""Tiny environments, each odd in one way that real packages are odd in."""

import os
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

SIZE = (16, 24)


class Shows(gymnasium.Env):
    """Red is the level seed, green the time, blue the last action's number of a kind."""

    metadata = {"render_modes": [], "render_fps": 24}
    action_space = Discrete(3)
    observation_space = Box(0, 255, (*SIZE, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeded, self.time, self.told = seed, 0, 0
        return self.show(), {"lives": 3, "place": np.array([1.5, 2]), "what": object()}

    def step(self, action):
        self.time += 1
        self.told = int(np.ravel(action) @ 10 ** np.arange(np.size(action)))
        return self.show(), 0.5, self.time >= 40, False, {"lives": 2}

    def show(self):
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[...] = self.seeded % 256, self.time % 256, self.told % 256
        return frame


class Offset(Shows):
    action_space = Discrete(3, start=5)

    def get_action_meanings(self):
        return ["NOOP", "UPRIGHTFIRE", "LEFT"]

    def get_keys_to_action(self):
        return {(ord("a"),): 7, (ord("w"), ord("d"), ord(" ")): 6}


class Parts(Shows):
    action_space = MultiDiscrete([2, 3], start=[0, 1])


class Buttons(Shows):
    action_space = MultiBinary(3)
    metadata = {**Shows.metadata, "button_names": ("LEFT", "RIGHT", "A")}


class Continuous(Shows):
    action_space = Box(-1, 1, (2,), np.float32)


class Crowded(Shows):
    action_space = MultiBinary(12)


class InDict(Shows):
    observation_space = Dict({"compass": Box(0, 1, (2,)), "screen": Box(0, 255, (*SIZE, 1), np.uint8)})

    def show(self):
        return {"compass": np.zeros(2), "screen": super().show()[..., :1]}


class Drawn(Shows):
    """Observations without a picture; twice as high as wide where it is drawn, and in colours that averaging keeps."""

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 50}
    observation_space = Box(-1, 1, (4,), np.float32)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def show(self):
        return np.zeros(4, np.float32)

    def render(self):
        assert self.render_mode == "rgb_array"
        frame = np.zeros((420, 320, 3), np.uint8)
        frame[...] = self.seeded % 256, self.time, 7
        return frame


class Flickering(Shows):
    """Its left half is lit in even frames only."""

    def show(self):
        frame = np.full((*SIZE, 3), 10, np.uint8)
        frame[:, :12] = 200 if self.time % 2 == 0 else 0
        return frame


class Leaky:
    """An old package's class: no seed at reset, four values from step, drawn by mode, a count that outlives reset."""

    metadata = {"render.modes": ["rgb_array"], "video.frames_per_second": 12}
    observation_space = Box(0, 1, (3,), np.float32)
    action_space = Discrete(2)
    action_names = ("Stay", "Move Right")

    def __init__(self):
        self.plays = 0

    def seed(self, seed):
        self.level = seed

    def reset(self):
        self.plays += 1
        self.time, self.noise = 0, int(np.random.randint(256))
        return np.zeros(3)

    def step(self, action):
        self.time += 1
        return np.zeros(3), 1.0, self.time == 5, {"TimeLimit.truncated": self.level == 9}

    def render(self, mode="human"):
        assert mode == "rgb_array"
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[...] = self.level % 256, self.plays, self.noise
        return frame


class Fragile(Shows):
    """Fails in the level seeds of `levels`, at the third step: by an error, by dying, or by hanging."""

    def __init__(self, how="raise", levels=(2,)):
        self.how, self.levels = how, tuple(levels)

    def step(self, action):
        if self.time == 2 and self.seeded in self.levels:
            if self.how == "die":
                print("out of lives")
                os._exit(3)
            if self.how == "hang":
                time.sleep(60)
            raise RuntimeError("the floor gave way")
        return super().step(action)


class Slow(Shows):
    """Takes its time."""

    def step(self, action):
        time.sleep(0.15)
        return super().step(action)


class OneStart(Shows):
    """An arcade game: every play begins with the same screens, and differs only by what is done from then on."""

    action_space = Discrete(4)

    def reset(self, *, seed=None, options=None):
        frame, info = super().reset(seed=seed)
        self.path = 0
        return frame, info

    def step(self, action):
        if self.time >= 6:
            self.path = (
                self.path * 6364136223846793005 + (int(action) + 1) * 1442695040888963407 + self.seeded
            ) % 2**61
        return super().step(action)

    def show(self):
        frame = np.zeros((*SIZE, 3), np.uint8)
        frame[...] = (self.time * 8) % 256
        frame[:4] = np.frombuffer(np.int64(getattr(self, "path", 0)).tobytes(), np.uint8).repeat(36).reshape(4, 24, 3)
        return frame
