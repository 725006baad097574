"""Drift over time: when a dream leaves what the real game shows, and in what.

Each window of 60 frames of a play (`eval.looks`) is held against the windows of *other* real plays in the same
theme: every figure has a band in which the real game lies. The horizon is the first departure that lasts. The real
game's own runs are held against the same bands, so that bands that are too narrow give themselves away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import pictures
from worldlet.eval.bench import Bench, figure
from worldlet.eval.intervals import mean_figure
from worldlet.eval.looks import WINDOW, Window

SUSTAINED = 3
"""A departure counts once it has lasted for so many windows: six seconds at 30 frames a second."""
SLACK = 0.5
"""A band reaches beyond the real game's least and most by this share of what lies between them."""
FLOORS = {
    "theme": 0.2, "hero": 0.2, "sharpness": 1.0, "hero_sharpness": 4.0, "moving": 0.02, "colours": 0.05,
    "token_entropy": 0.3, "ground": 8.0, "coin": 2.0, "spike": 2.0, "enemy": 1.0,
}  # fmt: skip
"""What is looked at, and by how much a band reaches beyond the real game's least and most at least, in its own unit."""
FILLED = ("sharpness", "token_entropy")
"""What a picture of a game has some of, nearly always."""
POOREST = 0.05
"""The share of the real game's windows that may have less."""
SHOWN = 10
"""Frames of a film strip."""


class Watched(NamedTuple):
    """One run that was looked at: its theme, its windows, and how many frames it took."""

    theme: str
    windows: Sequence[Window]
    frames: int


class Judged(NamedTuple):
    """What became of one run: its measures in each window against the bands, and when it departed in what."""

    scores: dict[str, list[float | None]]
    departed: dict[str, int]
    frames: int

    @property
    def horizon(self) -> int:
        """Frames until the first lasting departure; all frames where there is none."""
        return min(self.departed.values(), default=self.frames)


def figures(
    bench: Bench,
    dreamed: Sequence[Watched],
    real: Sequence[Watched],
    copied: Sequence[Watched],
    plays: Sequence[Watched],
    name: str = "drift",
) -> dict[str, Any]:
    """Return the horizons, in seconds, of dreams, of the real game and of a picture that stands still.

    ``dreamed[i]``, ``real[i]`` and ``copied[i]`` began at the same frame; each is held against ``plays`` and the other
    real runs, never against its own twin. ``departed``: for each measure the share of runs that left its band for good
    and when the first of them did. A run that never departs counts with its length. Units of intervals: runs.
    ``name`` begins the names of the pictures.
    """
    judged: dict[str, list[Judged]] = {"": [], "real_": [], "copy_": []}
    for place, runs in enumerate(zip(dreamed, real, copied, strict=True)):
        others = [*plays, *(run for n, run in enumerate(real) if n != place)]
        for prefix, run in zip(judged, runs, strict=True):
            judged[prefix].append(judge(run, others))
    fps = bench.engine.manifest.fps
    for title, prefix in (("dream", ""), ("real game", "real_")):
        if any(run.scores for run in judged[prefix]):
            file = f"{name}_{prefix}over_time.png"
            pictures.save(_curves(judged[prefix], title, fps), bench.pictures / file)
    return {f"{prefix}horizon_s": _figure(found, fps) for prefix, found in judged.items()}


def judge(run: Watched, others: Sequence[Watched]) -> Judged:
    """Hold the windows of one run against those of other real plays in its theme; of all themes where it has none.

    A run too short for a departure to last is not judged.
    """
    same = [window for play in others if play.theme == run.theme for window in play.windows]
    known = same or [window for play in others for window in play.windows]
    if not known or len(run.windows) < SUSTAINED:
        return Judged({}, {}, run.frames)
    palette_C = np.asarray(np.mean([window.colours_C for window in known], axis=0))
    reference = [
        measures(window, palette_C, max(window.themes, key=window.themes.__getitem__, default="")) for window in known
    ]
    seen = [measures(window, palette_C, run.theme) for window in run.windows]
    scores: dict[str, list[float | None]] = {}
    departed, read = {}, any(window.themes for window in known)
    for name in FLOORS:
        low, high = band([values[name] for values in reference if name in values], name, read)
        scores[name] = [_score(values.get(name), low, high) for values in seen]
        first = first_lasting([score is not None and score > 1 for score in scores[name]])
        if first is not None:
            departed[name] = first * WINDOW
    return Judged(scores, departed, run.frames)


def measures(window: Window, palette_C: NDArray[np.float64], theme: str) -> dict[str, float]:
    """Return all that `FLOORS` names, as far as a window shows it.

    ``theme``: the share of frames read in this theme. ``colours``: the share of pixels whose colours would have to
    change for the palette's histogram (the total variation between them, 0 to 1).
    """
    apart = 0.5 * float(np.abs(window.colours_C - palette_C).sum())
    themes = {"theme": window.themes.get(theme, 0.0)} if window.themes else {}
    return {**themes, "colours": apart, **window.values}


def band(values: Sequence[float], name: str, read: bool = True) -> tuple[float, float]:
    """Return between what a measure may lie, from the real game's values; anything where there are none.

    Where nobody reads the game (``read``), its plays are as unlike as its levels: the slack would reach below nothing,
    and a picture that goes blank or stands still would be in the band. Of what is in nearly every picture (`FILLED`),
    half of what all but the poorest twentieth of the real windows hold is then the least.
    """
    if not values:
        return -np.inf, np.inf
    low, high = min(values), max(values)
    slack = max(FLOORS[name], SLACK * (high - low))
    least = low / 2 if read else float(np.quantile(values, POOREST)) / 2
    if name == "moving":  # a game whose picture always moves must not stand still
        return least, high + slack
    return low - slack if read or name not in FILLED else max(low - slack, least), high + slack


def first_lasting(outside: Sequence[bool]) -> int | None:
    """Return the first window of the first `SUSTAINED` that follow each other outside, or None."""
    for first in range(len(outside) - SUSTAINED + 1):
        if all(outside[first : first + SUSTAINED]):
            return first
    return None


def _score(value: float | None, low: float, high: float) -> float | None:
    """Return how far a value lies from its band's middle: 1 at the band's edge, None where nothing was seen."""
    if value is None or not np.isfinite(low):
        return None
    half = (high - low) / 2
    return abs(value - (low + high) / 2) / half if half > 0 else float(value != low) * 2


def _figure(runs: Sequence[Judged], fps: float) -> dict[str, Any]:
    """Return the mean horizon in seconds and what was departed from."""
    known = [run for run in runs if run.scores]
    departed = {}
    for name in FLOORS:
        frames = [run.departed[name] for run in known if name in run.departed]
        if frames:
            departed[name] = figure(len(frames) / len(known), len(known), first_s=min(frames) / fps)
    return mean_figure(
        [[run.horizon / fps] for run in known],
        frames=max((run.frames for run in known), default=0),
        runs=[round(run.horizon / fps, 2) for run in known],
        lasted=sum(not run.departed for run in known),
        departed=departed,
    )


def _curves(runs: Sequence[Judged], name: str, fps: float) -> Any:
    """Draw how far each measure lies from the real game over time, mean over runs; 100 is the edge of its band."""
    length = max(len(scores) for run in runs for scores in run.scores.values())
    chosen = np.unique(np.linspace(0, length - 1, min(length, 10)).astype(int))
    lines = {}
    for measure in FLOORS:
        by_window = [[run.scores[measure][w] for run in runs if w < len(run.scores.get(measure, ()))] for w in chosen]
        means = [[score for score in scores if score is not None] for scores in by_window]
        if any(means):
            lines[measure] = [100 * min(3.0, float(np.mean(scores))) if scores else None for scores in means]
    seconds = [round((int(w) + 1) * WINDOW / fps) for w in chosen]
    return pictures.curves(seconds, lines, f"{name}: distance from the real game (%), 100 is the band's edge; seconds")
