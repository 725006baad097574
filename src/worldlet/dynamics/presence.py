"""Which codes are pieces of the hero, and how a frame keeps him that says he is there and not where.

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
RULED_OUT = -1e4  # a logit


class Presence(OptionalBuffers):
    """The codes that are pieces of the hero; none at first, and then nothing is ever changed.

    `hero` is uint8 (V,), 1 for such a code: a buffer, stored with the weights; a state without it leaves it as it is.
    """

    hero: Tensor

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.register_buffer("hero", torch.zeros(codes, dtype=torch.uint8))

    def learn(self, tokens_FN: NDArray[np.integer[Any]], hero_FN: NDArray[np.bool_], chunk: int = 8192) -> None:
        """Take the codes of which more than half lie where the hero is (`hero_FN`), and forget those known before."""
        codes = len(self.hero)
        everywhere_V, his_V = np.zeros(codes, np.int64), np.zeros(codes, np.int64)
        for first in range(0, len(tokens_FN), chunk):
            part, his = tokens_FN[first : first + chunk], hero_FN[first : first + chunk]
            everywhere_V += np.bincount(part.ravel(), minlength=codes)
            his_V += np.bincount(part[his], minlength=codes)
        self.hero.copy_(torch.from_numpy((2 * his_V > everywhere_V).astype(np.uint8)))

    def insist(self, logits_BNV: Tensor) -> Tensor:
        """Logits (B, N, V) under which a hero who is likelier there than not has a piece in his likeliest cell.

        That cell loses all other codes; all other cells, and frames that hold no hero, stay as they are.
        """
        his_V = self.hero.bool()
        likely_BNV = logits_BNV.float().softmax(-1)
        share_BN = (likely_BNV @ self.hero.to(likely_BNV.dtype)[:, None])[..., 0]
        most_B1, cell_B1 = share_BN.max(-1, keepdim=True)
        cells_N = torch.arange(logits_BNV.shape[1], device=logits_BNV.device)
        held_BN = (cells_N == cell_B1) & (most_B1 >= SURE)
        return torch.where(held_BN[..., None] & ~his_V, RULED_OUT, logits_BNV)
