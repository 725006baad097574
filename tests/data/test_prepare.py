"""`worldlet prepare`: an action shows in the next frame and in no earlier one, whatever the video's clock."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.data.films import HEIGHT, WIDTH, film, scene, shown_actions, write_film
from worldlet.data.clips import FrameTable
from worldlet.data.prepare import PrepareConfig, prepare
from worldlet.data.record import split_of
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.data.survey import pick

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)
NAMES = ("noop", "left", "right", "jump")
SPLITS = ("train", "val", "test")


def actions(count, seed=0, hold=1):
    return np.random.default_rng(seed).integers(0, 4, -(-count // hold)).repeat(hold)[:count]


def write_log(path, rows, header):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def run(source, out, **changes):
    settings = {"size": 64, "episode_steps": 20, "least_steps": 4, "guard_seconds": 0.2, "bars": False, **changes}
    return prepare(PrepareConfig(str(source), str(out), **settings), QUIET)


def episodes(folder):
    return [episode for split in SPLITS if count(folder, split) for episode in read_episodes(folder, split)]


def count(folder, split):
    return read_manifest(folder)["splits"][split]["episodes"]


ALL = {"val_fraction": 0, "test_fraction": 0}
"""Nothing is held out."""


def check_alignment(folder, least):
    """Every mark tells the action before it, by name; a shift by one frame either way would show."""
    seen = 0
    for episode in episodes(folder):
        marks = shown_actions(episode.frames_THWC)
        names = episode.meta["action_names"]
        assert [NAMES[mark] for mark in marks[1:]] == [names[action] for action in episode.actions_T]
        seen += len(episode)
    assert seen >= least


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    done = actions(260)
    write_film(folder / "play.mp4", film(done))
    log = write_log(folder / "log.csv", [(t, NAMES[a]) for t, a in enumerate(done)], "frame,action")
    run(folder / "play.mp4", folder / "data", actions=log)
    return folder


def test_an_action_shows_in_the_next_frame_and_in_no_earlier_one(prepared):
    check_alignment(prepared / "data", least=180)


def test_the_manifest_tells_what_the_folder_holds(prepared):
    manifest = read_manifest(prepared / "data")
    assert manifest["complete"] and manifest["frame_size"] == [HEIGHT, WIDTH] and manifest["fps"] == 30
    assert manifest["action_names"] == ["noop", "jump", "left", "right"]
    assert manifest["key_bindings"]["left"] == [["ArrowLeft"]]
    assert manifest["recording"]["labelled"] is True
    for split, entry in manifest["splits"].items():
        found = list(read_episodes(prepared / "data", split))
        assert (len(found), sum(len(episode.frames_THWC) for episode in found)) == (entry["episodes"], entry["frames"])
        assert {split_of(episode.meta["level_seed"]) for episode in found} == {split}
    assert not list((prepared / "data").glob(".survey"))
    with Image.open(prepared / "data" / "coverage.png") as picture:
        assert picture.width > 100


def test_training_reads_the_folder(prepared):
    table = FrameTable.load(prepared / "data", "train", 40)
    assert table.frames_FHWC.shape == (40, HEIGHT, WIDTH, 3)


def test_held_out_frames_are_far_from_training(prepared):
    spans = {split: [e.meta["source_frames"] for e in read_episodes(prepared / "data", split)] for split in SPLITS}
    for split in ("val", "test"):
        for first, last in spans[split]:
            assert all(last + 6 < begin or end + 6 < first for begin, end in spans["train"])


@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [(".mkv", "libx264rgb", "rgb24"), (".webm", "libvpx", "yuv420p"), (".gif", "gif", "rgb8")],
)
def test_every_container_aligns_by_frame_number(tmp_path, suffix, codec, pixels):
    done = actions(60, hold=3)
    write_film(tmp_path / f"play{suffix}", film(done), codec=codec, pixels=pixels, fps=25)
    log = write_log(tmp_path / "log.csv", [(t, NAMES[a]) for t, a in enumerate(done)], "frame,action")
    run(tmp_path / f"play{suffix}", tmp_path / "data", actions=log, **ALL)
    check_alignment(tmp_path / "data", least=50)


def test_actions_by_time_align_with_an_unsteady_clock(tmp_path):
    gaps = np.random.default_rng(2).integers(20, 60, 120)
    stamps = np.append(0, gaps.cumsum())
    held = (np.arange(20) % 4).repeat(6)
    write_film(tmp_path / "held.mkv", film(held), stamps=stamps)
    rows = [{"time_ms": int(stamps[t]), "action": NAMES[a]} for t, a in enumerate(held)]
    (tmp_path / "held.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(tmp_path / "held.mkv", tmp_path / "held", actions=str(tmp_path / "held.jsonl"), fps=12, clean=False, **ALL)
    picked = pick(stamps / 1000, 12)
    checked = early = 0
    for episode in episodes(tmp_path / "held"):
        marks, names = shown_actions(episode.frames_THWC), episode.meta["action_names"]
        told = np.array([NAMES.index(names[action]) for action in episode.actions_T])
        first, _ = episode.meta["source_frames"]
        assert abs(episode.meta["source_seconds"] - stamps[first] / 1000) < 2e-3
        place = int(np.flatnonzero(picked == first)[0])
        edges = picked[place : place + len(marks)]
        # Where the action changed between two kept frames, the log's longest and the mark's last may differ.
        clear = [len(set(held[begin:end])) == 1 for begin, end in zip(edges[:-1], edges[1:], strict=True)]
        np.testing.assert_array_equal(marks[1:][clear], told[clear])
        checked += sum(clear)
        early += (marks[:-1][clear] != told[clear]).sum()
    assert checked > 30 and early > 3  # a shift by one frame would have shown


def test_half_the_rate_takes_every_other_frame_and_keeps_the_actions(tmp_path):
    done = actions(120, seed=4, hold=2)  # two frames of 60 are one of 30
    write_film(tmp_path / "play.mp4", film(done), fps=60)
    log = write_log(tmp_path / "log.csv", [(t / 60, NAMES[a]) for t, a in enumerate(done)], "time,action")
    run(tmp_path / "play.mp4", tmp_path / "data", actions=log, fps=30, **ALL)
    check_alignment(tmp_path / "data", least=50)
    first = episodes(tmp_path / "data")[0]
    assert first.meta["source_frames"] == [0, 2 * len(first)]


def test_a_video_that_repeats_every_frame_is_taken_at_its_own_rate(tmp_path):
    done = actions(80, seed=5)
    write_film(tmp_path / "play.mp4", film(done).repeat(2, axis=0), fps=60)
    log = write_log(tmp_path / "log.csv", [(2 * t, NAMES[a]) for t, a in enumerate(done)], "frame,action")
    run(tmp_path / "play.mp4", tmp_path / "data", actions=log, **ALL)
    assert read_manifest(tmp_path / "data")["fps"] == 30
    check_alignment(tmp_path / "data", least=70)


def test_key_events_become_combinations_and_a_tap_is_never_lost(tmp_path):
    write_film(tmp_path / "play.mp4", film(np.zeros(90, int)), fps=30)
    events = [(0.5, "ArrowRight", "down"), (1.0, "Space", "down"), (1.5, "Space", "up"), (2.0, "ArrowRight", "up")]
    events += [(2.501, "Space", "down"), (2.52, "Space", "up")]
    log = write_log(tmp_path / "log.csv", events, "time,key,event")
    run(tmp_path / "play.mp4", tmp_path / "data", actions=log, **ALL, episode_steps=200)
    (episode,) = episodes(tmp_path / "data")
    names = [episode.meta["action_names"][action] for action in episode.actions_T]
    expected = ["noop"] * 15 + ["ArrowRight"] * 15 + ["ArrowRight+Space"] * 15 + ["ArrowRight"] * 15
    expected += ["noop"] * 15 + ["Space"] + ["noop"] * 14
    assert names == expected
    assert read_manifest(tmp_path / "data")["key_bindings"]["ArrowRight+Space"] == [["ArrowRight", "Space"]]


def test_a_video_without_actions_says_so(tmp_path):
    write_film(tmp_path / "play.mp4", film(actions(100)))
    done = run(tmp_path / "play.mp4", tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    assert manifest["action_names"] == ["none"] and manifest["recording"]["labelled"] is False
    assert done.frames == sum(len(episode.frames_THWC) for episode in episodes(tmp_path / "data"))
    assert all((episode.actions_T == 0).all() for episode in episodes(tmp_path / "data"))


def test_a_mirrored_copy_swaps_left_and_right(tmp_path):
    done = actions(120, seed=6)
    write_film(tmp_path / "play.mp4", film(done))
    log = write_log(tmp_path / "log.csv", [(t, NAMES[a]) for t, a in enumerate(done)], "frame,action")
    run(tmp_path / "play.mp4", tmp_path / "data", actions=log, flip=True)
    train = list(read_episodes(tmp_path / "data", "train"))
    assert [episode.meta["mirrored"] for episode in train] == [False, True] * (len(train) // 2)
    swap = {"left": "right", "right": "left", "noop": "noop", "jump": "jump"}
    for plain, mirrored in zip(train[::2], train[1::2], strict=True):
        np.testing.assert_array_equal(mirrored.frames_THWC, plain.frames_THWC[:, :, ::-1])
        names = plain.meta["action_names"]
        assert [swap[names[a]] for a in plain.actions_T] == [names[a] for a in mirrored.actions_T]
    assert not any(e.meta["mirrored"] for split in ("val", "test") for e in read_episodes(tmp_path / "data", split))


def test_bars_are_cut_and_the_aspect_ratio_stays(tmp_path):
    frames = np.zeros((40, 160, 256, 3), np.uint8)
    for t in range(40):
        frames[t, 20:140, 48:208] = scene(t, 120, 160)
    write_film(tmp_path / "play.mp4", frames)
    run(tmp_path / "play.mp4", tmp_path / "data", size=160, bars=True, **ALL)
    manifest = read_manifest(tmp_path / "data")
    assert manifest["frame_size"] == [120, 160]
    assert manifest["recording"]["sources"]["play.mp4"]["margins"] == [48, 20, 48, 20]
    episode = episodes(tmp_path / "data")[0]
    np.testing.assert_array_equal(episode.frames_THWC[3], scene(3, 120, 160))


def test_a_scene_cut_ends_an_episode(tmp_path):
    frames = np.concatenate([film(actions(30), seed=1), film(actions(30), seed=9) // 4])
    write_film(tmp_path / "play.mp4", frames)
    run(tmp_path / "play.mp4", tmp_path / "data", **ALL, episode_steps=500)
    assert [episode.meta["source_frames"] for episode in episodes(tmp_path / "data")] == [[0, 30], [31, 61]]


def test_pictures_train_the_tokenizer_alone(tmp_path):
    for t in range(60):
        path = tmp_path / "shots" / f"shot{t}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(scene(t, seed=t)).save(path)
    (tmp_path / "shots" / "shot7.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    run(tmp_path / "shots", tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    assert manifest["recording"]["labelled"] is False and manifest["recording"]["dropped"]["glitched"] == 1
    found = episodes(tmp_path / "data")
    assert sum(len(episode.frames_THWC) for episode in found) == 59 and {e.meta["split"] for e in found} == set(SPLITS)
    for episode in found:  # natural order: shot10 comes after shot9
        first, last = episode.meta["source_frames"]
        np.testing.assert_array_equal(episode.frames_THWC, [scene(t, seed=t) for t in range(first, last + 1)])
    with pytest.raises(ValueError, match="pictures take no action log"):
        log = write_log(tmp_path / "log.csv", [(0, "left")], "frame,action")
        run(tmp_path / "shots", tmp_path / "other", actions=log)


@pytest.mark.parametrize("shared", [True, False], ids=["one log", "folder of logs"])
def test_an_action_log_that_has_changed_is_noticed_on_resume(tmp_path, monkeypatch, shared):
    (tmp_path / "films").mkdir()
    write_film(tmp_path / "films" / "play.mp4", film(actions(120)))
    log = tmp_path / "films" / "play.csv"
    write_log(log, enumerate(NAMES[action] for action in actions(120)), "frame,action")
    settings = {"actions": str(log if shared else log.parent), **ALL}
    source = tmp_path / "films" / "play.mp4"

    def dies(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("worldlet.data.prepare.write_plan", dies)
        run(source, tmp_path / "data", **settings)
    write_log(log, enumerate(NAMES[action] for action in actions(120, seed=1)), "frame,action")
    with pytest.raises(ValueError, match=r"begun with other settings \(action logs\)"):
        run(source, tmp_path / "data", **settings)
    write_log(log, enumerate(NAMES[action] for action in actions(120)), "frame,action")
    assert run(source, tmp_path / "data", **settings).frames > 60


def slow_run(source, out):
    code = (
        "import time\nfrom worldlet.data import writing\nplain = writing.encode_episode\n"
        "writing.encode_episode = lambda episode: (time.sleep(0.15), plain(episode))[1]\n"
        "from worldlet.data.prepare import PrepareConfig, prepare\n"
        f"prepare(PrepareConfig({str(source)!r}, {str(out)!r}, size=64, episode_steps=10, least_steps=4,"
        " guard_seconds=0.2, bars=False, shard_episodes=3))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    source = write_film(tmp_path / "play.mp4", film(actions(200)))
    process = slow_run(source, tmp_path / "killed")
    while process.poll() is None and not list((tmp_path / "killed").glob("train-000001.tar")):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not read_manifest(tmp_path / "killed")["complete"]
    same = {"episode_steps": 10, "shard_episodes": 3}
    with pytest.raises(ValueError, match="episode_steps"):
        run(source, tmp_path / "killed", **{**same, "episode_steps": 11})
    run(source, tmp_path / "killed", **same)
    run(source, tmp_path / "whole", **same)
    for path in sorted((tmp_path / "whole").rglob("*.tar")):
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}
