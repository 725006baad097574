"""Latent actions: a few codes for what happens between two frames, learned from video that nobody labelled.

A code is a way to move. From the past frames alone a network says what follows by itself and what is there to be moved;
a code says where to, and nothing else: one kernel of places for each code, the same in every picture. The code
between two frames is the one under which the frame made is nearest to the frame that came, so there is no
second network that could hide in a code where the hero is or what he looks like.

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
from worldlet.dynamics.inverse import InverseConfig, resize, window_rows
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
    """Number of codes K."""
    reach: int = 3
    """Pixels, at that size, that a thing may move in one frame."""
    width: int = 48
    """Channels of the forward network."""
    blocks: int = 2
    """Its blocks."""

    def __post_init__(self) -> None:
        if self.codes < 2:
            raise ValueError(f"codes is {self.codes}: it must be at least 2")
        if min(self.frame_size) < 8 or self.frame_size[0] % PATCH or self.frame_size[1] % PATCH:
            raise ValueError(f"frame_size is {self.frame_size}: both sides must be multiples of {PATCH}, at least 8")
        if min(self.reach, self.width, self.blocks) < 1:
            raise ValueError("reach, width and blocks must be at least 1")

    @property
    def window(self) -> InverseConfig:
        """The frames that a code is read from, as the judge's config says it: t - 1, t and t + 1."""
        return InverseConfig(self.frame_size, before=1, after=0)


class LatentActions(nn.Module):
    """A forward network; codes are read by trying them. ``about`` (data, held-out figures) lies beside the weights."""

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.config = config
        self.about: dict[str, Any] = {}
        self.forward_network = ForwardNetwork(config)

    def errors(self, frames_BWCHW: Tensor) -> Tensor:
        """Windows of t - 1, t, t + 1 in [0, 1] -> mean squared error of the frame that each code makes, (B, K)."""
        made_BKCHW = self.forward_network(frames_BWCHW[:, :2])
        return (made_BKCHW - frames_BWCHW[:, 2:]).square().mean((2, 3, 4))

    def codes_of(self, frames_BWCHW: Tensor) -> Tensor:
        """Windows of t - 1, t, t + 1 in [0, 1] -> codes int64 (B,)."""
        return self.errors(frames_BWCHW).argmin(1)

    @torch.no_grad()
    def infer(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the code (T,) between every two frames of a play, uint8 (T+1, H, W, 3)."""
        check_frames(frames_THWC)
        frames_THWC = resize(frames_THWC, self.config.frame_size)
        count = len(frames_THWC) - 1
        rows_TW = window_rows(np.arange(count), np.zeros(count, np.int64), np.full(count, count), self.config.window)
        parts = [np.zeros(0, np.int64)]
        for i in range(0, count, _BATCH):
            parts.append(self.codes_of(to_pixels(frames_THWC[rows_TW[i : i + _BATCH]])).numpy())
        return np.concatenate(parts)

    @torch.no_grad()
    def imagine(self, frames_BPHWC: NDArray[np.uint8], codes_B: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return what follows two frames (B, 2, H, W, 3) and a code: uint8 (B, H, W, 3) at the working size."""
        batch = len(frames_BPHWC)
        flat = resize(frames_BPHWC.reshape(batch * 2, *frames_BPHWC.shape[2:]), self.config.frame_size)
        past = to_pixels(flat.reshape(batch, 2, *flat.shape[1:]))
        made = self.forward_network(past)[torch.arange(batch), torch.from_numpy(np.asarray(codes_B, np.int64))]
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
    """The next frame from two frames, under every code at once: what follows by itself, and over it what codes move.

    From the frames alone each pixel gets weights over the S = (2 * reach + 1)**2 places around it in the last frame,
    one colour with a share of it (dynamic filters, arXiv:1605.09673), and how much of it is to be moved by codes.
    That layer is then shifted by the code's kernel and laid over the rest.
    """

    def __init__(self, config: LatentConfig):
        super().__init__()
        self.reach, self.side = config.reach, 2 * config.reach + 1
        places, width = self.side**2, config.width
        self.places = places
        self.stem = nn.Conv2d(6 * PATCH**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResBlock(width) for _ in range(config.blocks))
        self.out = nn.Conv2d(width, (places + 5) * PATCH**2, 1)
        # Far apart from the start, so that each code is soon the best for moments of its own.
        self.kernels = nn.Parameter(2 * torch.randn(config.codes, places))
        with torch.no_grad():
            self.out.weight.mul_(0.3)
            bias = torch.zeros(places + 5, PATCH**2)
            bias[places // 2] = 4.0  # at first every pixel stays,
            bias[places + 3] = -4.0  # nothing is painted,
            bias[places + 4] = -2.0  # and codes move a little of everything
            self.out.bias = nn.Parameter(bias.flatten())

    def forward(self, past_BPCHW: Tensor) -> Tensor:
        """Frames t - 1 and t in [0, 1] -> frame t + 1 under each code, (B, K, 3, H, W)."""
        now = past_BPCHW[:, 1]
        x = self.stem(F.pixel_unshuffle(torch.cat([now - 0.5, 2 * (now - past_BPCHW[:, 0])], 1), PATCH))
        for block in self.blocks:
            x = block(x)
        # Without the norm the answers can run off to where no gradient brings them back (seen on the platformer).
        x = F.rms_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1)
        out = F.pixel_shuffle(self.out(F.relu(x)), PATCH).float()
        weights_BSHW, painted, share, movable = out.split((self.places, 3, 1, 1), 1)
        with torch.autocast(now.device.type, enabled=False):  # colours would lose a level in bfloat16
            rest = (weights_BSHW.softmax(1)[:, None] * self._nearby(now)).sum(2)
            rest = rest + share.sigmoid() * (painted.sigmoid() - rest)
            colours_BKCHW, cover_BK1HW = self._moved(now, movable.sigmoid())
        return rest[:, None] * (1 - cover_BK1HW) + colours_BKCHW

    def _moved(self, now_BCHW: Tensor, movable_B1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return what codes move, shifted: colours times cover (B, K, C, H, W), and cover (B, K, 1, H, W)."""
        layer_BLHW = torch.cat([movable_B1HW * now_BCHW, movable_B1HW], 1)
        kernels = self.kernels.float().softmax(1).unflatten(1, (1, self.side, self.side))
        shifted = F.conv2d(layer_BLHW.flatten(0, 1)[:, None], kernels, padding=self.reach)
        shifted_BKLHW = shifted.unflatten(0, layer_BLHW.shape[:2]).transpose(1, 2)
        return shifted_BKLHW[:, :, :-1], shifted_BKLHW[:, :, -1:]

    def _nearby(self, frame_BCHW: Tensor) -> Tensor:
        """The colours of the S places around each pixel, edges repeated: (B, C, S, H, W)."""
        height, width = frame_BCHW.shape[-2:]
        wide = F.pad(frame_BCHW, (self.reach,) * 4, mode="replicate")
        shifted = [wide[..., y : y + height, x : x + width] for y in range(self.side) for x in range(self.side)]
        return torch.stack(shifted, 2)


def to_pixels(frames_BWHWC: NDArray[np.uint8]) -> Tensor:
    """Frames uint8 (B, W, H, W, 3) -> float (B, W, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_BWHWC)).permute(0, 1, 4, 2, 3).float() / 255
