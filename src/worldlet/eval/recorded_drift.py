"""Drift of worlds whose game nobody reads: recorded actions go on and on, and the pictures are held against real ones.

What an eye sees without knowing the game can be judged: sharpness, motion, colours, and how rich the tokens are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import horizon, pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench
from worldlet.eval.drift import FILM_EVERY, FILM_FRAMES, SHOWN, FrozenPicture
from worldlet.eval.gold import CONTEXT
from worldlet.eval.horizon import SUSTAINED, Watched
from worldlet.eval.looks import WINDOW, Looks
from worldlet.eval.real import Play, Playable
from worldlet.eval.recorded import RecordedSuite

Film = list[NDArray[np.uint8]]


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    return len(_starts(_suite(bench), bench.size.drift)) * (CONTEXT + _frames(bench))


def why_not(suite: RecordedSuite) -> str:
    """Return why drift cannot be judged by these plays, ``""`` where it can."""
    lengths = sorted(len(play.actions) for play in suite.watched)
    needed = CONTEXT + SUSTAINED * WINDOW
    if lengths[-1] < needed or len(lengths) < 2 or lengths[-2] < CONTEXT + WINDOW:
        return (
            f"the held-out plays are too few or too short: it takes one of at least {needed} actions, and another of "
            f"{CONTEXT + WINDOW}"
        )
    return ""


def measure(bench: Bench) -> dict[str, Any]:
    """Let dreams go on from early in the longest held-out plays, under their actions and then those of other plays.

    ``horizon_s``: see `eval.horizon`; the real game is all held-out plays of the suite and more, as recorded, and no
    dream goes on for longer than the longest of them. ``real_horizon_s``: the play itself from there on, as long as it
    lasts. ``copy_horizon_s``: its picture at the start, standing still. Units of intervals: runs.
    """
    suite = _suite(bench)
    real = list(ahead(partial(_recorded, bench), suite.watched))
    starts = _starts(suite, bench.size.drift)
    dreams: list[Watched] = []
    copies: list[Watched] = []
    for number, (dream, film, frozen) in enumerate(ahead(partial(_runs, bench, starts), range(len(starts)))):
        dreams.append(dream)
        copies.append(frozen)
        if number == 0:
            _show(bench, list(starts[0].frames_THWC[CONTEXT:]), film)
    begun = [play.level_seed for play in starts]
    others = [watched for number, watched in enumerate(real) if number not in begun]
    return horizon.figures(bench, dreams, [real[number] for number in begun], copies, others)


def stream(suite: RecordedSuite, play: Play, frames: int) -> list[int]:
    """Return so many actions: those of a play from its start on, and then those of the plays after it, in turn."""
    place, actions = play.level_seed, list(play.actions[CONTEXT:])
    while len(actions) < frames:
        place = (place + 1) % len(suite.watched)
        actions += suite.watched[place].actions
    return actions[:frames]


def _suite(bench: Bench) -> RecordedSuite:
    assert isinstance(bench.suite, RecordedSuite), "a frozen suite has a player who reads"
    return bench.suite


def _frames(bench: Bench) -> int:
    """Return how long dreams go on."""
    return min(bench.size.drift_frames, max(len(play.actions) for play in _suite(bench).watched) - CONTEXT)


def _starts(suite: RecordedSuite, wanted: int) -> list[Play]:
    """Return the longest plays, since only those say how the real game fares."""
    return sorted(suite.watched, key=lambda play: (-len(play.actions), play.level_seed))[:wanted]


def _recorded(bench: Bench, play: Play) -> Watched:
    """Look along a recorded play, from where a dream of it would begin."""
    looks, frames_THWC = Looks(bench.encode), play.frames_THWC[CONTEXT:]
    for t in range(1, len(frames_THWC)):
        looks.follow(t, frames_THWC[t - 1], frames_THWC[t], None)
    return Watched(play.theme, looks.windows, len(frames_THWC) - 1)


def _runs(bench: Bench, starts: list[Play], number: int) -> tuple[Watched, Film, Watched]:
    """Return a dream that was looked at, its frames where it is the first, and the picture that stands still."""
    play = starts[number]
    actions = stream(_suite(bench), play, _frames(bench))
    dream = bench.dream(play, CONTEXT, number)
    bench.tick(CONTEXT)
    dreamed, film = _run(dream, bench, actions, play.theme, number == 0)
    standing = replace(bench, tick=lambda n: None)
    frozen, _ = _run(FrozenPicture(play.frames_THWC[CONTEXT]), standing, actions, play.theme, False)
    return dreamed, film, frozen


def _run(session: Playable, bench: Bench, actions: list[int], theme: str, filmed: bool) -> tuple[Watched, Film]:
    looks, before = Looks(bench.encode), session.frame
    film = [before] if filmed else []
    for t, action in enumerate(actions, 1):
        frame = session.step(action).frame
        looks.follow(t, before, frame, None)
        before = frame
        bench.tick(1)
        if filmed:
            film.append(frame)
    return Watched(theme, looks.windows, len(actions)), film


def _show(bench: Bench, real: Film, dreamed: Film) -> None:
    """Draw the first run as film strips and, as long as the recorded play lasts, as a GIF beside it."""
    places = [n * (len(dreamed) - 1) // SHOWN for n in range(SHOWN + 1)]
    rows = [[film[place] for place in places if place < len(film)] for film in (real, dreamed)]
    pictures.save(pictures.strips(rows, ["real", "dreamed"]), bench.pictures / "drift_strip.png")
    pairs = list(zip(real, dreamed, strict=False))[::FILM_EVERY][:FILM_FRAMES]
    pictures.save_film(pairs, bench.pictures / "drift.gif", max(1, bench.engine.manifest.fps // FILM_EVERY))
