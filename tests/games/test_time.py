"""frames[t], then actions[t], then frames[t+1]: an action shows in the next frame and in no earlier one."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.games.playing import mixed_play
from worldlet.games import PlatformerEnv
from worldlet.games.platformer.rules import ACTION_NAMES, NOOP


def frames_under(env: PlatformerEnv, actions: list[int]) -> list[np.ndarray]:
    fork = copy.deepcopy(env)
    return [fork.step(action)[0] for action in actions]


@pytest.mark.parametrize("action", [a for a in range(len(ACTION_NAMES)) if a != NOOP], ids=lambda a: ACTION_NAMES[a])
def test_an_action_shows_in_the_next_frame(action: int) -> None:
    env = PlatformerEnv()
    env.reset(seed=2)
    for _ in range(6):
        env.step(3)
    env.step(NOOP)
    (still,), (moved,) = frames_under(env, [NOOP]), frames_under(env, [action])
    assert (still != moved).any()


def test_all_eight_actions_look_different() -> None:
    env = PlatformerEnv()
    env.reset(seed=2)
    env.step(3)
    env.step(NOOP)
    shown = {frames_under(env, [action, action])[1].tobytes() for action in range(len(ACTION_NAMES))}
    assert len(shown) == len(ACTION_NAMES)


def test_no_action_shows_in_an_earlier_frame() -> None:
    """Two action lists that part at some step give the same frames up to it, and part right after it."""
    env = PlatformerEnv()
    env.reset(seed=5)
    shared = [3, 3, 7, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    one, other = frames_under(env, [*shared, 3, 3]), frames_under(env, [*shared, 2, 2])
    same = [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]
    assert same == [True] * len(shared) + [False, False]


def test_info_and_events_belong_to_the_frame_they_come_with() -> None:
    last_y, jumps = None, 0
    for moment in mixed_play(1, 200):
        x, y = moment.info["hero_screen"]
        if last_y is not None and "jump" in moment.info["events"]:
            assert y < last_y
            jumps += 1
        if moment.info["hero_pose"] not in ("dead",):
            ys, xs = np.nonzero(moment.info["hero_mask"])
            assert x - 8 <= xs.min() and xs.max() < x + 20
            assert y <= ys.min() and ys.max() == min(y + 15, 127)
        last_y = y
    assert jumps > 3
