"""Latent actions: a few codes for what happens between two frames, learned from video that nobody labelled.

An inverse network sees the frames before and after and says one of ``codes`` codes; a forward network must then make
the next frame from the past frames and that code alone. Whatever the past does not tell has to pass through
the code, and a code is so small that it can only hold what is common to many frames: what the player does.

Letters: B batch, T time, P past frames, H W pixels, C colours, K codes, S places a pixel may come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.config import from_dict, to_dict
from worldlet.dynamics.inverse import InverseConfig, InverseDynamics, resize, window_rows
from worldlet.dynamics.stored import read_network, save_network
from worldlet.nn.blocks import ResBlock
from worldlet.records import check_frames

NAME = "latent"
JSON_NAME = f"{NAME}.json"
PATCH = 4
"""Side in pixels of what the forward network takes as one place."""
_BATCH = 64


@dataclass(frozen=True)
class LatentConfig:
    """Sizes of the model. ValueError for values out of range."""

    frame_size: tuple[int, int] = (64, 64)
    """Height and width at which it looks, multiples of 4; other frames are resized to it."""
    codes: int = 8
    """Number of codes K, a power of 2."""
    reach: int = 3
    """Pixels, at that size, that a thing may move in one frame."""
    width: int = 48
    """Channels of the forward network."""
    blocks: int = 2
    """Its blocks."""
    inverse_width: int = 24
    """Channels of the inverse network's first layer."""

    def __post_init__(self) -> None:
        if self.codes < 2 or self.codes & (self.codes - 1):
            raise ValueError(f"codes is {self.codes}: it must be a power of 2, such as 8")
        if min(self.frame_size) < 8 or self.frame_size[0] % PATCH or self.frame_size[1] % PATCH:
            raise ValueError(f"frame_size is {self.frame_size}: both sides must be multiples of {PATCH}, at least 8")
        if min(self.reach, self.width, self.blocks, self.inverse_width) < 1:
            raise ValueError("reach, width, blocks and inverse_width must be at least 1")

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return self.codes.bit_length() - 1

    @property
    def window(self) -> InverseConfig:
        """The frames the inverse network sees, as the judge's config says it: t - 1, t and t + 1."""
        names = tuple(str(bit) for bit in range(self.bits))
        return InverseConfig(self.frame_size, names, before=1, after=0, width=self.inverse_width)


class LatentActions(nn.Module):
    """Inverse network, code of signs, forward network. ``about`` (data, held-out figures) lies beside the weights."""

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.config = config
        self.about: dict[str, Any] = {}
        self.inverse = InverseDynamics(config.window)
        # Bits are taken about their running mean: a bit that is always on would tell nothing, and never learn to.
        self.centre = nn.BatchNorm1d(config.bits, affine=False)
        self.forward_network = ForwardNetwork(config)

    def bits(self, frames_BWCHW: Tensor) -> Tensor:
        """Windows of t - 1, t, t + 1 in [0, 1] -> the bits of each code before their signs are taken, (B, bits)."""
        logits: Tensor = self.centre(self.inverse(frames_BWCHW).float())
        return logits

    def code_of(self, bits_B: Tensor) -> Tensor:
        """Bits (B, bits) -> codes int64 (B,)."""
        weights = 2 ** torch.arange(self.config.bits, device=bits_B.device)
        return ((bits_B > 0).long() * weights).sum(-1)

    def bits_of(self, codes_B: Tensor) -> Tensor:
        """Codes (B,) -> their bits, -1 or 1, (B, bits)."""
        places = torch.arange(self.config.bits, device=codes_B.device)
        return ((codes_B[:, None] >> places) & 1).float() * 2 - 1

    @torch.no_grad()
    def infer(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the code (T,) between every two frames of a play, uint8 (T+1, H, W, 3)."""
        check_frames(frames_THWC)
        frames_THWC = resize(frames_THWC, self.config.frame_size)
        count = len(frames_THWC) - 1
        rows_TW = window_rows(np.arange(count), np.zeros(count, np.int64), np.full(count, count), self.config.window)
        parts = [np.zeros(0, np.int64)]
        for i in range(0, count, _BATCH):
            parts.append(self.code_of(self.bits(to_pixels(frames_THWC[rows_TW[i : i + _BATCH]]))).numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def imagine(self, frames_BPHWC: NDArray[np.uint8], codes_B: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return what follows two frames (B, 2, H, W, 3) and a code: uint8 (B, H, W, 3) at the working size."""
        batch = len(frames_BPHWC)
        flat = resize(frames_BPHWC.reshape(batch * 2, *frames_BPHWC.shape[2:]), self.config.frame_size)
        past = to_pixels(flat.reshape(batch, 2, *flat.shape[1:]))
        made = self.forward_network(past, self.bits_of(torch.from_numpy(np.asarray(codes_B, np.int64))))
        frames: NDArray[np.uint8] = made.mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return frames

    def save(self, folder: str | Path) -> None:
        """Write ``latent.json`` and ``latent.safetensors`` into ``folder``."""
        save_network(Path(folder), NAME, self, {"config": to_dict(self.config), "about": self.about})

    @classmethod
    def load(cls, folder: str | Path) -> LatentActions:
        """Return the model in a folder, in eval mode; ValueError where there is none or it is damaged."""
        facts, weights = read_network(Path(folder), NAME)
        try:
            model = cls(from_dict(LatentConfig, facts["config"]))
            model.load_state_dict(weights)
            model.about = dict(facts["about"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the latent actions in {folder} are damaged ({reason}): train them again") from error
        return model.eval().requires_grad_(False)


class ForwardNetwork(nn.Module):
    """The next frame from two frames and a code: every pixel comes from somewhere near, or is painted anew.

    Each pixel gets weights over the (2 * reach + 1)**2 places around it in the last frame, one colour, and a share of
    that colour (dynamic filters, arXiv:1605.09673). Things that move are thereby moved, not redrawn.
    """

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.reach = config.reach
        places, width = (2 * config.reach + 1) ** 2, config.width
        self.places = places
        self.stem = nn.Conv2d(6 * PATCH**2, width, 3, padding=1)
        self.code = nn.Sequential(nn.Linear(config.bits, 64), nn.ReLU(), nn.Linear(64, 2 * width * config.blocks))
        self.blocks = nn.ModuleList(ResBlock(width) for _ in range(config.blocks))
        self.out = nn.Conv2d(width, (places + 4) * PATCH**2, 1)
        with torch.no_grad():
            self.out.weight.mul_(0.3)
            bias = torch.zeros(places + 4, PATCH**2)
            bias[places // 2] = 4.0  # at first every pixel stays
            bias[places + 3] = -4.0  # and nothing is painted
            self.out.bias = nn.Parameter(bias.flatten())

    def forward(self, past_BPCHW: Tensor, bits_B: Tensor) -> Tensor:
        """Frames t - 1 and t in [0, 1], and the bits (B, bits) of a code -> frame t + 1, (B, 3, H, W)."""
        now = past_BPCHW[:, 1]
        seen = torch.cat([now - 0.5, 2 * (now - past_BPCHW[:, 0])], 1)
        x = self.stem(F.pixel_unshuffle(seen, PATCH))
        films = self.code(bits_B)[:, :, None, None].chunk(2 * len(self.blocks), 1)
        for block, scale, shift in zip(self.blocks, films[0::2], films[1::2], strict=True):
            x = block(x * (1 + scale) + shift)
        out = F.pixel_shuffle(self.out(F.relu(x)), PATCH).float()
        weights_BSHW = out[:, : self.places].softmax(1)
        moved = (weights_BSHW[:, None] * self._nearby(now)).sum(2)
        painted, share = out[:, self.places : self.places + 3].sigmoid(), out[:, self.places + 3 :].sigmoid()
        return moved + share * (painted - moved)

    def _nearby(self, frame_BCHW: Tensor) -> Tensor:
        """The colours of the S places around each pixel, edges repeated: (B, C, S, H, W)."""
        side, (height, width) = 2 * self.reach + 1, frame_BCHW.shape[-2:]
        wide = F.pad(frame_BCHW, (self.reach,) * 4, mode="replicate")
        shifted = [wide[..., y : y + height, x : x + width] for y in range(side) for x in range(side)]
        return torch.stack(shifted, 2)


def to_pixels(frames_BWHWC: NDArray[np.uint8]) -> Tensor:
    """Frames uint8 (B, W, H, W, 3) -> float (B, W, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_BWHWC)).permute(0, 1, 4, 2, 3).float() / 255
