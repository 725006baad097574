"""The whole story in one minute: record, train both stages, export behind the gate, play in both backends, eval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tiny_run import QUIET, recorded_platformer, tiny_config  # noqa: E402

import worldlet  # noqa: E402
from worldlet.eval import suite  # noqa: E402
from worldlet.eval.bench import Size  # noqa: E402
from worldlet.export import ExportConfig, export  # noqa: E402
from worldlet.train.run import train  # noqa: E402

ACTIONS = ["right", "right_up", "right_up", "noop", "left", "action", "down", "left_up", "up", "right"] * 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    results = train(tiny_config(recorded_platformer(tmp_path_factory), folder / "run"))
    assert [(result.folder.name, result.step, result.finished) for result in results] == [
        ("tokenizer", 4, True),
        ("dynamics", 12, True),
    ]
    return folder / "run"


@pytest.fixture(scope="module")
def world(run: Path) -> Path:
    return export(ExportConfig(run=str(run), name="story", starts=6, gate_frames=30), QUIET)


def test_training_learns_something(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "dynamics" / "losses.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses[-1] < losses[0]
    assert {path.name for path in (run / "dynamics" / "pictures").iterdir()} >= {"step_000012_dream.png"}


def test_the_world_plays_alike_in_both_backends(run: Path, world: Path) -> None:
    assert world == run / "world"
    onnx, torch = (worldlet.load(run, device="cpu", backend=backend, threads=1) for backend in ("onnx", "torch"))
    assert onnx.manifest.name == "story" and onnx.manifest.config["training"]["dynamics"]["steps"] == 12
    ours, theirs = (engine.open(seed=3) for engine in (onnx, torch))
    assert np.array_equal(ours.frame, theirs.frame)
    for action in ACTIONS:
        frame, other = ours.step(action).frame, theirs.step(action).frame
        assert frame.shape == (128, 128, 3) and frame.dtype == np.uint8
        assert np.array_equal(ours.tokens, theirs.tokens)
        assert np.abs(frame.astype(int) - other).max() <= 1
    assert len(ours.snapshot()) < 500_000


def test_the_world_can_be_measured(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = Size(
        "tiny", plays=1, stride=40, rollouts=1, control=1, drift=1, drift_frames=20, speed_frames=5, long_session=0
    )
    monkeypatch.setattr(suite, "QUICK", size)
    card = suite.evaluate(suite.EvalConfig(world=str(world), out=tmp_path / "card", quick=True, device="cpu"))
    assert card["not_judged"] == {} and card["world"]["name"] == "story"
    figures = card["reconstruction"]
    assert figures["false_change"]["value"] == 0, "the encoder is patch-local"
    assert figures["precision_agreement"]["value"] > 0.999 and figures["psnr_db"]["value"] > 15
    assert 5 < card["rollout"]["psnr_db"]["1"]["value"] < figures["psnr_db"]["value"]
    assert card["snapshot"]["bytes"]["value"] < 500_000
    assert {path.name for path in (tmp_path / "card").iterdir()} == {
        "card.html", "card.json", "card.md", "pictures",
    }  # fmt: skip
