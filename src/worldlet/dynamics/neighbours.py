"""Which codes have ever stood side by side, and how tokens that were drawn apart are made to fit.

One pass predicts every cell by itself: where the future is open, half a hero may land beside half of another. Real
frames hold few of all pairs of codes (a platformer 14,000 of four million), so a frame is taken as a Markov
random field: what the network thinks of each cell, and a price for every pair of neighbours never seen in training.
Max-product belief propagation (Pearl 1988) finds a frame that costs little.

Letters: B batch, N cells, h w the grid, V codes, K candidates of a cell.
"""

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldlet.nn.buffers import OptionalBuffers

CANDIDATES = 6
"""Codes that a cell may turn to: the likeliest, and the one that was drawn."""
UNSEEN = 4.0
"""Price in nats of two neighbours never seen: to avoid it, a cell takes a code down to 1/55 as likely."""
REDRAWN = 0.5
"""Price in nats of another code than the one drawn, however likely."""
ROUNDS = 5
"""How far, in cells, what one cell holds can matter to another."""


class Neighbours(OptionalBuffers):
    """Pairs of codes seen side by side; at first all of them, and then nothing is ever changed.

    `right` and `below` are bits, uint8 (V, ceil(V / 8)): bit b of row a is set where code b was seen to the right of
    code a, or below it. They are buffers, stored with the weights; a state without them leaves them as they are.
    """

    right: Tensor
    below: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        for name in ("right", "below"):
            self.register_buffer(name, torch.full((codes, -(-codes // 8)), 255, dtype=torch.uint8))
        bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
        self.bits: Tensor
        self.register_buffer("bits", torch.from_numpy(bits.astype(np.bool_)).flatten(), persistent=False)

    def learn(self, tokens_FN: NDArray[np.integer[Any]], grid: tuple[int, int], chunk: int = 8192) -> None:
        """Take the pairs that frames (F, N) on a `grid` (h, w) hold, and forget those known before."""
        codes = len(self.right)
        for name, pairs in (("right", _beside), ("below", _above)):
            seen = np.zeros(codes * codes, np.bool_)
            for first in range(0, len(tokens_FN), chunk):
                frames_Fhw = tokens_FN[first : first + chunk].reshape(-1, *grid).astype(np.int64)
                one, other = pairs(frames_Fhw)
                seen[(one * codes + other).ravel()] = True
            packed = np.packbits(seen.reshape(codes, codes), axis=1, bitorder="little")
            cast(Tensor, getattr(self, name)).copy_(torch.from_numpy(packed))

    def settle(self, logits_BNV: Tensor, drawn_BN: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N) near those `drawn` of which as few as possible stand beside one they never stood beside.

        A cell may turn to a likely code at the price of what it is less likely than the one drawn, and `REDRAWN`.
        """
        drawn_BN1 = drawn_BN[..., None]
        logits_BNV = logits_BNV.float()
        top, codes = logits_BNV.topk(min(CANDIDATES - 1, logits_BNV.shape[-1]), -1)
        codes = torch.cat([drawn_BN1, codes], -1).unflatten(1, grid)
        behind = (top - logits_BNV.gather(-1, drawn_BN1)).clamp(-2 * UNSEEN, 0.0) - REDRAWN
        liking = torch.cat([torch.zeros_like(behind[..., :1]), behind], -1).unflatten(1, grid)
        across = self._prices(self.right, codes[:, :, :-1], codes[:, :, 1:])
        down = self._prices(self.below, codes[:, :-1], codes[:, 1:])
        # What each cell hears from the left, the right, above and below about its own candidates.
        left = right = above = under = torch.zeros_like(liking)
        no_column, no_row = torch.zeros_like(liking[:, :, :1]), torch.zeros_like(liking[:, :1])
        for _ in range(ROUNDS):
            believed = liking + left + right + above + under
            from_left = _best((believed - right)[:, :, :-1, :, None] + across, -2)
            from_right = _best((believed - left)[:, :, 1:, None, :] + across, -1)
            from_above = _best((believed - under)[:, :-1, :, :, None] + down, -2)
            from_under = _best((believed - above)[:, 1:, :, None, :] + down, -1)
            left, right = torch.cat([no_column, from_left], 2), torch.cat([from_right, no_column], 2)
            above, under = torch.cat([no_row, from_above], 1), torch.cat([from_under, no_row], 1)
        chosen = (liking + left + right + above + under).argmax(-1, keepdim=True)
        return codes.gather(-1, chosen)[..., 0].flatten(1)

    def _prices(self, table: Tensor, one: Tensor, other: Tensor) -> Tensor:
        """0 or -UNSEEN for every pair of candidates (..., K) and (..., K) of two neighbours: (..., K, K)."""
        byte = table.flatten()[(one * table.shape[1])[..., :, None] + (other // 8)[..., None, :]].long()
        seen = self.bits[byte * 8 + (other % 8)[..., None, :]]
        return torch.where(seen, 0.0, -UNSEEN)


def _beside(frames_Fhw: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return frames_Fhw[:, :, :-1], frames_Fhw[:, :, 1:]


def _above(frames_Fhw: NDArray[np.int64]) -> Iterable[NDArray[np.int64]]:
    return frames_Fhw[:, :-1], frames_Fhw[:, 1:]


def _best(offers: Tensor, dim: int) -> Tensor:
    """The best offer for each candidate, relative to the best of all: messages that do not grow."""
    message = offers.amax(dim)
    return message - message.amax(-1, keepdim=True)
