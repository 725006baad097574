"""`worldlet train`: both stages into one run folder, resumable at any moment."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from worldlet.config import dump_yaml, load_yaml, to_dict
from worldlet.data.shards import DataManifest, data_mark, read_manifest
from worldlet.dynamics import DynamicsConfig
from worldlet.manifest import read_world_json
from worldlet.tokenizer import Tokenizer, TokenizerConfig
from worldlet.train import checkpoint, start
from worldlet.train.dynamics_stage import DynamicsStage, DynamicsStageConfig
from worldlet.train.loop import FitResult, LoopConfig, fit
from worldlet.train.tokenizer_stage import TokenizerStage, TokenizerStageConfig
from worldlet.train.tokens import build_tokens

CONFIG_NAME = "config.yaml"
STAGES = ("tokenizer", "dynamics")
_TOKENIZER_MINUTES_SHARE, _TOKENIZER_STEPS_SHARE = 0.12, 0.25  # of a budget given for both stages


@dataclass(frozen=True)
class TrainConfig:
    """A whole run: data, sizes and schedule of both stages. ValueError unless either minutes or steps are given."""

    data: str
    """Data folder that `worldlet record`, `capture`, `prepare`, `filter` or `label` wrote."""
    out: str
    """Run folder to write, or to go on with `--resume`."""
    stage: Literal["all", "tokenizer", "dynamics"] = "all"
    """Which stage to train; the dynamics needs a trained tokenizer in the same run."""
    then: Literal["card", "world", "nothing"] = "card"
    """What follows once all is trained: an exported world and its card, the world alone, or nothing."""
    minutes: float | None = None
    """Time to train; with `all` an eighth of it goes to the tokenizer. Give this or steps."""
    steps: int | None = None
    """Steps to train; with `all` a quarter of them go to the tokenizer."""
    start_from: str = ""
    """World of the same game to go on from, a folder (on the command line also a shipped name or a RUN): its tokenizer
    and all its sizes are taken as they are, and the dynamics begins with its weights. With `--stage tokenizer` its
    decoder is what is trained on: the codes stay, and so does every dynamics that knows them."""
    resume: bool = False
    """Go on where an earlier run stopped."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Arithmetic of training; what is stored is float32 throughout."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    threads: int | None = None
    """CPU threads; all if not given."""
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Sizes of the tokenizer; the frame size is taken from the data."""
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    """Sizes of the dynamics; grid, codes and actions are taken from the tokenizer and the data."""
    tokenizer_stage: TokenizerStageConfig = field(default_factory=TokenizerStageConfig)
    """Batches and weights of the tokenizer stage."""
    dynamics_stage: DynamicsStageConfig = field(default_factory=DynamicsStageConfig)
    """Batches and weights of the dynamics stage."""
    tokenizer_learning_rate: float = 1e-3
    """Peak learning rate of the tokenizer stage."""
    dynamics_learning_rate: float = 1e-3
    """Peak learning rate of the dynamics stage."""
    validate_every_minutes: float = 3.0
    """Minutes between validations (and between sample pictures, twice that)."""
    validate_every_steps: int | None = None
    """Steps between validations instead."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("say how long to train: give either --minutes or --steps")

    def budget(self, stage: str) -> tuple[float | None, int | None]:
        """Minutes and steps of a stage, one of them None."""
        if self.stage != "all" or self.start_from:
            return self.minutes, self.steps
        share = _TOKENIZER_STEPS_SHARE if self.minutes is None else _TOKENIZER_MINUTES_SHARE
        share = share if stage == "tokenizer" else 1 - share
        if self.minutes is not None:
            return self.minutes * share, None
        assert self.steps is not None
        return None, max(1, round(self.steps * share))


def train(config: TrainConfig) -> list[FitResult]:
    """Train the stages asked for; returns how each ended. An interrupted stage ends the run, which `resume` takes up.

    Raises:
        ValueError: on data that cannot be read, sizes that do not fit, or a run folder that already holds what would be
            written.
    """
    config = fitted(config)
    run = Path(config.out)
    _claim(run, config)
    if config.start_from:
        start.keep(Path(config.start_from), run)
    results = []
    for stage in _stages(config):
        if stage == "tokenizer" and config.start_from and config.stage == "all":
            results.append(_take_tokenizer(run))
            continue
        results.append(fit(_build(stage, run, config), run, _loop(stage, config), resume=config.resume))
        if not results[-1].finished:
            break
    return results


def fitted(config: TrainConfig) -> TrainConfig:
    """The config with what the data, or the world to go on from, decides filled in: sizes, codes, actions.

    Raises:
        ValueError: if the data cannot be read, or is not of the game of that world.
    """
    manifest = read_manifest(config.data)
    height, width = manifest["frame_size"]
    if config.start_from:
        return _fitted_to_start(config, manifest)
    tokenizer = dataclasses.replace(config.tokenizer, frame_size=(height, width))
    dynamics = dataclasses.replace(
        config.dynamics,
        grid=tokenizer.grid,
        codebook_size=tokenizer.codebook_size,
        actions=len(manifest["action_names"]),
    )
    return dataclasses.replace(config, tokenizer=tokenizer, dynamics=dynamics)


def _fitted_to_start(config: TrainConfig, data: DataManifest) -> TrainConfig:
    """The config with the sizes of the world that the run goes on from: the run keeps them once it has begun."""
    if start.is_kept(Path(config.out)):
        tokenizer, dynamics = start.sizes_of(Path(config.out))
        return dataclasses.replace(config, tokenizer=tokenizer, dynamics=dynamics)
    world = read_world_json(config.start_from)
    ours = world.env_id, tuple(world.frame_size), list(world.action_names)
    theirs = data["env_id"], tuple(data["frame_size"]), list(data["action_names"])
    for what, mine, yours in zip(("game", "frame size", "actions"), ours, theirs, strict=True):
        if mine != yours:
            raise ValueError(
                f"{config.start_from} is a world of the {what} {mine}, and {config.data} holds {yours}: start from a "
                "world of the same game, or train without --start_from"
            )
    tokenizer, dynamics = start.sizes_in(world.config)
    if config.stage == "tokenizer" and tokenizer.quantizer != "patch":
        raise ValueError(
            f"{config.start_from} has codes of the kind {tokenizer.quantizer!r}, which move with the decoder; only a "
            "codebook of patches stays as it is: train another tokenizer without --start_from"
        )
    return dataclasses.replace(config, tokenizer=tokenizer, dynamics=dynamics)


def _take_tokenizer(run: Path) -> FitResult:
    """Keep the tokenizer of the world that the run goes on from as the run's own, as if it had been trained here."""
    folder = run / "tokenizer"
    if not checkpoint.exists(folder / "best"):
        weights = start.weights_of(run, "tokenizer")
        state = {"step": 0, "elapsed": 0.0, "best_loss": None}
        checkpoint.save(folder / "best", {"model": weights, "ema": weights}, state)
    return FitResult(folder, 0, 0.0, math.inf, finished=True, skipped=0)


def load_config(run: str | Path) -> TrainConfig:
    """The config of a run folder.

    Raises:
        ValueError: if the folder holds no run.
    """
    path = Path(run) / CONFIG_NAME
    if not path.exists():
        raise ValueError(
            f"{run} is not a run folder (it has no {CONFIG_NAME}): "
            f"train one with `worldlet train DATA --out {run} --minutes 60`"
        )
    return load_yaml(TrainConfig, path)


def load_tokenizer(run: str | Path) -> Tokenizer:
    """The best tokenizer of a run (averaged weights), in eval mode; ValueError if it is not trained yet."""
    config = load_config(run)
    tokenizer = Tokenizer(config.tokenizer)
    tokenizer.load_state_dict(checkpoint.load_weights(Path(run) / "tokenizer"))
    return tokenizer.eval().requires_grad_(False)


def _stages(config: TrainConfig) -> tuple[str, ...]:
    return STAGES if config.stage == "all" else (config.stage,)


def _is_begun(run: Path, stage: str) -> bool:
    return any(checkpoint.exists(run / stage / which) for which in ("last", "best"))


def _claim(run: Path, config: TrainConfig) -> None:
    """Write the run's config, after checking that it agrees with what is already there."""
    for stage in _stages(config):
        if not config.resume and _is_begun(run, stage):
            raise ValueError(f"{run} already holds a trained {stage}: add --resume to go on, or choose another folder")
    path = run / CONFIG_NAME
    if path.exists():
        before = load_config(run)
        if before.start_from != config.start_from and any(_is_begun(run, stage) for stage in STAGES):
            told = [
                f"with --start_from {name}" if name else "from nothing"
                for name in (before.start_from, config.start_from)
            ]
            raise ValueError(f"{run} was begun {told[0]}, not {told[1]}: use the same, or another run folder")
        for name in STAGES:
            if (run / name).exists() and getattr(before, name) != getattr(config, name):
                raise ValueError(f"{run} was begun with another `{name}`: {_difference(before, config, name)}")
    run.mkdir(parents=True, exist_ok=True)
    dump_yaml(dataclasses.replace(config, resume=False), path)


def _loop(stage: str, config: TrainConfig) -> LoopConfig:
    minutes, steps = config.budget(stage)
    return LoopConfig(
        minutes=minutes, steps=steps, precision=config.precision, device=config.device,
        threads=config.threads, seed=config.seed,
        learning_rate=config.tokenizer_learning_rate if stage == "tokenizer" else config.dynamics_learning_rate,
        validate_every_minutes=config.validate_every_minutes, validate_every_steps=config.validate_every_steps,
        picture_every_minutes=2 * config.validate_every_minutes, picture_every_steps=config.validate_every_steps,
        ema_decay=0.998 if (steps or 10**6) > 2000 else 0.99,
    )  # fmt: skip


def _build(stage: str, run: Path, config: TrainConfig) -> TokenizerStage | DynamicsStage:
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    if stage == "tokenizer":
        fresh = not (config.resume and _is_begun(run, stage)) and not config.start_from
        print(f"tokenizer: reading frames of {config.data}{' and finding a codebook' * fresh}", flush=True)
        weights = start.weights_of(run, "tokenizer") if config.start_from else None
        return TokenizerStage(config.data, config.tokenizer, config.tokenizer_stage, config.seed, fresh, weights)
    print(f"dynamics: reading the frames of {config.data} as tokens", flush=True)
    tokenizer = load_tokenizer(run)
    mark = fingerprint(tokenizer)
    weights = start.weights_of(run, "dynamics") if config.start_from else None
    if weights is not None and mark != _fingerprint(config.tokenizer, start.weights_of(run, "tokenizer")):
        raise ValueError(
            f"{run} has a tokenizer of its own, whose codes the dynamics of {config.start_from} does not know"
        )
    train, val = (
        build_tokens(
            tokenizer, config.data, split, run / "tokens" / f"{split}-{mark}-{data_mark(config.data, split)}.npz"
        )
        for split in ("train", "val")
    )
    return DynamicsStage(train, val, config.dynamics, config.dynamics_stage, config.seed, tokenizer, weights)


def _difference(before: TrainConfig, now: TrainConfig, name: str) -> str:
    """One sentence on the settings of a part in which two configs differ, and what to do."""
    old, new = to_dict(getattr(before, name)), to_dict(getattr(now, name))
    changed = ", ".join(f"{key} {old[key]!r} (now {new[key]!r})" for key in old if old[key] != new[key])
    return f"{changed}; use the same, or another run folder"


def fingerprint(tokenizer: Tokenizer) -> str:
    """Hash of everything that decides how frames are encoded."""
    return _fingerprint(tokenizer.config, tokenizer.state_dict())


def _fingerprint(config: TokenizerConfig, weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(repr(sorted(to_dict(config).items())).encode())
    for name, tensor in sorted(weights.items()):
        if not name.startswith("decoder."):
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
