"""Drift: does a dream stay the game while a player runs through it, long after the last real frame?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import horizon, pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.horizon import Watched
from worldlet.eval.intervals import mean_figure, ratio_interval
from worldlet.eval.laws import LawBook, Laws
from worldlet.eval.looks import EVERY, Looks, Window
from worldlet.eval.odometer import TILE, Odometer
from worldlet.eval.real import Play, Playable, RealSession
from worldlet.eval.terrain import FEATURES, TerrainCount, per_hundred
from worldlet.records import StepResult

WINDOW, PRESENT = 30, 0.8
"""The hero and the theme must be read in this fraction of the trailing frames, or the run ends where they were lost."""
FILM_EVERY, FILM_FRAMES = 2, 150
"""The GIF shows every second frame of the first run."""
SHOWN = 10
"""Frames of a run in the film strip, after its first."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams and of the real game."""
    runs = len(bench.suite.drift[: bench.size.drift])
    return runs * (CONTEXT + 2 * bench.size.drift_frames)


def measure(bench: Bench) -> dict[str, Any]:
    """Let the same closed-loop player, who sees only pixels, play dream and real game from the same frames.

    ``survived``: the distance covered in the dream over that in the real game, at most 1 a run, averaged over runs.
    ``terrain``: per feature, how often it scrolled into the dream over how often into the real game (in these runs
    and in the gold plays, by the same reader), with the standard error of that ratio over runs. ``copy_survived``: what
    a picture that stands still covers, by the same code. ``horizon_s``: see `eval.horizon`. Units of intervals: runs.
    """
    shares: list[list[float]] = []
    real_shares: list[list[float]] = []
    copied: list[list[float]] = []
    distances: list[list[int]] = []
    dreamed_terrain: list[TerrainCount] = []
    seen = seen_along(bench)
    real_terrain = [terrain for terrain, _ in seen]
    plays = [watched for _, watched in seen]
    watched: dict[str, list[Watched]] = {name: [] for name in ("dream", "real", "copy")}
    standing, laws = 0, LawBook(bench)
    entries = bench.suite.drift[: bench.size.drift]
    for seed, (play, dream, real, frozen) in enumerate(ahead(partial(_play, bench), enumerate(entries))):
        dreamed_terrain.append(dream.terrain)
        real_terrain.append(real.terrain)
        if seed == 0:
            film = list(zip(real.film, dream.film, strict=True))
            pictures.save_film(film, bench.pictures / "drift.gif", bench.engine.manifest.fps // FILM_EVERY)
        for name, one in (("dream", dream), ("real", real), ("copy", frozen)):
            watched[name].append(Watched(play.theme, one.windows, bench.size.drift_frames))
            laws.add(name, one.laws.tally())
        covered = [dream.distance(play.theme), real.distance(play.theme)]
        distances.append(covered)
        if seed == 0:
            save_strip(bench, "drift_strip.png", {"real": real, "dreamed": dream})
        if covered[1] <= 0:
            standing += 1
            continue
        shares.append([min(1.0, covered[0] / covered[1])])
        real_shares.append([min(1.0, distance / covered[1]) for distance in covered[1:]])
        copied.append([min(1.0, frozen.distance(play.theme) / covered[1])])
    terrain = {name: _compare(name, dreamed_terrain, real_terrain) for name in FEATURES}
    pairs = {name: (ratio["dreamed"], ratio["real"]) for name, ratio in terrain.items()}
    chart = pictures.bars(pairs, ("dreamed", "real"), "per 100 new columns")
    pictures.save(chart, bench.pictures / "terrain.png")
    laws.keep("drift")
    return {
        "survived": mean_figure(
            shares, frames=bench.size.drift_frames, worst=min((share for share, in shares), default=None),
            runs=[round(share, 4) for share, in shares], pixels=distances, real_stood_still=standing,
        ),
        "real_survived": mean_figure(real_shares),
        "copy_survived": mean_figure(copied),
        **horizon.figures(bench, watched["dream"], watched["real"], watched["copy"], plays),
        "terrain": terrain,
    }  # fmt: skip


def _play(bench: Bench, numbered: tuple[int, GoldPlay]) -> tuple[Play, Run, Run, Run]:
    """Return the play up to one start, and the runs from there: the dream's, the real game's, the still picture's."""
    seed, entry = numbered
    play = bench.suite.replay(entry)
    real = run(bench, real_session(bench, entry), seed)
    dream = run(bench, bench.dream(play, entry.start, seed), seed)
    frozen = run(replace(bench, tick=lambda n: None), FrozenPicture(play.frames_THWC[entry.start]), seed)
    bench.tick(CONTEXT)
    return play, dream, real, frozen


@dataclass
class Run:
    """What was read along one run: per frame the furthest x so far, whether the hero was found, and the theme.

    ``film`` holds frames for the GIF, ``strip`` for the film strip.
    """

    furthest: list[int]
    found: list[bool]
    themes: list[str]
    terrain: TerrainCount
    film: list[Any]
    laws: Laws
    windows: list[Window] = field(default_factory=list)
    strip: list[Any] = field(default_factory=list)

    def distance(self, theme: str) -> int:
        """Return the pixels covered until the hero or the theme was lost.

        In every full window of 30 frames both must be read in 80 % of the frames; the first window in which they are
        not ends the run at the window's first frame.
        """
        kept = np.array(self.found) & (np.array(self.themes) == theme)
        end = len(kept) - 1
        for first in range(max(1, len(kept) - WINDOW + 1)):
            if kept[first : first + WINDOW].mean() < PRESENT:
                end = first
                break
        return self.furthest[end] - self.furthest[0]


class FrozenPicture:
    """A dream that repeats one frame: the baseline of whoever copies."""

    def __init__(self, frame_HWC: NDArray[np.uint8]) -> None:
        self.frame = frame_HWC

    def step(self, action: int) -> StepResult:
        """Return the same frame whatever is done."""
        return StepResult(self.frame)

    def fork(self) -> FrozenPicture:
        """Return itself: nothing in it ever changes."""
        return self


def run(bench: Bench, session: Playable, seed: int, frames: int = 0) -> Run:
    """Let the closed-loop player play a session, real or dreamed, and read every frame (of as many as `Size` says)."""
    frames = frames or bench.size.drift_frames
    player = bench.eyes.player(seed)
    frame = session.frame
    reading = bench.eyes.read(frame)
    odometer, terrain = Odometer(reading), TerrainCount()
    terrain.begin(reading)
    looks = Looks(bench.encode)
    laws, found = Laws(reading), odometer.hero_x is not None
    record = Run([odometer.furthest], [found], [reading.theme], terrain, [frame], laws, looks.windows, [frame])
    for t in range(1, frames + 1):
        action = player.act(reading)
        before, frame = frame, session.step(action).frame
        if not np.array_equal(frame, before):
            reading = bench.eyes.read(frame)
        looks.follow(t, before, frame, reading)
        if t % max(1, frames // SHOWN) == 0:
            record.strip.append(frame)
        columns = odometer.follow(reading)
        terrain.reveal(reading, columns)
        laws.follow(action, reading, columns)
        record.furthest.append(odometer.furthest)
        record.found.append(odometer.hero_x is not None)
        record.themes.append(reading.theme)
        if t % FILM_EVERY == 0 and len(record.film) < FILM_FRAMES:
            record.film.append(frame)
        bench.tick(1)
    return record


def save_strip(bench: Bench, file: str, runs: dict[str, Run]) -> None:
    """Draw runs as film strips, a row each, from their first frame to their last."""
    pictures.save(pictures.strips([run.strip for run in runs.values()], list(runs)), bench.pictures / file)


def _compare(name: str, dreamed: list[TerrainCount], real: list[TerrainCount]) -> dict[str, Any]:
    """Return the ratio of a feature's rates, dreamed over real, and its standard error."""
    (seen, seen_error), (wanted, wanted_error) = per_hundred(dreamed, name), per_hundred(real, name)
    ratio = error = None
    if seen is not None and wanted:
        ratio = seen / wanted
        if seen_error is not None and wanted_error is not None:
            error = math.hypot(seen_error, ratio * wanted_error) / wanted
    sums = [[(run.counts[name], run.columns) for run in runs] for runs in (dreamed, real)]
    return figure(
        ratio, sum(run.columns for run in dreamed), standard_error=error,
        dreamed=seen, real=wanted, real_columns=sum(run.columns for run in real),
        interval=None if ratio is None else ratio_interval(*sums), units=len(dreamed),
    )  # fmt: skip


def seen_along(bench: Bench) -> list[tuple[TerrainCount, Watched]]:
    """Count what scrolls into view in every gold play, and look at it."""
    return list(ahead(partial(_seen_along, bench), bench.suite.plays))


def _seen_along(bench: Bench, entry: GoldPlay) -> tuple[TerrainCount, Watched]:
    """Read one gold play; where the camera moved is known, so few frames need reading."""
    play = bench.suite.replay(entry)
    frames_THWC, camera_T = play.frames_THWC, play.camera_x
    terrain, looks = TerrainCount(), Looks(bench.encode)
    terrain.begin(bench.eyes.read(frames_THWC[0]))
    for t in range(1, len(frames_THWC)):
        scrolled = int(camera_T[t] - camera_T[t - 1])
        if not scrolled and t % EVERY:
            continue
        reading = bench.eyes.read(frames_THWC[t])
        terrain.reveal(reading, scrolled // TILE)
        looks.follow(t, frames_THWC[t - 1], frames_THWC[t], reading)
    return terrain, Watched(play.theme, looks.windows, len(play.actions))


def real_session(bench: Bench, entry: GoldPlay) -> RealSession:
    """Return the real game where an entry's actions end."""
    session = RealSession(bench.suite.env_id, entry.level_seed)
    for action in entry.actions[: entry.start]:
        session.step(action)
    return session
