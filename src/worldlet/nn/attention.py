"""Attention over the positions of one frame, with a learned bias for every relative displacement."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpatialAttention(nn.Module):
    """Every position of an h x w grid looks at every other: (B, h*w, D) -> the same shape.

    The bias makes "copy from the right" one number to learn. ValueError if `heads` does not divide `width`.
    """

    def __init__(self, width: int, heads: int, grid: tuple[int, int]):
        super().__init__()
        if width % heads:
            raise ValueError(f"heads is {heads}: it must divide the width {width}")
        self.heads, self.grid = heads, grid
        self.qkv = nn.Linear(width, 3 * width)
        self.outputs = nn.Linear(width, width)
        h, w = grid
        rows, columns = (axis.flatten() for axis in torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))
        displacement = (rows[:, None] - rows + h - 1) * (2 * w - 1) + (columns[:, None] - columns + w - 1)
        self.displacement: Tensor  # (h*w, h*w): which bias belongs to a pair of positions
        self.register_buffer("displacement", displacement, persistent=False)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * h - 1) * (2 * w - 1)))
        with torch.no_grad():
            self.outputs.weight.mul_(0.5)

    def forward(self, x_BND: Tensor, window: tuple[int, int] | None = None) -> Tensor:
        """Scaled dot-product attention plus the displacement bias: (B, P, D) -> the same shape.

        P is all of the grid, or the positions of a `window` (rows, columns) anywhere in it.
        """
        q, k, v = self.qkv(x_BND).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias[:, self._pairs(window)].to(q.dtype)[None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        mixed: Tensor = self.outputs(y.transpose(1, 2).flatten(2))
        return mixed

    def _pairs(self, window: tuple[int, int] | None) -> Tensor:
        """Which bias belongs to each pair of positions: displacements are the same wherever a window lies."""
        if window is None:
            return self.displacement
        (rows, columns), (h, w) = window, self.grid
        return self.displacement.view(h, w, h, w)[:rows, :columns, :rows, :columns].reshape(rows * columns, -1)
