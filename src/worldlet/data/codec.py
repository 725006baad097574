"""An episode as bytes and back, without losing a bit: its frames beside its actions, facts and meta.

Episodes become the members of a webdataset sample: frames, ``actions.npy``, ``facts.npz`` and ``meta.json``. Frames are
kept in one of two forms, the smaller one where it matters. Drawn games repeat themselves exactly, often many frames
apart, and a dictionary coder finds that: ``frames.npy.zst`` is a numpy file in a Zstandard frame, which any tool
unpacks. Filmed pictures never repeat exactly and are smaller as ``mp4``: H.264 in RGB at quantiser zero, since no
colour may be subsampled. ``benchmarks/shard_encodings.py`` compares them. Recordings of earlier versions hold
``frames.npy.xz``, which is smaller and takes far longer to write; it is read, and no longer written.
"""

from __future__ import annotations

import importlib
import io
import json
import lzma
import math
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.records import Episode, check_frames

ZSTD, XZ, H264 = "zstd", "xz", "h264"
FRAME_MEMBERS = {ZSTD: "frames.npy.zst", XZ: "frames.npy.xz", H264: "mp4"}
"""The extension that frames have in a sample, by encoding."""
WRITTEN = (ZSTD, H264)
"""The encodings that episodes are written in."""
GROUP_OF_PICTURES = 16
"""Every 16th frame of an mp4 is a key frame, so a reader may seek to any clip of that length."""
BITS = ".bits"
"""Suffix of facts that are masks of a whole frame; they are stored as packed bits."""
_CLEARLY_DRAWN = 2.5  # where Zstandard comes to this, H.264, which takes 14 to 25 times as long, is not tried
_ZSTD_LEVEL = 3  # level 5 saves a tenth to a sixth and takes twice as long
_FACTS_LEVEL = 1  # level 6, numpy's own, takes twice as long: 39 bytes a frame of the platformer instead of 64


def encode_episode(episode: Episode, encoding: str | None = None) -> dict[str, bytes]:
    """Return the members of an episode's sample by extension, the same bytes for the same episode.

    ``encoding`` is ``zstd`` or ``h264``; where none is given, the first if it comes to a 2.5th, else the smaller one.
    """
    if encoding is not None and encoding not in WRITTEN:
        raise ValueError(f"there is no encoding {encoding!r}: choose one of {', '.join(WRITTEN)}")
    frames = b"" if encoding == H264 else pack_frames(episode.frames_THWC)
    clearly_drawn = len(frames) * _CLEARLY_DRAWN <= episode.frames_THWC.nbytes
    if encoding == H264 or (encoding is None and not clearly_drawn):
        video = encode_frames(episode.frames_THWC, float(episode.meta.get("fps", 30)))
        if encoding == H264 or len(video) < len(frames):
            encoding, frames = H264, video
    encoding = encoding or ZSTD
    return {
        FRAME_MEMBERS[encoding]: frames,
        "actions.npy": _array_bytes(episode.actions_T),
        "facts.npz": _facts_bytes(episode.facts, episode.frames_THWC.shape[1:3]),
        "meta.json": json.dumps(episode.meta, indent=1, sort_keys=True).encode(),
    }


def decode_episode(members: Mapping[str, bytes]) -> Episode:
    """Return the episode of a sample's members; ValueError where one is missing or does not fit the others."""
    encoding = next((name for name in (ZSTD, XZ) if FRAME_MEMBERS[name] in members), H264)
    needed = (FRAME_MEMBERS[encoding], "actions.npy", "facts.npz", "meta.json")
    missing = [name for name in needed if name not in members]
    if missing:
        raise ValueError(f"the sample lacks {', '.join(missing)}")
    stored = members[FRAME_MEMBERS[encoding]]
    frames = decode_frames(stored) if encoding == H264 else unpack_frames(stored, encoding)
    actions = np.load(io.BytesIO(members["actions.npy"]), allow_pickle=False)
    facts = decode_facts(members["facts.npz"], frames.shape[1:3])
    return Episode(frames, actions, facts, json.loads(members["meta.json"]))


def pack_frames(frames_THWC: NDArray[np.uint8]) -> bytes:
    """Return uint8 RGB frames as a numpy file in a Zstandard frame with a checksum."""
    check_frames(frames_THWC)
    frames, head = np.ascontiguousarray(frames_THWC), io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(frames))
    compressor = require("zstandard").ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    stream = compressor.compressobj(size=head.tell() + frames.nbytes)  # in one piece, the frames would be copied twice
    return b"".join((stream.compress(head.getvalue()), stream.compress(frames.data), stream.flush()))


def unpack_frames(packed: bytes, encoding: str = ZSTD) -> NDArray[np.uint8]:
    """Undo ``pack_frames``, or the xz of earlier versions: uint8 (T, H, W, 3); ValueError where the bytes are none."""
    zstandard = require("zstandard")
    try:
        if encoding == XZ:
            array = lzma.decompress(packed, lzma.FORMAT_XZ)
        else:
            array = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
        frames: NDArray[np.uint8] = np.load(io.BytesIO(array), allow_pickle=False)
        check_frames(frames)
    except (lzma.LZMAError, zstandard.ZstdError, EOFError, ValueError) as error:
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
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, rows in stored.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # of 1980, so that the bytes follow from the facts alone
            archive.writestr(entry, _array_bytes(rows), zipfile.ZIP_DEFLATED, _FACTS_LEVEL)
    return buffer.getvalue()


def _array_bytes(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def require_av() -> Any:
    """Return PyAV; ImportError that names the extra where it is not installed."""
    return require("av")


def require_encoders() -> None:
    """Make sure that episodes can be written in every encoding, before anything is; ImportError as below."""
    for name in ("av", "zstandard", "xxhash"):
        require(name)


def require(name: str) -> Any:
    """Return a package that recording and reading need; ImportError that names the extra where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"Recording and reading video needs the package {name}, which the training extra brings: "
            "pip install 'worldlet[train]' (for capturing alone: 'worldlet[capture]')"
        ) from error
