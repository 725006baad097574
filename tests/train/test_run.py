"""`worldlet train`: both stages in one run folder, resumed exactly, with nothing overwritten."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from tiny_run import recorded_platformer, tiny_config  # noqa: E402

from worldlet.config import load_yaml  # noqa: E402
from worldlet.train import load_weights, run  # noqa: E402
from worldlet.train.run import TrainConfig, load_config, load_tokenizer, train  # noqa: E402
from worldlet.train.tokens import encode_frames  # noqa: E402

STAGES = ("tokenizer", "dynamics")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_platformer(tmp_path_factory)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted: 4 steps of the tokenizer, 12 of the dynamics, rollouts at the end."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert [result.step for result in train(tiny_config(data, folder))] == [4, 12]
    return folder


class Crash(Exception):
    """What a kill looks like from inside."""


def fail_at(monkeypatch: pytest.MonkeyPatch, stage: str, step: int, how: str) -> None:
    """Let a stage end in the middle of a step: by Ctrl-C, or by dying with the last checkpoint two steps old."""
    cls = {"tokenizer": run.TokenizerStage, "dynamics": run.DynamicsStage}[stage]
    loss, loop = cls.loss, run._loop

    def failing(self: Any, at: int, progress: float) -> Any:
        if at == step and how == "crash":
            raise Crash
        if at == step:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(self, at, progress)

    monkeypatch.setattr(cls, "loss", failing)
    monkeypatch.setattr(run, "_loop", lambda *args: dataclasses.replace(loop(*args), checkpoint_every_steps=2))


@pytest.mark.parametrize(
    ("stage", "step", "how"), [("tokenizer", 3, "crash"), ("dynamics", 5, "interrupt"), ("dynamics", 9, "crash")]
)
def test_a_resumed_run_is_the_uninterrupted_one(
    stage: str, step: int, how: str, whole: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(data, tmp_path / "run")
    with monkeypatch.context() as patch:
        fail_at(patch, stage, step, how)
        if how == "crash":
            with pytest.raises(Crash):
                train(config)
        else:
            results = train(config)
            assert not results[-1].finished and results[-1].step == step + 1
    with monkeypatch.context() as patch:
        patch.setattr("worldlet.train.tokenizer_stage.fit_codebook", lambda *arguments: pytest.fail("fitted again"))
        assert all(result.finished for result in train(dataclasses.replace(config, resume=True)))
    for name in STAGES:
        ours, theirs = tmp_path / "run" / name, whole / name
        assert (ours / "losses.jsonl").read_bytes() == (theirs / "losses.jsonl").read_bytes()
        for which in ("best", "last"):
            for ema in (True, False):
                weights, expected = load_weights(ours, which, ema), load_weights(theirs, which, ema)
                assert weights.keys() == expected.keys()
                assert all(torch.equal(weights[key], expected[key]) for key in weights)


def test_the_run_folder_holds_its_whole_config(whole: Path, data: Path) -> None:
    config = load_yaml(TrainConfig, whole / "config.yaml")
    assert config == load_config(whole)
    assert config.tokenizer.frame_size == (128, 128) and config.dynamics.grid == (16, 16)
    assert config.dynamics.codebook_size == config.tokenizer.codebook_size == 128 and config.dynamics.actions == 8
    assert len(list((whole / "tokens").iterdir())) == 2


def test_the_dynamics_learns_the_tokens_of_the_runs_own_tokenizer(whole: Path, data: Path) -> None:
    from worldlet.data.clips import TokenTable
    from worldlet.data.shards import data_mark, read_episodes

    tokenizer = load_tokenizer(whole)
    (path,) = (whole / "tokens").glob("val-*.npz")
    assert path.stem == f"val-{run.fingerprint(tokenizer)}-{data_mark(data, 'val')}"
    table = TokenTable.load(path)
    for start, episode in zip(table.starts, read_episodes(data, "val"), strict=True):
        frames = episode.frames_THWC[:5]
        assert (table.tokens_FN[start : start + 5] == encode_frames(tokenizer, frames).reshape(5, -1)).all()
        assert (table.actions_F[start : start + 5] == episode.actions_T[:5]).all()
    other = load_tokenizer(whole)
    other.decoder.direct.bias.add_(1)
    assert run.fingerprint(other) == run.fingerprint(tokenizer), "the decoder does not matter"
    other.quantizer.codebook[0, 0] += 1
    assert run.fingerprint(other) != run.fingerprint(tokenizer)


def test_tokens_are_kept_for_the_data_they_are_of(whole: Path, data: Path, tmp_path: Path) -> None:
    from worldlet.data.clips import TokenTable
    from worldlet.data.shards import read_manifest, write_manifest

    other, copy = shutil.copytree(data, tmp_path / "data"), shutil.copytree(whole, tmp_path / "run")
    manifest = read_manifest(other)
    (val,) = [shard for shard in manifest["shards"] if shard["split"] == "val"]
    kept = [shard for shard in manifest["shards"] if shard["split"] != "train"]
    manifest["shards"] = [*kept, {**val, "split": "train"}]
    write_manifest(other, manifest)
    before = set((copy / "tokens").iterdir())
    run._build("dynamics", copy, dataclasses.replace(load_config(copy), data=str(data)))
    assert set((copy / "tokens").iterdir()) == before, "the same data is not encoded again"
    run._build("dynamics", copy, dataclasses.replace(load_config(copy), data=str(other)))
    (path,) = set((copy / "tokens").iterdir()) - before
    assert path.name.startswith("train-") and len(TokenTable.load(path)) == val["frames"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_overwritten(whole: Path, data: Path) -> None:
    before = contents(whole)
    for stage in ("all", *STAGES):
        with pytest.raises(ValueError, match="already holds a trained .*: add --resume"):
            train(tiny_config(data, whole, steps=99, stage=stage))
    other = dataclasses.replace(tiny_config(data, whole).dynamics, width=64)
    with pytest.raises(ValueError, match=r"begun with another `dynamics`: width 32 \(now 64\); use the same"):
        train(tiny_config(data, whole, resume=True, dynamics=other))
    assert contents(whole) == before


def test_the_budget_is_shared_among_the_stages() -> None:
    def budgets(**settings: Any) -> list[tuple[float | None, int | None]]:
        return [TrainConfig("d", "r", **settings).budget(stage) for stage in STAGES]

    assert budgets(steps=100) == [(None, 25), (None, 75)]
    assert budgets(steps=1) == [(None, 1), (None, 1)]
    (first, none), (second, _) = budgets(minutes=100.0)
    assert none is None and first == pytest.approx(12) and second == pytest.approx(88)
    assert budgets(steps=100, stage="dynamics") == [(None, 100)] * 2
    for wrong in ({}, {"steps": 1, "minutes": 1.0}):
        with pytest.raises(ValueError, match="either --minutes or --steps"):
            TrainConfig("d", "r", **wrong)


@pytest.fixture(scope="module")
def world(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world of the run that nothing interrupted."""
    from worldlet.export import ExportConfig, export

    folder = tmp_path_factory.mktemp("world") / "world"
    return export(ExportConfig(run=str(whole), out=str(folder), starts=1, gate_frames=2))


def from_world(data: Path, folder: Path, world: Path, **changes: Any) -> TrainConfig:
    return tiny_config(data, folder, steps=2, start_from=str(world), validate_every_steps=2, **changes)


def test_training_goes_on_from_a_world(whole: Path, world: Path, data: Path, tmp_path: Path) -> None:
    """Its tokenizer and sizes are taken, whatever else was asked for, and the dynamics begins with its weights."""
    from worldlet.export import ExportConfig, export
    from worldlet.manifest import read_world_json
    from worldlet.train import start
    from worldlet.world import WorldModel

    told = WorldModel.load(world)
    config = from_world(data, tmp_path / "run", world, dynamics=run.DynamicsConfig(min_p=0.5))
    assert config.budget("dynamics") == (None, 2), "there is no tokenizer to train"
    start.keep(world, tmp_path / "run")
    run._take_tokenizer(tmp_path / "run")
    run.dump_yaml(run.fitted(config), tmp_path / "run" / "config.yaml")
    begun = run._build("dynamics", tmp_path / "run", run.fitted(config)).module.state_dict()
    assert all(torch.equal(begun[name], value) for name, value in told.dynamics.state_dict().items())
    results = train(dataclasses.replace(config, resume=True))
    assert [result.step for result in results] == [0, 2] and all(result.finished for result in results)
    assert load_config(tmp_path / "run").dynamics == load_config(whole).dynamics
    tokenizer = load_tokenizer(tmp_path / "run").state_dict()
    assert all(torch.equal(tokenizer[name], value) for name, value in told.tokenizer.state_dict().items())
    again = export(ExportConfig(run=str(tmp_path / "run"), out=str(tmp_path / "again"), starts=1, gate_frames=2))
    before, training = read_world_json(world), read_world_json(again).config["training"]
    assert training["start_from"] == {"name": before.name, **before.config["training"]}
    assert training["dynamics"]["steps"] == 2


def test_a_run_goes_on_though_its_starting_world_is_gone(world: Path, data: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(world, tmp_path / "moved")
    config = from_world(data, tmp_path / "run", moved)
    train(config)
    shutil.rmtree(moved)
    longer = dataclasses.replace(config, steps=3, resume=True)
    assert [result.step for result in train(longer)] == [0, 3]
    with pytest.raises(ValueError, match="was begun with --start_from .*, not from nothing"):
        train(dataclasses.replace(longer, start_from=""))


def test_a_decoder_is_trained_on_alone_and_joined_with_the_dynamics(
    whole: Path, world: Path, data: Path, tmp_path: Path
) -> None:
    from worldlet.export import ExportConfig, export
    from worldlet.manifest import read_world_json
    from worldlet.world import WorldModel

    config = from_world(data, tmp_path / "decoder", world, stage="tokenizer")
    assert [result.step for result in train(config)] == [2]
    told, trained = WorldModel.load(world), load_tokenizer(tmp_path / "decoder")
    assert run.fingerprint(trained) == run.fingerprint(told.tokenizer), "the codes stay, and with them the dynamics"
    assert not torch.equal(trained.decoder.direct.weight, told.tokenizer.decoder.direct.weight)
    settings = {"starts": 1, "gate_frames": 2}
    train(from_world(data, tmp_path / "run", world))
    joined = ExportConfig(
        str(tmp_path / "run"), str(tmp_path / "joined"), tokenizer=str(tmp_path / "decoder"), **settings
    )
    both = WorldModel.load(export(joined))
    assert torch.equal(both.tokenizer.decoder.direct.weight, trained.decoder.direct.weight.half().float())
    assert read_world_json(tmp_path / "joined").config["training"]["tokenizer"]["steps"] == 2
    other = tiny_config(data, tmp_path / "other", steps=2, stage="tokenizer", seed=5)
    train(other)
    with pytest.raises(ValueError, match="has other codes than that of"):
        export(dataclasses.replace(joined, tokenizer=str(tmp_path / "other")))
    with pytest.raises(ValueError, match="has a tokenizer of its own, whose codes the dynamics of"):
        run.start.keep(world, tmp_path / "other")
        run._build("dynamics", tmp_path / "other", dataclasses.replace(load_config(tmp_path / "other"), start_from="w"))


def test_another_game_or_codes_that_move_are_refused(
    world: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldlet.data.shards import read_manifest, write_manifest
    from worldlet.manifest import read_world_json, write_world_json

    other = shutil.copytree(data, tmp_path / "other")
    for field, value in (("env_id", "other/Game-v0"), ("action_names", ["a"] * 8)):
        write_manifest(other, {**read_manifest(data), field: value})
        with pytest.raises(ValueError, match="start from a world of the same game"):
            train(from_world(other, tmp_path / "run", world))
    copy = shutil.copytree(world, tmp_path / "vq")
    manifest = read_world_json(copy)
    sizes = {**manifest.config, "tokenizer": {**manifest.config["tokenizer"], "quantizer": "vq"}}
    write_world_json(copy, dataclasses.replace(manifest, config=sizes))
    with pytest.raises(ValueError, match="only a codebook of patches stays as it is"):
        train(from_world(data, tmp_path / "run", copy, stage="tokenizer"))
    assert not (tmp_path / "run").exists()


def test_the_dynamics_needs_a_tokenizer(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no checkpoint: train first"):
        train(tiny_config(data, tmp_path / "run", stage="dynamics"))
    with pytest.raises(ValueError, match="is not a run folder"):
        load_config(tmp_path)
