"""Drift over minutes: the closed-loop player plays on and on, and every window is held against the real game.

Full suite only: ten minutes of play, dreamed and real. Each run is kept as soon as it is done, so that an interrupted
suite repeats at most one of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from worldlet.eval import horizon
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench
from worldlet.eval.drift import FrozenPicture, real_session, run, save_strip, seen_along
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.horizon import Watched
from worldlet.eval.looks import Window
from worldlet.eval.real import Playable


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams, of the real game and of a picture that stands still."""
    return len(bench.suite.drift[: bench.size.horizon]) * (CONTEXT + 3 * bench.size.horizon_frames)


def measure(bench: Bench) -> dict[str, Any]:
    """Let the player of `eval.drift` play the first runs for minutes; see `eval.horizon` for ``horizon_s``."""
    plays = [watched for _, watched in seen_along(bench)]
    runs: dict[str, list[Watched]] = {"dream": [], "real": [], "copy": []}
    jobs = [(who, seed) for seed in range(len(bench.suite.drift[: bench.size.horizon])) for who in runs]
    for (who, _), watched in zip(jobs, ahead(partial(_watched, bench), jobs), strict=True):
        runs[who].append(watched)
    return horizon.figures(bench, runs["dream"], runs["real"], runs["copy"], plays, "long_drift")


def _watched(bench: Bench, job: tuple[str, int]) -> Watched:
    """Return one run, from what an interrupted suite has left of it where it has."""
    who, seed = job
    entry = bench.suite.drift[seed]
    windows = bench.keep(f"long_drift_{who}_{seed}", partial(_play, bench, who, entry, seed))["windows"]
    theme = bench.suite.replay(entry).theme
    return Watched(theme, [Window.from_json(window) for window in windows], bench.size.horizon_frames)


def _play(bench: Bench, who: str, entry: GoldPlay, seed: int) -> dict[str, Any]:
    """Play one run to its end and return its windows; of the first, dreamed and real, a film strip is drawn."""
    bench.tick(CONTEXT if who == "dream" else 0)
    played = run(bench, _open(bench, who, entry, seed), seed, bench.size.horizon_frames)
    if seed == 0 and who != "copy":
        save_strip(bench, f"long_drift_{who}.png", {who: played})
    return {"windows": [window.to_json() for window in played.windows]}


def _open(bench: Bench, who: str, entry: GoldPlay, seed: int) -> Playable:
    if who == "real":
        return real_session(bench, entry)
    play = bench.suite.replay(entry)
    return bench.dream(play, entry.start, seed) if who == "dream" else FrozenPicture(play.frames_THWC[entry.start])
