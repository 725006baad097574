"""Levels are endless, follow from their seed, show what they bury, and can be got through everywhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.games.staging import game_of, stage
from worldlet.games.platformer.art import FURNISHINGS, SHAPES, TILE_ID
from worldlet.games.platformer.level import BARE, CHUNK, ROWS, STEP, Level
from worldlet.games.platformer.reading import truth
from worldlet.games.platformer.runner import Runner


def test_a_level_is_the_same_however_it_is_looked_at() -> None:
    at_once, bit_by_bit = Level(7), Level(7)
    whole = at_once.columns(0, 300)
    parts = [bit_by_bit.columns(first, 30) for first in range(0, 300, 30)]
    assert whole.shape == (ROWS, 300)
    assert np.array_equal(whole, np.concatenate(parts, axis=1))
    assert not np.array_equal(whole, Level(8).columns(0, 300))


def test_columns_are_a_copy() -> None:
    level = Level(7)
    level.columns(0, 16)[:] = 0
    assert level.columns(0, 16).any()


def test_every_shape_and_furnishing_occurs_and_buries_its_sign() -> None:
    tiles = Level(1).columns(0, 400 * CHUNK)
    signs = [TILE_ID[f"shape_{i}"] for i in range(SHAPES)] + [TILE_ID[f"furnishing_{i}"] for i in range(FURNISHINGS)]
    found = {sign: np.nonzero((tiles == sign).any(0))[0] % CHUNK for sign in signs}
    for i, sign in enumerate(signs):
        assert set(found[sign]) == {0 if i < SHAPES else 1}


def test_what_comes_follows_from_the_signs_and_the_ground() -> None:
    """Chunks that look alike in their first two columns are alike, but for the little things in the sky."""
    seen: dict[tuple[bytes, int], bytes] = {}
    level = Level(2)
    tiles = level.columns(0, 300 * CHUNK)
    for first in range(CHUNK, 300 * CHUNK, CHUNK):
        chunk = tiles[:, first : first + CHUNK]
        below = chunk[5:]
        key = (below[:, :2].tobytes(), first // CHUNK % 2)
        assert seen.setdefault(key, below.tobytes()) == below.tobytes()
    assert len(seen) > 60


def test_a_chunk_begins_with_safe_ground() -> None:
    level = Level(3)
    for first in range(0, 100 * CHUNK, CHUNK):
        assert level.safe(first) and level.safe(first + 1)
        assert level.surface(first) == level.surface(first + 1) < ROWS


@pytest.mark.parametrize("high", [False, True], ids=["low", "high"])
def test_every_chunk_can_be_crossed(high: bool) -> None:
    before = [(STEP, BARE)] if high else []
    goal = (len(before) + 2) * CHUNK * 8 + 16
    for pair in itertools.product(range(SHAPES), range(FURNISHINGS)):
        assert any(crosses([*before, pair], goal, seed) for seed in range(8)), pair


def crosses(pairs: list[tuple[int, int]], goal: int, seed: int) -> bool:
    """Whether a runner, a flawless one first and then mischievous ones, gets past some chunks."""
    env, runner = stage(*pairs), Runner(seed, mischief=0.05 if seed else 0.0)
    game = game_of(env)
    for _ in range(220):
        game.step(runner.act(truth(env)))
        if game.x >= goal:
            return True
    return False
