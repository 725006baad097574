"""Checkpoints: safetensors for tensors, JSON for the rest, nothing pickled, and whole whenever the process dies.

A checkpoint folder holds `state.json` and the tensor file that it names. A new one is written beside the old one, and
replacing `state.json` is the single moment at which it takes over; only then is the old tensor file removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds: tensors by flat name, and the JSON state."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Return the tensors below `name.`, without that prefix: `model`, `ema`, `optimizer`."""
        prefix = name + "."
        return {key[len(prefix) :]: tensor for key, tensor in self.tensors.items() if key.startswith(prefix)}


def exists(folder: Path) -> bool:
    """Say whether `folder` holds a complete checkpoint."""
    return (folder / "state.json").is_file()


def save(folder: Path, parts: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write a checkpoint into `folder`; a kill at any moment leaves the one before or this one, never half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"tensors-{state['step']:09d}.safetensors"
    if exists(folder) and read_state(folder)["tensors"] == name:
        name = f"tensors-{state['step']:09d}-again.safetensors"  # never write over the file in force
    # Clones, because safetensors refuses tied weights and views into one storage.
    flat = {
        f"{part}.{key}": tensor.detach().cpu().contiguous().clone()
        for part, tensors in parts.items()
        for key, tensor in tensors.items()
    }
    temporary = folder / (name + ".tmp")
    save_file(flat, temporary)
    _sync(temporary)
    os.replace(temporary, folder / name)
    text = json.dumps({"format": FORMAT, "tensors": name, **state}, indent=1)
    temporary = folder / "state.json.tmp"
    temporary.write_text(text, encoding="utf-8")
    _sync(temporary)
    os.replace(temporary, folder / "state.json")
    _sync(folder)
    for path in folder.glob("tensors-*"):
        if path.name != name:
            path.unlink()


def read_state(folder: Path) -> dict[str, Any]:
    """Read only the JSON state. Raises ValueError where there is none, or it is damaged, or of another format."""
    path = folder / "state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no checkpoint: train first, or choose another folder") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the checkpoint {path} is damaged ({error}): delete {folder} and train again") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"the checkpoint {path} is not of format {FORMAT}: use the version of worldlet that wrote it")
    return state


def load(folder: Path) -> Checkpoint:
    """Read a whole checkpoint onto the CPU. Raises ValueError where it is missing or damaged."""
    state = read_state(folder)
    path = folder / str(state.get("tensors"))
    try:
        return Checkpoint(load_file(path), state)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"the checkpoint {path} is damaged ({error}): delete {folder} and train again") from error


def load_weights(stage_dir: str | Path, which: Literal["best", "last"] = "best", ema: bool = True) -> dict[str, Tensor]:
    """Return the state dict of a trained stage, e.g. of `RUN/tokenizer`: its averaged weights, or the raw ones.

    Raises ValueError where the stage has no such checkpoint.
    """
    return load(Path(stage_dir) / which).part("ema" if ema else "model")


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Return the optimizer's state as `KIND.PARAMETER` -> tensor, e.g. `exp_avg.encoder.weight`."""
    return {
        f"{kind}.{name}": tensor
        for name, parameter in module.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave; hyperparameters stay those of `optimizer`."""
    index_of = {
        id(parameter): index
        for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    named = dict(module.named_parameters())
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, name = key.split(".", 1)
        if name not in named or id(named[name]) not in index_of:
            raise ValueError(f"the checkpoint holds optimizer state for {name!r}, which this model does not train")
        parameter = named[name]
        if tensor.shape == parameter.shape and kind != "step":
            # Fused kernels walk memory in order: the moments need the strides of their parameter (channels-last).
            tensor = torch.empty_like(parameter).copy_(tensor)
        state.setdefault(index_of[id(parameter)], {})[kind] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
