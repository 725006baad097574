"""Small networks on disk: safetensors for the weights, JSON for the rest, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldlet.manifest import atomic_path, write_atomic

FORMAT = 1


def save_network(folder: Path, name: str, network: nn.Module, facts: Mapping[str, Any]) -> None:
    """Write ``NAME.safetensors`` and, last, ``NAME.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    with atomic_path(folder / f"{name}.safetensors") as temporary:
        save_file(weights, temporary)
    write_atomic(folder / f"{name}.json", json.dumps({"format": FORMAT, **facts}, indent=1).encode())


def read_network(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return facts and weights of a network; ValueError where they are missing, damaged or of another format."""
    try:
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        return facts, load_file(folder / f"{name}.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder} holds no usable {name} ({reason}): train one with `worldlet label`") from error
