"""Inverse dynamics: which action lies between two frames, read from pixels. The judge of what a player did.

It labels video that came without actions, and in evaluation it tells whether a dream did what was asked.

Letters: B batch, T time, W frames of a window, H W pixels where they follow each other, C colours, A actions.
``frames[t]``, then ``actions[t]``, then ``frames[t+1]``: the window of t holds ``before`` frames up to t - 1, then t
and t + 1, then ``after`` frames from t + 2 on. Beyond the ends of a play its first and last frames are repeated.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.config import from_dict, to_dict
from worldlet.dynamics.stored import read_network, save_network
from worldlet.nn.blocks import ResBlock
from worldlet.records import check_frames

NAME = "judge"
JSON_NAME = f"{NAME}.json"
_BATCH = 64  # windows looked at at once


@dataclass(frozen=True)
class InverseConfig:
    """Sizes of the judge. ValueError for values out of range."""

    frame_size: tuple[int, int] = (128, 128)
    """Height and width at which the judge looks; other frames are resized to it."""
    action_names: tuple[str, ...] = ()
    """What it tells apart."""
    before: int = 1
    """Frames seen before the one at which the action is done."""
    after: int = 0
    """Frames seen after the one that the action led to; for games that answer late."""
    width: int = 32
    """Channels of the first layer."""

    def __post_init__(self) -> None:
        if min(self.frame_size) < 8:
            raise ValueError(f"frame_size is {self.frame_size}: the judge needs at least 8x8 pixels")
        if min(self.before, self.after) < 0 or self.width < 1:
            raise ValueError("before and after must be at least 0, width at least 1")

    @property
    def window(self) -> int:
        """Frames W of a window."""
        return self.before + 2 + self.after


class InverseDynamics(nn.Module):
    """A small convolutional network over a window of frames.

    It sees the frame at t and the differences between successive frames, so that what stands still falls away; the
    pool over all places takes mean and maximum, because what acts is a small part of the picture. ``temperature``
    divides the logits and is fitted on held-out data; ``about`` is kept beside the weights (held-out figures, data).
    """

    def __init__(self, config: InverseConfig):
        super().__init__()
        self.config = config
        self.temperature = 1.0
        self.about: dict[str, Any] = {}
        width = config.width
        self.body = nn.Sequential(
            nn.Conv2d(3 * config.window, width, 4, 4),
            ResBlock(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            ResBlock(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 3 * width, 3, 2, 1),
            ResBlock(3 * width),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(6 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, len(config.action_names))
        )

    def forward(self, frames_BWCHW: Tensor) -> Tensor:
        """Windows of frames in [0, 1] -> logits (B, A) before the temperature."""
        now = frames_BWCHW[:, self.config.before] - 0.5
        changes = 2 * frames_BWCHW.diff(dim=1)
        x = torch.cat([now[:, None], changes], 1).flatten(1, 2)
        bottom, right = -x.shape[-2] % 4, -x.shape[-1] % 4
        x = self.body(F.pad(x, (0, right, 0, bottom)))
        logits: Tensor = self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
        return logits

    @torch.no_grad()
    def predict(self, frames_BTHWC: NDArray[np.uint8], at: int | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the probabilities (B, A) of the action done at frame ``at`` of each clip, uint8 (B, T, H, W, 3).

        ``at`` is one index for all clips or one each, and ``at + 1`` must be in the clip (ValueError). They are the
        probabilities under the mixture of actions that the judge was trained on.
        """
        frames_BTHWC = np.asarray(frames_BTHWC)
        if frames_BTHWC.ndim != 5:
            raise ValueError(f"frames are uint8 of shape (B, T, H, W, 3), not of shape {frames_BTHWC.shape}")
        batch, length = frames_BTHWC.shape[:2]
        at_B = np.broadcast_to(np.asarray(at, np.int64), (batch,))
        if batch and (at_B.min() < 0 or at_B.max() + 1 >= length):
            raise ValueError(f"an action of clips of {length} frames is done at frame 0 to {length - 2}, not at {at}")
        rows_BW = window_rows(at_B, np.zeros(batch, np.int64), np.full(batch, length - 1), self.config)
        parts = [np.zeros((0, len(self.config.action_names)), np.float32)]
        for first in range(0, batch, _BATCH):
            part = slice(first, first + _BATCH)
            windows = np.take_along_axis(frames_BTHWC[part], rows_BW[part, :, None, None, None], axis=1)
            parts.append(self.judge(windows))
        return np.concatenate(parts)

    @torch.no_grad()
    def predict_episode(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (T, A) of every action of a play of T + 1 frames, uint8 (T+1, H, W, 3)."""
        check_frames(frames_THWC)
        frames_THWC = resize(frames_THWC, self.config.frame_size)
        count = len(frames_THWC) - 1
        rows_TW = window_rows(np.arange(count), np.zeros(count, np.int64), np.full(count, count), self.config)
        parts = [np.zeros((0, len(self.config.action_names)), np.float32)]
        parts += [self.judge(frames_THWC[rows_TW[i : i + _BATCH]]) for i in range(0, count, _BATCH)]
        return np.concatenate(parts)

    @torch.no_grad()
    def judge(self, frames_BWHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities (B, A) of whole windows, uint8 (B, W, H, W, 3)."""
        check_frames(frames_BWHWC[:, 0])
        batch, window = frames_BWHWC.shape[:2]
        flat = resize(frames_BWHWC.reshape(batch * window, *frames_BWHWC.shape[2:]), self.config.frame_size)
        device = next(self.parameters()).device
        pixels = torch.from_numpy(np.ascontiguousarray(flat)).to(device).permute(0, 3, 1, 2).float() / 255
        logits = self(pixels.unflatten(0, (batch, window))).float() / self.temperature
        probabilities: NDArray[np.float32] = logits.softmax(-1).cpu().numpy()
        return probabilities

    @property
    def identity(self) -> str:
        """A hash over all that its answers, and what is said about them, depend on."""
        facts = {"config": to_dict(self.config), "temperature": self.temperature, "about": self.about}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name, values in sorted(self.state_dict().items()):
            digest.update(name.encode() + values.cpu().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write ``judge.json`` and ``judge.safetensors`` into ``folder``."""
        facts = {"config": to_dict(self.config), "temperature": self.temperature, "about": self.about}
        save_network(Path(folder), NAME, self, facts)

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> InverseDynamics:
        """Return the judge in a folder, in eval mode; ValueError where there is none or it is damaged."""
        facts, weights = read_network(Path(folder), NAME)
        try:
            judge = cls(from_dict(InverseConfig, facts["config"]))
            judge.load_state_dict(weights)
            judge.temperature, judge.about = float(facts["temperature"]), dict(facts["about"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"the judge in {folder} is damaged ({reason}): train it again") from error
        return judge.eval().requires_grad_(False).to(device)


def working_size(frame_size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Return the (height, width) to look at frames: as they are up to ``max_side``, else shrunk to multiples of 4."""
    scale = max_side / max(frame_size)
    if scale >= 1:
        return frame_size
    height, width = (max(8, 4 * round(side * scale / 4)) for side in frame_size)
    return height, width


def window_rows(
    at_M: NDArray[np.int64], first_M: NDArray[np.int64], last_M: NDArray[np.int64], config: InverseConfig
) -> NDArray[np.int64]:
    """Return the rows (M, W) of the windows around ``at_M``, each kept within its play's rows first to last."""
    rows_MW = at_M[:, None] + np.arange(-config.before, 2 + config.after)
    return np.clip(rows_MW, first_M[:, None], last_M[:, None])


def resize(frames_THWC: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return frames uint8 (T, H, W, 3) at another (height, width), by the mean over areas; as they are if it fits."""
    if frames_THWC.shape[1:3] == tuple(size):
        return frames_THWC
    parts = []
    for i in range(0, len(frames_THWC), 256):
        pixels = torch.from_numpy(np.ascontiguousarray(frames_THWC[i : i + 256])).permute(0, 3, 1, 2).float()
        smaller = F.interpolate(pixels, size=tuple(size), mode="area").round().byte()
        parts.append(smaller.permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(parts)
