"""`worldlet prepare vpt`: segments of a folder or a server become a data set folder that reads like any other."""

import json

import numpy as np
import pytest
from rich.console import Console

from tests.data.vpt_recording import counts, line, write_segment
from worldlet.cli import main
from worldlet.data.record import SPLITS, split_of
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.data.vpt import prepare
from worldlet.data.vpt.index import Index, Segment
from worldlet.data.vpt.prepare import VptConfig, prepare_vpt

QUIET = Console(quiet=True)


def lines(count=20, **fields):
    return [line(index, ("w",), **fields) for index in range(count)]


@pytest.fixture
def recordings(tmp_path):
    """Four segments of two sessions, one damaged pair and one without a log."""
    folder = tmp_path / "videos"
    for name in ("7.6/anna-aa-20220101-000000", "7.6/anna-aa-20220101-000500", "7.6/bert-bb-20220101-000000"):
        write_segment(folder, name, lines())
    write_segment(folder, "7.6/bert-bb-20220101-000500", lines(isGuiOpen=True))
    write_segment(folder, "7.6/carl-cc-20220101-000000", lines(), frames=40)
    write_segment(folder, "7.6/dora-dd-20220101-000000", lines())
    (folder / "7.6/dora-dd-20220101-000000.jsonl").unlink()
    return folder


def config(recordings, tmp_path, **settings):
    settings = {"segments": 0, "height": 8, "width": 16, "val_fraction": 0.3, "test_fraction": 0.3} | settings
    return VptConfig(str(recordings), str(tmp_path / "data"), **settings)


def test_the_folder_reads_like_any_other(recordings, tmp_path):
    summary = prepare_vpt(config(recordings, tmp_path), QUIET)
    manifest = read_manifest(summary.folder)
    assert manifest["complete"] and manifest["frame_size"] == [8, 16] and manifest["fps"] == 20
    assert len(manifest["action_names"]) == 4356
    assert (summary.frames, summary.episodes, summary.shards) == (60, 3, 3)
    found = [
        episode for split in SPLITS if _shards(manifest, split) for episode in read_episodes(summary.folder, split)
    ]
    for episode in found:
        assert counts(episode.frames_THWC) == list(range(20))
        assert episode.meta["split"] == split_of(episode.meta["level_seed"])
        assert manifest["action_names"][episode.actions_T[0]] == "w"
    skipped = manifest["recording"]["skipped"]
    assert "no span of it" in skipped["7.6/bert-bb-20220101-000500"]
    assert "not of one segment" in skipped["7.6/carl-cc-20220101-000000"]
    assert len(skipped) == 2
    assert (tmp_path / "data" / "coverage.png").is_file()


def _shards(manifest, split):
    return [shard for shard in manifest["shards"] if shard["split"] == split]


def test_segments_of_one_session_never_cross_the_splits():
    index = Index(
        "x/", tuple(Segment(f"7.6/a-{number}-20220101-{hour:06d}") for number in range(400) for hour in (0, 9))
    )
    by_session = {}
    for segment in index.segments:
        by_session.setdefault(segment.session, set()).add(split_of(segment.level_seed(0.1, 0.2)))
    assert len(by_session) == 400 and all(len(splits) == 1 for splits in by_session.values())
    share = {split: np.mean([split in splits for splits in by_session.values()]) for split in SPLITS}
    assert abs(share["val"] - 0.1) < 0.05 and abs(share["test"] - 0.2) < 0.06


def test_a_kill_costs_no_more_than_a_segment(recordings, tmp_path, monkeypatch):
    wanted = prepare_vpt(config(recordings, tmp_path, downloads="x"), QUIET)
    whole = {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()}
    again = VptConfig(
        str(recordings), str(tmp_path / "again"), segments=0, height=8, width=16, val_fraction=0.3, test_fraction=0.3
    )
    real, calls = prepare.read_segment, []

    def killed(video, *rest):
        calls.append(video)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(video, *rest)

    monkeypatch.setattr(prepare, "read_segment", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_vpt(again, QUIET)
    assert len(read_manifest(tmp_path / "again")["shards"]) == 1
    summary = prepare_vpt(again, QUIET)
    assert summary.frames == wanted.frames and len(calls) == 6
    assert {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()} == whole
    calls.clear()
    assert prepare_vpt(again, QUIET) == summary and not calls


def test_segments_come_from_a_server(recordings, tmp_path, monkeypatch):
    asked = []

    class Kept(prepare.Folder):
        def fetch(self, url, name, heard=lambda size: None):
            asked.append(url)
            path = recordings / name
            if not path.is_file():
                raise prepare.Missing(f"{url} is not there (404)")
            return path

    monkeypatch.setattr(prepare, "Folder", Kept)
    paths = ["7.6/anna-aa-20220101-000000", "7.6/dora-dd-20220101-000000"]
    (tmp_path / "all.json").write_text(json.dumps({"basedir": "https://example.org/data", "relpaths": paths}))
    summary = prepare_vpt(config(tmp_path / "all.json", tmp_path), QUIET)
    assert summary.frames == 20
    assert asked[:2] == [f"https://example.org/data/{paths[0]}{ending}" for ending in (".jsonl", ".mp4")]
    assert "never uploaded" in read_manifest(summary.folder)["recording"]["skipped"][paths[1]]


def test_what_could_not_be_downloaded_is_tried_again(recordings, tmp_path, monkeypatch):
    class Cut(prepare.Folder):
        def fetch(self, url, name, heard=lambda size: None):
            if "bert" in name:
                raise prepare.Unreachable(f"{url} could not be downloaded")
            return recordings / name

    paths = ["7.6/anna-aa-20220101-000000", "7.6/bert-bb-20220101-000000", "7.6/anna-aa-20220101-000500"]
    (tmp_path / "all.json").write_text(json.dumps({"basedir": "https://example.org/data", "relpaths": paths}))
    monkeypatch.setattr(prepare, "Folder", Cut)
    wanted = config(tmp_path / "all.json", tmp_path)
    with pytest.raises(ValueError, match="1 of 3 segments could not be downloaded: the same command"):
        prepare_vpt(wanted, QUIET)
    manifest = read_manifest(wanted.out)
    assert len(manifest["shards"]) == 2 and not manifest["complete"] and not manifest["recording"]["skipped"]
    monkeypatch.setattr(Cut, "fetch", lambda self, url, name: recordings / name)
    assert prepare_vpt(wanted, QUIET).frames == 60 and read_manifest(wanted.out)["complete"]


def test_a_drawn_part_of_an_index_is_the_same_every_time():
    index = Index("x/", tuple(Segment(f"6.9/a-{number}") for number in range(50)))
    drawn = index.choose(5, seed=3)
    assert len(drawn) == 5 and drawn == index.choose(5, seed=3) != index.choose(5, seed=4)
    assert sorted(drawn, key=index.segments.index) == list(drawn)
    assert index.choose(0, 1) == index.choose(99, 1) == index.segments


def test_other_settings_do_not_mix(recordings, tmp_path):
    prepare_vpt(config(recordings, tmp_path), QUIET)
    with pytest.raises(ValueError, match=r"begun with max_idle 20 \(now 3\)"):
        prepare_vpt(config(recordings, tmp_path, max_idle=3), QUIET)


@pytest.mark.parametrize("settings", [{"height": 12}, {"max_idle": -2}, {"min_steps": 0}, {"val_fraction": 1.0}])
def test_values_out_of_range_are_refused(recordings, tmp_path, settings):
    with pytest.raises(ValueError, match="must be|leave something"):
        config(recordings, tmp_path, **settings)


def test_the_verb(recordings, tmp_path, capsys):
    out = tmp_path / "data"
    options = ["--segments", "0", "--height", "8", "--width", "16", "--out", str(out)]
    assert main(["prepare", "vpt", str(recordings), *options]) == 0
    assert f"{out}: 60 frames in 3 episodes" in capsys.readouterr().out
    assert main(["prepare", "vpt", str(tmp_path / "nothing"), "--out", str(out)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_of_use_is_an_error(tmp_path):
    write_segment(tmp_path / "videos", "a", lines(isGuiOpen=True))
    with pytest.raises(ValueError, match="no segment could be used"):
        prepare_vpt(config(tmp_path / "videos", tmp_path), QUIET)
