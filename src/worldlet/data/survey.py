"""The first look at a video or a folder of pictures: which of its frames to take, how to cut them, their measures.

Shape letters: ``F`` frames of the source, ``T`` frames that are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldlet.data.framing import Box, find_bars, fit, frame_size
from worldlet.data.measures import CHANGE_LEVEL, Measures, measure
from worldlet.data.video import Source, read_frames, read_key_frames, read_times

_LONG_GAP = 0.2
"""Seconds without a new frame after which nobody can tell whether the game stood still or frames were lost."""
_REPEAT_FRAMES = 240
"""First frames of a video in which a regular repeat is looked for."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of one source: ``times_F`` seconds of its frames, ``picked_T`` the numbers of those to take.

    ``margins`` are what is cut from each picture before it is brought to the data set's aspect ratio.
    """

    source: Source
    times_F: NDArray[np.float64]
    picked_T: NDArray[np.int64]
    margins: Box
    size: tuple[int, int]
    fps: float

    def __len__(self) -> int:
        """Return the number of frames T to take."""
        return len(self.picked_T)

    def frames(self, wanted: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.uint8] | None]:
        """Yield the taken frames, or the ``wanted`` ones of them, as uint8 (H, W, 3) of ``size``; None for damaged."""
        for picture in read_frames(self.source, self.picked_T if wanted is None else self.picked_T[wanted]):
            yield None if picture is None else self._framed(picture)

    @property
    def stale_T(self) -> NDArray[np.bool_]:
        """Frames that only repeat the one before because the video shows none for a while, bool (T,)."""
        if len(self) < 2 or self.source.kind == "pictures":
            return np.zeros(len(self), np.bool_)
        gaps_F = np.append(np.diff(self.times_F), 0.0)
        long_F = gaps_F > max(_LONG_GAP, 3 / _rate(self.times_F)[0])
        repeats_T = self.picked_T[1:] == self.picked_T[:-1]
        return np.append(np.zeros(1, np.bool_), repeats_T & long_F[self.picked_T[1:]])

    def _framed(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        height, width = picture.shape[:2]
        try:
            return fit(height, width, self.margins, self.size).apply(picture)
        except ValueError:
            if self.source.kind == "pictures":
                return None  # one picture of another shape among many
            raise

    def measures(self, cache: Path, tell: Callable[[int], None]) -> Measures:
        """Return the measures of all taken frames, from ``cache`` where they are; ``tell`` is called now and then."""
        if not cache.is_file():
            measure(self._counted(tell), self.size).save(cache)
        else:
            tell(len(self))
        return Measures.load(cache)

    def _counted(self, tell: Callable[[int], None]) -> Iterator[NDArray[np.uint8] | None]:
        for frame in self.frames():
            yield frame
            tell(1)


def look_at(source: Source, fps: float, crop: Box, bars: bool, size: tuple[int, int] | int) -> Survey:
    """Return the survey of a source at ``fps`` frames a second; ``size`` is (H, W), or the longer side of any (H, W).

    Raises ValueError for a source without frames, or of another shape than ``size``.
    """
    times_F = read_times(source)
    left, top, right, bottom = crop
    with closing(read_key_frames(source)) as samples:  # type: ignore[type-var]
        first = next(samples, None)
        if first is None:
            raise ValueError(f"{source.name} holds no frames that can be decoded")
        height, width = first.shape[:2]
        if left + right >= width or top + bottom >= height:
            raise ValueError(f"--crop {crop} leaves nothing of a picture of {width}x{height} pixels")
        inner = (f[top : f.shape[0] - bottom, left : f.shape[1] - right] for f in chain([first], samples))
        found = find_bars(inner) if bars else (0, 0, 0, 0)
    margins = left + found[0], top + found[1], right + found[2], bottom + found[3]
    if isinstance(size, int):
        size = frame_size(height - margins[1] - margins[3], width - margins[0] - margins[2], size)
    try:
        fit(height, width, margins, size)
    except ValueError as error:
        raise ValueError(f"{source.name}: {error}") from error
    picked_T = np.arange(len(times_F)) if source.kind == "pictures" else pick(times_F, fps)
    return Survey(source, times_F, picked_T, margins, size, fps)


def pick(times_F: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Return which frames to take for a steady ``fps``: all of a video that has it, else one for each tick of it.

    That is the frame shown at the tick, or the next if it comes within half a usual frame's time: never a later one.
    """
    if len(times_F) < 2:
        return np.zeros(len(times_F), np.int64)
    rate, steady = _rate(times_F)
    if steady and abs(fps / rate - 1) < 0.01:
        return np.arange(len(times_F))
    ticks_T = np.arange(int(times_F[-1] * fps + 1e-6) + 1) / fps
    after_T = np.searchsorted(times_F, ticks_T).clip(1, len(times_F) - 1)
    soon_T = times_F[after_T] - ticks_T < np.minimum(0.5 / rate, ticks_T - times_F[after_T - 1])
    return np.where(soon_T, after_T, after_T - 1).astype(np.int64)


def own_rate(source: Source) -> float:
    """Return the frames a second at which a video's picture changes: its frame rate, less regular repeats of frames."""
    times_F = read_times(source)
    if len(times_F) < 2:
        return 30.0
    rate, _ = _rate(times_F)
    frames = read_frames(source, range(min(len(times_F), _REPEAT_FRAMES)))
    whole = (frame for frame in frames if frame is not None)
    changed_F = np.array([_differ(earlier, later) for earlier, later in pairwise(whole)], np.bool_)
    return round(rate / repeat_period(changed_F), 3)


def _rate(times_F: NDArray[np.float64]) -> tuple[float, bool]:
    """Return frames a second, and whether they are steady but for the rounding of their times."""
    gaps = np.diff(times_F)
    mean = float(gaps.mean())
    if np.abs(gaps - mean).max() < 0.5 * mean:
        return 1 / mean, True
    middle = np.sort(gaps)[(len(gaps) - 1) // 2]  # one of them: between two of them there may be none
    usual = gaps[np.abs(gaps - middle) <= 0.25 * middle]  # a mean, because times are rounded
    return 1 / max(float(usual.mean()), 1e-3), False


def _differ(some_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8]) -> bool:
    # Every pixel is looked at: a picture that scrolls by one shows nothing new to every fourth.
    return bool((np.maximum(some_HWC, other_HWC) - np.minimum(some_HWC, other_HWC)).max() > CHANGE_LEVEL)


def repeat_period(changed_F: NDArray[np.bool_]) -> int:
    """Return every how many frames the picture changes where it does so regularly (2 to 4), else 1."""
    at = np.flatnonzero(changed_F)
    for period in (4, 3, 2):
        if len(at) >= 8 and np.bincount(at % period).max() >= 0.98 * len(at):
            return period
    return 1
