"""The one training loop. It knows steps, time, weights and files; what is learned from what is the stage's business.

Everything random in step k follows from (seed, k) alone, because the generators are seeded anew before each step and
stages draw their batches as a function of the step. A run killed after any step and resumed is thus the same run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.precision import MixedPrecision, Precision
from numpy.typing import NDArray
from rich.console import Console
from torch import Tensor, nn

from worldlet.config import to_dict
from worldlet.train import checkpoint
from worldlet.train.ema import Ema
from worldlet.train.interrupt import Interrupt
from worldlet.train.log import ProgressLine, RunLog
from worldlet.train.schedule import Budget, Cadence, learning_rate_at

MOST_SKIPPED_IN_A_ROW = 20
STARVED = 0.5
"""Share of the time, in seconds of one CPU, below which a run is said to have been starved by other processes."""


class Stage(Protocol):
    """One thing to train. Its state across steps lives in `module`, buffers included; everything else is constant.

    `loss` and `validate` run under autocast in the run's precision, on the device that `module` lies on. Randomness
    comes from torch's global generator, or is a function of the step.
    """

    name: str
    """The stage's folder in the run."""
    measure: str
    """What the `loss` of `validate` is, in a few words: a best by another measure, as of before, does not count."""
    module: nn.Module
    """What is trained, raw: the loop moves it to the device and never wraps it."""
    items_per_step: int
    """What a step handles (frames, clips), for the display of speed."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW groups `{"params": [...], "weight_decay": ..., "lr_scale": ...}`; only `params` is required."""
        ...

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return the scalar loss of the batch of `step`, and figures to log. `progress` goes from 0 to 1."""
        ...

    def after_step(self, step: int) -> None:
        """Do what follows the optimizer's step, such as reviving codes."""
        ...

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure `module` (the averaged weights, in eval mode, without gradients); `loss`, lower better, included."""
        ...

    def pictures(self, module: nn.Module) -> dict[str, NDArray[np.uint8]]:
        """Return sample pictures by name, uint8 (H, W, 3)."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How to train; exactly one of `minutes` and `steps` is given.

    `warmup` and `floor` are shares of the whole run and of `learning_rate`. Where a `..._every_steps` is given it
    takes the place of its `..._every_minutes`. Minutes count everything the loop does, validation included.
    """

    minutes: float | None = None
    steps: int | None = None
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    seed: int = 0
    learning_rate: float = 1e-3
    warmup: float = 0.03
    decay: Literal["cosine", "linear"] = "cosine"
    floor: float = 0.02
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    grad_clip: float = 1.0
    ema_decay: float = 0.999
    validate_every_minutes: float | None = 2.0
    validate_every_steps: int | None = None
    picture_every_minutes: float | None = 4.0
    picture_every_steps: int | None = None
    checkpoint_every_minutes: float | None = 2.0
    checkpoint_every_steps: int | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("give minutes or steps, not both")
        if not (0 <= self.warmup < 1 and 0 <= self.floor <= 1 and 0 <= self.ema_decay < 1):
            raise ValueError("warmup and ema_decay must lie in [0, 1), floor in [0, 1]")
        if self.learning_rate <= 0 or self.grad_clip <= 0:
            raise ValueError("learning_rate and grad_clip must be greater than 0")
        if any(every is not None and every <= 0 for every in (
            self.validate_every_steps, self.picture_every_steps, self.checkpoint_every_steps, self.threads,
        )):  # fmt: skip
            raise ValueError("threads and every ..._every_steps must be greater than 0, or null")


@dataclass(frozen=True)
class FitResult:
    """How a run ended: `finished` is False where it was interrupted and can be resumed."""

    folder: Path
    step: int
    elapsed: float
    best_loss: float
    finished: bool
    skipped: int
    validation: dict[str, float] = field(default_factory=dict)


class DivergedError(ValueError):
    """The loss or its gradients were not finite for too many steps in a row."""


def fit(stage: Stage, run_dir: str | Path, config: LoopConfig, resume: bool = False) -> FitResult:
    """Train `stage` into `run_dir/<stage.name>` until its budget is spent, or until Ctrl-C.

    With `resume`, go on from the `last` checkpoint where there is one; a finished run returns at once. Without it, a
    folder that already holds a checkpoint is a ValueError: nothing is overwritten. Raises DivergedError.
    """
    budget = Budget(config.minutes, config.steps)
    folder = Path(run_dir) / stage.name
    if not resume and (checkpoint.exists(folder / "last") or checkpoint.exists(folder / "best")):
        raise ValueError(f"{folder} already holds a trained {stage.name}: resume it, or choose another run folder")
    return _Run(stage, folder, config, budget).fit()


class _Run:
    """One stage in training."""

    def __init__(self, stage: Stage, folder: Path, config: LoopConfig, budget: Budget) -> None:
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.stage, self.folder, self.config, self.budget = stage, folder, config, budget
        self.fabric, self.precision = _fabric(config)
        self.module = stage.module.to(self.fabric.device)
        self.ema = Ema(self.module, config.ema_decay)
        self.optimizer = _adamw(stage, config, self.fabric)
        self.step = 0
        self.carried = 0.0
        self.skipped = 0
        self.skipped_in_row = 0
        self.best_loss = math.inf
        self.validation: dict[str, float] = {}
        self.finished = False
        self._restore()
        self.started: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.carried + (0.0 if self.started is None else time.monotonic() - self.started)

    def fit(self) -> FitResult:
        if self.finished and self.budget.progress(self.step, self.carried) >= 1:
            return self._result()
        self.finished = False
        self.started = time.monotonic()
        console = Console()
        self.log = RunLog(self.folder, self.step, console)
        self.line = ProgressLine(self.stage.name, console)
        try:
            with Interrupt() as interrupt:
                self._train(interrupt)
        finally:
            self.line.close()
            self.log.close()
        return self._result()

    def _train(self, interrupt: Interrupt) -> None:
        config, line = self.config, self.line
        cpu_began = time.process_time()
        begun = f"resumed at step {self.step:,}" if self.step else "training"
        line.say(f"{begun} on {self.fabric.device} in {config.precision}, {_count(self.module):,} parameters")
        optimizer = self.fabric.setup_optimizers(self.optimizer)
        validate = Cadence(config.validate_every_minutes, config.validate_every_steps, self.elapsed)
        picture = Cadence(config.picture_every_minutes, config.picture_every_steps, self.elapsed)
        save = Cadence(config.checkpoint_every_minutes, config.checkpoint_every_steps, self.elapsed)
        pace = _Pace()
        while (progress := self.budget.progress(self.step, self.elapsed)) < 1 and not interrupt.asked:
            begun_at = time.monotonic()
            lr, loss = self._one_step(optimizer, progress)
            pace.add(loss, time.monotonic() - begun_at)
            left = self.budget.seconds_left(self.step, self.elapsed, pace.seconds)
            line.show(self.step, progress, pace.loss, lr, self.stage.items_per_step / pace.seconds, left)
            if self.budget.progress(self.step, self.elapsed) >= 1:
                break
            if validate.due(self.step, self.elapsed):
                self._validate()
            if picture.due(self.step, self.elapsed):
                self._pictures()
            if save.due(self.step, self.elapsed):
                self._save_last()
        if interrupt.asked:
            self._save_last()
            line.say(f"interrupted; step {self.step:,} is saved. Run the same command with --resume to go on")
            return
        self._validate()
        self._pictures()
        self.finished = True
        self._save_last()
        line.say(f"finished after {self.step:,} steps in {self.elapsed / 60:.1f} min, best loss {self.best_loss:.5g}")
        self._say_if_starved(cpu_began)
        if self.fabric.device.type == "cuda":
            gigabytes = torch.cuda.max_memory_allocated(self.fabric.device) / 1e9
            name = torch.cuda.get_device_name(self.fabric.device)
            line.say(f"{1 / pace.seconds:.1f} steps/s at the end, {gigabytes:.1f} GB of memory at most on {name}")

    def _say_if_starved(self, cpu_began: float) -> None:
        """Tell who trains by the clock beside other work that the minutes went by and the steps did not."""
        assert self.started is not None
        wall, cpu = time.monotonic() - self.started, time.process_time() - cpu_began
        if self.fabric.device.type == "cpu" and self.config.minutes is not None and cpu < STARVED * wall:
            self.line.say(
                f"the machine was busy: {cpu / 60:.1f} of these {wall / 60:.1f} min were spent on this run; "
                "more minutes would make it better"
            )

    def _one_step(self, optimizer: Any, progress: float) -> tuple[float, float | None]:
        """Train on the batch of the current step; return the learning rate, and the loss or None if it was skipped."""
        config, step = self.config, self.step
        self.step += 1
        lr = learning_rate_at(progress, config.learning_rate, config.warmup, config.floor, config.decay)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
        self._seed(step)
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.fabric.autocast():
            loss, metrics = self.stage.loss(step, progress)
        value = float(loss.detach())
        if math.isfinite(value):
            self.fabric.backward(loss)
            norm = self.fabric.clip_gradients(
                self.module, optimizer, max_norm=config.grad_clip, error_if_nonfinite=False
            )
            assert norm is not None
            metrics = {"grad_norm": float(norm), **metrics}
            if math.isfinite(metrics["grad_norm"]):
                optimizer.step()
                self.stage.after_step(step)
                self.ema.update(self.module)
                self.skipped_in_row = 0
                self.log.train(self.step, value, lr, metrics)
                return lr, value
            if config.precision == "fp16":
                optimizer.step()  # the gradient scaler sees the overflow, leaves the weights alone, lowers its scale
        self._skip(lr)
        return lr, None

    def _skip(self, lr: float) -> None:
        self.skipped += 1
        self.skipped_in_row += 1
        self.log.train(self.step, None, lr, {})
        if self.skipped_in_row >= MOST_SKIPPED_IN_A_ROW:
            raise DivergedError(
                f"the {self.stage.name} loss was not finite for {self.skipped_in_row} steps in a row, up to step "
                f"{self.step}. {self._remedy()}"
            )

    def _remedy(self) -> str:
        if checkpoint.exists(self.folder / "last"):
            return f"{self.folder / 'last'} keeps the last good checkpoint: resume it with a smaller learning_rate"
        return "No checkpoint was saved before: start anew with a smaller learning_rate"

    def _validate(self) -> None:
        self._seed(-1)  # the same draws each time, so that losses compare
        with torch.no_grad(), self.fabric.autocast():
            metrics = self.stage.validate(self.ema.module)
        self.validation = {name: float(value) for name, value in metrics.items()}
        better = self.validation["loss"] < self.best_loss
        self.log.validation(self.step, self.validation)
        shown = "  ".join(f"{name} {value:.5g}" for name, value in self.validation.items())
        self.line.say(f"step {self.step:,} validation: {shown}{'  (best)' if better else ''}")
        if better:
            self.best_loss = self.validation["loss"]
            checkpoint.save(self.folder / "best", self._weights(), self._state())

    def _pictures(self) -> None:
        self._seed(-1)
        with torch.no_grad(), self.fabric.autocast():
            pictures = self.stage.pictures(self.ema.module)
        for name, picture_HWC in pictures.items():
            self.log.picture(self.step, name, picture_HWC)

    def _seed(self, step: int) -> None:
        torch.manual_seed((self.config.seed * 1_000_003 + step + 1) % 2**63)

    def _weights(self) -> dict[str, Mapping[str, Tensor]]:
        return {"model": self.module.state_dict(), "ema": self.ema.module.state_dict()}

    def _state(self) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "step": self.step,
            "elapsed": self.elapsed,
            "finished": self.finished,
            "measure": self.stage.measure,
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "validation": self.validation,
            "skipped": self.skipped,
            "skipped_in_row": self.skipped_in_row,
            "ema_updates": self.ema.updates,
            "scaler": self.precision.state_dict(),
            "config": to_dict(self.config),
        }

    def _save_last(self) -> None:
        if not all(bool(tensor.isfinite().all()) for tensor in self.module.state_dict().values()):
            raise DivergedError(
                f"the {self.stage.name} weights are no longer finite at step {self.step}. {self._remedy()}"
            )
        parts = {**self._weights(), "optimizer": checkpoint.optimizer_tensors(self.optimizer, self.module)}
        checkpoint.save(self.folder / "last", parts, self._state())

    def _restore(self) -> None:
        if checkpoint.exists(self.folder / "best"):
            best = checkpoint.read_state(self.folder / "best")
            counts = best["best_loss"] is not None and best.get("measure") == self.stage.measure
            self.best_loss = float(best["best_loss"]) if counts else math.inf
        if not checkpoint.exists(self.folder / "last"):
            return
        saved = checkpoint.load(self.folder / "last")
        try:
            self.module.load_state_dict(saved.part("model"))
            self.ema.module.load_state_dict(saved.part("ema"))
        except RuntimeError as error:
            raise ValueError(
                f"{self.folder / 'last'} does not fit this {self.stage.name}: resume with the config it was started "
                f"with ({' '.join(str(error).split())[:300]})"
            ) from error
        checkpoint.restore_optimizer(self.optimizer, self.module, saved.part("optimizer"))
        state = saved.state
        self.step, self.carried, self.finished = state["step"], state["elapsed"], state["finished"]
        self.skipped, self.skipped_in_row = state["skipped"], state["skipped_in_row"]
        self.validation = state["validation"]
        self.ema.updates = state["ema_updates"]
        if state["scaler"] and self.config.precision == "fp16":
            self.precision.load_state_dict(state["scaler"])

    def _result(self) -> FitResult:
        return FitResult(
            self.folder, self.step, self.elapsed, self.best_loss, self.finished, self.skipped, dict(self.validation)
        )


class _Pace:
    """Running averages for the display: the loss, and the seconds a step takes."""

    def __init__(self) -> None:
        self.loss = math.nan
        self.seconds = math.nan

    def add(self, loss: float | None, seconds: float) -> None:
        self.seconds = _blend(self.seconds, seconds)
        if loss is not None:
            self.loss = _blend(self.loss, loss)


def _fabric(config: LoopConfig) -> tuple[Fabric, Precision]:
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("no CUDA device is available: use device auto or cpu")
    # The plugin itself rather than its name: by name, Fabric would quietly turn fp16 on a CPU into bf16.
    precision = Precision()
    if config.precision != "fp32":
        precision = MixedPrecision("bf16-mixed" if config.precision == "bf16" else "16-mixed", device)
    if device == "cuda" and config.precision != "fp32":
        torch.set_float32_matmul_precision("high")  # for what autocast leaves in float32, TensorFloat-32 is enough
    return Fabric(accelerator=device, devices=1, plugins=[precision]), precision


def _adamw(stage: Stage, config: LoopConfig, fabric: Fabric) -> torch.optim.AdamW:
    groups = [{"weight_decay": config.weight_decay, **group} for group in stage.parameter_groups()]
    # A fused optimizer would unscale fp16 gradients by itself, after they were clipped.
    fused = config.precision != "fp16"
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def _blend(average: float, value: float) -> float:
    return value if math.isnan(average) else average + 0.05 * (value - average)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
