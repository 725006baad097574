"""Write frames as a picture that moves: GIF, MP4 (with PyAV), or a PNG strip. Pixels stay pixels: no dithering."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.manifest import atomic_path
from worldlet.records import check_frames

PALETTE_COLOURS = 256
PALETTE_SAMPLES = 64
STRIP_FRAMES = 16
STRIP_COLUMNS = 8


class Film(ABC):
    """A film being written; ``open_film`` gives one."""

    def __init__(self, path: Path, fps: int, scale: int) -> None:
        self.frames = 0
        self._path = path
        self._fps = fps
        self._scale = scale

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame, uint8 (H, W, 3); all have the same size."""
        check_frames(frame, dimensions=3)
        self._add(frame)
        self.frames += 1

    @abstractmethod
    def _add(self, frame: NDArray[np.uint8]) -> None: ...

    @abstractmethod
    def finish(self) -> None:
        """Write what is still to be written."""

    @abstractmethod
    def abandon(self) -> None:
        """Let go of the file without finishing it."""

    def _enlarged(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame.repeat(self._scale, axis=0).repeat(self._scale, axis=1)


@contextmanager
def open_film(path: str | Path, fps: int, scale: int = 1) -> Iterator[Film]:
    """Give a film to add frames to; ``path`` appears, whole, when the block ends without an exception.

    The suffix decides: ``.gif``, ``.mp4`` (lossless; needs PyAV) or ``.png`` (up to 16 frames, evenly spaced).
    ``fps`` is in frames a second; ``scale`` enlarges every pixel to a square of that size. Raises ValueError.
    """
    path = Path(path)
    kinds: dict[str, type[Film]] = {".gif": GifFilm, ".mp4": Mp4Film, ".png": PngStrip}
    if path.suffix.lower() not in kinds:
        raise ValueError(f"{path} must end in {', '.join(kinds)}: the suffix says what to write")
    if fps < 1 or scale < 1:
        raise ValueError(f"fps and scale must be at least 1, not {fps} and {scale}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        film = kinds[path.suffix.lower()](temporary, fps, scale)
        try:
            yield film
            if not film.frames:
                raise ValueError(f"no frame was added to {path}")
            film.finish()
        except BaseException:
            film.abandon()
            raise


def track_steps(steps: int, what: str) -> Iterator[int]:
    """Count the steps of a film, with a bar on a terminal (on standard error) and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown: Iterable[int] = track(range(steps), what, console=console) if console.is_terminal else range(steps)
    yield from shown


class _KeptFilm(Film):
    """Keeps the frames, lightly compressed, until all have been seen."""

    def __init__(self, path: Path, fps: int, scale: int) -> None:
        super().__init__(path, fps, scale)
        self._kept: list[bytes] = []
        self._shape: tuple[int, ...] = ()

    def abandon(self) -> None:
        """Nothing to let go of: the file is opened only at the end."""

    def _add(self, frame: NDArray[np.uint8]) -> None:
        if self._kept and frame.shape != self._shape:
            raise ValueError(f"all frames of a film have one shape: {self._shape}, not {frame.shape}")
        self._shape = frame.shape
        self._kept.append(zlib.compress(frame.tobytes(), level=1))

    def _frame(self, index: int) -> NDArray[np.uint8]:
        return np.frombuffer(zlib.decompress(self._kept[index]), np.uint8).reshape(self._shape)

    def _sample(self, count: int) -> list[int]:
        """Return up to ``count`` indices, evenly spaced from the first frame to the last."""
        return sorted(set(np.linspace(0, self.frames - 1, min(count, self.frames)).round().astype(int).tolist()))


class GifFilm(_KeptFilm):
    """A GIF with one palette for all frames, exact where they have at most 256 colours together."""

    def finish(self) -> None:
        """Choose the palette, then write all frames with it."""
        palette = self._palette()
        first, *others = (self._quantized(index, palette) for index in range(self.frames))
        # GIF counts in hundredths of a second: rounding the running total keeps the mean rate right.
        ticks = [round(100 * index / self._fps) for index in range(self.frames + 1)]
        durations = [10 * (after - before) for before, after in zip(ticks[:-1], ticks[1:], strict=True)]
        first.save(self._path, save_all=True, append_images=others, duration=durations, loop=0, optimize=False)

    def _palette(self) -> Image.Image:
        colours = np.unique(np.concatenate([self._colours(index) for index in range(self.frames)]))
        if len(colours) <= PALETTE_COLOURS:
            pixels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
            palette = Image.new("P", (1, 1))
            palette.putpalette(pixels.tobytes())
            return palette
        rows = np.concatenate([self._frame(index) for index in self._sample(PALETTE_SAMPLES)])
        return Image.fromarray(rows).quantize(PALETTE_COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)

    def _colours(self, index: int) -> NDArray[np.uint32]:
        red, green, blue = np.moveaxis(self._frame(index).astype(np.uint32), -1, 0)
        return np.unique(red << 16 | green << 8 | blue)

    def _quantized(self, index: int, palette: Image.Image) -> Image.Image:
        image = Image.fromarray(self._frame(index)).quantize(palette=palette, dither=Image.Dither.NONE)
        size = (image.width * self._scale, image.height * self._scale)
        return image.resize(size, Image.Resampling.NEAREST)


class Mp4Film(Film):
    """A lossless H.264 film in RGB: chroma subsampling would smear pixel art."""

    def __init__(self, path: Path, fps: int, scale: int) -> None:
        super().__init__(path, fps, scale)
        try:
            import av
        except ImportError as error:
            raise ValueError("writing .mp4 needs PyAV: pip install 'worldlet[video]', or write a .gif") from error
        self._av = av
        self._container: Any = None

    def _add(self, frame: NDArray[np.uint8]) -> None:
        frame = self._enlarged(frame)
        if self._container is None:
            self._container = self._av.open(str(self._path), "w")
            self._stream = self._container.add_stream("libx264rgb", rate=Fraction(self._fps))
            self._stream.height, self._stream.width = frame.shape[:2]
            self._stream.pix_fmt = "rgb24"
            self._stream.options = {"crf": "0", "preset": "fast"}
        elif frame.shape[:2] != (self._stream.height, self._stream.width):
            raise ValueError(f"all frames of a film have one shape: this one has {frame.shape}")
        self._container.mux(self._stream.encode(self._av.VideoFrame.from_ndarray(frame, format="rgb24")))

    def finish(self) -> None:
        """Flush the encoder and close the file."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Close the file; it is about to be removed."""
        if self._container is not None:
            self._container.close()


class PngStrip(_KeptFilm):
    """Up to 16 frames, evenly spaced, in rows of eight from left to right."""

    def finish(self) -> None:
        """Lay the chosen frames out and write the picture."""
        chosen = self._sample(STRIP_FRAMES)
        columns = min(STRIP_COLUMNS, len(chosen))
        height, width, _ = self._shape
        sheet = np.zeros((-(-len(chosen) // columns) * height, columns * width, 3), np.uint8)
        for place, index in enumerate(chosen):
            top, left = place // columns * height, place % columns * width
            sheet[top : top + height, left : left + width] = self._frame(index)
        Image.fromarray(self._enlarged(sheet)).save(self._path)
