"""A stage that trains in milliseconds and has everything that makes resuming hard: dropout, buffers, odd strides.

Run as a program it trains in a process of its own, which a test may then kill:
`python tiny_stage.py RUN '{"steps": 40, ...}' [--resume] [--kill-at STEP] [--slow]`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldlet.config import from_dict
from worldlet.train import LoopConfig, fit


class TinyNet(nn.Module):
    """A channels-last convolution, dropout, two tied layers, and a running mean that is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8, 8)
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.head.weight
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def features(self, x_BCHW: Tensor) -> Tensor:
        """A method that is not `forward`, as the real stages have."""
        features_BD = self.drop(self.conv(x_BCHW).relu().mean(dim=(2, 3)))
        if self.training:
            self.mean.lerp_(features_BD.detach().float().mean(0), 0.1)
            self.count += 1
        return self.tied(self.head(features_BD).relu())


class TinyStage:
    """Learns the mean colour of noise."""

    name = "tiny"
    measure = "squared error"
    items_per_step = 4

    def __init__(self, bad_steps: range = range(0), bad_gradients: range = range(0)) -> None:
        torch.manual_seed(0)
        self.module: nn.Module = TinyNet().to(memory_format=torch.channels_last)
        self.bad_steps, self.bad_gradients = bad_steps, bad_gradients
        self.dtypes: set[torch.dtype] = set()
        self.progress: list[float] = []
        self.steps: list[int] = []
        self.after: list[int] = []

    def parameter_groups(self) -> list[dict[str, Any]]:
        named = dict(self.module.named_parameters())
        biases = [value for name, value in named.items() if name.endswith("bias")]
        return [
            {"params": [value for name, value in named.items() if not name.endswith("bias")]},
            {"params": biases, "weight_decay": 0.0, "lr_scale": 0.5},
        ]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.steps.append(step)
        self.progress.append(progress)
        images_BCHW = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        features_BD = self.module.features(images_BCHW)
        self.dtypes.add(features_BD.dtype)
        error = (features_BD.float()[:, :3] - images_BCHW.mean(dim=(2, 3))).square().mean()
        loss = error * (math.nan if step in self.bad_steps else 1.0)
        if step in self.bad_gradients:  # finite forward, infinite backward
            loss = loss + (features_BD.float().sum() * 0.0).sqrt()
        return loss, {"noise": float(torch.rand(()))}

    def after_step(self, step: int) -> None:
        self.after.append(step)
        self.module.mean[step % 8] += 0.01 * torch.rand(())

    def validate(self, module: nn.Module) -> dict[str, float]:
        assert not module.training and not torch.is_grad_enabled()
        images_BCHW = torch.rand(16, 3, 6, 6, generator=torch.Generator().manual_seed(-1))
        error = module.features(images_BCHW).float()[:, :3] - images_BCHW.mean(dim=(2, 3))
        return {"loss": float(error.square().mean()), "draw": float(torch.rand(()))}

    def pictures(self, module: nn.Module) -> dict[str, np.ndarray]:
        weight = next(module.parameters()).detach().numpy()
        return {"weights": np.full((4, 5, 3), 255 * np.clip(np.abs(weight).mean(), 0, 1), np.uint8)}


class KilledStage(TinyStage):
    """Kills its own process, as `kill -9` does, in the middle of a step."""

    def __init__(self, kill_at: int | None, slow: bool) -> None:
        super().__init__()
        self.kill_at, self.slow = kill_at, slow

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.slow:
            print("step", step, flush=True)
            time.sleep(0.05)
        return super().loss(step, progress)


def main(arguments: list[str]) -> None:
    """Train as the command line says."""
    run, settings = Path(arguments[0]), json.loads(arguments[1])
    kill_at = int(arguments[arguments.index("--kill-at") + 1]) if "--kill-at" in arguments else None
    result = fit(
        KilledStage(kill_at, "--slow" in arguments), run, from_dict(LoopConfig, settings), "--resume" in arguments
    )
    print(json.dumps({"finished": result.finished, "step": result.step}))


if __name__ == "__main__":
    main(sys.argv[1:])
