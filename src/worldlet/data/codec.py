"""An episode as bytes and back, without losing a bit: an mp4 beside its actions, facts and meta.

Pixel art survives only where colour is not subsampled, so the video is H.264 in RGB at quantiser zero. Episodes
become the members of a webdataset sample: ``mp4``, ``actions.npy``, ``facts.npz`` and ``meta.json``.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.records import Episode, check_frames

GROUP_OF_PICTURES = 16
"""Every 16th frame is a key frame, so a reader may seek to any clip of that length."""
BITS = ".bits"
"""Suffix of facts that are masks of a whole frame; they are stored as packed bits."""


def encode_episode(episode: Episode) -> dict[str, bytes]:
    """Return the members of an episode's sample by extension, the same bytes for the same episode."""
    return {
        "mp4": encode_frames(episode.frames_THWC, float(episode.meta.get("fps", 30))),
        "actions.npy": _array_bytes(episode.actions_T),
        "facts.npz": _facts_bytes(episode.facts, episode.frames_THWC.shape[1:3]),
        "meta.json": json.dumps(episode.meta, indent=1, sort_keys=True).encode(),
    }


def decode_episode(members: Mapping[str, bytes]) -> Episode:
    """Return the episode of a sample's members; ValueError where one is missing or does not fit the others."""
    missing = [name for name in ("mp4", "actions.npy", "facts.npz", "meta.json") if name not in members]
    if missing:
        raise ValueError(f"the sample lacks {', '.join(missing)}")
    frames = decode_frames(members["mp4"])
    actions = np.load(io.BytesIO(members["actions.npy"]), allow_pickle=False)
    facts = decode_facts(members["facts.npz"], frames.shape[1:3])
    return Episode(frames, actions, facts, json.loads(members["meta.json"]))


def encode_frames(frames_THWC: NDArray[np.uint8], fps: float) -> bytes:
    """Return a lossless mp4 of uint8 RGB frames, one thread, so that the bytes never depend on the machine's cores."""
    check_frames(frames_THWC)
    av = require_av()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264rgb", rate=round(fps) or 1)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.options = {"crf": "0", "preset": "medium", "bf": "0"}
        stream.codec_context.gop_size = GROUP_OF_PICTURES
        stream.codec_context.thread_count = 1
        for frame_HWC in frames_THWC:
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return buffer.getvalue()


def decode_frames(video: bytes) -> NDArray[np.uint8]:
    """Return the frames of an mp4, uint8 (T, H, W, 3); ValueError where the bytes are no such video."""
    av = require_av()
    try:
        with av.open(io.BytesIO(video)) as container:
            stream = container.streams.video[0]
            # A decoder holds one frame back per thread; more than one gains nothing on frames this small.
            stream.codec_context.thread_count = 1
            return np.stack([_rgb(frame) for frame in container.decode(stream)])
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise ValueError(f"the video cannot be decoded ({error})") from error


def decode_facts(archive: bytes, frame_size: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Return the facts of an npz, masks unpacked to bool (T, H, W) for the given frame size."""
    facts = {}
    with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
        for name in arrays.files:
            rows = arrays[name]
            facts[name.removesuffix(BITS)] = unpack_masks(rows, frame_size) if name.endswith(BITS) else rows
    return facts


def pack_masks(masks_THW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack bool masks (T, H, W) to bits, uint8 (T, ceil(H * W / 8))."""
    return np.packbits(masks_THW.reshape(len(masks_THW), math.prod(masks_THW.shape[1:])), axis=1)


def unpack_masks(bits_TB: NDArray[np.uint8], frame_size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Undo ``pack_masks``: bool (T, H, W)."""
    height, width = frame_size
    flat = np.unpackbits(bits_TB, axis=1, count=height * width)
    return flat.reshape(len(bits_TB), height, width).view(np.bool_)


def _rgb(frame: Any) -> NDArray[np.uint8]:
    # Lossless H.264 decodes to planes of green, blue and red, which need no conversion by the scaler.
    pixels: NDArray[np.uint8] = frame.to_ndarray() if frame.format.name == "gbrp" else frame.to_ndarray(format="rgb24")
    return pixels


def _facts_bytes(facts: Mapping[str, NDArray[Any]], frame_size: tuple[int, ...]) -> bytes:
    stored: dict[str, Any] = {}
    for name, rows in facts.items():
        is_mask = rows.dtype == np.bool_ and rows.shape[1:] == tuple(frame_size)
        stored[name + BITS if is_mask else name] = pack_masks(rows) if is_mask else rows
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **stored)
    return buffer.getvalue()


def _array_bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def require_av() -> Any:
    """Return PyAV; ImportError that names the extra where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "Recording and reading video needs the training extra: pip install 'worldlet[train]'"
        ) from error
    return av
