"""Memory: the hero leaves a place, stays away, and comes back. Is it still what he left?

The platformer's camera never goes back, so what has scrolled out is gone for good, in the game as in a dream. What can
be left and come back to is a place on the screen: tiles that the hero walks away from and returns to, a short while or
long after. In the real game not one of them changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.intervals import mean_figure
from worldlet.eval.real import Playable, RealSession, idle_action
from worldlet.eval.scenery import cells, covered, hero_box

AWAY = (16, 32, 64, 128, 256, 512)
"""Frames from leaving to being back."""
LEG = 8
"""Frames of the way there, and of the way back: 16 pixels, further than the hero is wide."""
AROUND = 16
"""Pixels around the hero that belong to his place."""
LEFT, HOME = 8, 4
"""Pixels that he must be away to have left, and may be off to be back."""
SHOWN = 3
"""Outings drawn as film strips."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    return bench.size.memory * _steps(_asked(bench))


def measure(bench: Bench) -> dict[str, Any]:
    """Compare the place where the hero is back with what he left, by frames away, tile by tile as read.

    ``same``: the share of tiles around him that read as they did, 0 where he never left or another theme is read
    (``left`` beside it counts the runs in which he did);
    ``screen``: the same over the whole screen; ``returned``: runs in which he left and is back where he was.
    The same for the real game (``real_``) and a still picture (``copy_``), which nobody leaves. ``score``: the mean of
    ``same`` over all times away. Units of intervals: runs.
    """
    away = _asked(bench)
    seen: dict[str, list[list[Back]]] = {"": [], "real_": [], "copy_": []}
    films: list[list[NDArray[np.uint8]]] = []
    for dreamed, real in ahead(partial(_both, bench, away), enumerate(outings(bench, away))):
        seen[""].append(dreamed)
        seen["real_"].append(real)
        seen["copy_"].append([Back(0.0, 0.0, False, False, [])] * len(away))
        if len(films) < 2 * SHOWN:
            films += [seen[prefix][-1][-1].film for prefix in ("real_", "")]
    bench.tick((bench.size.memory - len(seen[""])) * _steps(away))
    _draw(bench, seen, films, away)
    figures: dict[str, Any] = {}
    for prefix, runs in seen.items():
        for name in ("same", "screen", "returned"):
            by_time = [[[float(getattr(run[k], name))] for run in runs] for k in range(len(away))]
            figures[prefix + name] = {str(t): mean_figure(values) for t, values in zip(away, by_time, strict=True)}
        for k, time in enumerate(away):
            figures[f"{prefix}same"][str(time)]["left"] = sum(run[k].left for run in runs)
        figures[f"{prefix}score"] = mean_figure([[float(np.mean([back.same for back in run]))] for run in runs])
    return figures | {"outings": figure(len(seen[""]), len(bench.suite.control))}


def _both(
    bench: Bench, away: tuple[int, ...], numbered: tuple[int, tuple[GoldPlay, str]]
) -> tuple[list[Back], list[Back]]:
    """Return one outing, dreamed and real."""
    seed, (entry, way) = numbered
    dream = bench.dream(bench.suite.replay(entry), entry.start, seed)
    found = go_and_return(bench, dream, way, away), go_and_return(bench, _real(bench, entry), way, away)
    bench.tick(_steps(away))
    return found


@dataclass(frozen=True)
class Back:
    """What is read when the hero is back, as `measure` says; ``film``: the frames before, out there, and then."""

    same: float
    screen: float
    returned: bool
    left: bool
    film: list[NDArray[np.uint8]]


def outings(bench: Bench, away: tuple[int, ...]) -> Iterator[tuple[GoldPlay, str]]:
    """Yield starts from which the hero, in the real game, can go and come back, and which way he goes first.

    He must stand; the way there must be free, no enemy may come, and the camera must keep still.
    """
    found = 0
    for entry in bench.suite.control:
        for way in ("left", "right"):
            if found < bench.size.memory and _comes_back(_real(bench, entry), _moves(bench, way), away):
                found += 1
                yield entry, way
                break


def go_and_return(bench: Bench, session: Playable, way: str, away: tuple[int, ...]) -> list[Back]:
    """Send the hero off in a session and let copies of it come back after each time away.

    What is left is what the session itself showed last: what the tokenizer loses is no loss of memory.
    """
    there, wait, back = _moves(bench, way)
    first_HWC = frame_HWC = session.frame
    first = bench.eyes.read(first_HWC)
    for _ in range(LEG):
        frame_HWC = session.step(there).frame
    found, gone = [], 2 * LEG
    for time in away:
        for _ in range(time - gone):
            frame_HWC = session.step(wait).frame
        gone = time
        left = _displaced(first, bench.eyes.read(frame_HWC)) >= LEFT
        home, home_HWC = session.fork(), frame_HWC
        for _ in range(LEG):
            home_HWC = home.step(back).frame
        found.append(_compare(first, bench.eyes.read(home_HWC), left, [first_HWC, frame_HWC, home_HWC]))
    return found


def _compare(first: Any, last: Any, left: bool, film: list[NDArray[np.uint8]]) -> Back:
    """Compare what is read at home with what was left, where neither hero nor enemies hide it."""
    if not left or last.theme != first.theme:
        return Back(0.0, 0.0, False, left, film)
    place_hw = np.zeros(first.tiles.shape, dtype=bool)
    columns = cells(hero_box(first.hero, AROUND), place_hw.shape)[1]
    place_hw[:, columns] = True
    open_hw = first.clear & ~covered(first) & ~covered(last)
    same_hw = (first.tiles == last.tiles) & last.clear
    return Back(
        float(same_hw[open_hw & place_hw].mean()), float(same_hw[open_hw].mean()),
        last.hero is not None and _displaced(first, last) <= HOME, left, film,
    )  # fmt: skip


def _displaced(first: Any, last: Any) -> int:
    """Return how many pixels the hero is from where he was; 0 where he cannot be found."""
    return 0 if first.hero is None or last.hero is None else abs(last.hero.x - first.hero.x)


def _comes_back(session: RealSession, moves: tuple[int, int, int], away: tuple[int, ...]) -> bool:
    """Tell whether the real hero lives through all of it, and stands where he stood each time."""
    before = session.info
    there, wait, back = moves
    for _ in range(LEG):
        session.step(there)
    gone_x = abs(session.info["hero_position"][0] - before["hero_position"][0])
    if not before["contacts"][0] or gone_x < LEFT:
        return False
    gone = 2 * LEG
    for time in away:
        for _ in range(time - gone):
            session.step(wait)
        gone, home = time, session.fork()
        for _ in range(LEG):
            home.step(back)
        if any(not np.array_equal(home.info[name], before[name]) for name in ("hero_position", "camera", "deaths")):
            return False
    return True


def _moves(bench: Bench, way: str) -> tuple[int, int, int]:
    """Return the actions that lead there, wait, and lead back."""
    names = list(bench.engine.manifest.action_names)
    other = "right" if way == "left" else "left"
    return names.index(way), idle_action(names), names.index(other)


def _real(bench: Bench, entry: GoldPlay) -> RealSession:
    session = RealSession(bench.suite.env_id, entry.level_seed)
    for action in entry.actions[: entry.start]:
        session.step(action)
    return session


def _asked(bench: Bench) -> tuple[int, ...]:
    return tuple(time for time in AWAY if time <= bench.size.memory_frames)


def _steps(away: tuple[int, ...]) -> int:
    return CONTEXT + max(away, default=0) - LEG + LEG * len(away) if away else 0


def _draw(
    bench: Bench, seen: dict[str, list[list[Back]]], films: list[list[NDArray[np.uint8]]], away: tuple[int, ...]
) -> None:
    """Draw how much is the same by frames away, and the longest outings: left, away, back."""
    if not films:
        return
    names = {"": "dream", "real_": "real game", "copy_": "still picture"}
    lines = {
        names[prefix]: [100 * float(np.mean([run[k].same for run in runs])) for k in range(len(away))]
        for prefix, runs in seen.items()
    }
    drawn = pictures.curves(away, lines, "tiles (%) that are the same when he is back, by frames away")
    pictures.save(drawn, bench.pictures / "memory.png")
    strips = pictures.strips(films, ["real", "dreamed"] * (len(films) // 2))
    pictures.save(strips, bench.pictures / "memory_strip.png")
