"""Latent actions of a video: trained, tried on held-out video, shown, and named by the user in ``codes.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from numpy.typing import NDArray
from rich.console import Console

from worldlet.config import load_yaml
from worldlet.dynamics.inverse import working_size
from worldlet.dynamics.latent import JSON_NAME, PATCH, LatentActions, LatentConfig
from worldlet.manifest import write_atomic
from worldlet.train import checkpoint
from worldlet.train.code_pictures import draw_codes
from worldlet.train.latent_stage import LatentStage, LatentStageConfig, code_figures
from worldlet.train.loop import LoopConfig, fit
from worldlet.train.moments import MomentTable, read_labelled

CODES_NAME, PICTURE_NAME = "codes.yaml", "codes.png"
_HEADER = """\
# What each code does is shown in {picture}: give each a name, and the keys that do it (KeyboardEvent.code names; a list
# of combinations, each a list of keys held together). Codes of one name become one action; a code whose name is null
# is left out: its moments are dropped. Then: worldlet label DATA --codes {codes} --out LABELLED
"""


@dataclass(frozen=True)
class LatentCodesConfig:
    """How to look for latent actions. ValueError for values out of range."""

    minutes: float | None = 8.0
    """Time to train; give this or steps."""
    steps: int | None = None
    """Steps to train instead."""
    codes: int = 8
    """Number of codes; some may stay unused."""
    max_frames: int = 12_000
    """Frames to learn from at most."""
    max_side: int = 64
    """Pixels of the longer side that the model looks at, at most."""
    reach: int = 3
    """Pixels, at that size, that a thing may move in one frame."""
    width: int = 48
    """Channels of the forward network."""
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
    stage: LatentStageConfig = field(default_factory=LatentStageConfig)
    """What a batch is."""


@dataclass(frozen=True)
class Code:
    """One line of ``codes.yaml``."""

    code: int
    """Number of the code."""
    share: float
    """How often it was used in held-out video."""
    name: str | None
    """What the user calls it; null leaves it out."""
    keys: tuple[tuple[str, ...], ...] = ()
    """Combinations of keys that do it."""


@dataclass(frozen=True)
class CodesFile:
    """``codes.yaml``."""

    model: str
    """Folder of the model, relative to the file."""
    codes: tuple[Code, ...]
    """What each code is called."""


@dataclass(frozen=True, eq=False)
class Named:
    """Codes with names: the action of each code, int64 (K,), -1 for those left out; names in the order of the file."""

    path: Path
    model: LatentActions
    action_names: tuple[str, ...]
    key_bindings: dict[str, Any]
    action_of_code: NDArray[np.int64]


def find_codes(data: str | Path, out: str | Path, config: LatentCodesConfig, console: Console) -> str | None:
    """Train latent actions on a data folder (its actions are not used) and write ``codes.png`` and ``codes.yaml``.

    Returns what to tell the user, or None where training was interrupted, which the same call takes up. A
    ``codes.yaml`` that is there stays. ValueError where the data cannot be read or holds too little.
    """
    out = Path(out)
    plays = read_labelled(data, config.max_frames)
    height, width = working_size(tuple(plays.manifest["frame_size"]), config.max_side)
    size = max(8, PATCH * round(height / PATCH)), max(8, PATCH * round(width / PATCH))
    held_out = MomentTable.build(plays.report, size)
    if (out / JSON_NAME).exists():
        model: LatentActions | None = LatentActions.load(out)
    else:
        train, val = MomentTable.build(plays.train, size), MomentTable.build(plays.calibrate, size)
        model = _train(train, val, held_out, str(data), size, out, config)
    if model is None:
        return None
    write_atomic(out / PICTURE_NAME, draw_codes(model, held_out, model.about["held_out"]["shares"], config.seed))
    if not (out / CODES_NAME).exists():
        _write_codes(out / CODES_NAME, model)
    console.print(f"{out / PICTURE_NAME} shows what each code does", highlight=False)
    return _told(out, model.about["held_out"])


def read_codes(path: str | Path) -> Named:
    """Read a ``codes.yaml`` that the user has edited, and its model.

    ValueError where it cannot be read, does not name every code of the model once, names no action, or where the
    model's codes carry no information.
    """
    path = Path(path)
    file = load_yaml(CodesFile, path)
    model = LatentActions.load(path.parent / file.model)
    if not model.about["held_out"]["informative"]:
        raise ValueError(f"the codes of {path} tell nothing about the next frame: train them longer, or on more video")
    if sorted(code.code for code in file.codes) != list(range(model.config.codes)):
        raise ValueError(f"{path} must hold each code from 0 to {model.config.codes - 1} once")
    names = tuple(dict.fromkeys(code.name for code in file.codes if code.name is not None))
    if not names:
        raise ValueError(f"{path} names no action: give at least one code a name")
    action_of_code = np.full(model.config.codes, -1, np.int64)
    bindings: dict[str, list[list[str]]] = {}
    for code in file.codes:
        if code.name is not None:
            action_of_code[code.code] = names.index(code.name)
            keys = bindings.setdefault(code.name, [])
            keys += [list(combination) for combination in code.keys if list(combination) not in keys]
    return Named(path, model, names, {name: keys for name, keys in bindings.items() if keys}, action_of_code)


def _train(
    train: MomentTable,
    val: MomentTable,
    report: MomentTable,
    data: str,
    size: tuple[int, int],
    out: Path,
    config: LatentCodesConfig,
) -> LatentActions | None:
    torch.manual_seed(config.seed)
    sizes = LatentConfig(size, config.codes, config.reach, config.width)
    stage = LatentStage(train, val, sizes, config.stage, config.seed)
    loop = LoopConfig(
        minutes=None if config.steps else config.minutes, steps=config.steps, precision=config.precision,
        device=config.device, threads=config.threads, seed=config.seed, learning_rate=config.learning_rate,
        ema_decay=0.99, validate_every_minutes=1.0, picture_every_minutes=None,
    )  # fmt: skip
    if not fit(stage, out, loop, resume=True).finished:
        return None
    model = LatentActions(sizes)
    model.load_state_dict(checkpoint.load_weights(out / stage.name))
    model.eval().requires_grad_(False)
    figures = code_figures(model, report, max(64, config.stage.val_moments), config.seed)
    model.about = {"data": data, "actions": len(train), "held_out": figures}
    model.save(out)
    return model


def _write_codes(path: Path, model: LatentActions) -> None:
    shares = model.about["held_out"]["shares"]
    lines = [{"code": code, "share": share, "name": f"code_{code}", "keys": []} for code, share in enumerate(shares)]
    text = yaml.safe_dump({"model": ".", "codes": lines}, sort_keys=False, default_flow_style=None)
    write_atomic(path, (_HEADER.format(picture=PICTURE_NAME, codes=path) + text).encode())


def _told(out: Path, figures: Mapping[str, Any]) -> str:
    words = (
        f"error on {figures['n']} held-out moments (copying the last frame: 1): true code {figures['error']:.3f}, "
        f"another's {figures['shuffled']:.3f}, the commonest {figures['most_common']:.3f}; "
        f"{figures['codes_used']} codes used\n"
    )
    if not figures["informative"]:
        return words + "These codes tell nothing about the next frame: train longer, or on more video"
    return words + f"look at {out / PICTURE_NAME}, name the codes in {out / CODES_NAME}, then label with --codes"
