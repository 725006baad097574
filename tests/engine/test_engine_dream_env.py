import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from tiny_world import ACTIONS

from worldlet.engine.dream_env import DreamEnv


def test_gymnasiums_own_checker_is_silent(world):
    check_env(gymnasium.make("worldlet/Dream-v0", world=str(world), render_mode="rgb_array").unwrapped)


def test_metadata(engine):
    env = DreamEnv(engine)
    assert env.metadata["action_names"] == ACTIONS and env.metadata["render_fps"] == 30
    assert env.action_space.n == len(ACTIONS) and env.observation_space.shape == (16, 24, 3)


def test_it_is_the_session_of_that_seed(engine):
    env, session = DreamEnv(engine, render_mode="rgb_array"), engine.open(seed=5, theme="grass")
    frame, info = env.reset(seed=5, options={"theme": "grass"})
    assert np.array_equal(frame, session.frame)
    assert info["theme"] == "grass" and info["frame_index"] == 0 and "grass" in info["start"]
    for action in (3, 3, 7):
        frame, reward, terminated, truncated, info = env.step(action)
        assert np.array_equal(frame, session.step(action).frame) and np.array_equal(frame, env.render())
        assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["frame_index"] == 3


def test_unseeded_resets_differ_and_repeat(engine):
    env = DreamEnv(engine)
    env.reset(seed=1)
    seeds = []
    for _ in range(3):
        env.reset()
        seeds.append(env.session.seed)
    env.reset(seed=1)
    env.reset()
    assert len(set(seeds)) == 3 and env.session.seed == seeds[0]


def test_mistakes(engine):
    env = DreamEnv(engine)
    with pytest.raises(ValueError, match="reset"):
        env.step(0)
    with pytest.raises(ValueError, match="did you mean 'theme'"):
        env.reset(options={"thema": "snow"})
    with pytest.raises(ValueError, match="rgb_array"):
        DreamEnv(engine, render_mode="human")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="out of range"):
        env.step(8)
