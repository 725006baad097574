"""Videos and folders of pictures as sources of frames: what there is, when each frame is shown, and its pixels.

Frames are counted in the order they are shown, from 0, and a frame that cannot be decoded keeps its number, so that an
action log by frame number stays true after a damaged spot. Shape letters: ``F`` frames of a source, ``H W`` pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.data.codec import require_av

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".gif", ".mov", ".m4v", ".avi")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Source:
    """One video, or one folder of pictures in the order of their names; ``name`` is relative to what was given."""

    name: str
    kind: Literal["video", "pictures"]
    files: tuple[Path, ...]


def find_sources(path: Path | str) -> list[Source]:
    """Return the videos of a file or folder, else its folders of pictures, in natural order of their names.

    Raises ValueError where there is nothing to read, or videos and pictures lie together.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise ValueError(f"{root} does not exist: give a video, or a folder of videos or of pictures")
    files = [root] if root.is_file() else sorted((f for f in root.rglob("*") if f.is_file()), key=_natural)
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [file for file in files if file.suffix.lower() in PICTURE_SUFFIXES]
    if videos and pictures:
        raise ValueError(f"{root} holds videos and pictures: prepare each kind from a folder of its own")
    if not videos and not pictures:
        known = " ".join(VIDEO_SUFFIXES + PICTURE_SUFFIXES)
        raise ValueError(f"{root} holds no video and no picture (known: {known})")
    base = root.parent if root.is_file() else root
    if videos:
        return [Source(file.relative_to(base).as_posix(), "video", (file,)) for file in videos]
    folders = dict.fromkeys(file.parent for file in pictures)
    return [
        Source(folder.relative_to(base).as_posix(), "pictures", tuple(f for f in pictures if f.parent == folder))
        for folder in folders
    ]


def read_times(source: Source) -> NDArray[np.float64]:
    """Return when each frame is shown, in seconds from the first, float64 (F,); pictures are one second apart.

    Reads no pixels. Raises ValueError for a file that is no video or holds no frames.
    """
    if source.kind == "pictures":
        return np.arange(len(source.files), dtype=np.float64)
    with _opened(source) as (container, stream):
        stamps = _stamps(container, stream)
        rate, base = stream.average_rate or stream.guessed_rate or 30, stream.time_base
    if not len(stamps):
        raise ValueError(f"{source.name} holds no frames")
    seconds = np.arange(len(stamps)) / float(rate) if stamps[0] is None else np.array(stamps) * float(base)
    return np.asarray(seconds - seconds[0], np.float64)


def read_frames(source: Source, wanted: Sequence[int] | NDArray[np.int64]) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the wanted frames, uint8 (H, W, 3) of the file's own size; None for one that is damaged.

    ``wanted`` holds frame numbers, none smaller than the one before it; a number may repeat.
    """
    if source.kind == "pictures":
        yield from (_read_picture(source.files[number]) for number in wanted)
        return
    queue = iter(wanted)
    number = next(queue, None)
    for shown, frame in _decoded(source, 0 if number is None else int(max(wanted))):
        while number is not None and number < shown:
            yield None
            number = next(queue, None)
        if number is None:
            return
        if number == shown:
            pixels: NDArray[np.uint8] | None = None if frame.is_corrupt else frame.to_ndarray(format="rgb24")
            while number == shown:
                yield pixels
                number = next(queue, None)
    while number is not None:
        yield None
        number = next(queue, None)


def read_key_frames(source: Source) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames that can be read without decoding others: the key frames of a video, or every picture."""
    if source.kind == "pictures":
        yield from (frame for file in source.files if (frame := _read_picture(file)) is not None)
        return
    with _opened(source) as (container, stream):
        stream.codec_context.skip_frame = "NONKEY"
        yield from (frame.to_ndarray(format="rgb24") for frame in _decode(container, stream) if not frame.is_corrupt)


def _natural(path: Path) -> list[Any]:
    """Sort key by which frame2 comes before frame10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.as_posix())]


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    av = require_av()
    try:
        container = av.open(str(source.files[0]))
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(f"{source.name} is no readable video ({_short(error)})") from error
    with container:
        if not container.streams.video:
            raise ValueError(f"{source.name} holds no frames: it has no video stream")
        yield container, container.streams.video[0]


def _stamps(container: Any, stream: Any) -> list[Any]:
    """Return the presentation stamps of all frames in order, or that many None where the file has none."""
    av = require_av()
    stamps: list[Any] = []
    with suppress(av.error.FFmpegError):  # the file may end in the middle: what came before is good
        stamps.extend(packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard)
    return [None] * len(stamps) if None in stamps else sorted(set(stamps))


def _decoded(source: Source, last: int) -> Iterator[tuple[int, Any]]:
    """Yield (frame number, decoded frame) in order up to frame ``last``."""
    with _opened(source) as (container, stream):
        stamps = _stamps(container, stream)
    number_of = None if None in stamps else {stamp: number for number, stamp in enumerate(stamps)}
    with _opened(source) as (container, stream):
        stream.thread_type = "AUTO"
        shown = -1
        for frame in _decode(container, stream):
            number = shown + 1 if number_of is None else number_of.get(frame.pts)
            if number is None or number <= shown:
                continue  # a damaged file may give frames that its index does not know
            shown = number
            yield shown, frame
            if shown >= last:
                return


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    av = require_av()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue  # only this packet is lost
        yield from frames


def _read_picture(file: Path) -> NDArray[np.uint8] | None:
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _short(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
