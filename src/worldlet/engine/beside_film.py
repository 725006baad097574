"""The film of a dream beside reality: both pictures under a thin label bar, and below them how far they are apart."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worldlet.engine.beside import HELD_OUT_SEEDS, Beside, GameOpener, Pair
from worldlet.engine.engine import Engine, load
from worldlet.engine.film import open_film, track_steps
from worldlet.engine.players import make_player

GROUND, LINE, QUIET, TEXT = (18, 20, 27), (48, 53, 68), (160, 166, 182), (236, 234, 228)
PSNR_COLOUR, HERO_COLOUR = (255, 194, 74), (110, 190, 255)
PANEL_WIDTH = 256
"""Pixels that a picture is enlarged to at least, unless a scale is given."""
GAP, BAR, GUTTER, HEADING = 8, 20, 24, 18
FONT_SIZE = 12


@dataclass(frozen=True)
class Axis:
    """One strip of the curve: its name, the values at its foot and at its top, those with a line, its height."""

    name: str
    least: float
    most: float
    ticks: tuple[float, ...]
    height: int
    colour: tuple[int, int, int]

    def y(self, value: float) -> int:
        """Return the row of a value, counted from the strip's top; values beyond the axis lie on its edge."""
        share = (min(max(value, self.least), self.most) - self.least) / (self.most - self.least)
        return round((1 - share) * (self.height - 1))


PSNR_AXIS = Axis("PSNR, dB", 10, 50, (20, 30, 40), 64, PSNR_COLOUR)
HERO_AXIS = Axis("hero off by, pixels (32 or more at the top)", 0, 32, (16,), 34, HERO_COLOUR)


class Sheet:
    """Lays out one film: ``add`` takes the pairs in order and returns the picture of each, uint8 (H', W', 3)."""

    def __init__(self, frame_size: tuple[int, int], steps: int, scale: int, with_hero: bool) -> None:
        height, width = frame_size
        self._scale = scale
        self._panel = (width * scale, height * scale)
        self._axes = (PSNR_AXIS, HERO_AXIS) if with_hero else (PSNR_AXIS,)
        self._per_step = (2 * width * scale + GAP - 1 - GUTTER) / steps
        self._font = ImageFont.load_default(FONT_SIZE)
        self._tops, foot = [], BAR + height * scale
        for axis in self._axes:
            self._tops.append(foot + HEADING)
            foot += HEADING + axis.height
        self._image = Image.new("RGB", (2 * width * scale + GAP, foot + 4), GROUND)
        self._draw_axes()
        self._count = 0
        self._last: list[tuple[int, int] | None] = [None] * len(self._axes)

    def add(self, pair: Pair) -> NDArray[np.uint8]:
        """Draw one pair and the next stretch of the curve; return the whole picture."""
        left, right = (Image.fromarray(frame).resize(self._panel, Image.Resampling.NEAREST) for frame in
                       (pair.real, pair.dream))  # fmt: skip
        self._image.paste(left, (0, BAR))
        self._image.paste(right, (self._panel[0] + GAP, BAR))
        self._draw_labels(pair)
        x = GUTTER + round(self._count * self._per_step)
        if pair.event == "start" and self._count:
            for axis, top in zip(self._axes, self._tops, strict=True):
                ImageDraw.Draw(self._image).line([(x, top), (x, top + axis.height)], QUIET)
            self._last = [None] * len(self._axes)
        for place, value in enumerate((pair.psnr_db, pair.hero_pixels)[: len(self._axes)]):
            self._extend(place, x, value)
        self._count += 1
        return np.asarray(self._image).copy()

    def _extend(self, place: int, x: int, value: float | None) -> None:
        """Draw one curve on to ``value``; where there is none, it is interrupted."""
        axis, before = self._axes[place], self._last[place]
        self._last[place] = None if value is None else (x, self._tops[place] + axis.y(value))
        after = self._last[place]
        if after is not None:
            ImageDraw.Draw(self._image).line([before or after, after], axis.colour, width=2)

    def _draw_axes(self) -> None:
        draw = ImageDraw.Draw(self._image)
        for axis, top in zip(self._axes, self._tops, strict=True):
            for tick in axis.ticks:
                y = top + axis.y(tick)
                draw.line([(GUTTER, y), (self._image.width, y)], LINE)
                draw.text((GUTTER - 5, y), f"{tick:g}", QUIET, self._font, anchor="rm")
            draw.text((GUTTER, top - HEADING // 2), axis.name, axis.colour, self._font, anchor="lm")

    def _draw_labels(self, pair: Pair) -> None:
        draw = ImageDraw.Draw(self._image)
        draw.rectangle([0, 0, self._image.width, BAR - 1], GROUND)
        middle, dream_left = BAR // 2, self._panel[0] + GAP
        draw.text((2, middle), "real", TEXT, self._font, anchor="lm")
        draw.text((dream_left + 2, middle), "dream", TEXT, self._font, anchor="lm")
        figures = f"frame {pair.age}   {pair.psnr_db:.1f} dB"
        if pair.hero_lost:
            figures += "   hero lost"
        elif pair.hero_pixels is not None:
            figures += f"   hero {pair.hero_pixels:.0f} px off"
        room = self._panel[0] - 4 - draw.textlength("dream  ", self._font)
        if draw.textlength(figures, self._font) > room:  # a small screen: the curves below say the rest
            figures = f"{pair.psnr_db:.0f} dB"
        draw.text((self._image.width - 2, middle), figures, QUIET, self._font, anchor="rm")


@dataclass(frozen=True)
class BesideSummary:
    """What came of it: the file, its frames, steps a second in both games together, and how the dream held up.

    ``psnr_db`` and ``hero_pixels`` are the middle ones of all frames; ``hero_lost`` counts frames without a hero in the
    dream while the real one was in the picture; ``levels`` counts the real levels played.
    """

    path: Path
    frames: int
    fps: float
    psnr_db: float
    hero_pixels: float | None
    hero_lost: int
    levels: int

    def __str__(self) -> str:
        told = f"{self.path}: {self.frames} frames of {self.levels} level{'s' * (self.levels > 1)}, "
        told += f"{self.fps:.0f} a second; dream against reality: median PSNR {self.psnr_db:.1f} dB"
        if self.hero_pixels is not None:
            told += f", hero median {self.hero_pixels:.0f} pixels off, not found in {self.hero_lost} frames"
        return told


def film_beside(
    world: Engine | str | Path,
    steps: int = 300,
    seed: int = HELD_OUT_SEEDS.start,
    out: str | Path = "beside.gif",
    player: str | Path = "auto",
    theme: str | None = None,
    scale: int | None = None,
    open_game: GameOpener | None = None,
) -> BesideSummary:
    """Play the real game of a world for ``steps`` frames, dream beside it, and film both into ``out``.

    ``world`` is an engine or what ``worldlet.load`` takes; ``seed`` that of the real level, ``theme`` limits it where
    the game has themes. ``player`` sees the real frames: ``auto``, ``scripted``, ``random`` or a JSON file of actions.
    ``scale`` enlarges the pixels. The same seed gives the same film. Raises ValueError, and then nothing is written.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    engine = world if isinstance(world, Engine) else load(world)
    manifest = engine.manifest
    act = make_player(player, manifest, seed)
    beside = Beside(engine, open_game)
    try:
        pair = beside.restart(seed, theme)
        pairs, busy_seconds = [_figures(pair)], 0.0
        width = manifest.frame_size[1]
        sheet = Sheet(manifest.frame_size, steps, scale or -(-PANEL_WIDTH // width), beside.knows_hero)
        with open_film(out, manifest.fps) as film:
            film.add(sheet.add(pair))
            for _ in track_steps(steps, "playing and dreaming"):
                began = time.perf_counter()
                pair = beside.step(act(pair.real))
                busy_seconds += time.perf_counter() - began
                pairs.append(_figures(pair))
                film.add(sheet.add(pair))
    finally:
        beside.close()
    off = [pixels for _, pixels, _, _ in pairs if pixels is not None]
    return BesideSummary(
        path=Path(out),
        frames=film.frames,
        fps=steps / busy_seconds,
        psnr_db=float(np.median([db for db, _, _, _ in pairs])),
        hero_pixels=float(np.median(off)) if off else None,
        hero_lost=sum(lost for _, _, lost, _ in pairs),
        levels=sum(event == "start" for _, _, _, event in pairs),
    )


def _figures(pair: Pair) -> tuple[float, float | None, bool, str]:
    return pair.psnr_db, pair.hero_pixels, pair.hero_lost, pair.event
