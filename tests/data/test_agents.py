"""Agents: what they see, that they learn, that training goes on after an interruption, how they play."""

import gymnasium
import numpy as np
import pytest
from rich.console import Console

pytest.importorskip("stable_baselines3", reason="agents need the agents extra: pip install '.[agents]'")

from safetensors.numpy import load_file, save_file  # noqa: E402

from tests.data.fake_games import FakeGame  # noqa: E402
from worldlet.data.agents.network import read_facts, torch  # noqa: E402
from worldlet.data.agents.player import AGENT_NAME, AgentPlayer  # noqa: E402
from worldlet.data.agents.ppo import PICTURE_NAME, AgentConfig, AgentGame, train_agent  # noqa: E402
from worldlet.data.agents.sight import Sight  # noqa: E402
from worldlet.data.record import RecordConfig, record  # noqa: E402
from worldlet.data.shards import read_episodes, read_manifest  # noqa: E402

QUIET = Console(quiet=True)


class Lamps(gymnasium.Env):
    """One of three lamps is lit; the action of the same number earns 2, any other 1 less than nothing. Then it ends."""

    metadata = {"render_fps": 15}
    observation_space = gymnasium.spaces.Box(0, 255, (24, 48, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._lamp = int(self.np_random.integers(3))
        return self._light(), {}

    def step(self, action):
        return self._light(), 2.0 if action == self._lamp else -1.0, True, False, {}

    def _light(self):
        frame = np.zeros((24, 48, 3), np.uint8)
        frame[:, 16 * self._lamp : 16 * self._lamp + 16] = (250, 200, 60)
        return frame


def config(**changes):
    small = {"size": 36, "envs": 2, "rate": 1e-3, "batch": 64}
    return AgentConfig(**{"game": "lamps", "fps": 15, "levels": range(1000), "steps": 256, **small, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agents")
    train_agent(Lamps, config(steps=1536), folder, QUIET)
    return folder


def grey(value):
    return np.full((24, 48, 3), value, np.uint8)


def test_sight_remembers_four_looks_and_takes_the_brighter_of_two_frames():
    sight = Sight(12, repeat=2)
    assert sight.watch(grey(10))
    assert sight.looks.shape == (4, 12, 12) and set(sight.looks.ravel()) == {10}
    assert [sight.watch(grey(value)) for value in (200, 20, 30, 40)] == [False, True, False, True]
    assert [int(look[0, 0]) for look in sight.looks] == [10, 10, 200, 40]  # 200 flickered between two looks
    sight.forget()
    sight.watch(grey(7))
    assert set(sight.looks.ravel()) == {7}


def test_an_agent_holds_its_action_until_the_next_look_and_learns_from_cut_rewards():
    class Clock(FakeGame):
        def step(self, action):
            frame, _, ended, cut, info = super().step(action)
            acted.append(action)
            return frame, 0.7, ended, cut, info

    acted = []
    game = AgentGame(Clock(length=7), config(repeat=3), [0])
    game.reset()
    results = [game.step(action)[1:] for action in (1, 2, 0)]
    assert acted == [1, 1, 1, 2, 2, 2, 0]
    assert [result[0] for result in results] == [1.0, 1.0, pytest.approx(0.7)]
    assert [result[1] for result in results] == [False, False, True]
    assert results[-1][-1]["episode"]["r"] == pytest.approx(4.9) and results[-1][-1]["episode"]["l"] == 3


def test_agents_train_on_the_levels_they_are_given_and_a_game_without_end_is_cut():
    seeds = []

    class Seeded(FakeGame):
        def reset(self, *, seed=None, options=None):
            seeds.append(seed)
            return super().reset(seed=seed)

    game = AgentGame(Seeded(), config(levels=range(40, 45), episode_frames=4), [0])
    for _ in range(60):
        game.reset()
    assert set(seeds) == set(range(40, 45))
    *_, terminated, truncated, _ = [game.step(0) for _ in range(4)][-1]
    assert truncated and not terminated


def test_an_agent_learns(trained):
    facts = read_facts(trained / AGENT_NAME)
    assert facts.steps == 1536 and (trained / PICTURE_NAME).read_bytes().startswith(b"\x89PNG")
    player = AgentPlayer(trained, 3, epsilon=0.0)
    rights = []
    for seed in range(300):
        game = Lamps()
        frame, _ = game.reset(seed=5000 + seed)
        player.reset(seed)
        player.watch(frame)
        rights.append(game.step(player.act({}))[1] > 0)
    assert np.mean(rights) > 0.6  # by chance: 0.33


def test_training_goes_on_where_it_stopped(tmp_path):
    first = train_agent(Lamps, config(), tmp_path, QUIET)
    before = load_file(tmp_path / AGENT_NAME)
    assert train_agent(Lamps, config(), tmp_path, QUIET) == first  # enough already: nothing happens
    second = train_agent(Lamps, config(steps=512, size=84), tmp_path, QUIET)  # its sight stays its own
    after = load_file(tmp_path / AGENT_NAME)
    assert (second.steps, second.size, len(second.returns)) == (512, 36, 2)
    assert after["optimizer.0.step"] == 2 * before["optimizer.0.step"] > 0
    assert not np.array_equal(before["policy.action_net.weight"], after["policy.action_net.weight"])
    with pytest.raises(ValueError, match="trained for lamps, not for chess"):
        train_agent(Lamps, config(game="chess", steps=999), tmp_path, QUIET)


def test_ctrl_c_saves_the_agent(tmp_path):
    class Interrupted(Lamps):
        steps = 0

        def step(self, action):
            Interrupted.steps += 1
            if Interrupted.steps == 300:
                raise KeyboardInterrupt
            return super().step(action)

    with pytest.raises(KeyboardInterrupt):
        train_agent(Interrupted, config(steps=2048), tmp_path, QUIET)
    saved = read_facts(tmp_path / AGENT_NAME)
    assert 256 <= saved.steps < 2048 and saved.returns
    assert train_agent(Interrupted, config(steps=saved.steps + 1), tmp_path, QUIET).steps > saved.steps


def test_a_file_that_is_no_agent_is_refused(tmp_path):
    path = tmp_path / AGENT_NAME
    with pytest.raises(ValueError, match="no trained agent"):
        AgentPlayer(tmp_path, 3)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="not a trained agent"):
        AgentPlayer(tmp_path, 3)
    save_file({"policy.x": np.zeros(3)}, path, metadata={"agent": "{}"})
    with pytest.raises(ValueError, match="not a trained agent"):
        AgentPlayer(tmp_path, 3)


def actions_of(player, seed, count=60):
    player.reset(seed)
    frames = np.random.default_rng(1).integers(0, 256, (count, 24, 48, 3), np.uint8)
    actions = []
    for frame in frames:
        player.watch(frame)
        actions.append(player.act({}))
    return actions


def test_a_trained_agent_plays_by_its_seed_whatever_the_threads(trained):
    player = AgentPlayer(trained, 3)
    first = actions_of(player, 7)
    assert actions_of(player, 8) != first
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert actions_of(player, 7) == first
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    with pytest.raises(ValueError, match="knows 3 actions, the game has 5"):
        AgentPlayer(trained, 5)


def test_temperature_and_epsilon_set_how_varied_the_play_is(trained):
    cold, wild = AgentPlayer(trained, 3, temperature=1e-6, epsilon=0.0), AgentPlayer(trained, 3, epsilon=1.0)
    for player in (cold, wild):
        player.reset(0)
        player.watch(grey(90))
    assert cold.act({}) == int(cold.logits().argmax())
    assert set(actions_of(wild, 0)) == {0, 1, 2}


def test_an_agent_that_was_without_the_controls_decides_anew(trained):
    player = AgentPlayer(trained, 3, epsilon=0.0)
    player.reset(0)
    decided = []
    player._decide = lambda: decided.append(1) or len(decided)
    player._sight = Sight(36, repeat=10)
    asked = [True, True, False, False, True, True]
    for asks in asked:
        player.watch(grey(50))
        if asks:
            player.act({})
    assert len(decided) == 2  # at the first look, and when it came back between two looks


def test_an_agent_records_in_a_mixture(tmp_path):
    env = "tests.data.fake_games:Fake-v0"
    train_agent(FakeGame, config(game=env), tmp_path / "agents", QUIET)
    settings = {"frames": 60, "episode_steps": 90, "players": "ppo:0.7,sticky:0.3", "workers": 1, "agent_steps": 1}
    for name in ("one", "two"):
        record(RecordConfig(env, str(tmp_path / name), agent_folder=str(tmp_path / "agents"), **settings), QUIET)
    manifest = read_manifest(tmp_path / "one")
    assert manifest["recording"]["players"] == "ppo:0.7,sticky:0.3" and len(manifest["recording"]["agent_sha256"]) == 64
    (one, *_), (two, *_) = (list(read_episodes(tmp_path / name, "train")) for name in ("one", "two"))
    np.testing.assert_array_equal(one.actions_T, two.actions_T)
    with pytest.raises(ValueError, match="short for --players"):
        RecordConfig(env, "x", agent="ppo", players="sticky")
