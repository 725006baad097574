"""Which clips are drawn oftener than their share of the recording: rare actions, and frames that reveal new ground.

Players run to the right and the camera mostly stands still, so a table drawn evenly teaches little else. What a clip
holds decides how often it is drawn, never what comes of it: probabilities given the past stay as they are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldlet.data.clips import TokenTable
from worldlet.dynamics.loss import BUSY

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
    moves_F = np.zeros(len(table))  # 1 at the frames that the picture has moved to
    for first in range(1, len(table), _ROWS):
        now = table.tokens_FN[first : first + _ROWS]
        before = table.tokens_FN[first - 1 : first - 1 + len(now)]
        moves_F[first : first + _ROWS] = (now != before).mean(1) > BUSY
    moves_F[table.starts] = 0
    weights_F = _ahead(moves_F, lead + 1, length - lead)
    table = dataclasses.replace(table, weights_F=weights_F)
    return table if table.has_room(length) else None


def _ahead(values_F: NDArray[np.float64], first: int, count: int) -> NDArray[np.float64]:
    """Sums of `count` values from `first` rows ahead; rows past the end count as nothing."""
    total = np.concatenate([[0.0], np.cumsum(values_F)])
    rows = np.arange(len(values_F))
    ends = np.minimum(rows + first + count, len(values_F))
    sums: NDArray[np.float64] = total[ends] - total[np.minimum(rows + first, len(values_F))]
    return np.maximum(sums, 0.0)
