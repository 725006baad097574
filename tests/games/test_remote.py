"""A game in a child process is the same game, ends with us, and fails in a clear sentence."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from worldlet.data import play as play_module
from worldlet.data.paddle import Paddle
from worldlet.data.play import GameFailed, play_episode
from worldlet.data.policies import Mixture, Random, Runner, StickyRandom
from worldlet.games import make
from worldlet.games.remote import client, messages, setup
from worldlet.games.remote.client import GameCrash

ROOT = Path(__file__).parents[2]
ODD = "tests.games.odd_games:"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def play(game, seed=5):
    frames, info = [game.reset(seed=seed)[0]], {}
    for action in (1, 2, 0, 1):
        frame, reward, terminated, truncated, info = game.step(action)
        frames.append(frame.copy())
    return np.stack(frames), reward, terminated, truncated, info


def test_a_game_in_a_child_is_the_same_game():
    here, there = make(ODD + "Offset"), make(ODD + "Offset", python=sys.executable)
    assert there.observation_space == here.observation_space and there.action_space == here.action_space
    assert [tuple(there.metadata["action_names"]), there.metadata["key_bindings"]] == [
        here.metadata["action_names"],
        here.metadata["key_bindings"],
    ]
    for seed in (5, 6):
        ours, theirs = play(here, seed), play(there, seed)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]
    info = there.reset(seed=1)[1]
    assert info["lives"] == 3 and info["place"].tolist() == [1.5, 2] and "what" not in info
    there.close()
    there.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads the child's environment from /proc")
def test_the_child_gets_no_library_that_was_preloaded_for_us(monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", "libc.so.6")
    monkeypatch.setenv("WORLDLET_TESTED", "yes")
    game = client.RemoteGame(sys.executable, ODD + "Offset", {})
    told = Path(f"/proc/{game._child.pid}/environ").read_text()
    game.close()
    assert "WORLDLET_TESTED=yes" in told and "LD_PRELOAD" not in told


def test_several_actions_at_once_are_the_same_as_one_by_one():
    one, many = make(ODD + "Offset", python=sys.executable), make(ODD + "Offset", python=sys.executable)
    for game in (one, many):
        game.reset(seed=4)
    actions = [0, 1, 2, 1, 0]
    for action, together in zip(actions, many.play(actions), strict=True):
        alone = one.step(action)
        np.testing.assert_array_equal(together[0], alone[0])
        assert together[1:4] == alone[1:4] and repr(together[4]) == repr(alone[4])
    np.testing.assert_array_equal(many.step(1)[0], one.step(1)[0])
    one.close()
    many.close()


def test_what_came_before_a_failure_is_not_lost():
    game = make(ODD + "Fragile", python=sys.executable, how="raise")
    game.reset(seed=2)
    frames = []
    with pytest.raises(GameCrash, match="the floor gave way"):
        for frame, *_ in game.play([0] * 10):
            frames.append(frame)
    assert len(frames) == 2
    game.reset(seed=2)
    assert len(list(game.play([0, 0]))) == 2
    game.close()


@pytest.mark.parametrize("steps", [60, 25])
def test_a_player_who_is_asked_ahead_of_time_plays_the_same(steps, monkeypatch):
    monkeypatch.setattr(play_module, "_ROOM", 7)  # frames find room as they come
    plays = []
    for how, blind in (({}, False), ({"python": sys.executable}, True)):
        game = make(ODD + "Offset", **how)
        policy = Random(game.metadata["action_names"])
        policy.blind = blind  # who looks is asked frame by frame
        policy.reset(3)
        plays.append(play_episode(game, policy, 7, steps))
        game.close()
    (frames, actions, infos), (frames_there, actions_there, infos_there) = plays
    assert len(set(actions)) == 3 and len(actions) == min(steps, 40)  # the game ends in the middle of a batch
    assert actions_there == actions and infos_there == infos
    np.testing.assert_array_equal(frames_there, frames)


def test_large_frames_are_asked_for_in_parts(monkeypatch):
    asked = []
    real = client.RemoteGame._ask
    monkeypatch.setattr(client, "_ANSWER_BYTES", 3 * 3 * 84 * 64)
    monkeypatch.setattr(
        client.RemoteGame, "_ask", lambda self, *a: (asked.append(a[3] if len(a) > 3 else 0), real(self, *a))[1]
    )
    game = make(ODD + "Offset", python=sys.executable, size="84x64")
    game.reset(seed=4)
    assert len(list(game.play([0, 1, 2, 1, 0, 2, 1]))) == 7
    assert [count for count in asked if count] == [3, 3, 1]
    assert len(list(game.play([0] * 60))) == 33, "the game ends at its fortieth frame"
    game.close()


def test_patience_grows_with_what_was_asked(monkeypatch):
    game = make(ODD + "Slow", python=sys.executable)
    game.reset(seed=1)
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.4)
    assert len(list(game.play([0] * 6))) == 6  # takes 0.9 s in all
    game.close()


@pytest.mark.parametrize(
    ("how", "said"), [("raise", "after 2 actions: "), ("die", "within 16 actions after 0 actions: ")]
)
def test_how_far_a_game_came_is_said_as_exactly_as_it_is_known(how, said):
    game = make(ODD + "Fragile", python=sys.executable, how=how)
    with pytest.raises(GameFailed) as error:
        play_episode(game, Random(["a", "b", "c"]), 2, 40)
    assert str(error.value).startswith(said)
    game.close()


def test_only_blind_players_are_asked_ahead_of_time():
    blind = StickyRandom(["a", "b"])
    assert blind.blind and Mixture([blind, blind], [1, 1]).blind
    game = make("worldlet/Platformer-v0")
    assert not Runner(game).blind and not Mixture([blind, Runner(game)], [1, 1]).blind
    assert not Paddle(["noop", "fire", "left", "right"]).blind


def test_options_reach_the_child_and_its_refusal_comes_back():
    game = make(ODD + "Shows", python=sys.executable, frame_skip=4)
    game.reset(seed=1)
    assert game.step(0)[0][0, 0, 1] == 4
    game.close()
    with pytest.raises(ValueError, match="cannot be made: .*takes no arguments"):
        make(ODD + "Shows", python=sys.executable, colour="red")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "raised RuntimeError: the floor gave way"),
        ("die", "ended with exit code 3: out of lives"),
        ("hang", "has not answered for 1 s"),
    ],
)
def test_a_child_that_fails_says_how(how, message, monkeypatch):
    game = make(ODD + "Fragile", python=sys.executable, how=how)
    game.reset(seed=2)
    game.step(0)
    game.step(0)
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 1.0)
    with pytest.raises(GameCrash, match=message):
        game.step(0)
    game.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(monkeypatch):
    monkeypatch.setenv("FAKE_DELAY", "1.5")
    game = make("tests.data.fake_games:Fake-v0", python=sys.executable)
    game.reset(seed=2)
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 0.3)
    with pytest.raises(GameCrash, match="has not answered"):
        game.step(0)
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 30.0)
    with pytest.raises(GameCrash, match="was closed"):
        game.reset(seed=3)


def test_an_interpreter_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no Python interpreter"):
        make(ODD + "Shows", python=str(tmp_path / "python"))


def gone(pid):
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_the_child_ends_with_us_even_when_we_are_killed():
    code = (
        "import sys, time\nfrom worldlet.games import make\n"
        f"game = make({ODD + 'Shows'!r}, python=sys.executable)\n"
        "print(game._child.pid, flush=True)\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        child = int(parent.stdout.readline())
        assert not gone(child)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not gone(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_messages_come_through_whole_and_a_broken_pipe_is_told():
    values = {"a": [1, 2.5, None, True], "b": {"c": np.arange(6, dtype=np.int16).reshape(2, 3)}, "d": np.float32(0.5)}
    back = messages.unpack_values(messages.pack_values({**values, "no": object(), "words": np.array(["x"])}))
    assert back.keys() == values.keys() and back["a"] == values["a"] and back["d"] == 0.5
    assert back["b"]["c"].dtype == np.int16 and back["b"]["c"].tolist() == [[0, 1, 2], [3, 4, 5]]
    reader, writer = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))
    messages.send(writer, messages.PLAY, messages.pack_actions([-7, 2]))
    kind, payload = messages.receive(reader)
    assert kind == messages.PLAY and messages.unpack_actions(payload) == (-7, 2)
    writer.write(messages.PLAY)
    writer.close()
    with reader, pytest.raises(EOFError):
        messages.receive(reader)


def test_setting_up_makes_an_environment_once_and_says_what_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDLET_HOME", str(tmp_path))
    installs = []

    def install(command, **kwargs):
        installs.append(command)
        return subprocess.CompletedProcess(command, len(installs) % 2, "", "ERROR: no wheel for it\n")

    monkeypatch.setattr(setup.subprocess, "run", install)
    monkeypatch.setattr(setup.venv, "create", lambda folder, **kwargs: Path(folder).mkdir(parents=True))
    with pytest.raises(ValueError, match="no wheel for it"):
        setup.set_up("procgen")
    with pytest.raises(ValueError, match="`worldlet setup procgen`"):
        setup.environment_python("procgen")
    said = []
    folder = setup.set_up("procgen", said.append)
    assert len(said) == 1 and "procgen-mirror" in said[0] and "minute" in said[0], "it is silent for so long"
    assert setup.set_up("procgen", said.append) == folder and len(installs) == 2 and len(said) == 1
    assert "procgen-mirror==0.10.7" in installs[-1] and setup.environment_python("procgen").is_relative_to(folder)
    with pytest.raises(ValueError, match="knows procgen, flappy"):
        setup.set_up("proc")
