"""The rules of the game, counted along one run from what was read of its pixels, real or dreamed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.bench import Bench
from worldlet.eval.conserved import SLACK, Coins, Enemies
from worldlet.eval.flight import Flights
from worldlet.eval.odometer import Odometer
from worldlet.eval.recorded import RecordedSuite
from worldlet.eval.scenery import UNKNOWN, Scenery, cells, hero_box
from worldlet.games.platformer.art import HERO_HEIGHT, HERO_WIDTH, TILE
from worldlet.games.platformer.rules import FALLS, LEAPS

LONGEST = 900
"""Frames of a run that are watched."""
ON_FOOT = ("idle", "run", "crouch", "swing")


@dataclass
class Tally:
    """What was counted along one run; pairs are (as it should be, all).

    ``curves``: heights of each flight; ``refused``: leaps asked for that left the ground at none of the next frames;
    ``hung``: how often the hero hung in the air.
    """

    walls: tuple[int, int]
    contact: tuple[int, int]
    hero: tuple[int, int]
    coins: tuple[int, int]
    enemies: tuple[int, int]
    curves: list[list[int]]
    refused: int
    hung: int
    doubled: int


class Laws:
    """Watches one run, frame by frame.

    ``walls``: of the frames in which the hero meets something solid at his sides or with his head, or is inside it,
    those in which he is not inside. ``contact``: of those in which he is on foot, those in which something solid is
    under him. Frames without a hero, or with two, count under ``hero`` alone: nobody can say what he does in them.
    ``hero``: of all frames, those that show exactly one. Boxes may be off by as much as the reader may be.
    """

    def __init__(self, reading: Any) -> None:
        self._scenery = Scenery(reading)
        self._coins, self._enemies, self._flights = Coins(self._scenery), Enemies(reading), Flights(FALLS[-1])
        self._counts = {name: [0, 0] for name in ("walls", "contact", "hero")}
        self._doubled = self._frames = 0

    def follow(self, action: int, reading: Any, columns: int) -> None:
        """Take the next reading, the action that led to it, and how many columns of tiles have scrolled into view."""
        self._frames += 1
        if self._frames > LONGEST:
            return
        hero = None if reading.doubles else reading.hero  # of two heroes nobody knows which one does what
        self._scenery.follow(reading, columns)
        self._coins.follow(self._scenery, hero, columns)
        self._enemies.follow(reading, hero, columns)
        self._count("hero", hero is not None)
        self._doubled += reading.doubles > 0
        bumped = False
        if hero is not None and hero.pose != "dead":
            solid_hw = self._scenery.solid_hw
            bumped = self._meet(solid_hw, hero)
            if hero.pose in ON_FOOT:
                self._stand(solid_hw, hero)
        self._flights.follow(hero, action in LEAPS, bumped)

    def tally(self) -> Tally:
        """Return what was counted; the run is over."""
        self._flights.finish()
        things = {name: (seen.seen - seen.wrong, seen.seen) for name, seen in self._things()}
        counted = {name: (right, of) for name, (right, of) in self._counts.items()}
        return Tally(**counted, **things, curves=self._flights.curves, refused=self._flights.refused,
                     hung=self._flights.hung, doubled=self._doubled)  # fmt: skip

    def _things(self) -> tuple[tuple[str, Coins | Enemies], ...]:
        return ("coins", self._coins), ("enemies", self._enemies)

    def _meet(self, solid_hw: NDArray[np.bool_], hero: Any) -> bool:
        """Count whether a hero who meets something solid stays outside; return whether his head does."""
        inside = bool(solid_hw[cells(hero_box(hero, -SLACK), solid_hw.shape)].any())
        left, right, above = (_beside(solid_hw, hero, dx, dy) for dx, dy in ((-1, 0), (1, 0), (0, -1)))
        if inside or left or right or above:
            self._count("walls", not inside)
        return above

    def _stand(self, solid_hw: NDArray[np.bool_], hero: Any) -> None:
        """Count whether something is under the feet of a hero on foot, where it is known what is there."""
        feet = round((hero.y + HERO_HEIGHT) / TILE) * TILE
        under = cells((hero.x, feet, hero.x + HERO_WIDTH, feet + 1), solid_hw.shape)
        known_hw = self._scenery.known_hw[under]
        stands = bool(solid_hw[under].any()) and abs(feet - hero.y - HERO_HEIGHT) <= SLACK
        if stands or not (known_hw == UNKNOWN).any():
            self._count("contact", stands)

    def _count(self, name: str, right: bool) -> None:
        self._counts[name][0] += right
        self._counts[name][1] += 1


def _beside(solid_hw: NDArray[np.bool_], hero: Any, dx: int, dy: int) -> bool:
    """Return whether the hero's box touches something solid on one side: left, right (``dx``) or above (``dy``)."""
    left, top, right, bottom = hero_box(hero)
    box = {
        (-1, 0): (left - 1, top, left, bottom),
        (1, 0): (right, top, right + 1, bottom),
        (0, -1): (left, top - 1, right, top),
    }[dx, dy]
    return bool(solid_hw[cells(box, solid_hw.shape)].any())


class LawBook:
    """The tallies of one part of the suite, by who played: ``dream``, ``real``, ``copy``; one for each run."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._tallies: dict[str, list[Tally]] = {}

    @property
    def open(self) -> bool:
        """Whether anybody reads here: there must be a reader, and the game itself."""
        return self._bench.reader is not None and not isinstance(self._bench.gold, RecordedSuite)

    def add(self, who: str, tally: Tally) -> None:
        """Add a run that was watched while it was played."""
        self._tallies.setdefault(who, []).append(tally)

    def watch(self, who: str, frames: Iterable[NDArray[np.uint8]], actions: Iterable[int]) -> None:
        """Read a run whose frames are at hand, one more than its actions, and add it."""
        if not self.open:
            return
        watched = iter(frames)
        before = next(watched)
        reading = self._bench.eyes.read(before)
        odometer, laws = Odometer(reading), Laws(reading)
        for frame_HWC, action in zip(watched, actions, strict=True):
            if not np.array_equal(frame_HWC, before):
                reading, before = self._bench.eyes.read(frame_HWC), frame_HWC
            laws.follow(action, reading, odometer.follow(reading))
        self.add(who, laws.tally())

    def keep(self, part: str) -> None:
        """Leave the tallies for the part that judges them, which may run after an interruption."""
        if self.open:
            kept = {who: [asdict(tally) for tally in tallies] for who, tallies in self._tallies.items()}
            self._bench.keep(_name(part), lambda: kept)


def kept_tallies(bench: Bench, part: str) -> dict[str, list[Tally]]:
    """Return what `LawBook.keep` left of a part."""
    kept = bench.keep(_name(part), _nothing)
    return {who: [Tally(**tally) for tally in tallies] for who, tallies in kept.items()}


def _nothing() -> dict[str, Any]:
    raise AssertionError("rollout and drift come before physics")


def _name(part: str) -> str:
    return f"laws of {part}"
