"""The quality filter on real recordings of the platformer: silent on clean ones, and it finds each planted fault."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from worldlet.data.codec import encode_episode
from worldlet.data.coverage import episode_coverage
from worldlet.data.filter import CleanConfig, clean
from worldlet.data.measures import measure
from worldlet.data.record import RecordConfig, enter_shard, record
from worldlet.data.shards import ShardWriter, read_episodes, read_manifest, write_manifest
from worldlet.data.spans import FilterConfig, find_spans
from worldlet.records import Episode

QUIET = Console(quiet=True)
FPS = 30


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "data"
    config = RecordConfig(
        "worldlet/Platformer-v0", str(folder), frames=800, val_fraction=0, test_fraction=0, workers=1, shard_episodes=1
    )
    record(config, QUIET)
    return folder


@pytest.fixture(scope="module")
def episodes(recorded):
    return list(read_episodes(recorded, "train"))


def spans_of(frames, actions=None):
    return find_spans(measure(frames, frames.shape[1:3]), FPS, FilterConfig(), actions)


def noise(frames, first, length):
    rng = np.random.default_rng(1)
    frames[first : first + length] = rng.integers(0, 256, (length, *frames.shape[1:]), np.uint8)


def garbage(frames, first, length):
    """What a decoder shows that lost a packet: grey below, torn blocks above."""
    frames[first : first + length, 40:] = 128
    frames[first : first + length, 20:40] = frames[first : first + length, 60:80, ::-1] // 2


def black(frames, first, length):
    frames[first : first + length] = 3


def frozen(frames, first, length):
    frames[first : first + length] = frames[first - 1]


def menu(frames, first, length):
    frames[first : first + length] = frames[first - 1]
    frames[first : first + length, 24:104, 24:104] = 20, 20, 60
    for t in range(first, first + length):
        top = 40 + 16 * (t // 20 % 3)  # the cursor goes down the list
        frames[t, top : top + 6, 32:38] = 250


def stuck(frames, first, length):
    for t in range(length):
        frames[first + t] = frames[first + t % 7]


PLANTS = [
    ("glitched", noise, 5), ("glitched", garbage, 8), ("black", black, 12), ("menu", menu, 120),
    ("frozen", frozen, 110), ("stuck", stuck, 280),
]  # fmt: skip


def test_no_alarm_on_a_clean_recording(episodes):
    assert sum(len(episode.frames_THWC) for episode in episodes) >= 800
    for episode in episodes:
        assert spans_of(episode.frames_THWC, episode.actions_T) == []


@pytest.mark.parametrize(("reason", "plant", "length"), PLANTS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("place", [0, 1])
def test_a_planted_fault_is_found_where_it_is(episodes, reason, plant, length, place):
    episode, first = episodes[place], (120, 180)[place]
    frames = episode.frames_THWC.copy()
    plant(frames, first, length)
    (span,) = spans_of(frames, episode.actions_T)
    assert span.reason == reason and span.figure
    # A frozen span may be as long as the stillness around it, and the first round of a loop is new.
    tolerance = 12 if reason == "stuck" else 2
    assert abs(span.first - first) <= tolerance and abs(span.stop - first - length) <= tolerance


def test_a_flash_and_a_short_pause_are_the_games_own(episodes):
    frames = episodes[0].frames_THWC.copy()
    frames[100:104] = frames[100:104] // 2 + 127
    frozen(frames, 200, 60)
    assert spans_of(frames) == []


def test_a_menu_needs_a_player_who_tries(episodes):
    frames = episodes[0].frames_THWC.copy()
    menu(frames, 120, 80)  # shorter than what counts as frozen would be, were the cursor not there
    frames[120:200] = frames[120]
    actions = np.zeros(len(frames) - 1, np.int64)
    assert [span.reason for span in spans_of(frames, actions)] == []
    menu(frames, 120, 120)
    assert [span.reason for span in spans_of(frames, actions)] == []
    actions[150] = 3
    assert [span.reason for span in spans_of(frames, actions)] == ["menu"]


def test_a_length_of_nothing_turns_a_rule_off(episodes):
    frames = episodes[0].frames_THWC.copy()
    black(frames, 50, 20)
    measures = measure(frames, frames.shape[1:3])
    config = FilterConfig(black_seconds=0)
    assert "black" not in {span.reason for span in find_spans(measures, FPS, config)}
    with pytest.raises(ValueError, match="menu_area is a share"):
        FilterConfig(menu_area=2)


def soil(recorded, folder):
    """Copy a data set, its first episode with planted faults."""
    manifest, planted = read_manifest(recorded), []
    manifest["shards"], manifest["splits"]["train"] = [], {**manifest["splits"]["train"], "episodes": 0, "frames": 0}
    folder.mkdir()
    write_manifest(folder, manifest)
    for number, episode in enumerate(read_episodes(recorded, "train")):
        frames = episode.frames_THWC.copy()
        if number == 0:
            for reason, plant, first, length in (("black", black, 60, 15), ("menu", menu, 150, 120)):
                plant(frames, first, length)
                planted.append((reason, first, length))
        soiled = Episode(frames, episode.actions_T, episode.facts, episode.meta)
        writer = ShardWriter(folder / f"train-{number:06d}.tar")
        writer.write(episode.meta["episode_id"], encode_episode(soiled))
        coverage = episode_coverage(soiled, {})
        enter_shard(folder, manifest, "train", writer.path.name, writer.close(), len(frames), [coverage])
    return planted


def test_filter_writes_what_is_left_and_shows_what_is_gone(recorded, episodes, tmp_path):
    soil(recorded, tmp_path / "dirty")
    done = clean(CleanConfig(str(tmp_path / "dirty"), str(tmp_path / "clean")), QUIET)
    assert done.dropped == {"black": 15, "menu": 120}
    kept = list(read_episodes(tmp_path / "clean", "train"))
    manifest = read_manifest(tmp_path / "clean")
    assert manifest["complete"] and manifest["splits"]["train"]["episodes"] == len(kept) == len(episodes) + 2
    first = episodes[0]
    for piece, (begin, stop) in zip(kept, [(0, 60), (75, 150), (270, len(first.frames_THWC))], strict=False):
        np.testing.assert_array_equal(piece.frames_THWC, first.frames_THWC[begin:stop])
        np.testing.assert_array_equal(piece.actions_T, first.actions_T[begin : stop - 1])
        np.testing.assert_array_equal(piece.facts["hero_mask"], first.facts["hero_mask"][begin:stop])
        for event, frames in piece.meta["events"].items():
            assert {frame + begin for frame in frames} <= set(first.meta["events"][event])
    # An episode without a fault keeps its very bytes.
    name = "train-000001.tar"
    assert (tmp_path / "clean" / name).read_bytes() == (tmp_path / "dirty" / name).read_bytes()
    check_report(tmp_path / "clean", {"black": 15, "menu": 120})


def check_report(folder: Path, dropped):
    report = json.loads((folder / "report" / "report.json").read_text())
    assert {reason: counts["frames"] for reason, counts in report["reasons"].items()} == dropped
    assert report["thresholds"]["frozen_seconds"] == 3
    for span in report["spans"]:
        assert span["figure"] and span["seconds"] > 0 and (folder / "report" / span["picture"]).is_file()
    for name in (*dropped, "timeline"):
        with Image.open(folder / "report" / f"{name}.png") as picture:
            assert len(picture.convert("RGB").getcolors(100_000)) > 3


def test_an_interrupted_filter_goes_on(recorded, tmp_path, monkeypatch):
    soil(recorded, tmp_path / "dirty")
    config = CleanConfig(str(tmp_path / "dirty"), str(tmp_path / "clean"))
    monkeypatch.setattr(
        "worldlet.data.filter.read_samples", lambda path: 1 / 0 if "000001" in path.name else plain(path)
    )
    from worldlet.data.shards import read_samples as plain

    with pytest.raises(ZeroDivisionError):
        clean(config, QUIET)
    monkeypatch.undo()
    assert [shard["file"] for shard in read_manifest(tmp_path / "clean")["shards"]] == ["train-000000.tar"]
    before = (tmp_path / "clean" / "train-000000.tar").stat().st_mtime_ns
    assert clean(config, QUIET).dropped == {"black": 15, "menu": 120}
    assert (tmp_path / "clean" / "train-000000.tar").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="other settings"):
        clean(CleanConfig(str(tmp_path / "dirty"), str(tmp_path / "clean"), least_steps=3), QUIET)


def test_what_cannot_be_filtered_is_said(recorded, tmp_path):
    with pytest.raises(ValueError, match="in place"):
        clean(CleanConfig(str(recorded), str(recorded)), QUIET)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="not empty"):
        clean(CleanConfig(str(recorded), str(tmp_path / "full")), QUIET)
    with pytest.raises(ValueError, match="holds no manifest"):
        clean(CleanConfig(str(tmp_path), str(tmp_path / "out")), QUIET)
