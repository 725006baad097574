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
    grid, patch = config.grid, config.patch
    positions = (grid[0] // patch[0], grid[1] // patch[1])
    shape = (min(size[0], positions[0]), min(size[1], positions[1]))
    middle_B2 = _middles(hero_BTN, moving_BTN, grid)
    sway_2 = torch.rand(2, len(middle_B2), device=middle_B2.device) - 0.5
    corners, places, knows = [], [], []
    for axis in (0, 1):
        side = shape[axis] * patch[axis]
        corner_B = middle_B2[:, axis] / patch[axis] - shape[axis] / 2 + 0.5 + sway_2[axis]
        corner_B = corner_B.round().clamp(0, positions[axis] - shape[axis]).long()
        first_B, offset_S = corner_B * patch[axis], torch.arange(side, device=corner_B.device)
        before, after = EDGE[2 * axis], EDGE[2 * axis + 1]
        at_start_B1, at_end_B1 = (first_B == 0)[:, None], (first_B + side == grid[axis])[:, None]
        corners.append(corner_B)
        places.append(first_B[:, None] + offset_S)
        knows.append(((offset_S >= before) | at_start_B1) & ((offset_S < side - after) | at_end_B1))
    cell_BN = (places[0][:, :, None] * grid[1] + places[1][:, None]).flatten(1)
    return Cut(Window(shape, torch.stack(corners, 1)), cell_BN, (knows[0][:, :, None] & knows[1][:, None]).flatten(1))


def _middles(hero_BTN: Tensor, moving_BTN: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where each clip's window shall have its middle, (row, column) in cells: float32 (B, 2)."""
    (batch, frames, cells), device = hero_BTN.shape, hero_BTN.device
    clip_B, frame_B = torch.arange(batch, device=device), torch.randint(frames, (batch,), device=device)
    hero_BN, moving_BN = hero_BTN[clip_B, frame_B].float(), moving_BTN[clip_B, frame_B]
    cell_N = torch.arange(cells, device=device)
    place_N2 = torch.stack([cell_N // grid[1], cell_N % grid[1]], 1).float()
    his_B2 = hero_BN @ place_N2 / hero_BN.sum(1, keepdim=True).clamp_min(1)
    # One of the cells that move: the one whose random number is highest; where nothing moves, one of all.
    chance_BN = torch.rand_like(hero_BN)
    moved_B2 = place_N2[(chance_BN + moving_BN).argmax(1)]
    return torch.where(hero_BN.any(1, keepdim=True), his_B2, moved_B2)


def inside(values_BTN: Tensor, cut: Cut) -> Tensor:
    """The cells of whole frames that lie in the windows: (B, T, N) -> (B, T, cells of a window)."""
    return values_BTN.gather(2, cut.cells_BN[:, None].expand(-1, values_BTN.shape[1], -1))
