"""Trains a judge on a labelled data set: the inverse-dynamics model, its sureness tuned and its accuracy reported."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from rich.console import Console

from worldlet.data.outcomes import game_of
from worldlet.data.shards import data_mark
from worldlet.dynamics.inverse import JSON_NAME, InverseConfig, InverseDynamics, working_size
from worldlet.manifest import write_atomic
from worldlet.train import checkpoint
from worldlet.train.inverse_stage import InverseStage, InverseStageConfig
from worldlet.train.loop import LoopConfig, fit
from worldlet.train.moments import LabelledPlays, MomentTable, read_labelled
from worldlet.train.verdicts import Tally, beyond, choose_threshold, confused_classes, confusion, figures, hear

CONFUSION_NAME = "confusion.png"
LABELLED_NAME = "labelled.json"
"""Which data a judge's folder was begun with, and how much of it for how long."""


@dataclass(frozen=True)
class JudgeConfig:
    """How to train a judge. ValueError for values out of range."""

    minutes: float | None = 2.0
    """Time to train; give this or steps."""
    steps: int | None = None
    """Steps to train instead."""
    max_frames: int = 12_000
    """Labelled frames to learn from at most."""
    max_side: int = 128
    """Pixels of the longer side that the judge looks at, at most."""
    before: int = 1
    """Frames seen before the one at which the action is done."""
    after: int = 0
    """Frames seen after the one that the action led to; for games that answer late."""
    width: int = 32
    """Channels of the first layer."""
    moments: int = 1500
    """Held-out moments that tune sureness, and as many that report."""
    accuracy: float = 0.95
    """Accuracy that kept labels are to have; the least sure spans go until the held-out ones have it."""
    game_steps: int = 200_000
    """Steps of the real game to find out which actions come to the same, where its state cannot be copied; 0 to not
    ask it at all."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Arithmetic of training; what is stored is float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    threads: int | None = None
    """CPU threads; all if not given."""
    seed: int = 0
    """Seed of weights and batches."""
    stage: InverseStageConfig = field(default_factory=InverseStageConfig)
    """What a batch is."""

    def __post_init__(self) -> None:
        if not 0 < self.accuracy <= 1:
            raise ValueError(f"accuracy is {self.accuracy}: it must lie above 0 and be at most 1")
        if min(self.max_frames, self.max_side, self.moments) < 8:
            raise ValueError("max_frames, max_side and moments must be at least 8")


def train_judge(
    labelled: str | Path, out: str | Path, config: JudgeConfig, console: Console | None = None
) -> InverseDynamics | None:
    """Return the judge of a labelled data set, trained into ``out``, or as it lies there if it is finished.

    Its ``about`` says what it was trained on, how it does on held-out plays (``held_out``), from which sureness on
    labels are to be kept (``threshold``) and what that leaves. An interrupted training is taken up; None if this one
    was interrupted. Where data, time, steps or most frames have changed since, it begins anew. ValueError where the
    data cannot be read, or another judge lies in ``out``.
    """
    console = console or Console(stderr=True)
    out = Path(out)
    _claim(out, str(labelled), {"minutes": config.minutes, "steps": config.steps, "max_frames": config.max_frames})
    found = InverseDynamics.load(out) if (out / JSON_NAME).exists() else None
    if found and found.about["threshold"]["wanted"] == config.accuracy:
        return found
    if found and "heard" in found.about:
        wants(found, config.accuracy)
        found.save(out)
        return found
    plays = read_labelled(labelled, config.max_frames)
    judge = found or _train(plays, out, config)
    if judge is None:
        return None
    example = {name: plays.manifest[name] for name in ("frame_size", "fps", "key_bindings")}
    judge.about = {"labelled": str(labelled), "labelled_manifest": example, **_measure(judge, plays, config, console)}
    names = judge.config.action_names
    title = f"{labelled}: rows done, columns read, held out"
    write_atomic(out / CONFUSION_NAME, draw_confusion(np.array(judge.about["held_out"]["confusion"]), names, title))
    judge.save(out)
    return judge


def wants(judge: InverseDynamics, accuracy: float) -> None:
    """Set the sureness from which on a trained judge's labels are kept to what ``accuracy`` takes on held-out plays.

    ValueError where it does not hold what it takes to tell, as those of earlier versions.
    """
    if judge.about["threshold"]["wanted"] == accuracy:
        return
    if "heard" not in judge.about:
        raise ValueError(
            f"this judge was tuned for an accuracy of {judge.about['threshold']['wanted']:g} by an earlier version: "
            "ask for that with --judge.accuracy, or give its labelled data instead"
        )
    tuning, report = (Tally.from_json(judge.about["heard"][name]) for name in ("tuning", "report"))
    judge.about = {**judge.about, "threshold": _threshold(tuning, report, accuracy)}


def summary(about: dict[str, Any]) -> str:
    """Return a judge's figures in two lines."""
    held, kept = about["held_out"], about["threshold"]
    same = "" if held["same_outcome"] is None else f", {held['same_outcome']:.3f} counting what comes to the same"
    stayed = kept["held_out"]["stayed"] or {"accuracy": float("nan")}
    good = stayed.get("same_outcome", stayed["accuracy"])
    return (
        f"judge on {held['n']} held-out moments: accuracy {held['accuracy']:.3f}{same} "
        f"(always the commonest action {held['most_common']:.3f}, its answers shuffled {held['shuffled']:.3f})\n"
        f"sure enough: {kept['held_out']['kept']:.3f} of held-out moments, {good:.3f} of them right "
        f"(wanted {kept['wanted']:.3f}{'' if kept['reached'] else ': NOT reached where it was tuned'})"
    )


def draw_confusion(counts_AA: np.ndarray[Any, Any], names: tuple[str, ...], title: str) -> bytes:
    """Return a PNG of a confusion matrix, each row by its own shares."""
    cell, left, top = 46, 110, 60
    image = Image.new("RGB", (left + cell * len(names) + 20, top + cell * len(names) + 20), "white")
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), title, fill="black")
    for a, name in enumerate(names):
        draw.text((10, top + cell * a + 16), name[:15], fill="black")
        draw.text((left + cell * a + 2, top - 16 - 12 * (a % 2)), name[:12], fill="black")
        whole = max(1, int(counts_AA[a].sum()))
        for b in range(len(names)):
            shade = 255 - int(200 * counts_AA[a, b] / whole)
            box = (left + cell * b, top + cell * a, left + cell * (b + 1) - 2, top + cell * (a + 1) - 2)
            draw.rectangle(box, fill=(shade, shade, 255), outline="#dddddd")
            if counts_AA[a, b]:
                draw.text((box[0] + 8, box[1] + 16), str(counts_AA[a, b]), fill="black")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _claim(out: Path, labelled: str, how: dict[str, Any]) -> None:
    """Note in ``out`` which data it is for and how long it learns from how much of it; drop what was trained there
    while the same folder held other data, or otherwise."""
    begun, finished, path = out / InverseStage.name, (out / JSON_NAME).exists(), out / LABELLED_NAME
    # A judge whose folder has no note tells at least where its data lay.
    before = json.loads(path.read_text()) if path.exists() else None
    if before is None and finished:
        before = {"labelled": InverseDynamics.load(out).about.get("labelled")}
    if before and before["labelled"] != labelled:
        was = before["labelled"]
        raise ValueError(f"{out} holds a judge of {was}, not of {labelled}: choose another folder for this one")
    now = {"labelled": labelled, "shards": data_mark(labelled), "how": how}
    if now != before:
        (out / JSON_NAME).unlink(missing_ok=True)
        if begun.exists():
            shutil.rmtree(begun)
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(now).encode())


def _train(plays: LabelledPlays, out: Path, config: JudgeConfig) -> InverseDynamics | None:
    height, width = plays.manifest["frame_size"]
    size = working_size((height, width), config.max_side)
    names = tuple(plays.manifest["action_names"])
    model = InverseConfig(size, names, config.before, config.after, config.width)
    torch.manual_seed(config.seed)
    held_out = MomentTable.build(plays.calibrate, size)
    stage = InverseStage(MomentTable.build(plays.train, size), held_out, model, config.stage, config.seed)
    loop = LoopConfig(
        minutes=None if config.steps else config.minutes, steps=config.steps, precision=config.precision,
        device=config.device, threads=config.threads, seed=config.seed, learning_rate=config.learning_rate,
        ema_decay=0.99, picture_every_minutes=None,
        # By steps alone, so that a judge who is trained by steps is the same on any day.
        validate_every_minutes=None if config.steps else 1.0,
        validate_every_steps=max(1, config.steps // 4) if config.steps else None,
    )  # fmt: skip
    if not fit(stage, out, loop, resume=True).finished:
        return None
    judge = InverseDynamics(model)
    judge.load_state_dict(checkpoint.load_weights(out / stage.name))
    judge.eval().requires_grad_(False)
    _tune(judge, held_out, config.moments)
    return judge


def _measure(judge: InverseDynamics, plays: LabelledPlays, config: JudgeConfig, console: Console) -> dict[str, Any]:
    """Fit the temperature and the threshold on one part of the held-out plays, and report on the other."""
    if config.game_steps:
        console.print("judging held-out plays, and asking the game which actions come to the same", highlight=False)
    try:
        make: Any = game_of(plays.report[0], plays.manifest["options"]) if config.game_steps else "it was not asked"
    except (ValueError, ImportError, KeyError) as error:
        make = f"the game cannot be asked here: {error}"
    tuning, report = (
        hear(judge, part, config.moments, make, 1 + config.after, config.game_steps // 2)
        for part in (plays.calibrate, plays.report)
    )
    tallies = Tally.of(tuning), Tally.of(report)
    return {
        "trained_on": {"episodes": len(plays.train), "actions": sum(len(play) for play in plays.train)},
        "held_out": figures(report, confused_classes(confusion(tuning)), judge.config.action_names),
        "threshold": _threshold(*tallies, config.accuracy),
        "heard": {name: tally.to_json() for name, tally in zip(("tuning", "report"), tallies, strict=True)},
    }


def _threshold(tuning: Tally, report: Tally, wanted: float) -> dict[str, Any]:
    threshold = choose_threshold(tuning, wanted)
    return {
        "sureness": threshold.sureness,
        "wanted": wanted,
        "reached": threshold.reached,
        "right_means": "same outcome" if report.asked else "same action",
        "held_out": beyond(report, threshold.sureness),
    }


def _tune(judge: InverseDynamics, table: MomentTable, moments: int) -> None:
    """Set the temperature at which the judge's probabilities fit held-out moments best (least cross-entropy)."""
    chosen = table.spread(moments)
    actions = table.actions_M[chosen]
    parts = [judge.judge(table.windows(chosen[i : i + 64], judge.config)) for i in range(0, len(chosen), 64)]
    logs_MA = np.log(np.concatenate(parts).astype(np.float64) + 1e-12)

    def cross_entropy(temperature: float) -> float:
        scaled_MA = logs_MA / temperature
        return float((np.logaddexp.reduce(scaled_MA, axis=1) - scaled_MA[np.arange(len(actions)), actions]).mean())

    judge.temperature = float(min(np.geomspace(0.25, 8, 61), key=cross_entropy))
