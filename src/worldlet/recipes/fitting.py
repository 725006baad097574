"""Settings for a game without a recipe of its own: those of the recipe whose game is most like it, sizes by measure.

A sample of the recording tells what decides: whether the game says where its hero is, how much of the picture changes
from one frame to the next, and how large patches may be before a codebook of them loses what the player looks at.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldlet.config import read_yaml
from worldlet.recipes import find_recipe

if TYPE_CHECKING:
    from torch import Tensor

SIDES = (8, 4, 2)
"""Sides of a patch in pixels that are tried, the largest first: it has the fewest tokens."""
ENOUGH_DB, ENOUGH_MOVING_DB = 30.0, 23.0
"""PSNR of the codebook alone, on all held-out patches and on those that change; the decoder adds some decibels.

On the same sample (docs/new-game.md) patches of the size that proved right have more, those of twice the size less.
"""
SCROLLS = 0.3
"""Share of the patches that change from frame to frame above which the picture moves as a whole."""
_SEEN, _HELD_OUT_SEEN = 12_000, 1_000  # frames decoded, over as many levels as they fill
_EVERY = 12  # of these, every which counts
_PATCHES, _ROUNDS, _POSITIONS = 15_000, 3, 64
_MOVING_SHARE, _MOST_MOVING_WEIGHT = 1 / 3, 50.0  # of the loss


@dataclass(frozen=True)
class Measured:
    """What a sample of a recording tells: `psnr_db` and `moving_psnr_db` by side of a patch, as far as tried."""

    has_hero: bool
    changing: float
    side: int
    psnr_db: dict[int, float]
    moving_psnr_db: dict[int, float]


def settings_without_recipe(options: dict[str, Any]) -> dict[str, Any]:
    """Settings of `worldlet train` where none were named: those of the run that is there, else what fits the data.

    A run that is resumed keeps all that it was begun with; another stage of it keeps the sizes, not the time to train.
    `options` are those of the command line by their dotted names, which win over what is returned.
    """
    from worldlet.train.run import CONFIG_NAME

    begun = Path(str(options.get("out", ""))) / CONFIG_NAME
    if "out" in options and begun.exists():
        settings = read_yaml(begun)
        for name in () if options.get("resume") else ("stage", "then", "minutes", "steps"):
            settings.pop(name, None)
        return settings
    if "data" not in options:
        return {}
    settings, why = fitting_settings(options["data"], options)
    if why:
        print(why, flush=True)
    return settings


def fitting_settings(data: str | Path, given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings of a `TrainConfig`, without a time to train, for the data in a folder; and one sentence that says why.

    `given` holds what the user set, by dotted names: sizes follow from it where it says more than a measure could.
    The same data give the same settings. Nothing is set, and nothing said, where the folder cannot be read: training
    itself says what is wrong with it. Needs torch.
    """
    from worldlet.data.shards import read_manifest

    try:
        manifest = read_manifest(data)
        height, width = manifest["frame_size"]
        found = measure(data, _sides(height, width, given), int(given.get("tokenizer.codebook_size", 2048)))
    except (ValueError, OSError, KeyError):
        return {}, ""
    kind = "platformer" if found.has_hero else "coinrun" if found.changing > SCROLLS else "breakout"
    settings = read_yaml(find_recipe(kind))
    for name in ("minutes", "seed"):
        settings.pop(name, None)
    patch = positions_patch((height // found.side, width // found.side))
    settings["tokenizer"] |= {"patch_size": found.side}
    settings["dynamics"] |= {"grid": [height // found.side, width // found.side], "patch": list(patch)}
    settings["dynamics"] |= _widths(patch[0] * patch[1])
    if kind == "breakout":
        settings["dynamics_stage"]["weights"]["moving"] = moving_weight(found.changing)
    return settings, _sentence(found, kind)


def measure(data: str | Path, sides: tuple[int, ...], codes: int) -> Measured:
    """Look at a sample of a data folder; raises ValueError where it holds no frames to look at.

    `sides` are tried in turn until one is good enough; the last one is taken where none is.
    """
    has_hero, train_BHWC, train_moving_BHW = _sample(data, "train", _SEEN)
    _, val_BHWC, val_moving_BHW = _sample(data, "val", _HELD_OUT_SEEN)
    psnr: dict[int, float] = {}
    moving_psnr: dict[int, float] = {}
    changing = 0.0
    for side in sides:
        codebook = _codebook(train_BHWC, train_moving_BHW, side, codes)
        error_P, moves_P = _lost(codebook, val_BHWC, val_moving_BHW, side)
        changing = float(moves_P.mean())
        psnr[side], moving_psnr[side] = _decibels(error_P), _decibels(error_P[moves_P] if moves_P.any() else error_P)
        if psnr[side] >= ENOUGH_DB and moving_psnr[side] >= ENOUGH_MOVING_DB:
            break
    return Measured(has_hero, changing, side, psnr, moving_psnr)


def positions_patch(grid: tuple[int, int]) -> tuple[int, int]:
    """Tokens down and across that share a position: the divisors of the grid that leave about 64 positions.

    Of two that do, the one nearer to a square is taken.
    """
    choices = itertools.product(*([n for n in range(1, side + 1) if side % n == 0] for side in grid))

    def distance(patch: tuple[int, ...]) -> tuple[float, float]:
        positions = grid[0] * grid[1] / (patch[0] * patch[1])
        return abs(float(np.log(positions / _POSITIONS))) + 0.5 * abs(float(np.log(patch[0] / patch[1]))), -patch[0]

    down, across = min(choices, key=distance)
    return down, across


def moving_weight(changing: float) -> float:
    """Extra weight of cells that change, so that the share `changing` of them makes up a third of the loss."""
    share = max(changing, 1e-6)
    weight = _MOVING_SHARE / (1 - _MOVING_SHARE) * (1 - share) / share - 1
    return float(round(min(max(weight, 0.0), _MOST_MOVING_WEIGHT)))


def _sides(height: int, width: int, given: dict[str, Any]) -> tuple[int, ...]:
    if "tokenizer.patch_size" in given:
        return (int(given["tokenizer.patch_size"]),)
    fits = tuple(side for side in SIDES if height % side == 0 and width % side == 0)
    if not fits:
        raise ValueError(f"no patch of {SIDES} pixels divides frames of {height}x{width}")
    return fits


def _widths(tokens: int) -> dict[str, int]:
    """Widths by how many tokens share a position, as in the recipes: a position has about as many channels in all."""
    return {"token_width": max(16, 192 // tokens), "feature_width": 96 if tokens <= 8 else 64}


def _sample(data: str | Path, split: str, most: int) -> tuple[bool, NDArray[np.uint8], NDArray[np.bool_]]:
    """Whether the game tells of a hero; frames (B, H, W, 3) of the first episodes and what moves in them (B, H, W).

    Episodes are decoded until there are `most` frames.
    """
    from worldlet.data.clips import mask_of, moving_pixels
    from worldlet.data.shards import read_episodes

    has_hero, frames, moving, seen = False, [], [], 0
    for episode in read_episodes(data, split):
        rows = np.arange(1, len(episode.frames_THWC), _EVERY)  # nothing has moved on the first frame
        has_hero |= bool(mask_of(episode, "hero_mask").any())
        frames.append(episode.frames_THWC[rows])
        moving.append(moving_pixels(episode)[rows])
        seen += len(episode.frames_THWC)
        if seen >= most:
            break
    if not frames:
        raise ValueError(f"the split {split!r} of {data} holds no frames")
    return has_hero, np.concatenate(frames), np.concatenate(moving)


def _codebook(frames_BHWC: NDArray[np.uint8], moving_BHW: NDArray[np.bool_], side: int, codes: int) -> Tensor:
    """A codebook (V, P) of a sample: quicker and a little worse than the one that training fits."""
    from worldlet.tokenizer.codebook import count_patches, fit_codebook

    patches, counts, moving = count_patches([(frames_BHWC, moving_BHW)], side)
    if len(patches) > _PATCHES:
        share = np.sqrt(counts) / np.sqrt(counts).sum()
        kept = np.random.default_rng(0).choice(len(patches), _PATCHES, replace=False, p=share)
        patches, counts, moving = patches[kept], counts[kept], moving[kept]
    return fit_codebook(patches, counts, moving, codes, 8.0, 0, _ROUNDS)


def _lost(
    codebook: Tensor, frames_BHWC: NDArray[np.uint8], moving_BHW: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean squared error of each patch, in squared grey levels, and whether anything in it moves."""
    import torch
    from torch.nn import functional as F

    pixels = F.pixel_unshuffle(torch.from_numpy(frames_BHWC).permute(0, 3, 1, 2).float() / 127.5 - 1, side)
    points = pixels.permute(0, 2, 3, 1).flatten(0, 2)
    nearest = torch.cat([torch.cdist(part, codebook).argmin(1) for part in points.split(8192)])
    error = ((codebook[nearest] - points) * 127.5).square().mean(1).numpy().astype(np.float64)
    moves = F.pixel_unshuffle(torch.from_numpy(moving_BHW)[:, None].float(), side).amax(1).flatten() > 0
    return error, moves.numpy()


def _decibels(error: NDArray[np.float64]) -> float:
    return float(-10 * np.log10(max(error.mean() / 255**2, 1e-10)))


def _sentence(found: Measured, kind: str) -> str:
    tried = ", ".join(
        f"{side}x{side}: {found.psnr_db[side]:.1f} dB, {found.moving_psnr_db[side]:.1f} dB where something moves"
        for side in found.psnr_db
    )
    hero = "the game tells where its hero is" if found.has_hero else f"{found.changing:.1%} of the picture changes"
    return (
        f"no --recipe given: {hero}, so the settings are those of the recipe {kind}, "
        f"with tokens of {found.side}x{found.side} pixels ({tried})"
    )
