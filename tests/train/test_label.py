from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the training extra")
pytest.importorskip("av", reason="needs the training extra")

from rich.console import Console  # noqa: E402

from tests.train.square_game import NAMES, SquareGame, play, write_data  # noqa: E402
from worldlet import cli  # noqa: E402
from worldlet.data.shards import read_episodes, read_manifest  # noqa: E402
from worldlet.dynamics.inverse import InverseDynamics  # noqa: E402
from worldlet.records import Episode  # noqa: E402
from worldlet.train.inverse_stage import InverseStageConfig  # noqa: E402
from worldlet.train.judge import JudgeConfig, train_judge  # noqa: E402
from worldlet.train.label import LabelConfig, label, sure_runs  # noqa: E402
from worldlet.train.moments import read_labelled  # noqa: E402
from worldlet.train.verdicts import hear  # noqa: E402

QUIET = Console(quiet=True)
JUDGE = JudgeConfig(
    steps=500, learning_rate=5e-3, width=8, moments=200, accuracy=0.8, threads=1, precision="fp32", device="cpu",
    stage=InverseStageConfig(batch_size=16, shift=0, val_moments=64),
)  # fmt: skip


def dark(episode: Episode, start: int, end: int) -> Episode:
    """The play with the light off from frame start to end: what was done there cannot be known."""
    frames = episode.frames_THWC.copy()
    frames[start:end] = 0
    return replace(episode, frames_THWC=frames)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    plays = {
        "train": [dark(play(seed, 100), 60, 85) for seed in range(8)],
        "val": [dark(play(seed, 100, "val"), 60, 85) for seed in range(10, 13)],
        "test": [dark(play(seed, 100, "test"), 60, 85) for seed in range(20, 23)],
    }
    return write_data(tmp_path_factory.mktemp("square") / "labelled", plays)


@pytest.fixture(scope="module")
def judge_folder(labelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("square") / "judge"
    assert train_judge(labelled, folder, JUDGE, QUIET) is not None
    return folder


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    """A data folder whose actions say nothing, its second play half in the dark."""
    plays = [play(30, 90), dark(play(31, 90), 40, 91), play(32, 90)]
    plays = [replace(p, actions_T=np.zeros_like(p.actions_T), meta={**p.meta, "action_names": ["none"]}) for p in plays]
    return write_data(tmp_path_factory.mktemp("square") / "unlabelled", {"train": plays}, names=["none"])


def test_the_judge_reads_actions_of_levels_it_never_saw(judge_folder) -> None:
    judge = InverseDynamics.load(judge_folder)
    held = judge.about["held_out"]
    assert held["n"] >= 100 and held["accuracy"] > 0.6
    assert held["accuracy"] > 2 * held["shuffled"] and set(held["by_action"]) == set(NAMES)
    assert "cannot be asked" in held["no_game"] and held["same_outcome"] is None
    assert (judge_folder / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_what_comes_to_the_same_is_not_held_against_the_judge(judge_folder) -> None:
    plays = [play(seed, 60) for seed in range(40, 44)]
    verdicts = hear(InverseDynamics.load(judge_folder), plays, 240, SquareGame, horizon=1)
    assert verdicts.classes_MA is not None and len(verdicts.actions_M) == 240
    assert verdicts.same_outcome_M.mean() > verdicts.right_M.mean()
    assert verdicts.same_outcome_M.mean() > 0.95


def test_a_finished_judge_is_used_as_it_is(labelled, judge_folder) -> None:
    before = (judge_folder / "judge.safetensors").stat().st_mtime_ns
    assert train_judge(labelled, judge_folder, JUDGE, QUIET) is not None
    assert (judge_folder / "judge.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds a judge of"):
        train_judge("elsewhere", judge_folder, JUDGE, QUIET)


def test_labels_are_right_and_the_dark_is_dropped(unlabelled, judge_folder, tmp_path) -> None:
    out = tmp_path / "out"
    result = label(LabelConfig(str(unlabelled), str(out), labelled=str(judge_folder), judge=JUDGE), QUIET)
    manifest = read_manifest(out)
    labels = manifest["labels"]
    assert result.finished and manifest["complete"] and "actions labelled" in result.words
    assert manifest["action_names"] == list(NAMES) and manifest["key_bindings"] == {"left": [["ArrowLeft"]]}
    assert labels["by"] == "inverse dynamics" and labels["judge"]["held_out"]["n"] >= 100
    assert labels["actions"] == 270 and labels["kept"] == manifest["splits"]["train"]["frames"] - len(
        list(read_episodes(out, "train"))
    )
    truth = {30: play(30, 90), 31: play(31, 90), 32: play(32, 90)}
    right = total = 0
    for episode in read_episodes(out, "train"):
        origin, real = episode.meta["labels"], truth[episode.meta["level_seed"]]
        part = slice(origin["start"], origin["start"] + len(episode))
        assert len(episode) >= 16 and episode.meta["action_names"] == list(NAMES)
        assert (episode.facts["time"] == np.arange(part.start, part.stop + 1)).all()
        if episode.meta["level_seed"] == 31:
            assert part.stop <= 45  # nothing of the dark but what the span blurs
        else:
            assert (episode.frames_THWC == real.frames_THWC[part.start : part.stop + 1]).all()
            right, total = right + int((episode.actions_T == real.actions_T[part]).sum()), total + len(episode)
    assert total > 90 and right / total > 0.8


def test_the_accuracy_asked_for_holds_for_a_judge_that_is_trained_already(unlabelled, judge_folder, tmp_path) -> None:
    about = InverseDynamics.load(judge_folder).about
    kept, told = {}, {}
    for accuracy in (0.5, 0.8, 0.97):
        out = tmp_path / str(accuracy)
        asked = LabelConfig(str(unlabelled), str(out), str(judge_folder), judge=replace(JUDGE, accuracy=accuracy))
        label(asked, QUIET)
        labels = read_manifest(out)["labels"]
        kept[accuracy], told[accuracy] = labels["kept"], labels["judge"]["threshold"]
        assert told[accuracy]["wanted"] == accuracy and "heard" not in labels["judge"]
    assert told[0.8] == about["threshold"], "what it was trained for"
    assert told[0.5]["sureness"] <= told[0.8]["sureness"] < told[0.97]["sureness"]
    assert kept[0.5] >= kept[0.8] > kept[0.97]
    assert InverseDynamics.load(judge_folder).about == about, "a judge that was only asked stays as it is"
    old = InverseDynamics.load(judge_folder)
    del old.about["heard"]
    old.save(tmp_path / "old")
    with pytest.raises(ValueError, match="tuned for an accuracy of 0.8 by an earlier version"):
        label(LabelConfig(str(unlabelled), str(tmp_path / "new"), str(tmp_path / "old")), QUIET)


def test_labelling_is_taken_up_after_a_kill(unlabelled, judge_folder, tmp_path, monkeypatch) -> None:
    settings = {"labelled": str(judge_folder), "shard_episodes": 1, "judge": JUDGE}
    whole, killed = (LabelConfig(str(unlabelled), str(tmp_path / name), **settings) for name in ("whole", "killed"))
    label(whole, QUIET)
    from worldlet.train import label as module

    real, calls = module.encode_episode, []

    def dies(episode):
        calls.append(episode)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(episode)

    monkeypatch.setattr(module, "encode_episode", dies)
    with pytest.raises(KeyboardInterrupt):
        label(killed, QUIET)
    monkeypatch.setattr(module, "encode_episode", real)
    label(killed, QUIET)
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).glob("*.tar")} for name in ("whole", "killed")]
    assert files[0] == files[1] and len(files[0]) > 1
    counts = [json.loads((tmp_path / name / "manifest.json").read_bytes())["labels"] for name in ("whole", "killed")]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"fps": 30.0}, "prepare them at the same rate"), ({}, "could be labelled surely enough")],
    ids=["rate", "all dark"],
)
def test_what_does_not_fit_is_one_sentence(change, words, judge_folder, tmp_path) -> None:
    folder = write_data(tmp_path / "dark", {"train": [dark(play(50, 60), 0, 61)]}, **change)
    with pytest.raises(ValueError, match=words):
        label(LabelConfig(str(folder), str(tmp_path / "out"), labelled=str(judge_folder), judge=JUDGE), QUIET)


def test_the_verb(unlabelled, judge_folder, tmp_path, capsys) -> None:
    out = str(tmp_path / "out")
    given = ["--with", str(judge_folder), "--judge.accuracy", "0.8"]
    assert cli.main(["label", str(unlabelled), *given, "--out", out]) == 0
    assert "actions labelled" in capsys.readouterr().out
    assert cli.main(["label", str(unlabelled), "--with", "a", "--codes", "b", "--out", out]) == 2
    assert "not both" in capsys.readouterr().err


def test_runs_of_sure_actions() -> None:
    actions = np.array([-1, 0, 2, 2, -1, 1, -1, 3, 3])
    assert list(sure_runs(actions, 1)) == [(1, 4), (5, 6), (7, 9)]
    assert list(sure_runs(actions, 2)) == [(1, 4), (7, 9)]
    assert list(sure_runs(np.full(3, -1), 1)) == []


def test_a_data_set_without_splits_holds_something_out(tmp_path) -> None:
    many = write_data(tmp_path / "many", {"train": [play(seed, 30) for seed in range(6)]})
    plays = read_labelled(many, 1000)
    ids = [{p.meta["episode_id"] for p in part} for part in (plays.train, plays.calibrate, plays.report)]
    assert [len(part) for part in ids] == [4, 1, 1] and len(set.union(*ids)) == 6
    one = write_data(tmp_path / "one", {"train": [play(0, 100)]})
    plays = read_labelled(one, 1000)
    assert [[len(p) for p in part] for part in (plays.train, plays.calibrate, plays.report)] == [[70], [15], [15]]
    assert (plays.report[0].actions_T == play(0, 100).actions_T[85:]).all()
    half = write_data(tmp_path / "half", {"train": [play(0, 50)], "val": [play(1, 50), play(2, 50)]})
    plays = read_labelled(half, 1000)
    assert [p.meta["level_seed"] for p in plays.calibrate + plays.report] == [1, 2]
    assert len(read_labelled(half, 31).train[0]) == 30
    tiny = write_data(tmp_path / "tiny", {"train": [play(0, 10)]})
    with pytest.raises(ValueError, match="holds too little"):
        read_labelled(tiny, 1000)


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "interrupted"])
def test_a_judge_of_data_that_has_changed_since_is_trained_anew(finished, tmp_path) -> None:
    def recorded(first: int):
        return write_data(
            tmp_path / "data", {split: [play(first + n, 30, split)] for n, split in enumerate(("train", "val", "test"))}
        )

    quick = replace(JUDGE, steps=4, moments=8)
    folder = tmp_path / "judge"
    before = train_judge(recorded(0), folder, quick, QUIET)
    if not finished:
        (folder / "judge.json").unlink()  # as a kill before the end leaves it
    shutil.rmtree(tmp_path / "data")
    after = train_judge(recorded(50), folder, quick, QUIET)
    assert before is not None and after is not None
    fresh = train_judge(tmp_path / "data", tmp_path / "fresh", quick, QUIET)
    assert fresh is not None and after.about["held_out"] == fresh.about["held_out"]
    weights = [judge.state_dict() for judge in (before, after, fresh)]
    assert all((weights[1][name] == weights[2][name]).all() for name in weights[1])
    assert any((weights[0][name] != weights[1][name]).any() for name in weights[1])


def test_a_judge_asked_for_otherwise_is_trained_anew_and_else_taken_as_he_lies(tmp_path) -> None:
    data = write_data(tmp_path / "data", {s: [play(n, 30, s)] for n, s in enumerate(("train", "val", "test"))})
    folder, quick = tmp_path / "judge", replace(JUDGE, steps=4, moments=8)
    assert train_judge(data, folder, quick, QUIET) is not None
    written = (folder / "judge.safetensors").stat().st_mtime_ns
    assert train_judge(data, folder, quick, QUIET) is not None
    assert (folder / "judge.safetensors").stat().st_mtime_ns == written
    for other in (replace(quick, steps=5), replace(quick, steps=5, max_frames=20)):
        assert train_judge(data, folder, other, QUIET) is not None
        before, written = written, (folder / "judge.safetensors").stat().st_mtime_ns
        assert written != before, other
