"""`worldlet export`: a run becomes a world folder, which gets its name once it is complete and has passed the gate."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import nn

from worldlet.data.shards import DataManifest, read_manifest
from worldlet.export.graphs import write_graphs
from worldlet.export.parity import check_parity
from worldlet.export.starts import FRAMES, write_starts
from worldlet.manifest import (
    MANIFEST_NAME,
    WEIGHTS_NAME,
    ParameterCounts,
    StateSpec,
    WorldManifest,
    write_atomic,
    write_world_json,
)
from worldlet.train import checkpoint, start
from worldlet.train.run import TrainConfig, fingerprint, load_config, load_tokenizer
from worldlet.world import WorldModel


@dataclass(frozen=True)
class ExportConfig:
    """What to export and where to. ValueError for values out of range."""

    run: str
    """Run folder that `worldlet train` wrote."""
    out: str = ""
    """World folder to write; RUN/world if not given. A world there is replaced once the new one is complete."""
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
    dreamed_starts: int = 0
    """Frames that the world dreams on from a recorded clip before the starting clip is taken, so that no recorded
    picture is passed on: for games whose pictures are not yours. 0 keeps the recorded clips."""
    checkpoint: Literal["best", "last"] = "best"
    """Which dynamics: best by validation loss, or last."""
    tokenizer: str = ""
    """Run whose tokenizer to take: one with the same codes, as where the decoder was trained on alone. The run's own if
    not given."""
    edge_min_p: float | None = None
    """Min-p of the cells at the edge, where new ground comes into view: less brings rarer things and more mistakes.
    That of the training if not given."""
    seed: int = 0
    """Seed of the choice of starts and of the gate."""
    gate_frames: int = 300
    """Free-running frames over which torch and ONNX Runtime must agree, token for token."""

    def __post_init__(self) -> None:
        if self.starts < 1 or self.gate_frames < 1:
            raise ValueError("starts and gate_frames must be at least 1")
        if self.edge_min_p is not None and not 0 < self.edge_min_p <= 1:
            raise ValueError(f"edge_min_p is {self.edge_min_p}: it must lie in (0, 1]")
        if self.dreamed_starts and self.dreamed_starts < FRAMES:
            raise ValueError(f"a start holds {FRAMES} frames: dreamed_starts must be at least that, or 0")


def export(config: ExportConfig, console: Console | None = None) -> Path:
    """Write the world folder and return its path; whatever fails, a world that was there before stays as it was.

    Raises:
        ValueError: if the run is not trained, its data cannot be read, or `out` holds something that is no world.
        ParityError: if the two backends part within `gate_frames` free-running frames.
    """
    console = console or Console(stderr=True)
    trained = load_config(config.run)
    data = config.data or trained.data
    facts = read_manifest(data)
    if config.edge_min_p is not None:
        trained = replace(trained, dynamics=replace(trained.dynamics, edge_min_p=config.edge_min_p))
    model = _assemble(Path(config.run), trained, config.checkpoint, Path(config.tokenizer or config.run))
    out = Path(config.out) if config.out else Path(config.run) / "world"
    with _replacing(out) as folder:
        console.print(f"{_count(model):,} parameters in half precision", highlight=False)
        write_weights(model, folder)
        console.print("writing the graphs encode, decode and step", highlight=False)
        write_graphs(model, folder)
        console.print(f"choosing {config.starts} starts from the test levels of {data}", highlight=False)
        write_starts(data, folder, config.starts, config.seed, model, config.dreamed_starts)
        write_world_json(folder, _manifest(model, facts, config, trained))
        with _gate_progress(console, config.gate_frames) as tick:
            check_parity(model, folder, config.gate_frames, config.seed, tick)
    files = [path for path in out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    console.print(f"{out}: {len(files)} files, {size / 1e6:.1f} MB", highlight=False)
    return out


def _assemble(run: Path, config: TrainConfig, which: Literal["best", "last"], tokenizer: Path) -> WorldModel:
    """The trained networks of a run, in eval mode, with the tokenizer of the same or another run."""
    for stage, kind in (("tokenizer", "best"), ("dynamics", which)):
        if not checkpoint.exists(run / stage / kind):
            train = f"worldlet train {config.data} --out {run} --stage {stage} --minutes 60"
            other = stage == "dynamics" and kind == "best" and checkpoint.exists(run / stage / "last")
            remedy = f"export it with --checkpoint last, or go on with `{train} --resume`" if other else f"`{train}`"
            raise ValueError(f"{run} has no trained {stage}{' that was validated' if other else ''}: {remedy}")
    # As they will be stored: a decoder that was trained on from a world has that world's codes, in half precision.
    codes = {fingerprint(load_tokenizer(place).half().float()) for place in (tokenizer, run)}
    if len(codes) > 1:
        raise ValueError(
            f"the tokenizer of {tokenizer} has other codes than that of {run}, whose dynamics knows no others: take "
            "one that was trained on with `--start_from` and `--stage tokenizer`"
        )
    model = WorldModel.build(config.tokenizer, config.dynamics)
    model.tokenizer = load_tokenizer(tokenizer)
    model.dynamics.load_state_dict(checkpoint.load_weights(run / "dynamics", which))
    return model.eval().requires_grad_(False)


def write_weights(model: WorldModel, folder: Path) -> None:
    """Store the weights in half precision, and round the model's own to what was stored.

    What only settling asks for stays out of a world whose tokens do not settle.
    """
    unused = () if model.dynamics.config.settle else ("dynamics.neighbours.", "dynamics.presence.")
    halves = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(unused)
    }
    infinite = [name for name, value in halves.items() if not value.isfinite().all()]
    if infinite:
        raise ValueError(f"the weights {', '.join(infinite)} do not fit half precision: train again more gently")
    write_atomic(folder / WEIGHTS_NAME, save(halves))  # readable by all that may read the folder, unlike `save_file`
    model.load_state_dict(halves)


def _manifest(model: WorldModel, data: DataManifest, config: ExportConfig, trained: TrainConfig) -> WorldManifest:
    name = config.name or Path(config.run).resolve().name
    bindings = {
        action: tuple(tuple(combo) for combo in combos) for action, combos in (data.get("key_bindings") or {}).items()
    }
    return WorldManifest(
        name=name,
        title=config.title or name.replace("_", " ").replace("-", " ").capitalize(),
        env_id=data["env_id"],
        frame_size=model.tokenizer.config.frame_size,
        grid=model.tokenizer.config.grid,
        fps=round(data["fps"]),
        action_names=tuple(data["action_names"]),
        key_bindings=bindings,
        codebook_size=model.tokenizer.config.codebook_size,
        prompt_width=model.dynamics.config.prompt_width,
        state=tuple(StateSpec(key, tuple(value.shape[1:]), "float16") for key, value in model.init_state(1).items()),
        parameters=ParameterCounts(_count(model.tokenizer), _count(model.dynamics)),
        config=model.config() | {"training": _training(config, trained), "game": data["options"]},
        licence=config.licence,
    )


def _training(config: ExportConfig, trained: TrainConfig) -> dict[str, Any]:
    """How long the exported weights were trained, and on what: nothing that differs between two exports of one run."""
    facts: dict[str, Any] = {"data": Path(config.data or trained.data).name}
    begun = start.training_of(Path(config.run))
    if begun is not None:
        facts["start_from"] = begun
    for run, stage, which in (
        (config.tokenizer or config.run, "tokenizer", "best"), (config.run, "dynamics", config.checkpoint),
    ):  # fmt: skip
        state = checkpoint.read_state(Path(run) / stage / which)
        facts[stage] = {"checkpoint": which, "steps": state["step"], "minutes": round(state["elapsed"] / 60, 1)}
    return facts


def _count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


@contextmanager
def _gate_progress(console: Console, frames: int) -> Iterator[Callable[[int], None]]:
    """Show how far the gate is: a bar on a terminal, one line at its beginning and one at its end anywhere else."""
    what = f"gate: {frames} free-running frames in torch and in ONNX Runtime"
    if not console.is_terminal:
        console.print(what, highlight=False)
        yield lambda frame: None
    else:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("gate", total=frames)
            yield lambda frame: progress.update(task, completed=frame)
    console.print(f"both dreamed the same tokens for {frames} frames", highlight=False)


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Give an empty folder beside `out` that takes its place if all goes well, and vanishes if anything does not.

    Raises:
        ValueError: if `out` is there already and is not a world.
    """
    out = out.resolve()
    unfinished, replaced = (out.with_name(f".{out.name}.{word}") for word in ("unfinished", "replaced"))
    if replaced.exists() and not out.exists():
        replaced.rename(out)  # an export was killed between its last two renames
    if out.exists() and not (out / MANIFEST_NAME).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise ValueError(f"{out} is there already and is not a world folder: choose another --out")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        shutil.rmtree(replaced, ignore_errors=True)
        if out.exists():
            out.rename(replaced)
        try:
            unfinished.rename(out)
        except BaseException:
            if replaced.exists():
                replaced.rename(out)
            raise
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
