"""How the action and the prompt reach the blocks."""

from typing import Literal

import torch
from torch import Tensor, nn


class Conditioning(nn.Module):
    """One vector a frame from action and prompt: actions (B, T), prompt (B, D) -> (B, T, C).

    A prompt of zeros adds nothing.
    """

    def __init__(self, actions: int, prompt_width: int, width: int):
        super().__init__()
        self.action = nn.Embedding(actions, width)
        self.prompt = nn.Linear(prompt_width, width, bias=False)
        nn.init.normal_(self.action.weight, std=1.0)

    def forward(self, actions_BT: Tensor, prompt_BD: Tensor) -> Tensor:
        """Sum of the two."""
        return self.action(actions_BT) + self.prompt(prompt_BD)[:, None]


class Modulation(nn.Module):
    """RMS norm, then scale and shift by the condition (FiLM, arXiv:1709.07871). With `add` the norm is plain.

    Takes x (B, T, P, C) and the condition (B, T, C).
    """

    def __init__(self, width: int, kind: Literal["film", "add"]):
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.film = nn.Linear(width, 2 * width) if kind == "film" else None
        if self.film is not None:
            nn.init.normal_(self.film.weight, std=0.02 / width**0.5)
            nn.init.zeros_(self.film.bias)

    def forward(self, x_BTPC: Tensor, condition_BTC: Tensor) -> Tensor:
        """norm(x) * (1 + scale) + shift."""
        x = self.norm(x_BTPC)
        if self.film is None:
            return x
        scale, shift = self.film(torch.nn.functional.silu(condition_BTC))[:, :, None].chunk(2, -1)
        return x * (1 + scale) + shift
