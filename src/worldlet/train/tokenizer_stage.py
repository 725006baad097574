"""Training of the tokenizer: crops of frames in, pixels out, with the error weighted towards what moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from worldlet.data.clips import FrameTable
from worldlet.tokenizer import Tokenizer, TokenizerConfig
from worldlet.tokenizer.codebook import count_patches, fit_codebook
from worldlet.tokenizer.quantize import PatchCodebook
from worldlet.train.tokens import encode_frames

DEAD_BELOW = 0.02
"""Expected uses a batch below which a code counts as dead."""
_FIT_FRAMES = 500  # frames whose patches are counted at a time
_VAL_FRAMES = 16  # frames validated at a time


@dataclass(frozen=True)
class TokenizerStageConfig:
    """What a batch is and what counts in it. ValueError for values out of range."""

    batch_size: int = 48
    """Crops a step."""
    crop: int = 64
    """Side of a crop in pixels, a multiple of the patch size; larger than the frame means whole frames."""
    max_frames: int = 30_000
    """Training frames held in memory."""
    val_frames: int = 192
    """Validation frames."""
    hero_share: float = 0.75
    """Share of crops that are placed so that they hold part of the hero."""
    hero_weight: float = 15.0
    """Extra weight of squared error on the hero's pixels."""
    moving_weight: float = 8.0
    """Extra weight of squared error on the pixels of everything else that moves."""
    hard_share: float = 0.0
    """How much oftener frames are drawn that codes serve badly: 0 evenly, 1 in proportion to their squared error. For
    codebooks of patches."""
    revive_every: int = 10
    """Steps between revivals of dead codes."""
    revive_until: float = 0.7
    """Share of the training after which no code is revived."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.max_frames, self.val_frames, self.revive_every) < 1:
            raise ValueError("batch_size, max_frames, val_frames and revive_every must be at least 1")
        if not 0 <= self.hard_share <= 1:
            raise ValueError(f"hard_share is {self.hard_share}: it must lie in [0, 1]")


class TokenizerStage:
    """The tokenizer as a stage of the training loop.

    `fit_codes` says whether the codebook of patches is found at the start; a run that is resumed has it already. With
    `weights`, a state dict of the same tokenizer, training goes on from them and the codes stay as they are.
    """

    name = "tokenizer"
    measure = "weighted squared error"

    def __init__(
        self,
        data: str | Path,
        model: TokenizerConfig,
        config: TokenizerStageConfig,
        seed: int,
        fit_codes: bool = True,
        weights: dict[str, Tensor] | None = None,
    ):
        if config.crop < model.patch_size or config.crop % model.patch_size:
            raise ValueError(f"crop is {config.crop}: it must be a multiple of the patch size, {model.patch_size}")
        if config.hard_share and model.quantizer != "patch":
            raise ValueError(
                f"hard_share needs a codebook of patches: codes of the kind {model.quantizer!r} move in training"
            )
        self.config, self.seed = config, seed
        self.tokenizer = Tokenizer(model)
        self.module: nn.Module = self.tokenizer
        self.items_per_step = config.batch_size
        self.train = FrameTable.load(data, "train", config.max_frames, seed)
        self.val = FrameTable.load(data, "val", config.val_frames, seed)
        if weights is not None:
            self.tokenizer.load_state_dict(weights)
        elif fit_codes and model.quantizer == "patch":
            self._fit_codebook(model.codebook_size)
        self._weights_F: np.ndarray | None = None
        self._crop = tuple(min(config.crop, side) for side in model.frame_size)
        self._progress = 0.0
        self._frames: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return next(self.module.parameters()).device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group, without weight decay."""
        return [{"params": list(self.module.parameters()), "weight_decay": 0.0}]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Weighted squared error of the batch of `step`, plus the quantizer's own loss."""
        self._progress = progress
        frames, weights = self._batch(step)
        self._frames = frames
        made, tokens, commitment = self.module(frames)
        error = (made.float() - frames) ** 2
        pixels = (error * weights).sum() / weights.sum() / 3
        loss = pixels * 100 + 0.25 * commitment
        return loss, {
            "pixels": float(pixels.detach()),
            "commitment": float(commitment.detach()),
            "codes": len(tokens.unique()),
        }

    def after_step(self, step: int) -> None:
        """Now and then, while it is early, give dead codes to the worst-served latents."""
        if step % self.config.revive_every or self._progress > self.config.revive_until or self._frames is None:
            return
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        with torch.no_grad():
            latents = self.tokenizer.latents(self._frames).flatten(0, 1)
        self.tokenizer.quantizer.revive(latents, generator, DEAD_BELOW)

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure whole held-out frames: `loss` (weighted squared error), `psnr_db`, `hero_psnr_db`, `codes` in use.

        Without a pixel of the hero there is no `hero_psnr_db`.
        """
        assert isinstance(module, Tokenizer)
        squares = hero_squares = hero_pixels = weighted = weight = count = 0.0
        used: set[int] = set()
        for rows in np.array_split(np.arange(len(self.val)), max(1, len(self.val) // _VAL_FRAMES)):
            frames, hero, moving = (torch.from_numpy(array).to(self.device) for array in self.val.rows(rows))
            real = frames.permute(0, 3, 1, 2).float() / 255
            tokens = module.encode(real)
            error = ((module.decode(tokens).float().mul(255).round() / 255 - real) ** 2).mean(1)
            weights = self._weights(hero, moving)
            squares, count = squares + error.sum().item(), count + error.numel()
            hero_squares, hero_pixels = hero_squares + error[hero].sum().item(), hero_pixels + hero.sum().item()
            weighted, weight = weighted + (error * weights).sum().item(), weight + weights.sum().item()
            used |= set(tokens.unique().tolist())
        figures = {"loss": weighted / weight, "psnr_db": _decibels(squares, count), "codes": float(len(used))}
        return figures | ({"hero_psnr_db": _decibels(hero_squares, hero_pixels)} if hero_pixels else {})

    def pictures(self, module: nn.Module) -> dict[str, np.ndarray]:
        """Held-out frames over their reconstructions."""
        assert isinstance(module, Tokenizer)
        frames, _, _ = self.val.rows(np.arange(min(8, len(self.val))))
        real = torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 255
        made = module.decode(module.encode(real)).float().mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        rows = [np.concatenate(list(row), 1) for row in (frames, made)]
        return {"reconstruction": np.concatenate(rows, 0)}

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Crops (B, 3, c, c) in [0, 1] and pixel weights (B, 1, c, c), on the token grid; from (seed, step)."""
        frames, hero, moving = self.train.batch(step, self.config.batch_size, self.seed, self._frame_weights())
        rng = np.random.default_rng([self.seed, step, 5])
        height, width = self._crop
        cut = []
        for i in range(len(frames)):
            y, x = self._corner(rng, hero[i])
            cut.append((slice(y, y + height), slice(x, x + width)))
        stack = [np.stack([array[i][where] for i, where in enumerate(cut)]) for array in (frames, hero, moving)]
        pixels, hero_crop, moving_crop = (torch.from_numpy(array).to(self.device) for array in stack)
        real = (pixels.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)
        return real, self._weights(hero_crop, moving_crop)[:, None]

    def _frame_weights(self) -> np.ndarray | None:
        """How often each frame is drawn, float64 (F,), or None; found at the first batch, when the codes are there."""
        share = self.config.hard_share
        if self._weights_F is None and share:
            error_F = code_errors(self.tokenizer, self.train.frames_FHWC)
            self._weights_F = 1 - share + share * (error_F + 1e-9) / (error_F.mean() + 1e-9)
        return self._weights_F

    def _corner(self, rng: np.random.Generator, hero_HW: np.ndarray) -> tuple[int, int]:
        """Top left of a crop, on the token grid: anywhere, or where it holds a pixel of the hero."""
        corner, side = [], self.tokenizer.config.patch_size
        aimed = rng.random() < self.config.hero_share
        pixels = np.argwhere(hero_HW) if aimed else ()
        target = pixels[rng.integers(len(pixels))] if len(pixels) else None
        for axis in (0, 1):
            low, high = 0, (hero_HW.shape[axis] - self._crop[axis]) // side
            if target is not None:
                low = min(max(low, -(-(int(target[axis]) - self._crop[axis] + 1) // side)), high)
                high = min(high, int(target[axis]) // side)
            corner.append(side * int(rng.integers(low, max(low, high) + 1)))
        return corner[0], corner[1]

    def _weights(self, hero_BHW: Tensor, moving_BHW: Tensor) -> Tensor:
        """What each pixel's error weighs: float (B, H, W)."""
        others = moving_BHW & ~hero_BHW
        return 1 + self.config.hero_weight * hero_BHW.float() + self.config.moving_weight * others.float()

    def _fit_codebook(self, size: int) -> None:
        rows = np.array_split(np.arange(len(self.train)), -(-len(self.train) // _FIT_FRAMES))
        batches = ((frames, moving) for frames, _, moving in map(self.train.rows, rows))
        patches, counts, moving = count_patches(batches, self.tokenizer.config.patch_size)
        codes = fit_codebook(patches, counts, moving, size, self.config.hero_weight, self.seed)
        cast(PatchCodebook, self.tokenizer.quantizer).codebook.copy_(codes)


def code_errors(tokenizer: Tokenizer, frames_FHWC: np.ndarray, size: int = 256) -> np.ndarray:
    """How far the codes of each frame are from its latents: squared errors summed over all cells, float64 (F,).

    With a codebook of patches that is the error of the pixels before the decoder mends it.
    """
    parts = []
    for first in range(0, len(frames_FHWC), size):
        frames_BHWC = frames_FHWC[first : first + size]
        tokens_BN = torch.from_numpy(encode_frames(tokenizer, frames_BHWC)).flatten(1)
        device = next(tokenizer.parameters()).device
        real_BCHW = torch.from_numpy(frames_BHWC).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            latents_BNC, codes_BNC = tokenizer.latents(real_BCHW), tokenizer.quantizer.codes_of(tokens_BN.to(device))
        parts.append((latents_BNC - codes_BNC).square().sum((1, 2)).cpu().double().numpy())
    return np.concatenate(parts)


def _decibels(squares: float, count: float) -> float:
    """PSNR of a summed squared error of values in [0, 1]; at most 100."""
    return float(-10 * np.log10(max(squares / count, 1e-10)))
