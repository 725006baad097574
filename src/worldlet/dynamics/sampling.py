"""The only sampler: training rollouts, evaluation and the exported graph all call `next_frame`."""

import torch
from torch import Tensor
from torch.nn import functional as F

from worldlet.dynamics.base import Dynamics, DynamicsConfig, State

CANDIDATES = 16
EDGE_CELLS = 2
"""How deep the edge is, where what comes into view is chance (`DynamicsConfig.edge_min_p`): one of many kinds may be
all that says what the next piece of level will be."""
BUSY = 0.06
"""The picture moves as a whole where more than this share of its cells change; hero and enemies change 0.05 at most."""


def least_shares(config: DynamicsConfig, open_BN: Tensor) -> float | Tensor:
    """Min-p of every cell: float32 (B, N), or one for all; where `open`, bool (B, N) or (B, 1), edges are chance."""
    if config.edge_min_p == config.min_p:
        return config.min_p
    return torch.where(edge_cells(config.grid, EDGE_CELLS, open_BN.device) & open_BN, config.edge_min_p, config.min_p)


def moves_as_a_whole(now_BN: Tensor, next_BN: Tensor) -> Tensor:
    """Whether many cells change from one frame to the next: bool (B,)."""
    return (now_BN != next_BN).float().mean(-1) > BUSY


def edge_cells(grid: tuple[int, int], depth: int, device: torch.device | None = None) -> Tensor:
    """The outermost cells of a grid (h, w), `depth` deep on all four sides: bool (N,)."""
    near_h, near_w = ((2 * torch.arange(side, device=device) - side + 1).abs() > side - 1 - 2 * depth for side in grid)
    return (near_h[:, None] | near_w).flatten()


def around(cells_BN: Tensor, grid: tuple[int, int]) -> Tensor:
    """Cells of a grid and their eight neighbours: bool (B, N) -> bool (B, N)."""
    cells_B1hw = cells_BN.float().unflatten(1, grid)[:, None]
    return F.max_pool2d(cells_B1hw, 3, stride=1, padding=1)[:, 0].flatten(1) > 0


def sample(logits_BNV: Tensor, noise_BN: Tensor, min_p: float | Tensor) -> Tensor:
    """Draw tokens (B, N) by inverse transform of uniform noise in [0, 1).

    Only the 16 likeliest codes take part, and of these those at least `min_p` times as likely as the first (min-p
    sampling, arXiv:2407.01082): one number, or one for every cell, (N,) or (B, N). A near certain future is taken, and
    where several are open each gets its share.

    Cells that hesitate between exactly two codes share the frame's first noise number instead of drawing their own:
    such cells mostly hang together (the hero is here or there), and with the likelier code first, one number below or
    above it takes the same side everywhere. Every cell keeps its own probabilities.
    """
    top, codes = logits_BNV.float().topk(min(CANDIDATES, logits_BNV.shape[-1]), -1)
    relative = (top - top[..., :1]).exp()
    least = min_p[..., None] if isinstance(min_p, Tensor) else min_p
    weight = torch.where(relative >= least, relative, torch.zeros_like(relative))
    in_two_minds = (weight > 0).sum(-1) == 2
    noise = torch.where(in_two_minds, noise_BN[:, :1], noise_BN)
    reached = weight.cumsum(-1)
    chosen = (reached <= noise[..., None] * reached[..., -1:]).sum(-1, keepdim=True)
    return codes.gather(-1, chosen.clamp_max(codes.shape[-1] - 1))[..., 0]


def next_frame(
    model: Dynamics, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor, noise_BN: Tensor
) -> tuple[Tensor, State]:
    """One dreamed frame: tokens (B, N) of the next frame and the new state.

    Every cell is drawn by itself. With `DynamicsConfig.settle`, a hero who is there gets a cell to begin with, and in
    the end cells give way where codes would stand side by side that never did.
    """
    config = model.config
    logits, after = model.step(state, tokens_BN, action_B, prompt_BD)
    moves_B1 = moves_as_a_whole(tokens_BN, logits.argmax(-1))[:, None]
    if not config.settle:
        return sample(logits, noise_BN, least_shares(config, moves_B1)), after
    hero_BN, mobile_BN = model.presence.shares(logits)
    logits = model.presence.insist(logits, hero_BN)
    drawn_BN = sample(logits, noise_BN, least_shares(config, moves_B1 | model.presence.quiet(mobile_BN)))
    return model.neighbours.settle(logits, drawn_BN, config.grid), after
