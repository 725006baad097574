"""How many different frames, or patches of frames, a data set holds, counted in a few kilobytes.

Pictures are hashed to 64 bits, and of all hashes seen only the ``KEPT`` least are kept. Fewer than that are counted
exactly; more are estimated from how densely they lie, with a standard error of 1 / sqrt(KEPT), about 3 % (the "k
minimum values" of Bar-Yossef et al. 2002). Sketches of parts merge into the sketch of the whole, in any order.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import require

KEPT = 1024
"""Hashes that a sketch keeps at most."""
HASH = "xxh3_64"
"""The name of the hash, by which sketches made otherwise are told apart."""
PATCH = 8
"""Width and height of a patch in pixels."""
SAMPLED = 32
"""One frame in so many gives its patches, the first of every episode among them."""


def frame_hashes(frames_THWC: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a hash of every frame, (T,)."""
    return hash_rows(frames_THWC.reshape(len(frames_THWC), -1))


def patch_hashes(frames_THWC: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a hash of every whole patch of every frame, (T * (H // 8) * (W // 8),)."""
    count, height, width, colours = frames_THWC.shape
    down, across = height // PATCH, width // PATCH
    whole = frames_THWC[:, : down * PATCH, : across * PATCH]
    tiles = whole.reshape(count, down, PATCH, across, PATCH, colours).swapaxes(2, 3)
    return hash_rows(tiles.reshape(count * down * across, -1))


def sketch(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the least of the different hashes, sorted, ``KEPT`` at most."""
    return np.unique(hashes)[:KEPT]


def merge_sketches(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """Return the sketch of what several sketches saw together."""
    return sketch(np.concatenate([*parts, np.empty(0, np.uint64)]))


def count_distinct(kept: NDArray[np.uint64]) -> int:
    """Return how many different pictures the sketch has seen: exactly below ``KEPT``, else an estimate."""
    if len(kept) < KEPT:
        return len(kept)
    return round((KEPT - 1) / (float(kept[-1]) + 1.0) * 2.0**64)


def write_sketch(kept: NDArray[np.uint64]) -> str:
    """Return a sketch as base64 text."""
    return base64.b64encode(kept.astype("<u8").tobytes()).decode("ascii")


def read_sketch(text: str) -> NDArray[np.uint64]:
    """Undo ``write_sketch``; ValueError where the text is damaged."""
    try:
        return np.frombuffer(base64.b64decode(text, validate=True), "<u8").astype(np.uint64)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the coverage of a shard is damaged ({error}): record the data set again") from error


def hash_rows(rows_NB: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of every row of bytes, uint64 (N,), the same on every machine: XXH3."""
    digest = require("xxhash").xxh3_64_intdigest
    return np.fromiter((digest(row) for row in np.ascontiguousarray(rows_NB)), np.uint64, len(rows_NB))
