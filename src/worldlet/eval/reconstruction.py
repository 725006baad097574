"""Reconstruction: what the tokenizer alone does to real frames of held-out levels."""

from __future__ import annotations

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
    whole: list[PooledError] = []
    hero: list[PooledError] = []
    copied: list[PooledError] = []
    still: list[tuple[int, int]] = []
    no_hero = patches = 0
    similarity: list[list[float]] = []
    gains: list[tuple[float, float]] = []
    multiscale: list[list[float]] = []
    perceived: list[list[float]] = []
    agreement = _Agreement(bench.world)
    shown: list[list[NDArray[np.uint8]]] = []
    entries = bench.suite.plays[: bench.size.plays]
    for frames_BHWC, masks_BHW, tokens_BN, seen_BHWC in ahead(partial(_through, bench), entries):
        for units in (whole, hero, copied):
            units.append(PooledError())
        for seen_HWC, real_HWC, mask_HW in zip(seen_BHWC, frames_BHWC, masks_BHW, strict=True):
            whole[-1].add(seen_HWC, real_HWC)
            hero[-1].add(seen_HWC, real_HWC, mask_HW)
            no_hero += not mask_HW.any()
        for before_HWC, after_HWC in zip(frames_BHWC[::2], frames_BHWC[1::2], strict=True):
            copied[-1].add(before_HWC, after_HWC)
        similarity.append(ssim(seen_BHWC, frames_BHWC))
        gains.append(gain_sums(seen_BHWC, frames_BHWC))
        for values, judge in ((multiscale, ms_ssim), (perceived, bench.networks.perceptual)):
            values.append(judge(seen_BHWC[::2], frames_BHWC[::2]))
        still_BN = _still_patches(frames_BHWC[::2], frames_BHWC[1::2], bench.engine.manifest.grid)
        still.append((int((still_BN & (tokens_BN[::2] != tokens_BN[1::2])).sum()), int(still_BN.sum())))
        patches += still_BN.size
        agreement.add(frames_BHWC, tokens_BN)
        middle = len(frames_BHWC) // 2
        pair = [frames_BHWC[middle], seen_BHWC[middle]]
        shown.append([*pair, *(_around_hero(frame_HWC, masks_BHW[middle]) for frame_HWC in pair)])
        bench.tick(len(frames_BHWC))
    rows = [list(column) for column in zip(*shown[:SHOWN], strict=True)]
    labels = ["real", "reconstructed", "real hero", "his picture"]
    pictures.save(pictures.strips(rows, labels), bench.pictures / "reconstruction.png")
    return {
        "psnr_db": psnr_figure(whole),
        "ssim": mean_figure(similarity),
        "ms_ssim": mean_figure(multiscale, scales=scales(*bench.engine.manifest.frame_size)),
        bench.networks.perceptual_name: mean_figure(perceived),
        "hero_psnr_db": psnr_figure(hero, without_hero=no_hero),
        "false_change": rate_figure(still, patches=patches),
        "copy_psnr_db": psnr_figure(copied),
        "pixel_gain": rate_figure(gains, sum(map(len, similarity))),
        "precision_agreement": agreement.figure(),
    }


def _through(bench: Bench, entry: GoldPlay) -> tuple[Any, Any, Any, Any]:
    """Return the pairs of one play, frames (B, H, W, 3) and hero masks (B, H, W), their tokens and what these show."""
    frames_BHWC, masks_BHW = _pairs(bench.suite.replay(entry), bench.size.stride)
    tokens_BN = bench.encode(frames_BHWC)
    return frames_BHWC, masks_BHW, tokens_BN, bench.decode(tokens_BN)


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


class _Agreement:
    """Counts tokens that are the same in float32 torch, with the encoder in bfloat16, and in the ONNX graph.

    `Tokenizer.encode` keeps to float32 whatever its caller does, which would hide codes that lie too close together.
    So the encoder itself is run under bfloat16 here, its latents are rounded to it, and only the search for the
    nearest code stays in float32; what a caller under autocast gets is counted beside it, on a few frames of each play.
    """

    def __init__(self, world: Path | None) -> None:
        self._tokenizer = None if world is None else _torch_tokenizer(world)
        self._equal: dict[str, list[int]] = {name: [] for name in ("all", "bf16", "onnx", "called_under_bf16")}
        self._tokens: list[int] = []
        self._called = 0

    def add(self, frames_BHWC: NDArray[np.uint8], onnx_BN: NDArray[np.int64]) -> None:
        if self._tokenizer is None:
            return
        import torch

        for counts in (*self._equal.values(), self._tokens):
            counts.append(0)
        for first in range(0, len(frames_BHWC), BATCH):
            batch_BCHW = torch.from_numpy(frames_BHWC[first : first + BATCH]).permute(0, 3, 1, 2).float() / 255
            with torch.inference_mode():
                exact_BN = self._tokenizer.encode(batch_BCHW).flatten(1)
                with torch.autocast("cpu", torch.bfloat16):
                    if not first:
                        called_BN = self._tokenizer.encode(batch_BCHW).flatten(1)
                        self._called += called_BN.numel()
                        self._equal["called_under_bf16"][-1] += int((exact_BN == called_BN).sum())
                    latents_BNC = self._tokenizer.latents(batch_BCHW)
                rough_BN = self._tokenizer.quantizer.assign(latents_BNC.bfloat16().float())
            exported_BN = torch.from_numpy(onnx_BN[first : first + BATCH])
            rough, exported = exact_BN == rough_BN, exact_BN == exported_BN
            for name, equal_BN in {"all": rough & exported, "bf16": rough, "onnx": exported}.items():
                self._equal[name][-1] += int(equal_BN.sum())
            self._tokens[-1] += exact_BN.numel()

    def figure(self) -> dict[str, Any]:
        if not self._tokens:
            return figure(None, 0, why="there is no world folder whose weights could be opened in torch")
        of = {"bf16": sum(self._tokens), "onnx": sum(self._tokens), "called_under_bf16": self._called}
        shares = {name: sum(self._equal[name]) / tokens for name, tokens in of.items()}
        return rate_figure(list(zip(self._equal["all"], self._tokens, strict=True)), sum(self._tokens), **shares)


def _torch_tokenizer(world: Path) -> Any:
    from worldlet.world import WorldModel

    return WorldModel.load(world).tokenizer.eval()
