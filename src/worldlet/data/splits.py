"""Which frames of videos go to training, validation and testing, so that no near-duplicate stands on two sides.

A game in a video has no levels to hold out. Whole videos, or spans with a guard around them, are held out instead, and
a held-out frame that looks like any frame of training is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldlet.data.spans import runs

HELD_OUT = ("val", "test")
_CHUNK = 2048


@dataclass(frozen=True)
class Piece:
    """Frames ``first`` up to but without ``stop`` of a source, by its place in the list, and their split."""

    source: int
    first: int
    stop: int
    split: str = "train"

    def __len__(self) -> int:
        return self.stop - self.first


def hold_out_sources(kept: Sequence[NDArray[np.bool_]], fractions: dict[str, float], seed: int) -> list[str]:
    """Return the split of each source, whole videos drawn by ``seed`` until each split has its part of the frames."""
    frames = np.array([keep_T.sum() for keep_T in kept])
    order = np.random.default_rng([seed, 11]).permutation(len(kept)).tolist()
    splits = ["train"] * len(kept)
    for split, fraction in fractions.items():
        held = 0
        while fraction and held < fraction * frames.sum() and len(order) > 1:
            taken = order.pop()
            splits[taken], held = split, held + frames[taken]
    return splits


def hold_out_spans(
    kept: Sequence[NDArray[np.bool_]], fractions: dict[str, float], seed: int, length: int, guard: int, least: int
) -> list[Piece]:
    """Cut what is kept of each source into pieces of up to ``length`` frames and hold some out, drawn by ``seed``.

    Frames of training within ``guard`` frames of a held-out piece of the same source are left out, and so are those of
    testing near validation. Little material is held out in shorter pieces of at least ``least`` frames.
    """
    total = int(sum(keep_T.sum() for keep_T in kept))
    wanted = [fraction for fraction in fractions.values() if fraction]
    length = max(least, min(length, round(total * min(wanted)))) if wanted else max(least, length)
    pieces = [
        Piece(source, begin, min(begin + length, stop))
        for source, keep_T in enumerate(kept)
        for first, stop in runs(keep_T)
        for begin in range(first, stop, length)
    ]
    order = np.random.default_rng([seed, 12]).permutation(len(pieces)).tolist()
    order = [place for place in order if len(pieces[place]) >= length // 2]  # scraps stay in training
    for split, fraction in fractions.items():
        held = 0
        while fraction and held < 0.8 * fraction * total and len(order) > 1:
            place = order.pop()
            pieces[place] = Piece(pieces[place].source, pieces[place].first, pieces[place].stop, split)
            held += len(pieces[place])
    return _guarded(kept, pieces, min(guard, length))


def _guarded(kept: Sequence[NDArray[np.bool_]], pieces: list[Piece], guard: int) -> list[Piece]:
    result = []
    for source, keep_T in enumerate(kept):
        taken_T = np.zeros(len(keep_T), np.bool_)
        for split in (*HELD_OUT, "train"):
            mine_T, near_T = np.zeros((2, len(keep_T)), np.bool_)
            for piece in (piece for piece in pieces if (piece.source, piece.split) == (source, split)):
                mine_T[piece.first : piece.stop] = True
                near_T[max(0, piece.first - guard) : piece.stop + guard] = True
            result += [Piece(source, first, stop, split) for first, stop in runs(mine_T & ~taken_T)]
            taken_T |= near_T
    return sorted(result, key=lambda piece: (piece.source, piece.first))


def drop_repeats(pieces: Sequence[Piece], likeness: Sequence[NDArray[np.uint8]], level: int) -> list[Piece]:
    """Cut out of held-out pieces every frame that is like a frame of training, or of another held-out split.

    ``likeness`` holds, for each source, uint8 (T, G). Two frames are alike as `worldlet.data.spans` has it: no cell
    differs by more than ``level``.
    """
    known = [likeness[piece.source][piece.first : piece.stop] for piece in pieces if piece.split == "train"]
    result = [piece for piece in pieces if piece.split == "train"]
    for split in HELD_OUT:
        mine = [piece for piece in pieces if piece.split == split]
        seen = np.concatenate(known) if known else np.empty((0, 256), np.uint8)
        for piece in mine:
            fresh_T = ~repeats(likeness[piece.source][piece.first : piece.stop], seen, level)
            result += [Piece(piece.source, piece.first + a, piece.first + b, split) for a, b in runs(fresh_T)]
        known += [likeness[piece.source][piece.first : piece.stop] for piece in mine]
    return sorted(result, key=lambda piece: (piece.source, piece.first))


def repeats(some_TG: NDArray[np.uint8], others_UG: NDArray[np.uint8], level: int) -> NDArray[np.bool_]:
    """Return which of ``some`` frames are like any of the ``others``, bool (T,)."""
    like_T = np.zeros(len(some_TG), np.bool_)
    coarse_U = _coarse(others_UG)
    squares_U = (coarse_U**2).sum(1)
    for t, (fine_G, coarse) in enumerate(zip(some_TG.astype(np.int16), _coarse(some_TG), strict=True)):
        # Where no cell differs by more than `level`, no mean over 16 cells does either: a cheap first look.
        distance_U = squares_U - 2 * coarse_U @ coarse + (coarse**2).sum()
        near = np.flatnonzero(distance_U <= len(coarse) * (level + 1) ** 2)
        for start in range(0, len(near), _CHUNK):
            if (np.abs(others_UG[near[start : start + _CHUNK]] - fine_G) <= level).all(1).any():
                like_T[t] = True
                break
    return like_T


def _coarse(likeness_TG: NDArray[np.uint8]) -> NDArray[np.float32]:
    return likeness_TG.reshape(-1, 4, 4, 4, 4).mean((2, 4), dtype=np.float32).reshape(-1, 16)
