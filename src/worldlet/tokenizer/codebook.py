"""A codebook of patches: weighted k-means over the distinct patches of a data set.

A game drawn from tiles shows few distinct patches; with as many codes the tokenizer is all but lossless before anything
is trained. Letters: M distinct patches, each of P numbers (8 * 8 * 3 = 192) in the channel order of pixel unshuffle.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

MOST_DISTINCT = 100_000  # beyond this the rarest patches are left out


def count_patches(
    batches: Iterable[tuple[np.ndarray, np.ndarray]], side: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct patches of frames, `side` pixels wide and high.

    `batches` gives (frames_BHWC uint8, moving_BHW bool). Returns patches uint8 (M, P), how often each occurs (M,),
    and the share of its pixels that move, averaged over its occurrences (M,).
    """
    keys: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    moving: list[np.ndarray] = []
    for frames_BHWC, moving_BHW in batches:
        frames_BCHW = torch.from_numpy(frames_BHWC).permute(0, 3, 1, 2)
        patches = F.pixel_unshuffle(frames_BCHW, side).permute(0, 2, 3, 1).reshape(-1, 3 * side**2)
        moved = F.pixel_unshuffle(torch.from_numpy(moving_BHW)[:, None].float(), side).mean(1).flatten().numpy()
        found, which, count = _unique(np.ascontiguousarray(patches.numpy()), np.ones(len(moved)))
        keys.append(found)
        counts.append(count)
        moving.append(np.bincount(which, moved, len(found)))
    every, which, count = _unique(np.concatenate(keys), np.concatenate(counts))
    shares = np.bincount(which, np.concatenate(moving), len(every)) / count
    if len(every) > MOST_DISTINCT:
        kept = np.argsort(-count, kind="stable")[:MOST_DISTINCT]
        every, count, shares = every[kept], count[kept], shares[kept]
    return every, count, shares


def _unique(rows_MP: np.ndarray, weights_M: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct rows, the row each came from, and the summed weights."""
    width = rows_MP.shape[1]
    found, which = np.unique(rows_MP.view(f"V{width}").ravel(), return_inverse=True)
    return found.view(np.uint8).reshape(-1, width), which, np.bincount(which, weights_M, len(found))


def fit_codebook(
    patches_MP: np.ndarray,
    counts_M: np.ndarray,
    moving_M: np.ndarray,
    size: int,
    moving_weight: float,
    seed: int,
    rounds: int = 25,
) -> Tensor:
    """Weighted k-means with farthest-first and sampled starts: float32 (size, P) in [-1, 1].

    A patch weighs the square root of its count, and up to `1 + moving_weight` times that by what moves in it. With no
    more distinct patches than codes every patch is a code, and the codes left over repeat the last one and are never
    chosen.
    """
    points = torch.from_numpy(patches_MP.astype(np.float32)) / 127.5 - 1
    weights = torch.from_numpy(np.sqrt(counts_M) * (1 + moving_weight * moving_M)).float()
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(weights.argmax())]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    for k in range(1, min(size, len(points))):
        worth = distance * weights
        chosen.append(int(worth.argmax()) if k % 2 else int(torch.multinomial(worth + 1e-12, 1, generator=generator)))
        distance = torch.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    codes = points[chosen].clone()
    for _ in range(rounds):
        nearest = torch.cdist(points, codes).argmin(1)
        mass = torch.zeros(len(codes)).index_add_(0, nearest, weights)
        total = torch.zeros_like(codes).index_add_(0, nearest, points * weights[:, None])
        codes = torch.where(mass[:, None] > 0, total / mass[:, None].clamp_min(1e-9), codes)
    return torch.cat([codes, codes[-1:].expand(size - len(codes), -1)])
