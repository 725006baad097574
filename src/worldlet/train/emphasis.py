"""Which clips are drawn oftener than their share of the recording: rare actions, and frames that reveal new ground.

Players run to the right and the camera mostly stands still, so a table drawn evenly teaches little else. What a clip
holds decides how often it is drawn, never what comes of it: probabilities given the past stay as they are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from worldlet.data.clips import TokenTable
from worldlet.dynamics.sampling import BUSY, around

LEAP = 1.5
"""Cells that the middle of a hero who walks or falls never moves in one frame."""
_ROWS = 65_536  # frames compared at a time: a table may take most of the memory


def balance_actions(table: TokenTable, length: int, power: float) -> TokenTable:
    """Return the table with clips of `length` actions weighted by how rare their actions are.

    A clip weighs the mean of `frequency ** -power` over its actions, times the weight it has; with power 0 nothing
    changes, with 1 all actions come equally often where clips hold one action each.
    """
    does_F = table.actions_F >= 0
    counts_A = np.bincount(table.actions_F[does_F])
    rarity_A = (np.maximum(counts_A, 1) / counts_A.sum()) ** -power
    rarity_F = np.where(does_F, rarity_A[table.actions_F], 0.0)
    mean_F = _ahead(rarity_F, 0, length) / length
    before_F = np.ones(len(table)) if table.weights_F is None else table.weights_F
    return dataclasses.replace(table, weights_F=before_F * mean_F)


def reveals(table: TokenTable, length: int, lead: int = 2) -> TokenTable | None:
    """Return the table with only those clips that see the picture move as a whole, more of it oftener.

    The first `lead` frames of a clip of `length` actions do not count: they show where things were going. None where
    the picture never moves as a whole.
    """
    weights_F = _ahead(_moves(table).astype(np.float64), lead + 1, length - lead)
    table = dataclasses.replace(table, weights_F=weights_F)
    return table if table.has_room(length) else None


def encounters(table: TokenTable, length: int, grid: tuple[int, int]) -> TokenTable | None:
    """Return the table with only those clips of `length` actions in which the hero meets something, or leaps.

    He meets what else moves where their cells touch on the `grid` (h, w); he leaps where his middle moves by more than
    `LEAP` cells from one frame to the next (he respawns, say) or he comes or goes, while the picture stands still.
    Clips that hold more such frames come oftener. None where there is no such frame, as in games that tell of no hero.
    """
    meets_F, middle_F2 = np.zeros(len(table), np.bool_), np.zeros((len(table), 2))
    places_N2 = np.stack([axis.ravel() for axis in np.indices(grid)], 1).astype(np.float32)
    held_F = table.hero_FN.sum(1)
    for first in range(0, len(table), _ROWS):
        rows = slice(first, first + _ROWS)
        hero_FN = table.hero_FN[rows]
        beside_FN = around(torch.from_numpy(hero_FN), grid).numpy()
        meets_F[rows] = (beside_FN & table.moving_FN[rows] & ~hero_FN).any(1)
        middle_F2[rows] = hero_FN.astype(np.float32) @ places_N2 / np.maximum(held_F[rows, None], 1)
    leaps_F = np.zeros(len(table), np.bool_)
    leaps_F[1:] = (np.abs(np.diff(middle_F2, axis=0)) > LEAP).any(1) | (np.diff(held_F > 0) != 0)
    leaps_F[table.starts] = False
    weights_F = _ahead((meets_F | (leaps_F & ~_moves(table))).astype(np.float64), 1, length)
    table = dataclasses.replace(table, weights_F=weights_F)
    return table if table.has_room(length) else None


def _moves(table: TokenTable) -> NDArray[np.bool_]:
    """Whether the picture moved as a whole on the way to each frame: bool (F,), false where an episode begins."""
    moves_F = np.zeros(len(table), np.bool_)
    for first in range(1, len(table), _ROWS):
        now = table.tokens_FN[first : first + _ROWS]
        before = table.tokens_FN[first - 1 : first - 1 + len(now)]
        moves_F[first : first + _ROWS] = (now != before).mean(1) > BUSY
    moves_F[table.starts] = False
    return moves_F


def _ahead(values_F: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
    """Sums of `count` values from `first` rows ahead; rows past the end count as nothing."""
    total = np.concatenate([[0.0], np.cumsum(values_F)])
    rows = np.arange(len(values_F))
    ends = np.minimum(rows + first + count, len(values_F))
    sums: NDArray[np.float64] = total[ends] - total[np.minimum(rows + first, len(values_F))]
    return np.maximum(sums, 0.0)
