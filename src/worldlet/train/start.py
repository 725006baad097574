"""What a run goes on from: a world's weights, kept in the run, so that resuming never asks for the world again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from worldlet.config import from_dict
from worldlet.dynamics import DynamicsConfig
from worldlet.manifest import WEIGHTS_NAME, atomic_path, read_world_json, write_atomic
from worldlet.tokenizer import TokenizerConfig

_FOLDER, _ABOUT = "start", "start.json"


def is_kept(run: Path) -> bool:
    """Tell whether the run went on from a world."""
    return (run / _FOLDER / _ABOUT).is_file()


def keep(world: Path, run: Path) -> None:
    """Copy a world's weights into the run, with its sizes and how they were trained; what is there already stays."""
    if is_kept(run):
        return
    manifest = read_world_json(world)
    (run / _FOLDER).mkdir(parents=True, exist_ok=True)
    with atomic_path(run / _FOLDER / WEIGHTS_NAME) as unfinished:
        shutil.copyfile(world / WEIGHTS_NAME, unfinished)
    about = {"name": manifest.name, **manifest.config}
    write_atomic(run / _FOLDER / _ABOUT, json.dumps(about, indent=1).encode())


def training_of(run: Path) -> dict[str, Any] | None:
    """Return the name of the world that a run went on from and how that was trained; None where there is none."""
    if not is_kept(run):
        return None
    about = json.loads((run / _FOLDER / _ABOUT).read_text(encoding="utf-8"))
    return {"name": about["name"], **about.get("training", {})}


def sizes_in(about: dict[str, Any]) -> tuple[TokenizerConfig, DynamicsConfig]:
    """Return the sizes that a world's `config`, or what a run keeps of it, tells."""
    return from_dict(TokenizerConfig, about["tokenizer"]), from_dict(DynamicsConfig, about["dynamics"])


def sizes_of(run: Path) -> tuple[TokenizerConfig, DynamicsConfig]:
    """Return the sizes of the world that a run went on from."""
    return sizes_in(json.loads((run / _FOLDER / _ABOUT).read_text(encoding="utf-8")))


def weights_of(run: Path, part: str) -> dict[str, Tensor]:
    """Return the float32 weights of a part, `tokenizer` or `dynamics`, of the world that a run went on from."""
    return {
        name.removeprefix(f"{part}."): value.float() if value.is_floating_point() else value
        for name, value in load_file(run / _FOLDER / WEIGHTS_NAME).items()
        if name.startswith(f"{part}.")
    }
