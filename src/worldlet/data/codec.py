"""An episode as bytes and back, without losing a bit: its frames beside its actions, facts and meta.

Episodes become the members of a webdataset sample: frames, ``actions.npy``, ``facts.npz`` and ``meta.json``. Frames are
kept in whichever of two forms is smaller. Drawn games repeat themselves exactly, often many frames apart, and a
dictionary coder finds that: ``frames.npy.xz`` is a numpy file in an xz stream, which any tool unpacks. Filmed pictures
never repeat exactly and are smaller as ``mp4``: H.264 in RGB at quantiser zero, since no colour may be subsampled.
``benchmarks/shard_encodings.py`` compares them.
"""

from __future__ import annotations

import io
import json
import lzma
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.records import Episode, check_frames

XZ, H264 = "xz", "h264"
FRAME_MEMBERS = {XZ: "frames.npy.xz", H264: "mp4"}
"""The extension that frames have in a sample, by encoding."""
GROUP_OF_PICTURES = 16
"""Every 16th frame of an mp4 is a key frame, so a reader may seek to any clip of that length."""
BITS = ".bits"
"""Suffix of facts that are masks of a whole frame; they are stored as packed bits."""
_TRIAL_FRAMES = 32  # enough to tell drawn pictures from filmed ones
_CLEARLY_DRAWN = 16  # no filmed picture packs so well, and the trial of H.264 takes longer than all the rest of it
_XZ_PRESET = 1  # preset 3 saves another fifth and takes half as long again


def encode_episode(episode: Episode, encoding: str | None = None) -> dict[str, bytes]:
    """Return the members of an episode's sample by extension, the same bytes for the same episode.

    ``encoding`` is ``xz`` or ``h264``; the one that suits the episode's frames where none is given.
    """
    fps = float(episode.meta.get("fps", 30))
    encoding = choose_encoding(episode.frames_THWC) if encoding is None else encoding
    if encoding not in FRAME_MEMBERS:
        raise ValueError(f"there is no encoding {encoding!r}: choose one of {', '.join(FRAME_MEMBERS)}")
    frames = pack_frames(episode.frames_THWC) if encoding == XZ else encode_frames(episode.frames_THWC, fps)
    return {
        FRAME_MEMBERS[encoding]: frames,
        "actions.npy": _array_bytes(episode.actions_T),
        "facts.npz": _facts_bytes(episode.facts, episode.frames_THWC.shape[1:3]),
        "meta.json": json.dumps(episode.meta, indent=1, sort_keys=True).encode(),
    }


def decode_episode(members: Mapping[str, bytes]) -> Episode:
    """Return the episode of a sample's members; ValueError where one is missing or does not fit the others."""
    packed = FRAME_MEMBERS[XZ] in members
    needed = (FRAME_MEMBERS[XZ if packed else H264], "actions.npy", "facts.npz", "meta.json")
    missing = [name for name in needed if name not in members]
    if missing:
        raise ValueError(f"the sample lacks {', '.join(missing)}")
    frames = (unpack_frames if packed else decode_frames)(members[needed[0]])
    actions = np.load(io.BytesIO(members["actions.npy"]), allow_pickle=False)
    facts = decode_facts(members["facts.npz"], frames.shape[1:3])
    return Episode(frames, actions, facts, json.loads(members["meta.json"]))


def choose_encoding(frames_THWC: NDArray[np.uint8]) -> str:
    """Return the encoding that makes the first of some frames smaller; xz untried against H.264 where it is small."""
    trial = frames_THWC[:_TRIAL_FRAMES]
    packed = len(pack_frames(trial))
    if packed * _CLEARLY_DRAWN <= trial.nbytes:
        return XZ
    return XZ if packed <= len(encode_frames(trial, 30.0)) else H264


def pack_frames(frames_THWC: NDArray[np.uint8]) -> bytes:
    """Return uint8 RGB frames as a numpy file in an xz stream."""
    check_frames(frames_THWC)
    array = _array_bytes(np.ascontiguousarray(frames_THWC))
    return lzma.compress(array, lzma.FORMAT_XZ, lzma.CHECK_CRC32, _XZ_PRESET)


def unpack_frames(packed: bytes) -> NDArray[np.uint8]:
    """Return the frames of an xz stream, uint8 (T, H, W, 3); ValueError where the bytes are none."""
    try:
        frames: NDArray[np.uint8] = np.load(io.BytesIO(lzma.decompress(packed, lzma.FORMAT_XZ)), allow_pickle=False)
        check_frames(frames)
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise ValueError(f"the frames cannot be unpacked ({error})") from error
    return frames


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
