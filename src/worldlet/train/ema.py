"""A running average of the weights: what is validated, pictured and exported."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """A second copy of a module whose parameters follow the trained ones slowly and whose buffers follow at once.

    `decay` is the share of the old average kept per step. It is warmed up as (1 + n) / (10 + n) over the n updates so
    far, because at first the average would otherwise hold on to the random start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the parameters of `module` and copy its buffers."""
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for average, trained in zip(self.module.parameters(), module.parameters(), strict=True):
            average.lerp_(trained, 1 - kept)
        for held, current in zip(self.module.buffers(), module.buffers(), strict=True):
            held.copy_(current)
