"""Reconstruction: what the tokenizer alone does to real frames of held-out levels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import BATCH, Bench, figure
from worldlet.eval.gold import GoldPlay
from worldlet.eval.intervals import mean_figure, psnr_figure, rate_figure
from worldlet.eval.real import Play
from worldlet.eval.ssim import ssim
from worldlet.eval.visual import gain_sums, ms_ssim, scales
from worldlet.metrics import PooledError

SHOWN = 6
"""Pairs of frames in the picture."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: frames encoded and decoded."""
    entries = bench.suite.plays[: bench.size.plays]
    return sum(2 * len(range(0, len(entry.actions), bench.size.stride)) for entry in entries)


def measure(bench: Bench) -> dict[str, Any]:
    """Encode and decode pairs of consecutive real frames of the gold plays.

    ``psnr_db`` and ``hero_psnr_db`` pool squared errors, over all pixels and over those of the real hero mask.
    ``false_change``: of the patches whose pixels are equal in both frames of a pair, the fraction whose token changed.
    ``precision_agreement``: of all tokens, the fraction equal in float32 torch, with the encoder in bfloat16, and in
    the ONNX graph. ``copy_psnr_db``: the first frame of a pair in place of the second. ``pixel_gain``: by what factor
    pixels exceed the real ones (least squares). Units of intervals: plays.
    """
    tokenizer = None if bench.world is None else _torch_tokenizer(bench.world)
    plays = list(ahead(partial(_compare, bench, tokenizer), bench.suite.plays[: bench.size.plays]))
    rows = [list(column) for column in zip(*(play.shown for play in plays[:SHOWN]), strict=True)]
    labels = ["real", "reconstructed", "real hero", "his picture"]
    pictures.save(pictures.strips(rows, labels), bench.pictures / "reconstruction.png")
    return {
        "psnr_db": psnr_figure([play.whole for play in plays]),
        "ssim": mean_figure([play.ssim for play in plays]),
        "ms_ssim": mean_figure([play.ms_ssim for play in plays], scales=scales(*bench.engine.manifest.frame_size)),
        bench.networks.perceptual_name: mean_figure([play.perceived for play in plays]),
        "hero_psnr_db": psnr_figure([play.hero for play in plays], without_hero=sum(play.no_hero for play in plays)),
        "false_change": rate_figure([play.still for play in plays], patches=sum(play.patches for play in plays)),
        "copy_psnr_db": psnr_figure([play.copied for play in plays]),
        "pixel_gain": rate_figure([play.gain for play in plays], sum(len(play.ssim) for play in plays)),
        "precision_agreement": _agreement_figure([play.agreement for play in plays if play.agreement is not None]),
    }


@dataclass(frozen=True)
class _Play:
    """What one play gave: errors of its frames, of the hero in them (``no_hero``: frames without one) and of copies.

    ``still``: how many still patches changed their token, and how many there are among all ``patches``.
    """

    whole: PooledError
    hero: PooledError
    copied: PooledError
    no_hero: int
    ssim: list[float]
    ms_ssim: list[float]
    perceived: list[float]
    gain: tuple[float, float]
    still: tuple[int, int]
    patches: int
    agreement: _Agreement | None
    shown: list[NDArray[np.uint8]]


def _compare(bench: Bench, tokenizer: Any, entry: GoldPlay) -> _Play:
    """Compare the pairs of one play, frames (B, H, W, 3), with what their tokens show."""
    frames_BHWC, masks_BHW = _pairs(bench.suite.replay(entry), bench.size.stride)
    tokens_BN = bench.encode(frames_BHWC)
    seen_BHWC = bench.decode(tokens_BN)
    whole, hero, copied = PooledError(), PooledError(), PooledError()
    for seen_HWC, real_HWC, mask_HW in zip(seen_BHWC, frames_BHWC, masks_BHW, strict=True):
        whole.add(seen_HWC, real_HWC)
        hero.add(seen_HWC, real_HWC, mask_HW)
    for before_HWC, after_HWC in zip(frames_BHWC[::2], frames_BHWC[1::2], strict=True):
        copied.add(before_HWC, after_HWC)
    still_BN = _still_patches(frames_BHWC[::2], frames_BHWC[1::2], bench.engine.manifest.grid)
    middle = len(frames_BHWC) // 2
    pair = [frames_BHWC[middle], seen_BHWC[middle]]
    bench.tick(len(frames_BHWC))
    return _Play(
        whole, hero, copied,
        no_hero=int((~masks_BHW.any(axis=(1, 2))).sum()),
        ssim=ssim(seen_BHWC, frames_BHWC),
        ms_ssim=ms_ssim(seen_BHWC[::2], frames_BHWC[::2]),
        perceived=bench.networks.perceptual(seen_BHWC[::2], frames_BHWC[::2]),
        gain=gain_sums(seen_BHWC, frames_BHWC),
        still=(int((still_BN & (tokens_BN[::2] != tokens_BN[1::2])).sum()), int(still_BN.sum())),
        patches=still_BN.size,
        agreement=None if tokenizer is None else _agree(tokenizer, frames_BHWC, tokens_BN),
        shown=[*pair, *(_around_hero(frame_HWC, masks_BHW[middle]) for frame_HWC in pair)],
    )  # fmt: skip


def _pairs(play: Play, stride: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return frames t, t+1, t+stride, t+stride+1, ... of a play and their hero masks."""
    firsts = np.arange(0, len(play.actions), stride)
    chosen = np.stack([firsts, firsts + 1], axis=1).ravel()
    return play.frames_THWC[chosen], play.hero_mask_THW[chosen]


def _around_hero(frame_HWC: NDArray[np.uint8], mask_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a quarter of the frame's sides around the hero, enlarged to the frame's size."""
    height, width = mask_HW.shape
    rows, columns = np.nonzero(mask_HW) if mask_HW.any() else (np.array([0]), np.array([0]))
    top = int(np.clip(rows.mean() - height / 8, 0, height - height // 4))
    left = int(np.clip(columns.mean() - width / 8, 0, width - width // 4))
    crop_HWC = frame_HWC[top : top + height // 4, left : left + width // 4]
    return crop_HWC.repeat(4, axis=0).repeat(4, axis=1)


def _still_patches(
    now_BHWC: NDArray[np.uint8], next_BHWC: NDArray[np.uint8], grid: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return, for every token (B, N), whether the pixels under it are the same in both frames."""
    batch, height, width, _ = now_BHWC.shape
    same = (now_BHWC == next_BHWC).reshape(batch, grid[0], height // grid[0], grid[1], width // grid[1], 3)
    return np.asarray(same.all(axis=(2, 4, 5))).reshape(batch, -1)


@dataclass
class _Agreement:
    """How many tokens of one play are the same in float32 torch and in what the other names say, of how many."""

    all: int = 0
    bf16: int = 0
    onnx: int = 0
    tokens: int = 0
    called_under_bf16: int = 0
    called: int = 0


def _agree(tokenizer: Any, frames_BHWC: NDArray[np.uint8], onnx_BN: NDArray[np.int64]) -> _Agreement:
    """Count tokens that are the same in float32 torch, with the encoder in bfloat16, and in the ONNX graph.

    `Tokenizer.encode` keeps to float32 whatever its caller does, which would hide codes that lie too close together.
    So the encoder itself is run under bfloat16 here, its latents are rounded to it, and only the search for the
    nearest code stays in float32; what a caller under autocast gets is counted beside it, on a few frames of each play.
    """
    import torch

    same = _Agreement()
    for first in range(0, len(frames_BHWC), BATCH):
        batch_BCHW = torch.from_numpy(frames_BHWC[first : first + BATCH]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            exact_BN = tokenizer.encode(batch_BCHW).flatten(1)
            with torch.autocast("cpu", torch.bfloat16):
                if not first:
                    called_BN = tokenizer.encode(batch_BCHW).flatten(1)
                    same.called += called_BN.numel()
                    same.called_under_bf16 += int((exact_BN == called_BN).sum())
                latents_BNC = tokenizer.latents(batch_BCHW)
            rough_BN = tokenizer.quantizer.assign(latents_BNC.bfloat16().float())
        exported_BN = torch.from_numpy(onnx_BN[first : first + BATCH])
        rough, exported = exact_BN == rough_BN, exact_BN == exported_BN
        same.all += int((rough & exported).sum())
        same.bf16 += int(rough.sum())
        same.onnx += int(exported.sum())
        same.tokens += exact_BN.numel()
    return same


def _agreement_figure(plays: list[_Agreement]) -> dict[str, Any]:
    if not plays:
        return figure(None, 0, why="there is no world folder whose weights could be opened in torch")
    tokens, called = sum(play.tokens for play in plays), sum(play.called for play in plays)
    shares = {
        "bf16": sum(play.bf16 for play in plays) / tokens,
        "onnx": sum(play.onnx for play in plays) / tokens,
        "called_under_bf16": sum(play.called_under_bf16 for play in plays) / called,
    }
    return rate_figure([(play.all, play.tokens) for play in plays], tokens, **shares)


def _torch_tokenizer(world: Path) -> Any:
    from worldlet.world import WorldModel

    return WorldModel.load(world).tokenizer.eval()
