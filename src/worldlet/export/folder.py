"""`worldlet export`: a run becomes a world folder. The weights are stored once, and both backends must dream the same before the folder gets its name."""

import datetime
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from worldlet.data.shards import read_manifest
from worldlet.engine.backends.onnx import OnnxBackend
from worldlet.engine.bundle import open_bundle
from worldlet.export.graphs import write_graphs
from worldlet.export.starts import write_starts
from worldlet.manifest import WEIGHTS_NAME, ParameterCounts, StateSpec, WorldManifest, write_world_json
from worldlet.train.checkpoint import load_weights
from worldlet.train.run import load_config
from worldlet.world import WorldModel

GATE_FRAMES = 300


@dataclass(frozen=True)
class ExportConfig:
    """What to export and where to."""

    run: str
    """Run folder that `worldlet train` wrote."""
    out: str = ""
    """World folder to write; RUN/world if not given. An existing world there is replaced only once the new one is complete."""
    name: str = ""
    """Name of the world; that of the run folder if not given."""
    title: str = ""
    """What people read; made from the name if not given."""
    licence: str = "MIT"
    """Licence of the weights."""
    data: str = ""
    """Data folder to take the starts from; the run's own if not given."""
    starts: int = 18
    """Starting clips to ship, spread over the themes, from levels of the test split."""
    checkpoint: str = "best"
    """`best` (by validation loss) or `last`."""
    seed: int = 0
    """Seed of the choice of starts and of the gate."""


class ParityError(ValueError):
    """Torch and ONNX Runtime dreamed different tokens."""


def export(config: ExportConfig) -> Path:
    """Write the world folder and return its path.

    Raises:
        ValueError: if the run is not trained.
        ParityError: if the two backends part within 300 free-running frames; nothing is left behind.
    """
    trained = load_config(config.run)
    run = Path(config.run)
    out = Path(config.out) if config.out else run / "world"
    model = _assemble(run, config.checkpoint)
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        data = read_manifest(config.data or trained.data)
        save_file(
            {name: value.half().contiguous() for name, value in model.state_dict().items()}, unfinished / WEIGHTS_NAME
        )
        model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
        write_graphs(model, unfinished)
        write_starts(config.data or trained.data, unfinished, config.starts, config.seed)
        name = config.name or run.resolve().name
        write_world_json(unfinished, _manifest(model, dict(data), name, config, trained.minutes))
        check_parity(model, unfinished, GATE_FRAMES, config.seed)
        _replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return out


def check_parity(model: WorldModel, folder: Path, frames: int, seed: int) -> None:
    """Dream `frames` frames with torch and with ONNX Runtime, each on its own tokens and state, under the same actions and noise.

    Raises:
        ParityError: naming the first frame at which their tokens differ.
    """
    bundle = open_bundle(folder)
    backend = OnnxBackend(folder, bundle.manifest, device="cpu")
    first = bundle.start_frames(bundle.starts[seed % len(bundle.starts)])[-1:]
    rng = np.random.default_rng(seed)
    tokens = backend.encode(first)
    ours = model.encode(torch.from_numpy(first))
    _compare(ours, tokens, "the first frame")
    state = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in bundle.manifest.state}
    our_state = model.init_state(1)
    prompt = np.zeros((1, bundle.manifest.prompt_width), dtype=np.float32)
    action = np.array([0], dtype=np.int64)
    for t in range(frames):
        if t % 7 == 0:
            action = rng.integers(0, len(bundle.manifest.action_names), 1)
        noise = rng.random((1, bundle.manifest.tokens), dtype=np.float32)
        theirs = backend.step(state, tokens, action, prompt, noise)
        with torch.no_grad():
            mine = model.dream(our_state, ours, *(torch.from_numpy(array) for array in (action, prompt, noise)))
        tokens, state, ours, our_state = theirs.tokens_BN, theirs.state, mine.tokens_BN, mine.state
        _compare(ours, tokens, f"dreamed frame {t + 1} of {frames}")


def _compare(ours: Tensor, theirs: np.ndarray, where: str) -> None:
    wrong = int((ours.numpy() != theirs).sum())
    if wrong:
        raise ParityError(f"torch and ONNX Runtime differ in {wrong} tokens at {where}: the world was not exported")


def _assemble(run: Path, checkpoint: str) -> WorldModel:
    if checkpoint not in ("best", "last"):
        raise ValueError(f"checkpoint is {checkpoint!r}: use best or last")
    config = load_config(run)
    for stage in ("tokenizer", "dynamics"):
        if not (run / stage / checkpoint).exists():
            raise ValueError(
                f"{run} has no trained {stage}: run `worldlet train {config.data} --out {run} --stage {stage} --minutes 60` first"
            )
    model = WorldModel.build(config.tokenizer, config.dynamics)
    model.tokenizer.load_state_dict(load_weights(run / "tokenizer"))
    model.dynamics.load_state_dict(load_weights(run / "dynamics", which="best" if checkpoint == "best" else "last"))
    return model.eval().requires_grad_(False)


def _manifest(
    model: WorldModel, data: dict[str, Any], name: str, config: ExportConfig, minutes: float | None
) -> WorldManifest:
    names = tuple(data["action_names"])
    bindings = {
        action: tuple(tuple(combo) for combo in combos) for action, combos in (data.get("key_bindings") or {}).items()
    }
    state = tuple(StateSpec(key, tuple(value.shape[1:]), "float16") for key, value in model.init_state(1).items())
    training = {
        "data": Path(config.data or load_config(config.run).data).name,
        "minutes": minutes,
        "exported": datetime.date.today().isoformat(),
        "checkpoint": config.checkpoint,
    }
    return WorldManifest(
        name=name,
        title=config.title or name.replace("_", " ").replace("-", " ").capitalize(),
        env_id=data["env_id"],
        frame_size=model.tokenizer.config.frame_size,
        grid=model.tokenizer.config.grid,
        fps=round(data["fps"]),
        action_names=names,
        key_bindings=bindings,
        codebook_size=model.tokenizer.config.codebook_size,
        prompt_width=model.dynamics.config.prompt_width,
        state=state,
        parameters=ParameterCounts(_count(model.tokenizer), _count(model.dynamics)),
        config=model.config() | {"training": training},
        licence=config.licence,
    )


def _count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


def _replace(new: Path, out: Path) -> None:
    """Put the finished folder in place; the old one is moved away first and deleted last."""
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)
