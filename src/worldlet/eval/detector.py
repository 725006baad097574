"""The reader itself, judged: does it find hero, enemies and coins in real frames where the game says they are?"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldlet.eval.bench import Bench
from worldlet.eval.intervals import rate_figure
from worldlet.eval.real import RealSession
from worldlet.games.platformer.art import COIN, ENEMY_WIDTH, TILE

WITHIN = 2
"""Pixels by which a place may be off."""
EVERY = 10
"""One frame in so many of the gold plays is looked at."""

Place = tuple[int, int]


def detector_work(bench: Bench) -> int:
    """Return the frames to be looked at."""
    return sum(len(entry.actions) // EVERY + 1 for entry in bench.suite.plays[: bench.size.plays])


def detect(bench: Bench) -> dict[str, Any]:
    """Compare readings of gold plays, which no training has seen, with the truth.

    ``hero``, ``enemies``, ``coins``: the share of those on the screen that are found within 2 pixels; enemies count
    while at least half of them is on the screen. ``value`` is that of all together; ``false_alarms``: places read
    where there is none, over all places read. Units of intervals: plays.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("hero", "enemies", "coins")}
    alarms: list[tuple[float, float]] = []
    for entry in bench.suite.plays[: bench.size.plays]:
        session = RealSession(bench.suite.env_id, entry.level_seed)
        hits, there, read = dict.fromkeys(found, 0), dict.fromkeys(found, 0), 0
        for t in range(len(entry.actions) + 1):
            if t:
                session.step(entry.actions[t - 1])
            if t % EVERY:
                continue
            wanted, seen = places(bench.eyes.truth(session.env)), places(bench.eyes.read(session.frame))
            for name in found:
                hits[name] += matched(wanted[name], seen[name])
                there[name] += len(wanted[name])
                read += len(seen[name])
            bench.tick(1)
        for name, pairs in found.items():
            pairs.append((hits[name], there[name]))
        alarms.append((read - sum(hits.values()), read))
    together = [tuple(map(sum, zip(*pairs, strict=True))) for pairs in zip(*found.values(), strict=True)]
    return {
        **rate_figure([(right, of) for right, of in together], within=WITHIN),
        **{name: rate_figure(pairs) for name, pairs in found.items()},
        "false_alarms": rate_figure(alarms),
    }


def places(reading: Any) -> dict[str, list[Place]]:
    """Return where a reading has the hero, the enemies (half of each at least on the screen) and the coins."""
    width = reading.kinds.shape[1] * TILE
    half = ENEMY_WIDTH // 2
    return {
        "hero": [] if reading.hero is None else [(reading.hero.x, reading.hero.y)],
        "enemies": [(x, y) for x, y in reading.enemies if -half <= x <= width - half],
        "coins": [(int(c) * TILE, int(r) * TILE) for r, c in np.argwhere(reading.kinds == COIN)],
    }


def matched(wanted: list[Place], seen: list[Place]) -> int:
    """Return how many wanted places have a place of their own among those seen, within 2 pixels both ways."""
    left, hits = list(seen), 0
    for x, y in wanted:
        near = [place for place in left if abs(place[0] - x) <= WITHIN and abs(place[1] - y) <= WITHIN]
        if near:
            left.remove(min(near, key=lambda place: abs(place[0] - x) + abs(place[1] - y)))
            hits += 1
    return hits
