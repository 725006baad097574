"""Control: does the hero do what the player asks, read from pixels, dream against game?"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np

from worldlet.eval import pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.intervals import mean_figure
from worldlet.eval.odometer import Odometer
from worldlet.eval.reading import GameReader
from worldlet.eval.real import Playable, RealSession, idle_action

HOLD = 6
"""Frames for which one action is held."""
MOVED = 3
"""Pixels sideways, or up or down, from which the hero has moved: he runs 2 pixels a frame."""
LOST = "not found"

Path = list[tuple[int | None, int, str, int] | None]
"""Where the hero is in each frame: x against the scenery, y on the screen, pose, facing; None where he is not found."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    actions = len(bench.engine.manifest.action_names)
    return len(bench.suite.control[: bench.size.control]) * (CONTEXT + HOLD * actions)


def measure(bench: Bench) -> dict[str, Any]:
    """From each start, hold each action in copies of the dream and of the real game and compare what the hero did.

    The classes are the real game's own outcomes. A dream is right where it gives the same outcome; a hero that cannot
    be found is wrong. ``excluded`` counts starts in which all actions come to the same. ``shuffled_accuracy`` is
    exact: the mean over every other action that the dream could have been given instead; ``ignored_accuracy``: the
    dream is given no action, whatever the real game is given; ``real_accuracy``: the real game in the dream's place, in
    which only a hero that the reader does not find is wrong. ``delay_frames``: how many frames later than in the real
    game an action shows, against doing nothing. Units of intervals: starts.
    """
    names = bench.engine.manifest.action_names
    idle = idle_action(names)
    right: list[list[float]] = []
    real_right: list[list[float]] = []
    ignored: list[list[float]] = []
    shuffled: list[list[float]] = []
    delays: list[list[float]] = []
    chance: list[float] = []
    confusion: Counter[tuple[str, str]] = Counter()
    by_action: dict[str, list[bool]] = {name: [] for name in names}
    excluded = 0
    entries = bench.suite.control[: bench.size.control]
    for wanted, done, late in ahead(partial(_both, bench), enumerate(entries)):
        if not done:
            excluded += 1
            continue
        delays.append(late)
        for units in (right, real_right, ignored, shuffled):
            units.append([])
        for a, name in enumerate(names):
            others = [b for b in range(len(names)) if b != a]
            by_action[name].append(_same(wanted[a], done[a]))
            right[-1].append(by_action[name][-1])
            real_right[-1].append(_same(wanted[a], wanted[a]))
            ignored[-1].append(_same(wanted[a], done[idle]))
            shuffled[-1].append(float(np.mean([_same(wanted[a], done[b]) for b in others])))
            chance.append(float(np.mean([_same(wanted[a], wanted[b]) for b in others])))
            confusion[wanted[a], done[a]] += 1
    _draw(bench, confusion)
    return {
        "accuracy": mean_figure(
            right, starts=len(right), hold=HOLD,
            by_action={name: round(float(np.mean(hits)), 4) for name, hits in by_action.items() if hits},
            lost=sum(count for (_, got), count in confusion.items() if got == LOST),
        ),
        "shuffled_accuracy": mean_figure(shuffled, real_game=float(np.mean(chance)) if chance else None),
        "real_accuracy": mean_figure(real_right),
        "ignored_accuracy": mean_figure(ignored, action=names[idle]),
        "delay_frames": mean_figure(delays, of=sum(map(len, real_right))),
        "excluded": figure(excluded, len(entries)),
        "confusion": sorted([wanted, done, count] for (wanted, done), count in confusion.items()),
    }  # fmt: skip


def _both(bench: Bench, numbered: tuple[int, GoldPlay]) -> tuple[list[str], list[str], list[float]]:
    """Return the outcomes of all actions at one start, real and dreamed, and the dream's delays.

    Where all come to the same in the real game, nothing is dreamed.
    """
    seed, entry = numbered
    play, names = bench.suite.replay(entry), bench.engine.manifest.action_names
    real = RealSession(bench.suite.env_id, entry.level_seed)
    for action in entry.actions[: entry.start]:
        real.step(action)
    wanted, real_paths = outcomes(bench.eyes, real, play.frames_THWC[entry.start], len(names))
    bench.tick(CONTEXT + HOLD * len(names))
    if len(set(wanted)) == 1:
        return wanted, [], []
    dream = bench.dream(play, entry.start, seed)
    done, paths = outcomes(bench.eyes, dream, play.frames_THWC[entry.start], len(names))
    return wanted, done, _delays(paths, real_paths, idle_action(names))


def outcomes(eyes: GameReader, session: Playable, first_HWC: Any, actions: int) -> tuple[list[str], list[Path]]:
    """Hold each action in a copy of a session; return what the hero did since the real frame ``first_HWC``.

    And his path under each: place and pose in each frame, None where he is not found.
    """
    first = eyes.read(first_HWC)
    done, paths = [], []
    for action in range(actions):
        copy = session.fork()
        odometer, reading, path = Odometer(first), first, []
        for _ in range(HOLD):
            reading = eyes.read(copy.step(action).frame)
            odometer.follow(reading)
            hero = reading.hero
            path.append(None if hero is None else (odometer.hero_x, hero.y, hero.pose, hero.facing))
        done.append(outcome(first, reading, odometer))
        paths.append(path)
    return done, paths


def _delays(paths: list[Path], real_paths: list[Path], idle: int) -> list[float]:
    """Return, for each action that shows in both games, how many frames later it shows in the dream.

    An action shows in the first frame in which the hero is not where, or as, he is when nothing is done.
    """
    shown = [
        (_shows(path, paths[idle]), _shows(real, real_paths[idle]))
        for path, real in zip(paths, real_paths, strict=True)
    ]
    return [float(ours - theirs) for ours, theirs in shown if ours is not None and theirs is not None]


def _shows(path: Path, idle: Path) -> int | None:
    for t, (here, there) in enumerate(zip(path, idle, strict=True)):
        if here is not None and there is not None and here != there:
            return t
    return None


def outcome(first: Any, last: Any, odometer: Odometer) -> str:
    """Say what the hero did between two readings: where he went against the scenery, and how he ended.

    Sideways ``left``, ``right`` or ``stay``; upwards ``rise``, ``fall`` or ``level``; then ``crouch`` or ``swing``
    where he does. ``dead`` stands alone, and so does ``not found``.
    """
    if last.hero is None or first.hero is None or odometer.hero_x is None:
        return LOST
    if last.hero.pose == "dead":
        return "dead"
    dx, dy = odometer.hero_x - first.hero.x, last.hero.y - first.hero.y
    sideways = "right" if dx >= MOVED else "left" if dx <= -MOVED else "stay"
    upwards = "fall" if dy >= MOVED else "rise" if dy <= -MOVED else "level"
    ended = [last.hero.pose] if last.hero.pose in ("crouch", "swing") else []
    return " ".join([sideways, upwards, *ended])


def _same(wanted: str, done: str) -> bool:
    return wanted == done and done != LOST


def _draw(bench: Bench, confusion: Counter[tuple[str, str]]) -> None:
    rows = sorted({wanted for wanted, _ in confusion})
    columns = sorted({*rows, *(done for _, done in confusion)})
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for (wanted, done), count in confusion.items():
        counts[rows.index(wanted), columns.index(done)] = count
    drawn = pictures.matrix(counts, rows, columns, "what the hero did: real game (rows), dream (columns)")
    pictures.save(drawn, bench.pictures / "control.png")
