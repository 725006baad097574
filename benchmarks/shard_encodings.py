"""Ways to keep a game's frames without losing a bit, compared on size and speed.

Run it on data folders, and with ``--atari`` on frames of a game that are played on the spot (needs ale-py)::

    python benchmarks/shard_encodings.py data/platformer data/coinrun --atari ALE/Breakout-v5 --frames 2000

Every row was decoded again and was equal to the bit. Times are of one core, by the clock of the process, so that other
work on the machine matters little. Raw is three bytes a pixel. Writes a Markdown table.
"""

from __future__ import annotations

import argparse
import io
import lzma
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from PIL import Image

from worldlet.data.codec import (
    decode_frames,
    encode_episode,
    encode_frames,
    pack_frames,
    require_av,
    unpack_frames,
)
from worldlet.data.shards import ShardWriter, read_episodes, shard_encoding
from worldlet.records import Episode

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Encoding:
    """One way to keep frames: what makes bytes of an episode's frames, and what makes frames of them again."""

    name: str
    encode: Callable[[Frames], bytes]
    decode: Callable[[bytes], Frames]


def x264(preset: str, group: int) -> Callable[[Frames], bytes]:
    """Return an encoder like the package's, with another preset and distance of key frames."""
    return lambda frames: _video(frames, "libx264rgb", "rgb24", "mp4", {"crf": "0", "preset": preset, "bf": "0"}, group)


def ffv1(frames: Frames) -> bytes:
    """FFV1 version 3 with a range coder and the large context model."""
    return _video(frames, "ffv1", "bgr0", "matroska", {"level": "3", "coder": "1", "context": "1"}, len(frames))


def webp(frames: Frames) -> bytes:
    """Every frame a lossless WebP, each behind its length."""
    parts = []
    for frame in frames:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "WEBP", lossless=True, quality=75, method=4)
        parts.append(len(buffer.getvalue()).to_bytes(4) + buffer.getvalue())
    return b"".join(parts)


def from_webp(data: bytes) -> Frames:
    """Undo ``webp``."""
    frames, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        frames.append(np.asarray(Image.open(io.BytesIO(data[at + 4 : at + 4 + size])).convert("RGB")))
        at += 4 + size
    return np.stack(frames)


def as_array(frames: Frames) -> bytes:
    """Return frames as a numpy file."""
    buffer = io.BytesIO()
    np.save(buffer, frames)
    return buffer.getvalue()


def xz(preset: int) -> Callable[[Frames], bytes]:
    """Return an encoder to xz, as earlier versions recorded (preset 1)."""
    return lambda frames: lzma.compress(as_array(frames), preset=preset)


def zstd(level: int) -> Callable[[Frames], bytes]:
    """Return an encoder like the package's with another level."""
    return lambda frames: zstandard.ZstdCompressor(level=level, write_checksum=True).compress(as_array(frames))


def from_xz(data: bytes) -> Frames:
    """Undo ``xz``."""
    return unpack_frames(data, "xz")


def differences(frames: Frames) -> bytes:
    """Pack what changes from frame to frame, as the package packs frames."""
    return pack_frames(np.concatenate([frames[:1], np.diff(frames, axis=0)]))


def from_differences(data: bytes) -> Frames:
    """Undo ``differences``, which wrap around at 256."""
    return np.cumsum(unpack_frames(data), axis=0, dtype=np.uint8)


ENCODINGS = [
    Encoding("H.264 RGB, medium, key frame every 16 (`h264`)", lambda f: encode_frames(f, 30.0), decode_frames),
    Encoding("H.264 RGB, medium, one key frame", x264("medium", 10_000), decode_frames),
    Encoding("H.264 RGB, slower, one key frame", x264("slower", 10_000), decode_frames),
    Encoding("FFV1", ffv1, decode_frames),
    Encoding("WebP, each frame", webp, from_webp),
    Encoding("xz preset 1 (`xz`, until 2026-11-27)", xz(1), from_xz),
    Encoding("xz preset 6", xz(6), from_xz),
    Encoding("Zstandard level 1", zstd(1), unpack_frames),
    Encoding("Zstandard level 3 (`zstd`)", pack_frames, unpack_frames),
    Encoding("Zstandard level 3 of differences", differences, from_differences),
    Encoding("Zstandard level 9", zstd(9), unpack_frames),
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="*", type=Path, help="data folders")
    parser.add_argument("--atari", nargs="*", default=[], help="ids of Atari games to play at random")
    parser.add_argument("--frames", type=int, default=2000, help="frames of each, in whole episodes")
    options = parser.parse_args()
    sources = [(str(folder), read_episodes(folder, "val")) for folder in options.data]
    for game in options.atari:
        # As the screen is, and averaged down to 64x84 as it is recorded.
        sources += [(f"{game}, 160x210", atari(game, None)), (f"{game}, 64x84", atari(game, (64, 84)))]
    print("| frames of | encoding | bytes a frame | of raw | encoded a second | decoded a second |")
    print("|---|---|---|---|---|---|")
    for name, episodes in sources:
        compare(name, list(up_to(episodes, options.frames)))


def compare(name: str, recorded: list[Episode]) -> None:
    """Print a row for each encoding, and one for the shard that the package writes, with all that is in it."""
    episodes = [episode.frames_THWC for episode in recorded]
    frames, raw = sum(map(len, episodes)), sum(episode.nbytes for episode in episodes)
    for encoding in ENCODINGS:
        began = time.process_time()
        encoded = [encoding.encode(episode) for episode in episodes]
        between = time.process_time()
        decoded = [encoding.decode(data) for data in encoded]
        ended = time.process_time()
        assert all(np.array_equal(ours, theirs) for ours, theirs in zip(decoded, episodes, strict=True)), encoding.name
        size = sum(map(len, encoded))
        rates = frames / (between - began), frames / (ended - between)
        print(
            f"| {name}, {frames:,} | {encoding.name} | {size / frames:,.0f} | 1/{raw / size:,.1f} "
            f"| {rates[0]:,.0f} | {rates[1]:,.0f} |",
            flush=True,
        )
    with tempfile.TemporaryDirectory() as folder:
        writer = ShardWriter(Path(folder) / "shard.tar")
        began = time.process_time()
        for index, episode in enumerate(recorded):
            writer.write(f"{index:06d}", encode_episode(episode))
        size = writer.close().bytes
        rate = frames / (time.process_time() - began)
        kind = shard_encoding(writer.path)
    print(
        f"| {name}, {frames:,} | **the shard**: tar, actions, facts, meta; `{kind}` chosen | {size / frames:,.0f} "
        f"| **1/{raw / size:,.1f}** | {rate:,.0f} | |",
        flush=True,
    )


def up_to(episodes: Iterator[Episode], frames: int) -> Iterator[Episode]:
    """Yield whole episodes until there are enough frames."""
    left = frames
    while left > 0 and (episode := next(episodes, None)) is not None:
        yield episode
        left -= len(episode.frames_THWC)


def atari(game: str, size: tuple[int, int] | None) -> Iterator[Episode]:
    """Yield episodes of an Atari game, played by holding random keys for a while, every fourth frame."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    env: Any = gymnasium.make(game, frameskip=4, repeat_action_probability=0.0)
    rng = np.random.default_rng(0)
    for seed in range(1000):
        frame, _ = env.reset(seed=seed)
        frames, actions, action, over = [frame], list[int](), 1, False
        while not over and len(frames) <= 500:
            if rng.random() < 0.2:
                action = int(rng.integers(env.action_space.n))
            frame, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            frames.append(frame)
            actions.append(action)
        stack = np.stack([frame if size is None else _smaller(frame, size) for frame in frames])
        yield Episode(stack, np.array(actions, np.int64), {}, {"episode_id": f"{seed}", "env_id": game, "fps": 15})


def _smaller(frame: Frames, size: tuple[int, int]) -> Frames:
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BOX))


def _video(frames: Frames, codec: str, pixels: str, container: str, options: dict[str, str], group: int) -> bytes:
    av = require_av()
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = pixels, options
        stream.codec_context.gop_size, stream.codec_context.thread_count = group, 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(format=pixels)
            for packet in stream.encode(picture):
                output.mux(packet)
        for packet in stream.encode():
            output.mux(packet)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
