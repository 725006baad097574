"""The loop: exact resume, interrupts, precision, damaged steps, budgets, and what it leaves on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.train.tiny_stage import TinyStage
from worldlet.config import to_dict
from worldlet.train import DivergedError, LoopConfig, checkpoint, fit, load_weights, loop

CONFIG = LoopConfig(
    steps=24,
    device="cpu",
    threads=1,
    seed=3,
    validate_every_steps=7,
    picture_every_steps=10,
    checkpoint_every_steps=5,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole")
    assert fit(TinyStage(), run, CONFIG).finished
    return run / "tiny"


def assert_same_run(one: Path, other: Path) -> None:
    assert (one / "losses.jsonl").read_bytes() == (other / "losses.jsonl").read_bytes()
    for which in ("last", "best"):
        first, second = checkpoint.load(one / which), checkpoint.load(other / which)
        assert first.tensors.keys() == second.tensors.keys()
        for name, tensor in first.tensors.items():
            assert torch.equal(tensor, second.tensors[name]), name
        ignored = {"elapsed": 0, "tensors": ""}
        assert first.state | ignored == second.state | ignored


def test_kill_and_resume_equal_the_uninterrupted_run(whole: Path, tmp_path: Path) -> None:
    program = Path(__file__).with_name("tiny_stage.py")
    killed = subprocess.run(
        [sys.executable, program, tmp_path, json.dumps(to_dict(CONFIG)), "--kill-at", "18"], capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    losses = tmp_path / "tiny" / "losses.jsonl"
    assert json.loads(losses.read_text().splitlines()[-1])["step"] == 18
    assert checkpoint.read_state(tmp_path / "tiny" / "last")["step"] == 15
    with losses.open("a") as file:
        file.write('{"step": 19, "los')  # what a kill in the middle of a write leaves
    stage = TinyStage()
    assert fit(stage, tmp_path, CONFIG, resume=True).step == 24
    assert stage.steps == list(range(15, 24))
    assert_same_run(whole, tmp_path / "tiny")


class SignalledStage(TinyStage):
    """Gets a signal, or several, in the middle of a step."""

    def __init__(self, at: int, signals: tuple[signal.Signals, ...]) -> None:
        super().__init__()
        self.at, self.signals = at, signals

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        if step == self.at:
            for number in self.signals:
                os.kill(os.getpid(), number)
        return super().loss(step, progress)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_resumes_exactly(
    number: signal.Signals, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(number)
    stage = SignalledStage(12, (number,))
    result = fit(stage, tmp_path, CONFIG)
    assert not result.finished and result.step == 13 and stage.after[-1] == 12, "the step under way is finished"
    assert "--resume" in capsys.readouterr().out
    assert signal.getsignal(number) is handler
    assert fit(TinyStage(), tmp_path, CONFIG, resume=True).finished
    assert_same_run(whole, tmp_path / "tiny")


def test_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    stage = SignalledStage(12, (signal.SIGINT, signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(stage, tmp_path, CONFIG)
    assert len(stage.after) == 12, "the step under way is given up"
    assert checkpoint.read_state(tmp_path / "tiny" / "last")["step"] == 10


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_lower_precisions_train_and_resume_exactly(precision: Any, dtype: torch.dtype, tmp_path: Path) -> None:
    config = replace(CONFIG, precision=precision, learning_rate=0.02)
    stage = TinyStage()
    result = fit(stage, tmp_path / "whole", config)
    assert stage.dtypes == {dtype}
    losses = [json.loads(line) for line in (result.folder / "losses.jsonl").read_text().splitlines()]
    validations = [line["validation"]["loss"] for line in losses if "validation" in line]
    assert validations[-1] < 0.8 * validations[0]
    assert all(
        tensor.dtype == torch.float32 for tensor in load_weights(result.folder).values() if tensor.is_floating_point()
    )
    fit(SignalledStage(12, (signal.SIGINT,)), tmp_path / "parts", config)
    fit(TinyStage(), tmp_path / "parts", config, resume=True)
    assert_same_run(result.folder, tmp_path / "parts" / "tiny")


def test_fp16_overflow_lowers_the_scale_and_goes_on(tmp_path: Path) -> None:
    class Steep(TinyStage):
        def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
            loss, metrics = super().loss(step, progress)
            return loss * 100, metrics  # too large for float16 under the first scale of 65,536

    result = fit(Steep(), tmp_path, replace(CONFIG, precision="fp16"))
    assert 0 < result.skipped < 20 and result.finished
    assert checkpoint.read_state(result.folder / "last")["scaler"]["scale"] < 65536


@pytest.mark.parametrize("bad", ["bad_steps", "bad_gradients"])
def test_steps_that_are_not_finite_are_skipped(bad: str, tmp_path: Path) -> None:
    stage = TinyStage(**{bad: range(8, 11)})
    result = fit(stage, tmp_path, CONFIG)
    assert result.finished and result.skipped == 3
    assert stage.after == [step for step in range(24) if step not in (8, 9, 10)]
    lines = [json.loads(line) for line in (tmp_path / "tiny" / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line and line["loss"] is None] == [9, 10, 11]
    assert all(bool(tensor.isfinite().all()) for tensor in load_weights(result.folder, "last", ema=False).values())


def test_twenty_bad_steps_in_a_row_stop_the_run_and_keep_last(tmp_path: Path) -> None:
    class Broken(TinyStage):
        def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
            if step >= 12:
                with torch.no_grad():
                    self.module.mean.fill_(torch.nan)  # as a codebook would be that met a bad batch
                return super().loss(step, progress)[0] * torch.nan, {}
            return super().loss(step, progress)

    with pytest.raises(DivergedError, match="no longer finite at step 15"):
        fit(Broken(), tmp_path, replace(CONFIG, steps=100))
    with pytest.raises(DivergedError, match="No checkpoint was saved"):
        fit(TinyStage(bad_steps=range(99)), tmp_path / "a", replace(CONFIG, steps=100, checkpoint_every_steps=50))
    assert checkpoint.read_state(tmp_path / "tiny" / "last")["step"] == 10
    with pytest.raises(DivergedError, match="20 steps in a row, up to step 33"):
        fit(TinyStage(bad_steps=range(13, 99)), tmp_path / "b", replace(CONFIG, steps=100))
    kept = load_weights(tmp_path / "b" / "tiny", "last", ema=False)
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())


def test_nothing_is_overwritten_and_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    first = fit(TinyStage(), tmp_path, CONFIG)
    with pytest.raises(ValueError, match="already holds a trained tiny"):
        fit(TinyStage(), tmp_path, CONFIG)
    stage = TinyStage()
    assert fit(stage, tmp_path, CONFIG, resume=True) == replace(first, elapsed=checkpoint_elapsed(first.folder))
    assert stage.steps == []
    part = fit(SignalledStage(26, (signal.SIGINT,)), tmp_path, replace(CONFIG, steps=30), resume=True)
    assert not part.finished and part.step == 27
    longer = TinyStage()
    assert fit(longer, tmp_path, replace(CONFIG, steps=30), resume=True).step == 30
    assert longer.steps == list(range(27, 30))


def checkpoint_elapsed(folder: Path) -> float:
    return float(checkpoint.read_state(folder / "last")["elapsed"])


def test_resume_with_another_model_is_refused(tmp_path: Path) -> None:
    fit(TinyStage(), tmp_path, replace(CONFIG, steps=3))
    other = TinyStage()
    other.module.conv = nn.Conv2d(3, 16, 3, padding=1)
    with pytest.raises(ValueError, match="does not fit this tiny: resume with the config"):
        fit(other, tmp_path, CONFIG, resume=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still until it is told to go on."""
    now = [1000.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


class TimedStage(TinyStage):
    """A stage whose steps take a second each."""

    def __init__(self, clock: Callable[[float], None], stop_at: int | None = None) -> None:
        super().__init__()
        self.clock, self.stop_at = clock, stop_at

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.clock(1.0)
        if step == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().loss(step, progress)


def test_minutes_set_the_schedule_and_are_carried_over_a_resume(clock: Callable[[float], None], tmp_path: Path) -> None:
    config = LoopConfig(minutes=0.5, device="cpu", validate_every_minutes=0.2)
    first = TimedStage(clock, stop_at=9)
    assert not fit(first, tmp_path, config).finished
    clock(5000)  # the night between
    second = TimedStage(clock)
    result = fit(second, tmp_path, config, resume=True)
    assert result.finished and result.elapsed == pytest.approx(30)
    assert first.progress + second.progress == pytest.approx([step / 30 for step in range(30)])
    lines = [json.loads(line) for line in (result.folder / "losses.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [22, 30], "12 s after the resume, and at the end"
    rates = [line["lr"] for line in lines if "lr" in line]
    assert rates[0] < rates[1] and rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] < 0.1 * config.learning_rate


@pytest.mark.parametrize(("cpu_seconds", "said"), [(12.0, True), (29.0, False)])
def test_a_run_that_other_work_starved_of_its_minutes_says_so(
    cpu_seconds: float,
    said: bool,
    clock: Callable[[float], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spent = iter([100.0, 100.0 + cpu_seconds])
    monkeypatch.setattr(loop.time, "process_time", lambda: next(spent))
    assert fit(TimedStage(clock), tmp_path, LoopConfig(minutes=0.5, device="cpu")).finished
    assert ("0.2 of these 0.5 min were spent" in " ".join(capsys.readouterr().out.split())) is said


def test_averaged_weights_are_validated_and_best_is_kept(tmp_path: Path) -> None:
    class Worsening(TinyStage):
        measured: list[dict[str, Tensor]] = []

        def validate(self, module: nn.Module) -> dict[str, float]:
            self.measured.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
            return {"loss": [3.0, 1.0, 2.0, float("nan")][len(self.measured) - 1]}

    stage = Worsening()
    result = fit(stage, tmp_path, CONFIG)  # validates after steps 7, 14, 21, and at the end
    assert result.best_loss == 1.0 and len(stage.measured) == 4
    assert checkpoint.read_state(result.folder / "best")["step"] == 14
    best, raw = load_weights(result.folder), load_weights(result.folder, ema=False)
    assert all(torch.equal(tensor, stage.measured[1][name]) for name, tensor in best.items())
    assert not torch.equal(best["conv.weight"], raw["conv.weight"])
    assert torch.equal(best["mean"], raw["mean"]), "buffers are not averaged"
    last = load_weights(result.folder, "last")
    assert all(torch.equal(tensor, stage.measured[3][name]) for name, tensor in last.items())
    stage.module.load_state_dict(best)


def test_a_best_by_another_measure_does_not_count(tmp_path: Path) -> None:
    """Losses of two kinds do not compare: what was least before would else be exported for ever."""

    class Once(TinyStage):
        measure, value = "one thing", 1.0

        def validate(self, module: nn.Module) -> dict[str, float]:
            return {"loss": self.value}

    class Another(Once):
        measure, value = "another thing", 5.0

    class Worse(Once):
        value = 5.0

    fit(Once(), tmp_path, CONFIG)
    longer = replace(CONFIG, steps=CONFIG.steps + 7)
    assert fit(Worse(), tmp_path, longer, resume=True).best_loss == 1.0
    assert fit(Another(), tmp_path, replace(longer, steps=longer.steps + 7), resume=True).best_loss == 5.0


def test_parameter_groups_and_seed_matter(whole: Path, tmp_path: Path) -> None:
    fit(TinyStage(), tmp_path, replace(CONFIG, seed=4))
    assert (tmp_path / "tiny" / "losses.jsonl").read_bytes() != (whole / "losses.jsonl").read_bytes()

    class Frozen(TinyStage):
        def parameter_groups(self) -> list[dict[str, Any]]:
            weights, biases = super().parameter_groups()
            return [weights, biases | {"lr_scale": 0.0}]

    stage = Frozen()
    before = {name: tensor.clone() for name, tensor in stage.module.state_dict().items()}
    after = load_weights(fit(stage, tmp_path / "frozen", CONFIG).folder, "last", ema=False)
    assert torch.equal(before["conv.bias"], after["conv.bias"])
    assert not torch.equal(before["conv.weight"], after["conv.weight"])


def test_gradients_are_clipped_to_their_norm(tmp_path: Path) -> None:
    result = fit(TinyStage(), tmp_path, replace(CONFIG, steps=1, grad_clip=1e-3, betas=(0.5, 0.9)))
    moments = checkpoint.load(result.folder / "last").part("optimizer")
    norm = sum(float(tensor.square().sum()) for name, tensor in moments.items() if name.startswith("exp_avg.")) ** 0.5
    assert norm == pytest.approx(0.5e-3, rel=1e-3)
    (line,) = [json.loads(text) for text in (result.folder / "losses.jsonl").read_text().splitlines()][:1]
    assert line["grad_norm"] > 1e-2, "the norm before clipping is logged"


def test_validations_draw_the_same_and_training_is_in_training_mode(whole: Path, tmp_path: Path) -> None:
    lines = [json.loads(text) for text in (whole / "losses.jsonl").read_text().splitlines()]
    assert len({line["validation"]["draw"] for line in lines if "validation" in line}) == 1
    assert len({line["noise"] for line in lines if "noise" in line}) == CONFIG.steps
    stage = TinyStage()
    stage.module.eval()  # as a stage may leave it after taking a picture
    fit(stage, tmp_path, replace(CONFIG, steps=2))
    assert int(stage.module.count) == 2


def test_pictures_curve_and_tensorboard_are_written(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "pictures").iterdir())
    assert names == ["step_000010_weights.png", "step_000020_weights.png", "step_000024_weights.png"]
    assert np.asarray(Image.open(whole / "pictures" / names[0])).shape == (4, 5, 3)
    assert np.asarray(Image.open(whole / "curve.png")).shape == (360, 640, 3)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(whole / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("validation/loss")] == [7, 14, 21, 24]
    assert [event.step for event in board.Scalars("train/loss")] == [10, 20]


def test_without_tensorboard_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert fit(TinyStage(), tmp_path, replace(CONFIG, steps=3)).finished
    assert "TensorBoard is not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one"),
        ({"steps": 3, "minutes": 1.0}, "not both"),
        ({"steps": 0}, "greater than 0"),
        ({"minutes": -1.0}, "greater than 0"),
        ({"steps": 3, "warmup": 1.0}, "warmup"),
        ({"steps": 3, "learning_rate": 0.0}, "learning_rate"),
        ({"steps": 3, "validate_every_steps": 0}, "every_steps"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        fit(TinyStage(), tmp_path, LoopConfig(**settings))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no CUDA device")
def test_cuda_without_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no CUDA device"):
        fit(TinyStage(), tmp_path, LoopConfig(steps=3, device="cuda"))


def test_missing_extra_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport worldlet.train"
    failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "training needs the training extra: pip install 'worldlet[train]'" in failed.stderr
