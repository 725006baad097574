"""Training: one loop for every stage, its checkpoints, logs and schedule."""

from __future__ import annotations

try:
    from worldlet.train.checkpoint import load_weights
    from worldlet.train.loop import DivergedError, FitResult, LoopConfig, Stage, fit
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] not in ("torch", "lightning"):
        raise
    raise ModuleNotFoundError(
        "training needs the training extra: pip install 'worldlet[train]'", name=error.name
    ) from error

__all__ = ["DivergedError", "FitResult", "LoopConfig", "Stage", "fit", "load_weights"]
