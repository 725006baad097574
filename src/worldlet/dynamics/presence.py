"""Which codes move about, and how a frame keeps a hero of whom the network knows that he is there and not where.

A hero has a thousand codes, the ground behind him one. A network in doubt about his place spreads him over codes and
cells until the ground is the likeliest code in each, and a draw of every cell by itself shows no hero at all.

Letters: B batch, F frames, N cells, V codes.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldlet.nn.buffers import OptionalBuffers

SURE = 0.5
"""What the codes of a hero must have together, in the cell that has most of it, for that cell to hold one of them."""
QUIET = 0.05
"""What the codes of all that moves may have together in a cell that nothing enters or leaves."""
RULED_OUT = -1e4  # a logit


class Presence(OptionalBuffers):
    """The codes that are pieces of the hero, and those of all that moves; none at first, and then nothing is changed.

    `hero` and `mobile` are uint8 (V,), 1 for such a code: buffers, stored with the weights; a state without them leaves
    them as they are.
    """

    hero: Tensor
    mobile: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        for name in ("hero", "mobile"):
            self.register_buffer(name, torch.zeros(codes, dtype=torch.uint8))

    def learn(
        self,
        tokens_FN: NDArray[np.integer[Any]],
        hero_FN: NDArray[np.bool_],
        moving_FN: NDArray[np.bool_],
        chunk: int = 8192,
    ) -> None:
        """Take the codes of which more than half lie where the hero is, or he or something else that moves.

        Where no hero is told of there are none of either kind. What was known before is forgotten.
        """
        codes = len(self.hero)
        everywhere_V, his_V, mobile_V = (np.zeros(codes, np.int64) for _ in range(3))
        for first in range(0, len(tokens_FN), chunk):
            rows = slice(first, first + chunk)
            everywhere_V += np.bincount(tokens_FN[rows].ravel(), minlength=codes)
            his_V += np.bincount(tokens_FN[rows][hero_FN[rows]], minlength=codes)
            mobile_V += np.bincount(tokens_FN[rows][hero_FN[rows] | moving_FN[rows]], minlength=codes)
        for kinds, count_V in ((self.hero, his_V), (self.mobile, mobile_V * bool(his_V.any()))):
            kinds.copy_(torch.from_numpy((2 * count_V > everywhere_V).astype(np.uint8)))

    def shares(self, logits_BNV: Tensor) -> tuple[Tensor, Tensor]:
        """What the hero's codes have together in each cell, and those of all that moves: float32 (B, N) in [0, 1]."""
        kinds_V2 = torch.stack([self.hero, self.mobile], -1)
        likely_BNV = logits_BNV.float().softmax(-1)
        shares_BN2 = likely_BNV @ kinds_V2.to(likely_BNV.dtype)
        return shares_BN2[..., 0], shares_BN2[..., 1]

    def insist(self, logits_BNV: Tensor, hero_BN: Tensor) -> Tensor:
        """Logits (B, N, V) under which a hero who is likelier there than not has a piece in his likeliest cell.

        `hero_BN` are his shares. That cell loses all other codes; all other cells, and frames without him, stay as they
        are.
        """
        most_B1, cell_B1 = hero_BN.max(-1, keepdim=True)
        cells_N = torch.arange(hero_BN.shape[1], device=hero_BN.device)
        held_BN = (cells_N == cell_B1) & (most_B1 >= SURE)
        return torch.where(held_BN[..., None] & ~self.hero.bool(), RULED_OUT, logits_BNV)

    def quiet(self, mobile_BN: Tensor) -> Tensor:
        """Cells that nothing enters or leaves, bool (B, N), by the shares of all that moves; none if none is known."""
        return (mobile_BN < QUIET) & self.mobile.bool().any()
