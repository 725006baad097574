"""Splits of games without levels, games that crash, and two recordings at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from worldlet.data.duplicates import SHORTEST_SPAN, cut, fingerprints, unseen_spans
from worldlet.data.play import has_levels
from worldlet.data.record import SPLITS, RecordConfig, record
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.games import make
from worldlet.records import Episode

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)
ODD = "tests.games.odd_games:"


def config(out, env, **changes):
    settings = {"frames": 600, "episode_steps": 40, "shard_episodes": 4, "workers": 1, "players": "random"}
    return RecordConfig(env=ODD + env, out=str(out), **{**settings, **changes})


def shown(folder, split):
    """Return every frame of a split as bytes, read from the shards."""
    return {frame.tobytes() for episode in read_episodes(folder, split) for frame in episode.frames_THWC}


@pytest.fixture(scope="module")
def arcade(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "arcade"
    record(config(folder, "OneStart"), QUIET)
    return folder


def test_no_frame_crosses_the_splits_of_a_game_that_always_begins_alike(arcade, tmp_path):
    assert not has_levels(make(ODD + "OneStart")) and has_levels(make(ODD + "Shows"))
    assert read_manifest(arcade)["recording"]["held_out"] == "frames"
    splits = {split: shown(arcade, split) for split in SPLITS}
    assert all(splits.values())
    assert not splits["train"] & splits["val"] and not splits["train"] & splits["test"]
    assert not splits["val"] & splits["test"]
    # The same game split by level alone does leak, so this test can fail.
    record(config(tmp_path / "leak", "OneStart", held_out="levels"), QUIET)
    assert shown(tmp_path / "leak", "train") & shown(tmp_path / "leak", "val")


def test_training_keeps_the_start_and_held_out_plays_are_whole_but_for_it(arcade):
    manifest = read_manifest(arcade)
    assert [shard["split"] for shard in manifest["shards"]][0] == "train"
    assert {len(episode) for episode in read_episodes(arcade, "train")} == {40}
    for episode in read_episodes(arcade, "val"):
        assert episode.meta["episode_id"] == f"val-{episode.meta['level_seed'] - 10**6:06d}-00007"
        assert len(episode.frames_THWC) == 41 - 7 and episode.frames_THWC[0, 8, 0, 0] == 7 * 8
    kept = manifest["splits"]["val"]
    assert kept["frames"] >= 30 and manifest["recording"]["plays"]["val"] == kept["episodes"]


def test_a_cut_recording_is_resumed_to_the_same_bytes(arcade, tmp_path, monkeypatch):
    wanted = config(tmp_path / "data", "OneStart", shard_episodes=1, frames=1500)
    whole = config(tmp_path / "whole", "OneStart", shard_episodes=1, frames=1500)
    record(whole, QUIET)
    from worldlet.data import record as recording

    def stop_in_testing(folder, manifest, split, *rest):
        enter(folder, manifest, split, *rest)
        if split == "val":
            raise KeyboardInterrupt

    enter = recording.enter_shard
    monkeypatch.setattr(recording, "enter_shard", stop_in_testing)
    with pytest.raises(KeyboardInterrupt):
        record(wanted, QUIET)
    monkeypatch.setattr(recording, "enter_shard", enter)
    record(wanted, QUIET)
    names = sorted(path.name for path in (tmp_path / "whole").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "data").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "data" / name).read_bytes()


def test_a_game_with_nothing_new_to_hold_out_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("worldlet.data.keeping.MOST_BARREN", 5)
    with pytest.raises(ValueError, match="5 plays .* in a row showed nothing .* --held_out levels"):
        record(config(tmp_path / "data", "OneStart", episode_steps=6, frames=60), QUIET)
    assert read_manifest(tmp_path / "data")["splits"]["train"]["frames"] > 0


def test_fingerprints_tell_frames_apart_but_not_what_nobody_sees():
    frames = np.full((4, 16, 16, 3), 64, np.uint8)
    frames[1] += 7  # the same to the eye
    frames[2, 3, 3, 0] += 8
    frames[3, 3, 4, 0] += 8
    prints = fingerprints(frames)
    assert prints[0] == prints[1] and len(set(prints.tolist())) == 3


def test_spans_begin_and_end_where_frames_are_new():
    prints = np.arange(100, dtype=np.uint64)
    assert unseen_spans(prints, set()) == [(0, 100)]
    assert unseen_spans(prints, {0, 40, 50, 99}) == [(1, 40), (51, 99)]
    assert unseen_spans(prints[:SHORTEST_SPAN], set()) == [(0, SHORTEST_SPAN)]
    assert unseen_spans(prints[: SHORTEST_SPAN - 1], set()) == []


def test_a_cut_keeps_actions_facts_and_events_beside_their_frames():
    frames = np.arange(30, dtype=np.uint8).repeat(12).reshape(30, 2, 2, 3)
    meta = {"episode_id": "val-000003", "events": {"jump": [2, 11, 20], "coin": [29]}}
    (part,) = cut(Episode(frames, np.arange(29), {"time": np.arange(30)}, meta), [(10, 28)])
    assert part.frames_THWC[:, 0, 0, 0].tolist() == part.facts["time"].tolist() == list(range(10, 28))
    assert part.actions_T.tolist() == list(range(10, 27))
    assert part.meta == {"episode_id": "val-000003-00010", "events": {"jump": [1, 10]}}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_crash_names_the_episode_and_what_was_recorded_stays(tmp_path, workers):
    folder = tmp_path / "data"
    levels = {"options": {"levels": [6]}, "frames": 1000, "workers": workers}
    with pytest.raises(
        ValueError, match=r"train-000006 \(level seed 6\) after 2 actions: RuntimeError: the floor gave"
    ):
        record(config(folder, "Fragile", **levels), QUIET)
    manifest = read_manifest(folder)
    assert [shard["file"] for shard in manifest["shards"]] == [
        "val-000000.tar",
        "test-000000.tar",
        "train-000000.tar",
    ]
    assert len(list(read_episodes(folder, "train"))) == 4 and not list(folder.glob("*.tmp"))
    record(config(folder, "Fragile", skip_crashes=True, **levels), QUIET)
    seeds = [episode.meta["level_seed"] for episode in read_episodes(folder, "train")]
    assert seeds == [*range(6), *range(7, len(seeds) + 1)] and read_manifest(folder)["complete"]


def test_a_crash_of_a_child_process_leaves_a_folder_to_go_on_with(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder = tmp_path / "data"
    levels = {"options": {"levels": [1], "how": "die"}, "frames": 300, "python": sys.executable}
    with pytest.raises(ValueError, match=r"train-000001 .*exit code 3: out of lives.*goes on from there"):
        record(config(folder, "Fragile", **levels), QUIET)
    assert len(list(read_episodes(folder, "val"))) == 1
    record(config(folder, "Fragile", skip_crashes=True, **levels), QUIET)
    assert [episode.meta["level_seed"] for episode in read_episodes(folder, "train")][:2] == [0, 2]


def test_a_game_that_always_crashes_ends_even_when_crashes_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("worldlet.data.keeping.MOST_BARREN", 4)
    options = {"levels": list(range(10**6, 10**6 + 20))}
    with pytest.raises(ValueError, match="val-000003"):
        record(config(tmp_path / "data", "Fragile", options=options, skip_crashes=True), QUIET)


def test_settings_of_the_game_are_kept_with_the_data(tmp_path):
    record(config(tmp_path / "data", "Shows", frame_skip=2, size="32", frames=60), QUIET)
    manifest = read_manifest(tmp_path / "data")
    assert manifest["options"] == {"frame_skip": 2, "size": "32"} and manifest["fps"] == 12
    episode = next(read_episodes(tmp_path / "data", "train"))
    assert episode.meta["options"] == manifest["options"] and episode.frames_THWC.shape[1:3] == (32, 48)
    game = make(manifest["env_id"], **manifest["options"])
    assert list(game.observation_space.shape[:2]) == manifest["frame_size"]
    assert json.dumps(manifest)  # nothing that JSON cannot hold


@pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems only")
def test_a_second_recording_into_the_same_folder_is_refused(arcade):
    code = f"""
import fcntl, os, sys
handle = os.open({str(arcade)!r}, os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        other.stdout.readline()
        with pytest.raises(ValueError, match="another recording is writing"):
            record(config(arcade, "OneStart"), QUIET)
        other.stdin.close()
    record(config(arcade, "OneStart"), QUIET)
