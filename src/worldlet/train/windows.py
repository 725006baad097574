"""Windows around the hero: most of a frame hardly changes, so most of training looks only where things move.

In a game that tells of no hero they lie around whatever moves.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldlet.dynamics import DynamicsConfig, Window

EDGE = (1, 1, 1, 2)  # cells inside a window's top, bottom, left and right edge that what lies outside decides


class Cut(NamedTuple):
    """Where the windows of a batch lie, which cells they hold, and which of these the window itself determines."""

    window: Window
    cells_BN: Tensor  # indices into the whole frame's cells
    inner_BN: Tensor  # bool


def cut_windows(hero_BTN: Tensor, moving_BTN: Tensor, config: DynamicsConfig, size: tuple[int, int]) -> Cut:
    """Choose a window of `size` patches for each clip, around the hero of a random frame of it.

    Without a hero it lies around one of the things that move, and where nothing does, anywhere.
    Draws from torch's global generator. Cells at a window's edge are not inner unless it is the screen's edge as well.
    """
    (h, w), (ph, pw) = config.grid, config.patch
    rows, columns = min(size[0], h // ph), min(size[1], w // pw)
    corners, cells, inner = [], [], []
    for hero_TN, moving_TN in zip(hero_BTN, moving_BTN, strict=True):
        frame = int(torch.randint(len(hero_TN), ()))
        held = hero_TN[frame].view(h, w).nonzero().float()
        if not len(held):
            moving = moving_TN[frame].view(h, w).nonzero().float()
            held = moving[torch.randint(max(1, len(moving)), (1,))] if len(moving) else moving
        middle = held.mean(0).cpu() if len(held) else torch.rand(2) * torch.tensor([h, w])
        sway = torch.rand(2) - 0.5
        row = int((middle[0] / ph - rows / 2 + 0.5 + sway[0]).round().clamp(0, h // ph - rows))
        column = int((middle[1] / pw - columns / 2 + 0.5 + sway[1]).round().clamp(0, w // pw - columns))
        top, left, bottom, right = row * ph, column * pw, (row + rows) * ph, (column + columns) * pw
        index = torch.arange(h * w).view(h, w)[top:bottom, left:right]
        known = torch.zeros(bottom - top, right - left, dtype=torch.bool)
        upper, lower = EDGE[0] * (top > 0), known.shape[0] - EDGE[1] * (bottom < h)
        known[upper:lower, EDGE[2] * (left > 0) : known.shape[1] - EDGE[3] * (right < w)] = True
        corners.append(torch.tensor([row, column]))
        cells.append(index.flatten())
        inner.append(known.flatten())
    corner, cell, knows = (torch.stack(part).to(hero_BTN.device) for part in (corners, cells, inner))
    return Cut(Window((rows, columns), corner), cell, knows)


def inside(values_BTN: Tensor, cut: Cut) -> Tensor:
    """The cells of whole frames that lie in the windows: (B, T, N) -> (B, T, cells of a window)."""
    return values_BTN.gather(2, cut.cells_BN[:, None].expand(-1, values_BTN.shape[1], -1))
