"""Players: deterministic per seed, and between them they do everything a platformer has."""

import gymnasium
import numpy as np
import pytest
from rich.console import Console

import worldlet.games  # noqa: F401
from worldlet.data.play import play_episode
from worldlet.data.policies import Mixture, Random, Runner, StickyRandom, make_policy, parse_players
from worldlet.data.record import RecordConfig, record
from worldlet.data.shards import read_episodes, read_manifest

NAMES = ("up", "down", "left", "right", "noop", "action", "left_up", "right_up")


class Always:
    blind = False

    def __init__(self, action):
        self.action = action

    def reset(self, seed):
        self.seed = seed
        self.seen = 0

    def watch(self, frame):
        self.seen += 1

    def act(self, info):
        return self.action


def play(policy, seed, steps=600):
    policy.reset(seed)
    return [policy.act({}) for _ in range(steps)]


def test_sticky_random_holds_its_actions_prefers_the_right_and_knows_them_all():
    actions = np.array(play(StickyRandom(NAMES), 0, 20_000))
    assert set(actions) == set(range(8))
    assert (actions[1:] == actions[:-1]).mean() > 0.85
    assert np.isin(actions, [3, 7]).mean() > 0.4


def test_random_does_everything_equally_and_holds_nothing():
    actions = np.array(play(Random(NAMES), 0, 20_000))
    assert np.abs(np.bincount(actions, minlength=8) / len(actions) - 1 / 8).max() < 0.01
    assert (actions[1:] == actions[:-1]).mean() < 0.2


def test_players_repeat_with_their_seed_and_only_with_it():
    for policy in (Random(NAMES), StickyRandom(NAMES), Mixture([StickyRandom(NAMES), Always(2)], [1, 1])):
        first = play(policy, 7)
        assert play(policy, 8) != first
        assert play(policy, 7) == first


def test_a_mixture_switches_within_an_episode_by_weight():
    actions = np.array(play(Mixture([Always(0), Always(1)], [1, 3]), 0, 40_000))
    switches = np.flatnonzero(np.diff(actions))
    assert 0.7 < actions.mean() < 0.8
    assert len(switches) > 50 and np.diff(switches).min() >= 40


def test_every_player_of_a_mixture_sees_every_frame_before_it_is_asked():
    class Watching(Always):
        def act(self, info):
            frames.append(self.last)
            return self.action

        def watch(self, frame):
            super().watch(frame)
            self.last = frame.copy()

    frames = []
    env = gymnasium.make("tests.data.fake_games:Fake-v0", disable_env_checker=True)
    first, second = Watching(1), Watching(2)
    policy = Mixture([first, second], [1, 1])
    policy.reset(0)
    shown, actions, _ = play_episode(env, policy, 5, 400)
    assert set(actions) == {1, 2}
    assert first.seen == second.seen == len(actions) == len(shown) - 1
    np.testing.assert_array_equal(frames, shown[:-1])  # the last frame is followed by no action


def test_players_are_read_from_text():
    assert parse_players("runner:0.5, sticky:2") == {"runner": 0.5, "sticky": 2.0}
    assert parse_players("sticky") == {"sticky": 1.0}
    assert parse_players("ppo:0.7,sticky:0.3") == {"ppo": 0.7, "sticky": 0.3}
    assert parse_players("human") == {"human": 1.0}
    with pytest.raises(ValueError, match="unknown player 'walker'"):
        parse_players("walker:1")
    with pytest.raises(ValueError, match="keyboard with nobody"):
        parse_players("human:0.5,sticky:0.5")


def test_players_who_need_more_than_a_game_say_what_they_need():
    env = gymnasium.make("tests.data.fake_games:Fake-v0", disable_env_checker=True)
    with pytest.raises(ValueError, match="trained first: .*--agent ppo"):
        make_policy("ppo", env, NAMES)
    with pytest.raises(ValueError, match="with --agent human"):
        make_policy("human", env, NAMES)


@pytest.fixture
def platformer():
    env = gymnasium.make("worldlet/Platformer-v0", disable_env_checker=True)
    yield env
    env.close()


def furthest(env, policy, steps=400):
    distances = []
    for seed in range(4):
        _, info = env.reset(seed=seed)
        policy.reset(seed)
        for _ in range(steps):
            *_, info = env.step(policy.act(info))
        distances.append(info["distance"])
    return np.mean(distances)


def test_the_runner_traverses_levels_better_than_chance(platformer):
    runner = furthest(platformer, Runner(platformer))
    assert runner > 400
    assert runner > 1.2 * furthest(platformer, StickyRandom(NAMES))


def test_the_runner_plays_only_the_platformer():
    env = gymnasium.make("tests.data.fake_games:Fake-v0")
    with pytest.raises(ValueError, match="use the player 'sticky'"):
        make_policy("runner:1", env, ("left", "right", "jump"))


def test_a_recorded_platformer_holds_every_action_jumps_coins_and_deaths(tmp_path):
    config = RecordConfig("worldlet/Platformer-v0", str(tmp_path / "data"), frames=6000, episode_steps=300, workers=1)
    record(config, Console(quiet=True))
    coverage = read_manifest(tmp_path / "data")["coverage"]
    assert set(coverage["actions"]) == set(NAMES) and min(coverage["actions"].values()) > 60
    assert min(coverage["events"].get(event, 0) for event in ("coin", "death", "respawn", "jump", "land")) > 0
    assert len(coverage["themes"]) >= 4
    episode = next(read_episodes(tmp_path / "data", "train"))
    assert episode.facts["hero_mask"].shape == (301, 128, 128) and episode.facts["hero_mask"].any()
    assert (episode.facts["hero_mask"] <= episode.facts["moving_mask"]).all()
    assert episode.meta["theme"] and episode.meta["caption"]
