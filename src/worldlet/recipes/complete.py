"""What `worldlet train` does once both stages are trained: a world in RUN/world, and its card in RUN/card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worldlet.manifest import WorldError, read_world_json

if TYPE_CHECKING:
    from worldlet.train.run import TrainConfig

WORLD_NAME, CARD_NAME = "world", "card"


def complete(config: TrainConfig) -> None:
    """Export the run and measure it, as far as `config.then` asks for; what is there already is not done again.

    Raises ValueError where a part cannot be exported or measured: what was trained is kept, and the same command
    goes on from there.
    """
    from worldlet.eval.suite import EvalConfig, evaluate
    from worldlet.export import ExportConfig, export

    run = Path(config.out)
    if config.then == "nothing":
        return
    if not _is_exported(run):
        export(ExportConfig(run=config.out))
    if config.then == "card":
        evaluate(EvalConfig(world=config.out, out=run / CARD_NAME, quick=True, attach=True, data=Path(config.data)))


def _is_exported(run: Path) -> bool:
    """Tell whether RUN/world was exported from the checkpoint that is now the best."""
    from worldlet.train import checkpoint

    try:
        training = read_world_json(run / WORLD_NAME).config["training"]
    except (WorldError, KeyError, OSError):
        return False
    return bool(training["dynamics"]["steps"] == checkpoint.read_state(run / "dynamics" / "best")["step"])
