"""Attention over space within a frame, a selective state space over time: fixed-size state, one pass a frame.

Tokens are grouped in patches (2x2 by default); P is the number of patches, C the width.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.dynamics.base import DynamicsConfig, Features, State, Window
from worldlet.dynamics.conditioning import Conditioning, Modulation
from worldlet.dynamics.neighbours import Neighbours
from worldlet.dynamics.presence import Presence
from worldlet.nn.attention import SpatialAttention
from worldlet.nn.ssm import SelectiveSSM

_SCAN_CHUNK = 32  # frames that one masked matrix product spans


class Block(nn.Module):
    """State space over time, attention over space, feed-forward; the condition modulates the first and the last."""

    def __init__(self, config: DynamicsConfig, positions: tuple[int, int]):
        super().__init__()
        width = config.width
        self.raster = config.wiring == "raster"
        self.into_time, self.into_mlp = (Modulation(width, config.conditioning) for _ in range(2))
        self.time = SelectiveSSM(width, config.ssm_heads, config.state_size)
        self.space_norm = nn.RMSNorm(width, eps=1e-5)
        self.space = SpatialAttention(width, config.heads, positions)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(config.mlp_ratio * width, width),
        )
        with torch.no_grad():
            cast(nn.Linear, self.mlp[2]).weight.mul_(0.5)

    def forward(
        self, x_BTPC: Tensor, condition_BTC: Tensor, size: tuple[int, int] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The whole clip from a zero state; returns the state after it as `init_state` lays it out."""
        b, t, p, _ = x_BTPC.shape
        u = self.into_time(x_BTPC, condition_BTC)
        if self.raster:
            y, state = self.time(u.flatten(1, 2), chunk=p)
            x_BTPC = x_BTPC + y.unflatten(1, (t, p))
        else:
            y, (tap, memory) = self.time(u.transpose(1, 2).flatten(0, 1), chunk=_SCAN_CHUNK)
            state = tap.unflatten(0, (b, p)), memory.unflatten(0, (b, p))
            x_BTPC = x_BTPC + y.unflatten(0, (b, p)).transpose(1, 2)
        return self._within_frames(x_BTPC, condition_BTC, size), state

    def step(
        self, x_BPC: Tensor, condition_BC: Tensor, state: tuple[Tensor, Tensor], size: tuple[int, int] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One frame."""
        b, p, _ = x_BPC.shape
        condition_BTC = condition_BC[:, None]
        u = self.into_time(x_BPC[:, None], condition_BTC)[:, 0]
        if self.raster:
            y, after = self.time(u, state, chunk=p)
        else:
            y, (tap, memory) = self.time.step(u.flatten(0, 1), (state[0].flatten(0, 1), state[1].flatten(0, 1)))
            y, after = y.unflatten(0, (b, p)), (tap.unflatten(0, (b, p)), memory.unflatten(0, (b, p)))
        return self._within_frames((x_BPC + y)[:, None], condition_BTC, size)[:, 0], after

    def _within_frames(self, x: Tensor, condition_BTC: Tensor, size: tuple[int, int] | None) -> Tensor:
        b, t = x.shape[:2]
        x = x + self.space(self.space_norm(x).flatten(0, 1), size).unflatten(0, (b, t))
        return x + self.mlp(self.into_mlp(x, condition_BTC))


class Mamba(nn.Module):
    """The default dynamics; the contract is in `base`."""

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        self.config = config
        (h, w), (ph, pw) = config.grid, config.patch
        self.positions = (h // ph, w // pw)
        self.embedding = nn.Embedding(config.codebook_size, config.token_width)
        self.inputs = nn.Linear(ph * pw * config.token_width, config.width)
        self.place = nn.Parameter(torch.randn(self.positions[0] * self.positions[1], config.width) * 0.02)
        self.condition = Conditioning(config.actions, config.prompt_width, config.width)
        self.blocks = nn.ModuleList(Block(config, self.positions) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.width, eps=1e-5)
        self.outputs = nn.Linear(config.width, ph * pw * config.feature_width)
        self.logits = nn.Linear(config.feature_width, config.codebook_size)
        self.copy = nn.Linear(config.feature_width, (2 * config.copy_reach + 1) ** 2)
        self.neighbours = Neighbours(config.codebook_size)
        self.presence = Presence(config.codebook_size)
        nn.init.zeros_(self.copy.weight)
        nn.init.zeros_(self.copy.bias)

    def forward(self, tokens_BTN: Tensor, actions_BT: Tensor, prompt_BD: Tensor) -> Tensor:
        """Logits (B, T, N, V)."""
        return self.head(self.features(tokens_BTN, actions_BT, prompt_BD)[0])

    def features(
        self, tokens_BTN: Tensor, actions_BT: Tensor, prompt_BD: Tensor, window: Window | None = None
    ) -> tuple[Features, State]:
        """Features of (B, T, N) cells, and the state after the last frame."""
        condition = self.condition(actions_BT, prompt_BD)
        x = self._embed(tokens_BTN, condition, window)
        size = window and window.size
        state: State = {}
        for i, block in enumerate(self.blocks):
            x, (state[f"tap_{i}"], state[f"memory_{i}"]) = block(x, condition, size)
        return Features(self._ungroup(self.outputs(self.norm(x)), size), self._nearby(tokens_BTN, size)), state

    def head(self, features: Features) -> Tensor:
        """Logits of features: a matrix, plus for each nearby token how much it asks to be copied (arXiv:1506.03134)."""
        logits: Tensor = self.logits(features.values).float()
        asked = self.copy(features.values).float() * (features.nearby >= 0)
        return logits.scatter_add(-1, features.nearby.clamp_min(0), asked)

    @torch.no_grad()
    def init_codes(self, codes_VC: Tensor) -> None:
        """Embeddings and last matrix from the principal components of the codebook, the strong ones damped.

        Where there are too few components, the rest stays random.
        """
        centred = (codes_VC - codes_VC.mean(0)).float()
        left, strength, _ = torch.linalg.svd(centred, full_matrices=False)
        parts = left * strength**0.5
        parts = parts / parts.pow(2).mean(0).sum().sqrt()
        for weight, scale in ((self.embedding.weight, 1.0), (self.logits.weight, 0.3)):
            count = min(weight.shape[1], parts.shape[1])
            weight[:, :count] = parts[:, :count] * scale * weight.shape[1] ** 0.5

    def init_state(self, batch: int) -> State:
        """Zeros: for every block `tap_i` (B, P, C) and `memory_i` (B, P, H, C/H, S), without P in the raster wiring."""
        state: State = {}
        p = self.positions[0] * self.positions[1]
        for i, block in enumerate(self.blocks):
            each = batch if self.config.wiring == "raster" else batch * p
            tap, memory = cast(Block, block).time.init_state(each)
            if self.config.wiring == "position":
                tap, memory = tap.unflatten(0, (batch, p)), memory.unflatten(0, (batch, p))
            state[f"tap_{i}"], state[f"memory_{i}"] = tap, memory
        return state

    def step(self, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor) -> tuple[Tensor, State]:
        """Logits (B, N, V) of the next frame."""
        features, after = self.step_features(state, tokens_BN, action_B, prompt_BD)
        return self.head(features), after

    def step_features(
        self, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor, window: Window | None = None
    ) -> tuple[Features, State]:
        """Features of the (B, N) cells of the next frame."""
        condition = self.condition(action_B[:, None], prompt_BD)
        x = self._embed(tokens_BN[:, None], condition, window)[:, 0]
        size = window and window.size
        after: State = {}
        for i, block in enumerate(self.blocks):
            before = state[f"tap_{i}"], state[f"memory_{i}"]
            x, (after[f"tap_{i}"], after[f"memory_{i}"]) = cast(Block, block).step(x, condition[:, 0], before, size)
        values = self._ungroup(self.outputs(self.norm(x))[:, None], size)
        return Features(values, self._nearby(tokens_BN[:, None], size)).at((slice(None), 0)), after

    def _embed(self, tokens_BTN: Tensor, condition_BTC: Tensor, window: Window | None) -> Tensor:
        (h, w), (ph, pw) = window.size if window else self.positions, self.config.patch
        b, t, _ = tokens_BTN.shape
        x = self.embedding(tokens_BTN).reshape(b, t, h, ph, w, pw, -1).transpose(4, 3).reshape(b, t, h * w, -1)
        x = self.inputs(x) + (self.place if window is None else self._places(window)[:, None])
        return x + condition_BTC[:, :, None] if self.config.conditioning == "add" else x

    def _nearby(self, tokens_BTN: Tensor, size: tuple[int, int] | None) -> Tensor:
        """The tokens at every displacement within reach: (B, T, N, K), -1 beyond the edge of what is seen."""
        (h, w), (ph, pw), reach = size or self.positions, self.config.patch, self.config.copy_reach
        side = 2 * reach + 1
        grid = F.pad(tokens_BTN.unflatten(2, (h * ph, w * pw)), (reach,) * 4, value=-1)
        return grid.unfold(2, side, 1).unfold(3, side, 1).flatten(4).flatten(2, 3)

    def _places(self, window: Window) -> Tensor:
        """The place vectors (B, P, C) under each clip's window."""
        rows, columns = (
            window.corner_B2[:, axis, None] + torch.arange(window.size[axis], device=self.place.device)
            for axis in (0, 1)
        )
        return self.place[(rows[:, :, None] * self.positions[1] + columns[:, None]).flatten(1)]

    def _ungroup(self, x_BTPF: Tensor, size: tuple[int, int] | None) -> Tensor:
        (h, w), (ph, pw) = size or self.positions, self.config.patch
        b, t = x_BTPF.shape[:2]
        return x_BTPF.reshape(b, t, h, w, ph, pw, -1).transpose(3, 4).reshape(b, t, h * ph * w * pw, -1)
