"""Cross-entropy on the cells that matter, and the weights that say which do.

Weights follow from what is known before the frame (where moving things are, whether the picture scrolls), hardly from
what the frame turns out to be: so they sharpen the model where it is looked at without bending its probabilities.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from worldlet.dynamics.base import Dynamics, Features
from worldlet.dynamics.sampling import around, edge_cells, moves_as_a_whole


@dataclass(frozen=True)
class CellWeights:
    """Weights of token cells in the loss."""

    hero: float = 12.0
    """Extra weight of cells that the hero holds now or next."""
    moving: float = 8.0
    """Extra weight of cells that something else that moves holds now or next."""
    beside: float = 6.0
    """Extra weight of the cells next to the hero's that nothing holds: whether he takes what lies there, or only comes
    near, is a matter of pixels."""
    scroll: float = 2.0
    """Extra weight of all cells of a frame in which the picture moves as a whole."""
    edge: float = 6.0
    """Extra weight of the outermost cells of such a frame, `edge_cells` deep: there new things come into view."""
    edge_cells: int = 2
    """How deep the edge is."""
    still_share: float = 0.125
    """Share of the cells of weight 1 that are looked at, of weight 2 twice as many, and so on; they count for all."""


def cell_weights(
    tokens_BTN: Tensor, hero_BTN: Tensor, moving_BTN: Tensor, config: CellWeights, grid: tuple[int, int]
) -> Tensor:
    """Weights (B, T, N) for predicting frames 1..T of T + 1 frames on a `grid` (h, w)."""
    hero = hero_BTN[:, 1:] | hero_BTN[:, :-1]
    moving = (moving_BTN[:, 1:] | moving_BTN[:, :-1]) & ~hero
    beside = around(hero.flatten(0, 1), grid).view_as(hero) & ~hero & ~moving
    scrolls = moves_as_a_whole(tokens_BTN[:, :-1], tokens_BTN[:, 1:])[..., None]
    edge_N = edge_cells(grid, config.edge_cells, tokens_BTN.device)
    still = 1 + config.beside * beside + scrolls * (config.scroll + config.edge * edge_N)
    return still + config.hero * hero + config.moving * moving


def weighted_loss(model: Dynamics, features: Features, targets: Tensor, weights: Tensor, still_share: float) -> Tensor:
    """Mean weighted cross-entropy of `features` of cells (...) against `targets` (...) under `weights` (...), a scalar.

    A cell is looked at with a probability of `still_share` times its weight, at most 1, and counted up by as much: that
    saves most of the last matrix and leaves the expectation as it is.
    """
    chance = (weights * still_share).clamp_max(1.0)
    looked_at = torch.rand_like(weights) < chance
    scale = (weights / chance)[looked_at]
    losses = F.cross_entropy(model.head(features.at(looked_at)).float(), targets[looked_at], reduction="none")
    return (losses * scale).sum() / weights.sum()
