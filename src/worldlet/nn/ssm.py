"""A selective state space layer with one decay a head (the scalar form of Mamba-2, arXiv:2405.21060).

Letters: B batch, L sequence, H heads, P channels of a head, S state size, C channels = H * P.
For every head:  h_t = a_t h_(t-1) + dt_t x_t b_t^T,  y_t = h_t c_t + d x_t,  with a_t = exp(-dt_t exp(log_rate)).
a_t lies in (0, 1), and large steps forget fast: the state is bounded by what goes in, however long the sequence.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def scan(
    x_BLHP: Tensor, log_a_BLH: Tensor, b_BLS: Tensor, c_BLS: Tensor, h_BHPS: Tensor | None, chunk: int
) -> tuple[Tensor, Tensor]:
    """Run the recurrence over a sequence in chunks, each as one masked matrix product; float32 throughout.

    `x` is already scaled by dt, `h` is the state before (zero where None). Returns y (B, L, H, P) without the skip
    term, and the state after the last element (B, H, P, S). Equal to `advance` repeated.
    """
    length = x_BLHP.shape[1]
    state = x_BLHP.new_zeros(x_BLHP.shape[0], *x_BLHP.shape[2:], b_BLS.shape[-1]) if h_BHPS is None else h_BHPS
    parts = []
    for start in range(0, length, chunk):
        part = slice(start, min(start + chunk, length))
        y, state = _scan_chunk(
            x_BLHP[:, part],
            log_a_BLH[:, part],
            b_BLS[:, part],
            c_BLS[:, part],
            state,
            fresh=start == 0 and h_BHPS is None,
        )
        parts.append(y)
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 1)), state


def _scan_chunk(x: Tensor, log_a: Tensor, b: Tensor, c: Tensor, state: Tensor, fresh: bool) -> tuple[Tensor, Tensor]:
    length = x.shape[1]
    total = log_a.cumsum(1).transpose(1, 2)  # (B, H, L): log of the decay from the chunk's start through each element
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
    decay = (total[..., :, None] - total[..., None, :]).masked_fill(~later, -torch.inf).exp()  # (B, H, L, L)
    mix = decay * (c @ b.transpose(1, 2))[:, None]
    y = (mix @ x.transpose(1, 2)).transpose(1, 2)  # (B, L, H, P)
    if not fresh:
        y = y + torch.einsum("bhps,bls,bhl->blhp", state, c, total.exp())
    to_end = (total[..., -1:] - total).exp()  # (B, H, L)
    new = torch.einsum("blhp,bls,bhl->bhps", x, b, to_end)
    return y, new if fresh else new + state * total[..., -1:, None].exp()


def advance(x_BHP: Tensor, log_a_BH: Tensor, b_BS: Tensor, c_BS: Tensor, h_BHPS: Tensor) -> tuple[Tensor, Tensor]:
    """One element of the recurrence: returns y (B, H, P) without the skip term, and the new state."""
    h = h_BHPS * log_a_BH.exp()[..., None, None] + x_BHP[..., None] * b_BS[:, None, None, :]
    return (h * c_BS[:, None, None, :]).sum(-1), h


class SelectiveSSM(nn.Module):
    """Input projection, two-tap causal convolution, the recurrence, a gate, output projection: (B, L, D) -> (B, L, D).

    State of one sequence: `tap` (C,), the element before, and `memory` (H, P, S). ValueError if `heads` does not divide
    `width`.
    """

    def __init__(self, width: int, heads: int, state_size: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"ssm_heads is {heads}: it must divide the width {width}")
        self.width, self.heads, self.state_size = width, heads, state_size
        self.inputs = nn.Linear(width, 2 * width + 2 * state_size + heads)
        self.taps = nn.Parameter(torch.stack([torch.ones(width), torch.zeros(width)]))
        self.log_rate = nn.Parameter(torch.linspace(math.log(0.25), math.log(4.0), heads))
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.outputs = nn.Linear(width, width)
        with torch.no_grad():
            self.outputs.weight.mul_(0.5)
            self.inputs.bias[-heads:] = -1.0

    def init_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Zeros: tap (B, C) and memory (B, H, P, S)."""
        like = self.taps
        return like.new_zeros(batch, self.width), like.new_zeros(
            batch, self.heads, self.width // self.heads, self.state_size
        )

    def forward(
        self, u_BLD: Tensor, state: tuple[Tensor, Tensor] | None = None, chunk: int = 64
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The whole sequence at once; returns the output and the state after it."""
        x, gate, b, c, log_a, dt = self._project(u_BLD)
        before = torch.zeros_like(x[:, :1]) if state is None else state[0][:, None].to(x.dtype)
        tap = x[:, -1]
        x = F.silu(self.taps[0] * x + self.taps[1] * torch.cat([before, x[:, :-1]], 1))
        heads = x.unflatten(-1, (self.heads, -1))
        with torch.autocast(u_BLD.device.type, enabled=False):
            y, memory = scan(heads.float() * dt[..., None], log_a, b, c, None if state is None else state[1], chunk)
        return self._finish(y + self.skip[:, None] * heads, gate), (tap, memory)

    def step(self, u_BD: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One element; equal to `forward` on a sequence of one."""
        x, gate, b, c, log_a, dt = self._project(u_BD)
        tap = x
        x = F.silu(self.taps[0] * x + self.taps[1] * state[0].to(x.dtype))
        heads = x.unflatten(-1, (self.heads, -1))
        y, memory = advance(heads.float() * dt[..., None], log_a, b, c, state[1])
        return self._finish(y + self.skip[:, None] * heads, gate), (tap, memory)

    def _project(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        c, s, h = self.width, self.state_size, self.heads
        x, gate, b, key, dt = self.inputs(u).split([c, c, s, s, h], -1)
        dt = F.softplus(dt.float())
        return x, gate, b.float(), key.float(), -dt * self.log_rate.exp(), dt

    def _finish(self, y: Tensor, gate: Tensor) -> Tensor:
        y = F.rms_norm(y.flatten(-2).to(gate.dtype), (self.width,), self.norm.weight.to(gate.dtype), 1e-5)
        return self.outputs(y * F.silu(gate))
