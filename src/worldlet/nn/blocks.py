"""Convolution blocks of the tokenizer. Shapes: `x_BCHW`."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ResBlock(nn.Module):
    """Two dense 3x3 convolutions with ReLU around a shortcut, without norms (fast on CPU): (B, C, H, W) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(cast(Tensor, self.second.bias))
        with torch.no_grad():
            self.second.weight.mul_(0.1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """x + conv(relu(conv(relu(x))))."""
        return x_BCHW + self.second(F.relu(self.first(F.relu(x_BCHW))))


class Upsample(nn.Module):
    """Twice the height and width by a 3x3 convolution and pixel shuffle: (B, C, H, W) -> (B, width_out, 2H, 2W)."""

    def __init__(self, width: int, width_out: int):
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * width_out, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve, then lay the channels out in space."""
        return F.pixel_shuffle(self.conv(F.relu(x_BCHW)), 2)
