"""A scripted player who plays by what he sees, on a real screen or a dreamed one.

He imagines a few plans on a `Reading` of the screen and follows the best.
"""

from dataclasses import dataclass

import numpy as np

from worldlet.games.platformer.art import (
    COIN,
    ENEMY_HEIGHT,
    ENEMY_WIDTH,
    GROUND,
    HERO_HEIGHT,
    HERO_WIDTH,
    PLATFORM,
    SPIKE,
    STAFF_REACH,
    TILE,
)
from worldlet.games.platformer.level import ROWS
from worldlet.games.platformer.reading import HeroReading, Reading
from worldlet.games.platformer.rules import (
    ACTION,
    APEX,
    COLUMNS,
    DOWN,
    FALLS,
    LEAPS,
    LEFT,
    LEFT_UP,
    LEFTWARD,
    NOOP,
    RIGHT,
    RIGHT_UP,
    RIGHTWARD,
    RUN_SPEED,
    SCREEN,
    UP,
)

PLAYER_MISCHIEF = 0.02  # of a player who plays for long: without any he may stand before an enemy for good
_HORIZON, _COMMIT = 36, 6  # frames imagined ahead, frames played before looking again
_SECOND_THOUGHT = 3  # a plan is dropped at the latest so many frames before the death that it would lead to
_ENEMY_HORIZON, _ENEMY_ROAM = 20, 8  # frames for which an enemy's place is believed; pixels he is thought to walk
_COIN_WORTH = 20.0  # pixels of way that a coin is worth
_IN_AIR_COST = 4.0  # pixels of way that ending a plan in the air costs
_PATIENCE, _BOLD_FRAMES = 4, 12  # plans in a row that may lead nowhere; frames of leaping blindly then
_STREAM = 77  # keeps his draws apart from the level's of the same seed
_SWING_CHANCE = 0.5  # share of runners who knock enemies out rather than leap over them


def _ground_plans() -> list[list[int]]:
    """Run on; or run `wait` frames, leap, fly `fly` frames and drop; or step back for a run-up; or wait."""
    plans = [[RIGHT] * _HORIZON]
    for wait in (0, 2, 4, 6, 9, 12, 16):
        plans += [([RIGHT] * wait + [RIGHT_UP] + [RIGHT] * fly + [NOOP] * _HORIZON)[:_HORIZON] for fly in (30, 14, 9)]
    return [*plans, [LEFT] * 8 + [NOOP] * (_HORIZON - 8), [UP] + [NOOP] * (_HORIZON - 1), [NOOP] * _HORIZON]


def _air_plans() -> list[list[int]]:
    """Fly on for a while and drop, or turn back."""
    return [[way] * n + [NOOP] * (_HORIZON - n) for way in (RIGHT, LEFT) for n in (_HORIZON, 14, 10, 7, 5, 3, 1, 0)]


_GROUND_PLANS, _AIR_PLANS = _ground_plans(), _air_plans()


@dataclass
class _Ghost:
    """An imagined hero on the screen; `air` indexes FALLS, -1 on the ground."""

    x: int
    y: int
    air: int


class Runner:
    """A player who wants to get on and likes coins.

    `mischief` is the chance a frame to do something else for a while (stop, turn back, crouch, swing, leap for
    nothing), which is what makes recordings rich; 0 gives a player who only plays well. Deterministic per seed and
    readings; `act` once for every frame, in order.

    Raises:
        ValueError: on a mischief below 0 or above 1.
    """

    def __init__(self, seed: int, mischief: float = 0.0):
        if not 0 <= mischief <= 1:
            raise ValueError(f"mischief is {mischief}: use a chance from 0 to 1")
        self._rng = np.random.default_rng([seed, _STREAM])
        self.mischief = mischief
        self._swings = bool(self._rng.random() < _SWING_CHANCE)
        self._queue: list[int] = []
        self._air = -1
        self._last_y: int | None = None
        self._patience = 0  # plans in a row that led nowhere; the more, the bolder

    def act(self, reading: Reading) -> int:
        """The action for the frame that was read; runs on where no hero is seen."""
        hero = reading.hero
        if hero is None:
            self._queue = []
            return RIGHT
        self._follow_fall(hero.y, hero.pose)
        if hero.pose == "dead":
            self._queue = []
            return NOOP
        if self._swings and self._air < 0 and _enemy_gap(hero, reading.enemies) < STAFF_REACH:
            self._queue = []
            return ACTION
        if not self._queue:
            self._queue = self._mischief() or self._best_plan(hero, reading)[:_COMMIT]
        action = self._queue.pop(0)
        if action in LEAPS and self._air < 0:
            self._air = 0
        return action

    def _mischief(self) -> list[int]:
        """Now and then one action held for a while, else nothing."""
        if self._rng.random() >= self.mischief * _COMMIT:
            return []
        whim = int(self._rng.choice([NOOP, LEFT, DOWN, ACTION, UP, LEFT_UP, RIGHT_UP]))
        return [whim] * int(self._rng.integers(2, 14))

    def _follow_fall(self, y: int, pose: str) -> None:
        """Keep count of where in its curve a leap is, from the heights seen."""
        moved = None if self._last_y is None else y - self._last_y
        self._last_y = y
        if pose not in ("jump", "fall"):
            self._air = -1
            return
        guess = self._air if self._air >= 0 else APEX
        fits = [i for i, v in enumerate(FALLS) if v == moved]
        self._air = 1 + (min(fits, key=lambda i: abs(i - guess)) if fits else guess)

    def _best_plan(self, hero: HeroReading, reading: Reading) -> list[int]:
        """The plan of most worth; after a few that led nowhere, a blind leap."""
        solid = np.isin(reading.kinds, (GROUND, PLATFORM)).tolist()
        kinds = reading.kinds.tolist()
        plans = _AIR_PLANS if self._air >= 0 else _GROUND_PLANS
        worths = [self._worth(plan, hero, reading, solid, kinds) for plan in plans]
        best = int(np.argmax(worths))
        self._patience = self._patience + 1 if worths[best] < RUN_SPEED * _COMMIT else 0
        if self._patience >= _PATIENCE:
            self._patience = 0
            return [[RIGHT_UP, LEFT_UP, RIGHT_UP][int(self._rng.integers(3))]] * _BOLD_FRAMES
        return list(plans[best])

    def _worth(
        self, plan: list[int], hero: HeroReading, reading: Reading, solid: list[list[bool]], kinds: list[list[int]]
    ) -> float:
        """Way made by the end of a plan, in pixels, plus its coins.

        A plan that ends in death counts up to where he last stood and could still think again.
        """
        ghost = _Ghost(hero.x, hero.y, self._air)
        coins: set[tuple[int, int]] = set()
        stood = [(-1, hero.x)]
        for t, action in enumerate(plan):
            _imagine(ghost, action, solid)
            if self._dies(ghost, reading, kinds, t, coins):
                safe = [x for at, x in stood if at < t - _SECOND_THOUGHT]
                if len(safe) > 1 and t > _COMMIT + _SECOND_THOUGHT:
                    return safe[-1] - hero.x - 2.0
                return t - 1000.0  # the later the better
            if ghost.air < 0:
                stood.append((t, ghost.x))
        return ghost.x - hero.x + _COIN_WORTH * len(coins) - (_IN_AIR_COST if ghost.air >= 0 else 0.0)

    def _dies(
        self, ghost: _Ghost, reading: Reading, kinds: list[list[int]], t: int, coins: set[tuple[int, int]]
    ) -> bool:
        """Whether the imagined hero meets a pit, an enemy or a spike in frame t of a plan; collects coins."""
        if ghost.y >= SCREEN - HERO_HEIGHT:
            return True
        if t < _ENEMY_HORIZON and _caught(ghost, reading.enemies, max(0, min(t, _ENEMY_ROAM) - self._patience)):
            return True
        for r in range(max(ghost.y // TILE, 0), min((ghost.y + HERO_HEIGHT - 1) // TILE, ROWS - 1) + 1):
            for c in range(ghost.x // TILE, min((ghost.x + HERO_WIDTH - 1) // TILE, COLUMNS - 1) + 1):
                if kinds[r][c] == SPIKE:
                    return True
                if kinds[r][c] == COIN:
                    coins.add((r, c))
        return False


def _enemy_gap(hero: HeroReading, enemies: tuple[tuple[int, int], ...]) -> int:
    """Pixels between a hero who faces right and the nearest enemy before him on his level; else a whole screen."""
    gaps = [
        x - hero.x - HERO_WIDTH
        for x, y in enemies
        if hero.y < y + ENEMY_HEIGHT and y < hero.y + HERO_HEIGHT and x > hero.x
    ]
    return min(gaps, default=SCREEN) if hero.facing > 0 else SCREEN


def _caught(ghost: _Ghost, enemies: tuple[tuple[int, int], ...], reach: int) -> bool:
    """Whether an enemy, who may have walked `reach` pixels either way since, is met other than from above."""
    if ghost.air > APEX + 1:  # falling fast enough to stomp
        return False
    return any(
        y < ghost.y + HERO_HEIGHT
        and ghost.y < y + ENEMY_HEIGHT
        and x - reach < ghost.x + HERO_WIDTH
        and ghost.x < x + ENEMY_WIDTH + reach
        for x, y in enemies
    )


def _imagine(ghost: _Ghost, action: int, solid: list[list[bool]]) -> None:
    """A frame of the hero's movement over the tiles seen, by the game's own speeds."""
    run = RUN_SPEED if action in RIGHTWARD else -RUN_SPEED if action in LEFTWARD else 0
    if ghost.air < 0 and action in LEAPS:
        ghost.air = 0
    x = min(max(ghost.x + run, 0), SCREEN - HERO_WIDTH)
    edge = x + HERO_WIDTH - 1 if run > 0 else x
    if not any(_at(solid, edge, ghost.y + dy) for dy in (0, TILE, HERO_HEIGHT - 1)):
        ghost.x = x
    left, right = ghost.x, ghost.x + HERO_WIDTH - 1
    if ghost.air >= 0:
        v = FALLS[min(ghost.air, len(FALLS) - 1)]
        ghost.air += 1
        y = ghost.y + v
        if v < 0 and (_at(solid, left, y) or _at(solid, right, y)):
            ghost.y, ghost.air = (y // TILE + 1) * TILE, APEX
            return
        ghost.y = y
        feet = y + HERO_HEIGHT
        inside = v > 0 and (_at(solid, left, feet - 1) or _at(solid, right, feet - 1))
        on_edge = feet % TILE == 0 and (_at(solid, left, feet) or _at(solid, right, feet))
        if v >= 0 and (inside or on_edge):
            ghost.y, ghost.air = feet // TILE * TILE - HERO_HEIGHT, -1
    elif not (_at(solid, left, ghost.y + HERO_HEIGHT) or _at(solid, right, ghost.y + HERO_HEIGHT)):
        ghost.air = APEX


def _at(solid: list[list[bool]], x: int, y: int) -> bool:
    """Whether a pixel is solid; beyond the screen's edges as at them, below it open."""
    row = y // TILE
    return row < ROWS and solid[max(row, 0)][min(max(x // TILE, 0), COLUMNS - 1)]
