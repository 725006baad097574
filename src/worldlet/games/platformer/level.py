"""Endless levels, ten columns at a time.

A level is a chain of chunks. Each draws a *shape* (of 8) and a *furnishing* (of 4), and shows both as things buried
under its first two columns; everything else in the chunk follows from these two and the height of the ground. So all
that is random in what scrolls into view is two independent tiles in ten columns (and the little things in the sky): a
level is never the same twice and yet every new column can be read off the screen.
"""

from dataclasses import dataclass, field

import numpy as np

from worldlet.games.platformer.art import FURNISHINGS, SHAPES, THEMES, TILE, TILE_ID

ROWS = 16  # tiles from the top of the screen to its bottom
CHUNK = 10  # columns
FLAT, GAP, WIDE_GAP, STEP, PILLAR, LEDGE, TROUGH, HUMP = range(SHAPES)
BARE, COINS, ENEMY, SPIKE = range(FURNISHINGS)
_GROUND_LOW, _GROUND_HIGH = 13, 11  # rows of the surface
_HAZE_ROW, _DECOR_HIGH_ROW, _DECOR_LOW_ROW = 3, 0, 4
_DECOR_HIGH_CHANCE, _DECOR_LOW_CHANCE = 0.3, 0.2


@dataclass(frozen=True)
class EnemyPlace:
    """Where an enemy waits and walks, in world pixels of its 8x8 box; it starts at `right` and walks left first."""

    left: int
    right: int
    y: int


@dataclass
class Chunk:
    """Ten columns: tile ids, what walks there, and where not to come back to life."""

    tiles: np.ndarray  # uint8 (16, 10)
    surface: list[int]  # row of the surface in each column, 16 over a gap
    enemies: list[EnemyPlace] = field(default_factory=list)
    unsafe: set[int] = field(default_factory=set)  # columns of the chunk, 0 to 9


def build_chunk(rng: np.random.Generator, index: int, ground: int) -> tuple[Chunk, int]:
    """Draw chunk `index`, which begins with its ground at row `ground`; the first chunk is flat and bare.

    Returns the chunk and the row of the ground after it.
    """
    shape, furnishing = (int(rng.integers(n)) for n in (SHAPES, FURNISHINGS))
    decor = rng.random((2, CHUNK))
    if index == 0:
        shape, furnishing = FLAT, BARE
    surface, after = _profile(shape, ground)
    chunk = Chunk(_sky(decor), surface)
    _lay_ground(chunk.tiles, surface, index * CHUNK)
    chunk.tiles[ground + 1, 0] = TILE_ID[f"shape_{shape}"]
    chunk.tiles[ground + 1, 1] = TILE_ID[f"furnishing_{furnishing}"]
    _complete_shape(chunk, shape, ground)
    _furnish(chunk, shape, furnishing, index * CHUNK)
    return chunk, after


def _profile(shape: int, ground: int) -> tuple[list[int], int]:
    """Rows of the surface over the ten columns of a shape, and the ground row after it."""
    flat = [ground] * CHUNK
    if shape == GAP:
        flat[4:7] = [ROWS] * 3
    elif shape == WIDE_GAP:
        flat[4:9] = [ROWS] * 5
    elif shape == STEP:
        after = _GROUND_HIGH if ground == _GROUND_LOW else _GROUND_LOW
        flat[5:] = [after] * 5
        return flat, after
    elif shape == PILLAR:
        flat[5:7] = [ground - 2] * 2
    elif shape == TROUGH:
        flat[4:7] = [ground + 1] * 3
    elif shape == HUMP:
        flat[3:7] = [ground - 1, ground - 2, ground - 2, ground - 1]
    return flat, ground


def _sky(decor: np.ndarray) -> np.ndarray:
    """Tiles of an empty chunk, uint8 (16, 10), with decoration where the draws (2, 10) in [0, 1) are low."""
    tiles = np.full((ROWS, CHUNK), TILE_ID["sky"], dtype=np.uint8)
    tiles[:_HAZE_ROW], tiles[_HAZE_ROW] = TILE_ID["sky_high"], TILE_ID["sky_haze"]
    tiles[_DECOR_HIGH_ROW, decor[0] < _DECOR_HIGH_CHANCE] = TILE_ID["decor_high"]
    tiles[_DECOR_LOW_ROW, decor[1] < _DECOR_LOW_CHANCE] = TILE_ID["decor_low"]
    return tiles


def _lay_ground(tiles: np.ndarray, surface: list[int], first_column: int) -> None:
    """Fill each column from its surface down, with edges where a neighbour in the same chunk lies lower."""
    for c, top in enumerate(surface):
        if top == ROWS:
            tiles[ROWS - 1, c] = TILE_ID["pit"]
            continue
        parity = (first_column + c) % 2
        left = surface[c - 1] if c > 0 else top
        right = surface[c + 1] if c + 1 < CHUNK else top
        tiles[top, c] = TILE_ID["top_left" if left > top else "top_right" if right > top else f"top_{parity}"]
        for r in range(top + 1, ROWS):
            fill = f"fill_{(parity + r) % 2}"
            tiles[r, c] = TILE_ID["side_left" if left > r else "side_right" if right > r else fill]


def _complete_shape(chunk: Chunk, shape: int, ground: int) -> None:
    """What belongs to a shape besides its ground: platforms, and the spikes on the floor of a trough."""
    if shape == WIDE_GAP:
        chunk.tiles[ground - 1, 6:8] = TILE_ID["platform"]
    elif shape == LEDGE:
        chunk.tiles[ground - 4, 4:8] = TILE_ID["platform"]
    elif shape == TROUGH:
        chunk.tiles[ground, 4:7] = TILE_ID["spike"]
        chunk.unsafe |= {3, 4, 5, 6, 7}


def _furnish(chunk: Chunk, shape: int, furnishing: int, first_column: int) -> None:
    """Coins over the middle, an enemy or a spike near the end; a wide gap has room for coins only."""
    surface, tiles = chunk.surface, chunk.tiles
    if furnishing == COINS:
        row = surface[4] - 5 if shape == LEDGE else min(surface) - 3
        tiles[row, 5:8] = TILE_ID["coin"]
    elif furnishing == ENEMY and shape != WIDE_GAP:
        low = 3 if shape in (FLAT, LEDGE) else 7
        y = (surface[CHUNK - 1] - 1) * TILE
        chunk.enemies.append(EnemyPlace((first_column + low) * TILE, (first_column + CHUNK - 1) * TILE, y))
        chunk.unsafe |= set(range(low - 1, CHUNK))
    elif furnishing == SPIKE and shape != WIDE_GAP:
        tiles[surface[8] - 1, 8] = TILE_ID["spike"]
        chunk.unsafe |= {7, 8, 9}


class Level:
    """The level of one seed (0 or more), made as far as it is looked at. Its theme follows from the seed as well."""

    def __init__(self, seed: int, themes: tuple[str, ...] = THEMES):
        self.seed = seed
        self.theme = themes[int(np.random.default_rng([seed, 1]).integers(len(themes)))]
        self._rng = np.random.default_rng([seed, 0])
        self._ground = _GROUND_LOW
        self.chunks: list[Chunk] = []

    def reach(self, column: int) -> None:
        """Make every chunk up to and including the one that holds `column`."""
        while len(self.chunks) * CHUNK <= column:
            chunk, self._ground = build_chunk(self._rng, len(self.chunks), self._ground)
            self.chunks.append(chunk)

    def columns(self, first: int, count: int) -> np.ndarray:
        """Tile ids of `count` columns from column `first`: uint8 (16, count), a copy."""
        self.reach(first + count - 1)
        low, high = first // CHUNK, (first + count - 1) // CHUNK
        tiles = np.concatenate([chunk.tiles for chunk in self.chunks[low : high + 1]], axis=1)
        return tiles[:, first - low * CHUNK : first - low * CHUNK + count]

    def surface(self, column: int) -> int:
        """Row of the ground's surface in a column, 16 over a gap."""
        self.reach(column)
        return self.chunks[column // CHUNK].surface[column % CHUNK]

    def safe(self, column: int) -> bool:
        """Whether a hero may come back to life on the ground of this column."""
        return self.surface(column) < ROWS and column % CHUNK not in self.chunks[column // CHUNK].unsafe
