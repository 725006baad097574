"""Capture of a running game: aligned, steady or counted, split in time, resumable whatever ends it."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.data.running_game import RunningGame, shown_keys, shown_numbers
from worldlet.data.capture.picture import crop_box, frame_size, make_frame
from worldlet.data.capture.run import capture
from worldlet.data.capture.settings import CaptureConfig
from worldlet.data.capture.source import SourceClosed
from worldlet.data.shards import ShardWriter, read_episodes, read_manifest

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)
KEYS = "left=ArrowLeft,right=ArrowRight,jump=Space,right_jump=ArrowRight+Space"


def config(out, **changes):
    settings = {"window": "running", "frames": 600, "width": 16, "keys": KEYS, "demo": "sticky", "episode_steps": 25}
    return CaptureConfig(out=str(out), **{**settings, **changes})


def run(out, game, **changes):
    return capture(config(out, **changes), QUIET, lambda _: game)


def all_episodes(folder):
    splits = {shard["split"] for shard in read_manifest(folder)["shards"]}
    return [episode for split in sorted(splits) for episode in read_episodes(folder, split)]


def agreement(folder, shift=0):
    """Return the part of actions whose keys are what frame t + 1 + shift shows."""
    manifest = read_manifest(folder)
    agrees = []
    for episode in all_episodes(folder):
        shown = shown_keys(episode.frames_THWC)
        for t, action in enumerate(episode.actions_T):
            if 0 <= t + 1 + shift < len(shown):
                combinations = manifest["key_bindings"][manifest["action_names"][action]]
                agrees.append(shown[t + 1 + shift] == set(combinations[0] if combinations else ()))
    return np.mean(agrees)


@pytest.fixture(scope="module")
def captured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "running"
    game = RunningGame()
    done = run(folder, game)
    assert game.closed
    return folder, done


def test_an_action_is_what_was_held_between_its_frame_and_the_next(captured):
    assert agreement(captured[0]) == 1
    assert agreement(captured[0], shift=1) < 0.95 and agreement(captured[0], shift=-1) < 0.95


def test_a_picture_that_comes_late_after_its_key_is_brought_back(tmp_path):
    run(tmp_path / "as if at once", RunningGame(lag=0.05), latency_ms=0)
    run(tmp_path / "told", RunningGame(lag=0.05), latency_ms=50)
    measured = RunningGame(lag=0.05)
    measured.latency = 0.05
    run(tmp_path / "measured", measured)
    assert agreement(tmp_path / "as if at once") < 0.95
    assert agreement(tmp_path / "told") == agreement(tmp_path / "measured") == 1


def test_the_folder_is_an_ordinary_data_folder(captured):
    folder, done = captured
    manifest = read_manifest(folder)
    assert manifest["complete"] and manifest["frame_size"] == [8, 16] and manifest["fps"] == 30
    assert manifest["env_id"] == "capture/running"
    assert manifest["action_names"] == ["noop", "left", "right", "jump", "right_jump"]
    episodes = all_episodes(folder)
    assert done.frames == sum(len(e.frames_THWC) for e in episodes) >= 600 and done.episodes == len(episodes)
    for episode in episodes:
        assert len(episode) == 25 and episode.meta["policy"] == "sticky"
        assert 0.032 < np.diff(episode.facts["time"]).min() <= np.diff(episode.facts["time"]).max() < 0.034
        np.testing.assert_array_equal(np.diff(shown_numbers(episode.frames_THWC)), 1)
    assert sum(manifest["coverage"]["actions"].values()) == sum(map(len, episodes))
    assert (folder / "coverage.png").is_file()
    assert manifest["recording"]["captured"]["lost"] == manifest["recording"]["captured"]["late"] == 0


def test_every_split_gets_its_share_and_they_do_not_touch(captured):
    manifest, numbers = read_manifest(captured[0]), {}
    for split in ("train", "val", "test"):
        frames = [e.frames_THWC for e in read_episodes(captured[0], split)]
        numbers[split] = np.sort(shown_numbers(np.concatenate(frames)))
        assert manifest["splits"][split]["frames"] == len(numbers[split])
    assert 0.03 < len(numbers["val"]) / 600 < 0.12 and 0.03 < len(numbers["test"]) / 600 < 0.12
    for split in ("val", "test"):
        nearest = np.abs(numbers["train"][:, None] - numbers[split]).min()
        assert nearest > 30  # a second of guard on either side


def test_a_picture_that_one_split_holds_stays_out_of_the_others(tmp_path):
    # The game shows the same 20 pictures half of the time.
    run(tmp_path / "data", RunningGame(number=lambda i: i % 20 if i % 60 < 30 else i), demo=one_key(tmp_path))
    pictures = {
        split: {frame.tobytes() for e in read_episodes(tmp_path / "data", split) for frame in e.frames_THWC}
        for split in ("train", "val", "test")
    }
    assert not pictures["train"] & (pictures["val"] | pictures["test"]) and not pictures["val"] & pictures["test"]
    assert read_manifest(tmp_path / "data")["recording"]["captured"]["shared"] > 0


def one_key(folder):
    script = folder / "script.json"
    script.write_text(json.dumps([["right", 60]]))
    return str(script)


def test_late_and_lost_frames_are_counted_and_a_gap_ends_the_episode(tmp_path):
    step = 1 / 30
    run(tmp_path / "data", RunningGame(hiccups={10: 0.6 * step, 20: 1.2 * step, 100: 9.5 * step}))
    counts = read_manifest(tmp_path / "data")["recording"]["captured"]
    assert counts["late"] == 3 and counts["lost"] == 1 + 9
    assert agreement(tmp_path / "data") > 0.99
    steps = np.concatenate([np.diff(e.facts["time"]) for e in all_episodes(tmp_path / "data")])
    assert step < steps.max() <= 2.5 * step


def test_a_machine_that_cannot_keep_up_is_told(tmp_path):
    said = io.StringIO()
    slow = RunningGame(hiccups={index: 2.2 / 30 for index in range(0, 10_000)}, ends=400)
    with pytest.raises(SourceClosed):
        capture(config(tmp_path / "slow"), Console(file=said, width=200), lambda _: slow)
    assert "Most frames come too late" in said.getvalue()
    with pytest.raises(SourceClosed):
        capture(
            config(tmp_path / "steady"), said_nothing := Console(file=io.StringIO()), lambda _: RunningGame(ends=400)
        )
    assert "too late" not in said_nothing.file.getvalue()


def test_a_hidden_window_pauses_the_capture(tmp_path):
    run(tmp_path / "data", RunningGame(hidden=range(50, 90)))
    assert read_manifest(tmp_path / "data")["recording"]["captured"]["paused"] == 40
    for episode in all_episodes(tmp_path / "data"):
        numbers = shown_numbers(episode.frames_THWC)
        assert not set(numbers) & set(range(50, 90)) and set(np.diff(numbers)) == {1}


def test_actions_are_found_from_what_was_pressed(tmp_path):
    class Pressed(RunningGame):
        def events(self):
            held = [("ArrowRight",), ("ArrowRight", "Space"), ()][self.grabs // 12 % 3]
            self.hold(held)  # a person, not a player of ours
            return super().events()

    run(tmp_path / "data", Pressed(), keys="", demo="")
    manifest = read_manifest(tmp_path / "data")
    assert manifest["action_names"] == ["noop", "right", "right_space"]
    assert manifest["key_bindings"] == {"noop": [], "right": [["ArrowRight"]], "right_space": [["ArrowRight", "Space"]]}
    assert agreement(tmp_path / "data") == 1


def test_a_window_that_closes_keeps_what_was_captured_and_the_capture_goes_on(tmp_path):
    folder = tmp_path / "data"
    with pytest.raises(SourceClosed, match="the window was closed; .* holds .* frames: the same command goes on"):
        run(folder, RunningGame(ends=300))
    before = read_manifest(folder)
    assert not before["complete"] and 150 < sum(s["frames"] for s in before["shards"]) <= 300
    done = run(folder, RunningGame(start=5000))
    after = read_manifest(folder)
    assert after["complete"] and done.frames >= 600
    assert after["shards"][: len(before["shards"])] == before["shards"]
    assert agreement(folder) == 1
    assert run(folder, RunningGame(ends=0)).frames == done.frames  # complete: the game is not even opened


def test_ctrl_c_keeps_what_was_captured(tmp_path):
    class Interrupted(RunningGame):
        def grab(self, due):
            if self.grabs == 200:
                raise KeyboardInterrupt
            return super().grab(due)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "data", Interrupted())
    assert 100 < sum(len(e.frames_THWC) for e in all_episodes(tmp_path / "data")) <= 200


@pytest.mark.parametrize("place", ["write", "close"])
def test_a_full_disk_is_said_and_earlier_shards_are_intact(tmp_path, monkeypatch, place):
    folder, real, shards = tmp_path / "data", getattr(ShardWriter, place), []

    def full(self, *arguments):
        shards.append(self.path.name)
        if len(shards) > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments)

    monkeypatch.setattr(ShardWriter, place, full)
    with pytest.raises(OSError, match="the disk is full: make room, then run the same command"):
        run(folder, RunningGame(), shard_episodes=1)
    monkeypatch.undo()
    assert len(read_manifest(folder)["shards"]) == 12 and len(all_episodes(folder)) == 12
    assert run(folder, RunningGame(start=5000), shard_episodes=1).frames >= 600
    assert not list(folder.glob("*.tmp")) and agreement(folder) == 1


KILLED = """
import sys, time
from rich.console import Console
from tests.data.running_game import RunningGame
from tests.data.test_capture import config
from worldlet.data.capture.run import capture

class Slow(RunningGame):
    def grab(self, due):
        time.sleep(0.002)
        return super().grab(due)

capture(config(sys.argv[1], frames=60_000, shard_episodes=1, episode_steps=20), Console(quiet=True), lambda _: Slow())
"""


def test_a_kill_loses_only_what_was_not_written(tmp_path):
    folder = tmp_path / "data"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while len(list(folder.glob("*.tar"))) < 5 and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.01)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    before = read_manifest(folder)
    kept = sum(shard["frames"] for shard in before["shards"])
    assert kept >= 80 and kept == sum(len(e.frames_THWC) for e in all_episodes(folder))
    # The episodes were as long as a far larger recording's are, and may now be shorter: nothing else changes.
    run(folder, RunningGame(start=30_000), frames=kept + 100, shard_episodes=1, episode_steps=20)
    assert read_manifest(folder)["shards"][: len(before["shards"])] == before["shards"]
    assert not list(folder.glob("*.tmp")) and agreement(folder) == 1


def test_other_settings_are_refused(captured, tmp_path):
    with pytest.raises(ValueError, match="was begun with fps 30.0 .now 15.0."):
        run(captured[0], RunningGame(), fps=15.0)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and not a data folder"):
        run(tmp_path, RunningGame())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"window": ""}, "either --window TITLE or --url ADDRESS"),
        ({"url": "http://localhost"}, "either --window TITLE or --url ADDRESS"),
        ({"width": 100}, "width must be a multiple of 8, not 100"),
        ({"height": 12}, "height must be a multiple of 8, not 12"),
        ({"fps": 0.0}, "fps must be from 1 to 120"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"viewport": "big"}, "the viewport must be two numbers"),
        ({"keys": "right"}, "keys are given as"),
        ({"keys": ""}, "say which keys the player may press"),
        ({"stepped": True}, "needs --url and a --demo player"),
    ],
)
def test_values_out_of_range_are_explained(changes, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        config(tmp_path, **changes)


@pytest.mark.parametrize(
    ("screen", "width", "size"),
    [
        ((600, 800), 128, (96, 128)),
        ((720, 1280), 128, (72, 128)),
        ((320, 480), 128, (88, 128)),
        ((640, 360), 64, (112, 64)),
    ],
)
def test_frames_keep_the_aspect_ratio_and_eight_divides_them(screen, width, size):
    assert frame_size(screen, width, height=0) == size
    left, top, right, bottom = crop_box(screen, size)
    assert (right - left) / (bottom - top) == pytest.approx(size[1] / size[0])
    assert (right - left) * (bottom - top) > 0.9 * screen[0] * screen[1]


def test_enlarged_pixel_art_is_given_back_exactly():
    art = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    np.testing.assert_array_equal(make_frame(np.kron(art, np.ones((5, 5, 1), np.uint8)), (48, 64)), art)
