"""Snapshots: a session's whole future as bytes. Reading them runs nothing and trusts nothing.

Layout: ``WLSNAP``, the version (2 bytes, big endian), the SHA-256 of the rest (32 bytes), then one msgpack map:
``world`` (the world's identity), ``name``, ``seed``, ``index``, ``start`` (a map), and ``data``: zlib over the
little-endian bytes of tokens (uint32), frame (uint8), prompt (float32) and the state in the order of ``world.json``.
The frame is stored too, since decoding its tokens in another graph need not give the very same pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from typing import Any

import msgpack  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from worldlet.engine.moment import Moment, SessionData, SessionStart
from worldlet.engine.noise import check_seed
from worldlet.manifest import WorldManifest

MAGIC = b"WLSNAP"
VERSION = 1
HEAD = len(MAGIC) + 2
DIGEST = 32
DAMAGED = "the snapshot is damaged or incomplete: save it again"


class SnapshotError(ValueError):
    """Bytes that are no snapshot, a damaged one, or one of another world."""


def pack(manifest: WorldManifest, data: SessionData) -> bytes:
    """Write a session down; its size does not grow with the session's age."""
    moment = data.moment
    arrays: list[NDArray[Any]] = [moment.tokens_N, moment.frame, data.prompt_D]
    arrays += [moment.state[spec.name] for spec in manifest.state]
    layout = _layout(manifest)
    raw = b"".join(array.astype(dtype).tobytes() for array, (dtype, _) in zip(arrays, layout, strict=True))
    body = msgpack.packb(
        {
            "world": manifest.identity,
            "name": manifest.name,
            "seed": data.seed,
            "index": moment.index,
            "start": dataclasses.asdict(data.start),
            "data": zlib.compress(raw, level=1),
        }
    )
    return MAGIC + VERSION.to_bytes(2, "big") + hashlib.sha256(body).digest() + body


def unpack(manifest: WorldManifest, snapshot: bytes) -> SessionData:
    """Read what ``pack`` wrote for this same world; SnapshotError says why it cannot be."""
    fields = _fields(snapshot)
    if fields.get("world") != manifest.identity:
        raise SnapshotError(
            f"the snapshot is of another world, {fields.get('name')!r}: load that world to restore it, "
            f"this one is {manifest.name!r}"
        )
    try:
        seed, index = check_seed(fields["seed"]), check_seed(fields["index"])
        start = _start(**fields["start"])
        tokens, frame, prompt, *state = _arrays(manifest, fields["data"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise SnapshotError(DAMAGED) from error
    if tokens.max() >= manifest.codebook_size:
        raise SnapshotError(DAMAGED)
    names = [spec.name for spec in manifest.state]
    moment = Moment(index, tokens.astype(np.int64), frame, dict(zip(names, state, strict=True)))
    return SessionData(seed, moment, prompt, start)


def _fields(snapshot: bytes) -> dict[str, Any]:
    """Check head and checksum and return the msgpack map."""
    if not isinstance(snapshot, bytes | bytearray | memoryview) or bytes(snapshot[: len(MAGIC)]) != MAGIC:
        raise SnapshotError("these bytes are no Worldlet snapshot: pass what session.snapshot() returned")
    snapshot = bytes(snapshot)
    version = int.from_bytes(snapshot[len(MAGIC) : HEAD], "big")
    if version != VERSION:
        raise SnapshotError(f"the snapshot has version {version} and this Worldlet reads version {VERSION}")
    digest, body = snapshot[HEAD : HEAD + DIGEST], snapshot[HEAD + DIGEST :]
    if hashlib.sha256(body).digest() != digest:
        raise SnapshotError(DAMAGED)
    try:
        fields = msgpack.unpackb(body)
    except ValueError as error:
        raise SnapshotError(DAMAGED) from error
    if not isinstance(fields, dict):
        raise SnapshotError(DAMAGED)
    return fields


def _start(caption: Any, theme: Any, level_seed: Any, chosen: Any) -> SessionStart:
    words = isinstance(chosen, str) and isinstance(caption, str | None) and isinstance(theme, str | None)
    if not words or not isinstance(level_seed, int | None):
        raise SnapshotError(DAMAGED)
    return SessionStart(caption, theme, level_seed, chosen)


def _arrays(manifest: WorldManifest, data: bytes) -> list[NDArray[Any]]:
    layout = _layout(manifest)
    sizes = [np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, shape in layout]
    # Never unpack more than the world's own arrays need, whatever the bytes claim.
    raw = zlib.decompressobj().decompress(data, sum(sizes) + 1)
    if len(raw) != sum(sizes):
        raise SnapshotError(DAMAGED)
    arrays, offset = [], 0
    for (dtype, shape), size in zip(layout, sizes, strict=True):
        array = np.frombuffer(raw[offset : offset + size], dtype).reshape(shape)
        arrays.append(array.astype(array.dtype.newbyteorder("=")))
        offset += size
    return arrays


def _layout(manifest: WorldManifest) -> list[tuple[str, tuple[int, ...]]]:
    kinds = {"float16": "<f2", "float32": "<f4"}
    return [
        ("<u4", (manifest.tokens,)),
        ("u1", (*manifest.frame_size, 3)),
        ("<f4", (manifest.prompt_width,)),
        *((kinds[spec.dtype], spec.shape) for spec in manifest.state),
    ]
