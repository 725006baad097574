"""Training of the judge: windows of frames in, the action between two of them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.dynamics.inverse import InverseConfig, InverseDynamics
from worldlet.train.moments import MomentTable

_VAL_BATCH = 64


@dataclass(frozen=True)
class InverseStageConfig:
    """What a batch is. ValueError for values out of range."""

    batch_size: int = 32
    """Moments a step."""
    balance: float = 0.5
    """How much oftener rare actions are drawn: 0 as recorded, 1 as if all were equally common."""
    shift: int = 4
    """Pixels by which a window is moved at random, up to so many each way, so that places are not learned by heart."""
    val_moments: int = 512
    """Held-out moments of a validation."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.val_moments) < 1 or self.shift < 0 or not 0 <= self.balance <= 1:
            raise ValueError("batch_size and val_moments must be at least 1, shift at least 0, balance in [0, 1]")


class InverseStage:
    """The judge as a stage of the training loop.

    Rare actions are drawn oftener, and the logits of training are raised by as much, so that the judge's own
    probabilities stay those of the actions as recorded.
    """

    name = "inverse"
    measure = "cross-entropy"

    def __init__(
        self, train: MomentTable, val: MomentTable, model: InverseConfig, config: InverseStageConfig, seed: int
    ):
        self.train, self.val, self.config, self.seed = train, val, config, seed
        self.judge = InverseDynamics(model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.module: nn.Module = self.judge
        self.items_per_step = config.batch_size
        counts_A = np.bincount(train.actions_M, minlength=len(model.action_names)).astype(np.float64)
        self.weights_A: NDArray[np.float64] = np.maximum(counts_A, 1) ** -config.balance

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return next(self.module.parameters()).device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(self.module.parameters())}]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the batch of `step`."""
        moments = self.train.draw(step, self.config.batch_size, self.seed, self.weights_A)
        actions = torch.from_numpy(self.train.actions_M[moments]).to(self.device)
        windows = self._shifted(self.train.windows(moments, self.judge.config), step)
        logits = self.module(self._pixels(windows)).float()
        drawn = torch.from_numpy(np.log(self.weights_A)).float().to(self.device)
        loss = F.cross_entropy(logits + drawn, actions)
        hits = (logits.detach() + drawn).argmax(-1) == actions
        return loss, {"accuracy": float(hits.float().mean())}

    def after_step(self, step: int) -> None:
        """Nothing follows."""

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure held-out moments: `loss` (cross-entropy in nats), `accuracy`."""
        moments = self.val.spread(self.config.val_moments)
        losses, hits = [], []
        for i in range(0, len(moments), _VAL_BATCH):
            part = moments[i : i + _VAL_BATCH]
            logits = module(self._pixels(self.val.windows(part, self.judge.config))).float()
            actions = torch.from_numpy(self.val.actions_M[part]).to(self.device)
            losses += F.cross_entropy(logits, actions, reduction="none").tolist()
            hits += (logits.argmax(-1) == actions).tolist()
        return {"loss": float(np.mean(losses)), "accuracy": float(np.mean(hits))}

    def pictures(self, module: nn.Module) -> dict[str, NDArray[np.uint8]]:
        """None: the confusion matrix is drawn when training has ended."""
        return {}

    def _shifted(self, windows_BWHWC: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
        """Move each window as a whole, repeating the edges; from (seed, step)."""
        reach = self.config.shift
        if not reach:
            return windows_BWHWC
        batch, _, height, width, _ = windows_BWHWC.shape
        moves = np.random.default_rng([self.seed, step, 13]).integers(-reach, reach + 1, (batch, 2))
        rows_BH = np.clip(np.arange(height) + moves[:, :1], 0, height - 1)
        columns_BW = np.clip(np.arange(width) + moves[:, 1:], 0, width - 1)
        places = zip(windows_BWHWC, rows_BH, columns_BW, strict=True)
        return np.stack([window[:, rows[:, None], columns] for window, rows, columns in places])

    def _pixels(self, windows_BWHWC: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(windows_BWHWC).to(self.device).permute(0, 1, 4, 2, 3).float() / 255
