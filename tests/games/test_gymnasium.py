"""The platformer keeps Gymnasium's contract, alone and in numbers, and says what is wrong with a wrong argument."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from tests.games.playing import mixed_play
from worldlet.games import PlatformerEnv, PlatformerVectorEnv, register

ID = "worldlet/Platformer-v0"


@pytest.mark.parametrize("options", [{}, {"scale": 2}, {"scale": 3, "themes": ("cave", "lava")}], ids=str)
def test_check_env_has_no_complaint(options: dict[str, Any]) -> None:
    env = gymnasium.make(ID, render_mode="rgb_array", **options)
    check_env(env.unwrapped)


def test_registering_again_changes_nothing() -> None:
    spec = gymnasium.spec(ID)
    register()
    assert gymnasium.spec(ID) is spec


def test_spaces_and_metadata_are_as_the_contract_says() -> None:
    env = gymnasium.make(ID)
    assert env.observation_space == gymnasium.spaces.Box(0, 255, (128, 128, 3), np.uint8)
    assert env.action_space == gymnasium.spaces.Discrete(8)
    assert env.metadata["render_fps"] == 30
    names = ("up", "down", "left", "right", "noop", "action", "left_up", "right_up")
    assert env.metadata["action_names"] == names
    assert set(env.metadata["key_bindings"]) == set(names)
    assert env.metadata["themes"] == ("grass", "desert", "snow", "cave", "night", "lava")


def test_every_key_combination_means_one_action() -> None:
    combinations = [
        frozenset(keys) for bindings in PlatformerEnv.metadata["key_bindings"].values() for keys in bindings
    ]
    assert len(combinations) == len(set(combinations))


@pytest.mark.parametrize("scale", [2, 5])
def test_scale_repeats_pixels_and_changes_nothing_else(scale: int) -> None:
    for small, large in zip(mixed_play(3, 20), mixed_play(3, 20, scale=scale), strict=True):
        assert np.array_equal(small.frame, large.frame[::scale, ::scale])
        assert np.array_equal(large.frame, small.frame.repeat(scale, 0).repeat(scale, 1))
        assert np.array_equal(large.info["hero_mask"], small.info["hero_mask"].repeat(scale, 0).repeat(scale, 1))
        assert small.info["hero_screen"].tolist() == large.info["hero_screen"].tolist()


def test_same_seed_and_actions_give_the_same_bits_and_other_seeds_do_not() -> None:
    def frames(seed: int) -> np.ndarray:
        env = PlatformerEnv(themes=("grass",))
        actions = np.random.default_rng(0).integers(8, size=60)
        return np.stack([env.reset(seed=seed)[0]] + [env.step(action)[0] for action in actions])

    assert np.array_equal(frames(11), frames(11))
    assert not np.array_equal(frames(11), frames(12))


def test_reset_without_a_seed_goes_on_to_other_levels_and_they_follow_from_the_first_seed() -> None:
    env = PlatformerEnv()
    levels = []
    for _ in range(2):
        env.reset(seed=4)
        levels.append([env.reset()[1]["level_seed"] for _ in range(3)])
    assert levels[0] == levels[1]
    assert len(set(levels[0])) == 3


def test_render_is_the_frame_just_returned_and_later_frames_leave_earlier_ones_alone() -> None:
    env = PlatformerEnv(render_mode="rgb_array")
    first, _ = env.reset(seed=1)
    kept = first.copy()
    second = env.step(7)[0]
    assert np.array_equal(env.render(), second)
    assert np.array_equal(first, kept)
    assert PlatformerEnv().render() is None


def test_the_vectorised_form_shows_the_same_frames_and_rewards_as_single_games() -> None:
    many = gymnasium.make_vec(ID, num_envs=3, vectorization_mode="vector_entry_point")
    assert isinstance(many.unwrapped, PlatformerVectorEnv)
    single = [PlatformerEnv() for _ in range(3)]
    frames, _ = many.reset(seed=30)
    assert frames.shape == (3, 128, 128, 3) and many.observation_space.contains(frames)
    for i, env in enumerate(single):
        assert np.array_equal(frames[i], env.reset(seed=30 + i)[0])
    rng = np.random.default_rng(1)
    for _ in range(80):
        actions = np.where(rng.random(3) < 0.5, 7, rng.integers(8, size=3))
        frames, rewards, terminated, truncated, _ = many.step(actions)
        assert not terminated.any() and not truncated.any()
        for i, env in enumerate(single):
            frame, reward, *_ = env.step(actions[i])
            assert np.array_equal(frames[i], frame)
            assert rewards[i] == reward


def test_the_reward_is_new_way_coins_and_deaths() -> None:
    before = None
    rewards = []
    for moment in mixed_play(6, 400):
        if before is not None:
            way = (moment.info["distance"] - before["distance"]) / 8
            coins, deaths = (moment.info[key] - before[key] for key in ("coins", "deaths"))
            assert moment.reward == way + coins - 5 * deaths
            rewards.append(moment.reward)
        before = moment.info
    assert min(rewards) < 0 < max(rewards)


def step(action: Any) -> None:
    env = PlatformerEnv()
    env.reset(seed=0)
    env.step(action)


def vector_step(actions: list[int]) -> None:
    env = PlatformerVectorEnv(2)
    env.reset(seed=0)
    env.step(np.array(actions))


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        (lambda: PlatformerEnv(scale=0), "scale is 0: use a whole number from 1 up"),
        (lambda: PlatformerEnv(scale=1.5), "scale is 1.5: use a whole number"),  # type: ignore[arg-type]
        (lambda: PlatformerEnv(themes=("grass", "moon")), "unknown theme 'moon': choose from grass, desert"),
        (lambda: PlatformerEnv(themes="grass"), "use a list of names"),  # type: ignore[arg-type]
        (lambda: PlatformerEnv(render_mode="human"), "render_mode is 'human': use 'rgb_array' or None"),
        (lambda: PlatformerEnv().reset(seed=-1), "seed is -1: use a whole number from 0 up"),
        (lambda: PlatformerEnv().step(0), "call reset before step"),
        (lambda: step(8), r"action 8 is out of range: use 0 to 7 \(up, down"),
        (lambda: step(-1), "action -1 is out of range"),
        (lambda: step("up"), "action is 'up': use a whole number"),
        (lambda: step(1.0), "action is 1.0: use a whole number"),
        (lambda: PlatformerVectorEnv(0), "num_envs is 0: use a whole number from 1 up"),
        (lambda: PlatformerVectorEnv(2).step(np.zeros(2, dtype=int)), "call reset before step"),
        (lambda: vector_step([0]), "got 1 actions for 2 environments"),
        (lambda: vector_step([0, 9]), "action 9 is out of range"),
        (lambda: PlatformerVectorEnv(2).reset(seed=[1, 2]), "seed is"),
    ],
)
def test_mistakes_are_told_in_one_sentence(mistake: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        mistake()
    assert "\n" not in str(caught.value)
