"""Recording: aligned, deterministic whatever the workers, split by level seed, and resumable after a kill."""

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import webdataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from tests.data.fake_games import FakeGame
from worldlet.data.record import SPLITS, RecordConfig, level_seed, record, split_of
from worldlet.data.shards import read_episodes, read_manifest

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)


def config(out, **changes):
    settings = {
        "env": "tests.data.fake_games:Fake-v0",
        "frames": 600,
        "episode_steps": 20,
        "shard_episodes": 4,
        "workers": 1,
    }
    return RecordConfig(out=str(out), **{**settings, **changes})


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "fake"
    record(config(folder), QUIET)
    return folder


def test_an_action_shows_in_the_next_frame_and_in_no_earlier_one(recorded):
    seen = set()
    for split in SPLITS:
        for episode in read_episodes(recorded, split):
            red, green, blue = episode.frames_THWC[:, 0, 0].T
            assert red[0] == 0
            np.testing.assert_array_equal(red[1:], episode.actions_T + 1)
            np.testing.assert_array_equal(green, np.arange(21))
            assert set(blue) == {episode.meta["level_seed"] % 256}
            np.testing.assert_array_equal(episode.facts["hero_position"][:, 0], np.arange(21))
            np.testing.assert_array_equal(episode.facts["hero_mask"][:, :, 0].argmax(1), np.arange(21) % 16)
            assert episode.meta["events"] == {"jump": [3, 7, 11, 15, 19]}
            seen |= set(episode.actions_T.tolist())
    assert seen == {0, 1, 2}


def test_manifest_tells_what_the_folder_holds(recorded):
    manifest = read_manifest(recorded)
    assert manifest["complete"] and manifest["frame_size"] == [16, 24] and manifest["fps"] == 20
    assert manifest["action_names"] == ["left", "right", "jump"]
    for split, entry in manifest["splits"].items():
        episodes = list(read_episodes(recorded, split))
        assert (len(episodes), sum(len(episode.frames_THWC) for episode in episodes)) == (
            entry["episodes"],
            entry["frames"],
        )
    frames = sum(entry["frames"] for entry in manifest["splits"].values())
    assert frames >= 600
    coverage, episodes = manifest["coverage"], frames // 21
    assert sum(coverage["actions"].values()) == 20 * episodes
    assert coverage["events"] == {"jump": 5 * episodes}
    assert coverage["deaths"] == {"total": 2 * episodes, "min": 2, "mean": 2, "max": 2}
    assert coverage["distances"]["max"] == 100
    with Image.open(recorded / "coverage.png") as picture:
        assert len(picture.convert("RGB").getcolors(10_000)) > 2


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_the_shards(recorded):
    shards = [str(recorded / shard["file"]) for shard in read_manifest(recorded)["shards"]]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    gc.collect()  # webdataset leaves its files to the collector, which complains: here, not in another test
    assert [sample["__key__"] for sample in samples][:2] == ["val-000000", "val-000001"]
    for sample in samples:
        assert sample.keys() & {"mp4", "frames.npy.zst"}
        assert {"actions.npy", "facts.npz", "meta.json"} <= sample.keys()
        assert json.loads(sample["meta.json"])["episode_id"] == sample["__key__"]


@given(st.integers(0, 10**6), st.integers(0, 10**6 - 1))
def test_splits_never_share_a_level(seed, index):
    for split in SPLITS:
        assert split_of(level_seed(seed, split, index)) == split


def test_split_ranges_are_disjoint_and_levels_never_repeat():
    ranges = sorted(SPLITS.values(), key=lambda seeds: seeds.start)
    assert all(left.stop <= right.start for left, right in zip(ranges, ranges[1:], strict=False))
    for split in SPLITS:
        assert len({level_seed(3, split, index) for index in range(10_000)}) == 10_000
    with pytest.raises(ValueError, match="no split"):
        split_of(9 * 10**6)


def test_recorded_levels_stay_in_their_split(recorded):
    levels = {split: {episode.meta["level_seed"] for episode in read_episodes(recorded, split)} for split in SPLITS}
    for split, seeds in levels.items():
        assert len(seeds) == read_manifest(recorded)["splits"][split]["episodes"]
        assert {split_of(seed) for seed in seeds} == {split}


def test_workers_never_change_a_byte(recorded, tmp_path):
    record(config(tmp_path / "two", workers=2), QUIET)
    assert hashes(tmp_path / "two") == hashes(recorded)


def test_another_seed_gives_other_levels_and_other_actions(recorded, tmp_path):
    record(config(tmp_path / "other", seed=1), QUIET)
    ours, theirs = (next(read_episodes(folder, "train")) for folder in (recorded, tmp_path / "other"))
    assert ours.meta["level_seed"] != theirs.meta["level_seed"]
    assert ours.actions_T.tolist() != theirs.actions_T.tolist()


def start_slow_recording(folder, workers):
    code = (
        "import signal\n"
        "from worldlet.data.record import RecordConfig, record\n"
        # What was started in the background of a script ignores Ctrl-C unless told otherwise.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"record(RecordConfig(env='tests.data.fake_games:Fake-v0', out={str(folder)!r}, frames=600, episode_steps=20,"
        f" shard_episodes=4, workers={workers}))"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "FAKE_DELAY": "0.02"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (folder / "train-000000.tar.tmp").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.01)
    return process


@pytest.mark.parametrize(("workers", "resume_workers"), [(1, 2), (2, 1)])
def test_a_killed_recording_goes_on_to_the_same_bytes(recorded, tmp_path, workers, resume_workers):
    process = start_slow_recording(tmp_path / "data", workers)
    process.send_signal(signal.SIGKILL)
    # Reading to the end also waits for the workers, which hold the same pipe: they must not outlive the parent.
    process.communicate(timeout=30)
    manifest = read_manifest(tmp_path / "data")
    assert [shard["file"] for shard in manifest["shards"]] == ["val-000000.tar", "test-000000.tar"]
    assert not manifest["complete"]
    assert len(list(read_episodes(tmp_path / "data", "val"))) == manifest["splits"]["val"]["episodes"]
    record(config(tmp_path / "data", workers=resume_workers), QUIET)
    assert hashes(tmp_path / "data") == hashes(recorded)


def test_ctrl_c_leaves_a_folder_to_go_on_with_and_says_so(recorded, tmp_path):
    process = start_slow_recording(tmp_path / "data", 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "goes on from there" in said
    assert not list((tmp_path / "data").glob("*.tmp"))
    record(config(tmp_path / "data"), QUIET)
    assert hashes(tmp_path / "data") == hashes(recorded)


def test_a_complete_recording_is_left_alone(recorded):
    before = {path: path.stat().st_mtime_ns for path in recorded.iterdir()}
    summary = record(config(recorded), QUIET)
    assert summary.frames_per_second == 0 and summary.frames >= 600
    assert {path: path.stat().st_mtime_ns for path in recorded.iterdir()} == before


def test_a_folder_of_other_settings_is_refused(recorded):
    before = hashes(recorded)
    with pytest.raises(ValueError, match=r"was begun with seed 0 \(now 5\)"):
        record(config(recorded, seed=5), QUIET)
    assert hashes(recorded) == before


def test_a_refusal_is_one_line_however_much_differs(recorded):
    def refused(**changes):
        with pytest.raises(ValueError) as error:
            record(config(recorded, **changes), QUIET)
        return str(error.value)

    other_game = refused(env="worldlet/Platformer-v0")
    assert other_game.count("(now ") == 1 and "(now 'worldlet/Platformer-v0')" in other_game
    much = refused(seed=5, episode_steps=7, shard_episodes=9, options={"height": 32, "width": 32}, frames=100)
    assert "and 3 more: use the same settings" in much
    assert len(refused(options={"height": 32, "width": 48, "length": 123456789, "facts": False})) < 250


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="not a data folder"):
        record(config(tmp_path), QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_game_that_ends_gives_shorter_episodes_and_enough_frames(tmp_path):
    record(config(tmp_path / "data", frames=200, options={"length": 7}), QUIET)
    assert {len(episode) for episode in read_episodes(tmp_path / "data", "train")} == {7}
    assert sum(entry["frames"] for entry in read_manifest(tmp_path / "data")["splits"].values()) >= 200


def test_any_gymnasium_game_can_be_recorded(tmp_path):
    options = {"facts": False, "height": 33, "width": 17}
    record(config(tmp_path / "data", frames=60, options=options), QUIET)
    episode = next(read_episodes(tmp_path / "data", "train"))
    assert episode.frames_THWC.shape == (21, 124, 64, 3)  # 64 wide, and as high as keeps the aspect ratio
    assert episode.facts == {} and episode.meta["theme"] == ""


def test_rare_splits_get_an_episode_each(tmp_path):
    record(config(tmp_path / "data", frames=1), QUIET)
    assert [entry["episodes"] for entry in read_manifest(tmp_path / "data")["splits"].values()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env": "Nowhere-v0"}, "cannot be made"),
        ({"env": "tests.data.fake_games:NoPicture-v0"}, "shows no pictures"),
        ({"size": "big"}, "give height x width in pixels"),
        ({"frame_skip": -1}, "frame_skip is -1"),
        ({"options": {"colour": "red"}}, "cannot be made"),
        ({"players": "runner"}, "plays only worldlet/Platformer-v0"),
        ({"players": "stiky:1"}, "did you mean 'sticky'"),
        ({"players": "sticky:x"}, "must be a number"),
        ({"players": "sticky:0"}, "not all 0"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"val_fraction": 0.9, "test_fraction": 0.1}, "something for training"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        record(config(tmp_path / "data", **changes), QUIET)
    assert not (tmp_path / "data").exists()


def test_progress_is_a_line_now_and_then_where_no_terminal_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("worldlet.data.progress.QUIET_SECONDS", 0.0)
    record(config(tmp_path / "data", frames=100), Console(file=sys.stdout, force_terminal=False))
    assert "of 100 frames" in capsys.readouterr().out


def test_the_fake_game_draws_into_one_buffer():
    game = FakeGame()
    first, _ = game.reset(seed=0)
    assert game.step(0)[0] is first


def test_without_pyav_the_extra_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'worldlet\[train\]'"):
        record(config(tmp_path / "data"), QUIET)
    assert not (tmp_path / "data").exists()
