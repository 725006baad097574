"""One segment of VPT data, a video and its log, as episodes.

The recorder takes the picture of a tick, then writes the tick's line: line t belongs to frame t and is the action that
leads to frame t+1, which is how the published loader pairs them too. When it stops, it repeats the last frame once, so
a whole video has one frame more than its log has lines; what the last line led to was never filmed. Shape letters as in
``worldlet.records``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worldlet.data.codec import require_av
from worldlet.data.vpt.actions import encode_actions
from worldlet.data.vpt.log import BUTTONS, Tick
from worldlet.records import Episode

WINDOW_HEIGHT = 720
"""Height in pixels of the window that mouse positions are measured in."""
_CURSOR = ((0, 0), (0, 14), (4, 11), (7, 16), (9, 15), (6, 10), (11, 10))  # an arrow's outline, x and y
_TURN = 1.0  # degrees of yaw that count as a turn when the lag is measured


@dataclass(frozen=True)
class Rules:
    """What of a segment becomes episodes."""

    keep_gui: bool = False
    """Keep what happens in menus, with a cursor drawn where the recorder left it out."""
    max_idle: int = 20
    """Actions in which nothing is pressed that may follow each other; what is longer is cut out. -1 keeps all."""
    skip_null: bool = False
    """Leave out every action in which nothing is pressed, as the published loader does; time then jumps."""
    episode_steps: int = 500
    """Actions of an episode at most; longer spans become several."""
    min_steps: int = 16
    """Shorter spans are dropped."""


def spans(ticks: Sequence[Tick | None], rules: Rules, frames: int | None = None) -> list[list[int]]:
    """Return the frames of every episode, the last of each being where its last action leads.

    ``ticks`` are mended; ``frames`` is how many the video has. An action is kept where both its frames are: their
    lines can be read, follow each other (``tick`` rises by one), and show no menu unless ``rules`` keep it.
    """
    count = len(ticks) if frames is None else min(len(ticks), frames)
    shown = [tick is not None and (rules.keep_gui or not tick.gui) for tick in ticks[:count]]
    idle, found, span = 0, list[list[int]](), list[int]()

    def finish() -> None:
        if len(span) > rules.min_steps:
            found.append(list(span))
        span.clear()

    for index in range(count - 1):
        tick, after = ticks[index], ticks[index + 1]
        if not (shown[index] and shown[index + 1] and tick and after and _follows(tick, after)):
            idle = 0
            finish()
            continue
        idle = idle + 1 if tick.null else 0
        if tick.null and rules.skip_null:
            continue  # the frame it led to stands after the last action that did something
        if 0 <= rules.max_idle < idle and not rules.skip_null:
            finish()
            continue
        span[-1:] = [index, index + 1]
        if len(span) > rules.episode_steps:
            finish()
    finish()
    return found


def read_segment(
    video: Path, ticks: Sequence[Tick | None], rules: Rules, frame_size: tuple[int, int]
) -> Iterator[Episode]:
    """Yield the episodes of a segment in order, frames averaged down to ``frame_size`` (H, W), facts but no meta.

    One episode at a time is in memory. ``ticks`` are mended. A video that breaks off gives what lies before that.
    Raises ValueError where it cannot be opened or belongs to another log.
    """
    av = require_av()
    try:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            _check_length(stream.frames, len(ticks))
            pictures = _pictures(av, container, stream)
            yield from _episodes(pictures, spans(ticks, rules, stream.frames or None), ticks, rules, frame_size)
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{video} cannot be read as a video ({error}): delete it and download it again") from error


def camera_lag(ticks: Sequence[Tick | None]) -> int | None:
    """Return by how many lines the mouse runs ahead of the yaw: 0 where line t's mouse turns yaw t into yaw t+1.

    -1 means that the turn shows in line t's own yaw already, 1 that it comes a line later, ``None`` that the log does
    not tell. It is measured, never corrected: whether the pictures lag too, only the pictures show.
    """
    rows = [(tick.dx, tick.yaw) if tick and tick.yaw is not None and not tick.gui else (0.0, np.nan) for tick in ticks]
    dx_T, yaw_T = np.array(rows, np.float64).reshape(-1, 2).T
    turn_T = (np.diff(yaw_T) + 180) % 360 - 180  # of line t: from its own yaw to the next one's
    scores = {}
    for lag in (-1, 0, 1):
        mouse_T = np.roll(dx_T, lag)[: len(turn_T)]
        usable_T = np.isfinite(turn_T) & ((np.abs(turn_T) > _TURN) | (mouse_T != 0))
        usable_T[: max(lag, 0)] = False
        usable_T[len(usable_T) + min(lag, 0) :] = False
        if usable_T.sum() < 8 or not (turn_T[usable_T].std() and mouse_T[usable_T].std()):
            return None
        scores[lag] = float(np.corrcoef(turn_T[usable_T], mouse_T[usable_T])[0, 1])
    best = max(scores, key=lambda lag: scores[lag])
    return best if scores[best] > 0.5 else None


def _follows(tick: Tick, after: Tick) -> bool:
    return tick.tick is None or after.tick is None or after.tick == tick.tick + 1


def _check_length(frames: int, lines: int) -> None:
    """Refuse a video of more frames than the recorder writes; ``frames`` is 0 where the container does not say."""
    if frames > lines + 1:
        raise ValueError(f"the video has {frames} frames but the log {lines} lines: they are not of one segment")


def _pictures(av: Any, container: Any, stream: Any) -> Iterator[Image.Image]:
    try:
        for frame in container.decode(stream):
            yield frame.to_image()
    except av.error.FFmpegError:
        return  # the rest of the video is damaged


def _episodes(
    pictures: Iterator[Image.Image],
    wanted: Sequence[Sequence[int]],
    ticks: Sequence[Tick | None],
    rules: Rules,
    frame_size: tuple[int, int],
) -> Iterator[Episode]:
    """Go through the pictures once; consecutive episodes may share the frame between them."""
    kept: dict[int, NDArray[np.uint8]] = {}
    at, needed = 0, set(index for span in wanted for index in span)
    for span in wanted:
        kept = {index: frame for index, frame in kept.items() if index >= span[0]}
        for picture in pictures:
            if at in needed:
                tick = ticks[at]
                kept[at] = _resized(_with_cursor(picture, tick) if tick and tick.gui else picture, frame_size)
            at += 1
            if at > span[-1]:
                break
        there = [index for index in span if index in kept]
        if len(there) > rules.min_steps:
            yield _episode(np.stack([kept[index] for index in there]), [ticks[index] for index in there])


def _episode(frames_THWC: NDArray[np.uint8], ticks: Sequence[Tick | None]) -> Episode:
    lines = [tick for tick in ticks if tick is not None]
    assert len(lines) == len(frames_THWC)
    pressed_FB = np.array([[name in line.pressed for name in BUTTONS] for line in lines])
    facts: dict[str, NDArray[Any]] = {"buttons": pressed_FB, "gui": np.array([line.gui for line in lines])}
    facts["mouse"] = np.array([(line.dx, line.dy) for line in lines])
    for name in ("hotbar", "yaw", "pitch", "position"):
        rows = [getattr(line, name) for line in lines]
        if None not in rows:
            facts[name] = np.array(rows)
    column = {name: pressed_FB[:-1, BUTTONS.index(name)] for name in BUTTONS}
    wasd_T4 = np.stack([column[name] for name in ("forward", "left", "back", "right")], axis=1)
    dx_T, dy_T = facts["mouse"][:-1].T
    return Episode(frames_THWC, encode_actions(dx_T, dy_T, column["attack"], column["jump"], wasd_T4), facts)


def _resized(picture: Image.Image, frame_size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = frame_size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture.convert("RGB"))


def _with_cursor(picture: Image.Image, tick: Tick) -> Image.Image:
    """Draw an arrow where the mouse is: the recorder films the game's picture, which holds no cursor."""
    if tick.mouse is not None:
        x, y = (round(value * picture.height / WINDOW_HEIGHT) for value in tick.mouse)
        corners = [(x + dx, y + dy) for dx, dy in _CURSOR]
        ImageDraw.Draw(picture).polygon(corners, fill=(255, 255, 255), outline=(0, 0, 0))
    return picture
