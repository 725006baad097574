"""Endless levels, ten columns at a time.

A level is a chain of chunks. Each draws a *shape* (of 8) and a *furnishing* (of 4), and shows both as things buried under its first two columns;
everything else in the chunk follows from these two and the height of the ground. So all that is random in what scrolls into view is two
independent tiles in ten columns (and the little things in the sky): a level is never the same twice and yet every new column can be read off the screen.
"""

from dataclasses import dataclass, field

import numpy as np

from worldlet.games.platformer.art import FURNISHINGS, SHAPES, THEMES, TILE_ID

ROWS = 16
CHUNK = 10  # columns
_GROUND_LOW, _GROUND_HIGH = 13, 11  # rows of the surface
_DECOR_HIGH_CHANCE, _DECOR_LOW_CHANCE = 0.3, 0.2


@dataclass(frozen=True)
class EnemyPlace:
    """Where an enemy waits and walks: pixels, world coordinates of its 8x8 box; it starts at `right` and walks left first."""

    left: int
    right: int
    y: int


@dataclass
class Chunk:
    """Ten columns: tile ids uint8 (16, 10), enemies, and whether each column is safe to stand on after a death."""

    tiles: np.ndarray
    surface: list[int]  # row of the surface in each column, 16 over a gap
    enemies: list[EnemyPlace] = field(default_factory=list)
    unsafe: set[int] = field(default_factory=set)


def _profile(shape: int, ground: int) -> tuple[list[int], int]:
    """Rows of the surface over the ten columns of a shape, and the ground row after it."""
    flat = [ground] * CHUNK
    if shape == 1:  # a gap
        flat[4:7] = [ROWS] * 3
    elif shape == 2:  # a wide gap, crossed by a platform
        flat[4:9] = [ROWS] * 5
    elif shape == 3:  # a step up or down
        after = _GROUND_HIGH if ground == _GROUND_LOW else _GROUND_LOW
        flat[5:] = [after] * 5
        return flat, after
    elif shape == 4:  # a pillar
        flat[5:7] = [ground - 2] * 2
    elif shape == 6:  # a trough (its floor is covered with spikes)
        flat[4:7] = [ground + 1] * 3
    elif shape == 7:  # a hump
        flat[3:7] = [ground - 1, ground - 2, ground - 2, ground - 1]
    return flat, ground


def build_chunk(rng: np.random.Generator, index: int, ground: int) -> tuple[Chunk, int]:
    """Draw chunk `index`, which begins with its ground at row `ground`; the first chunk is flat and empty. Returns it and the ground row after it."""
    shape, furnishing = (int(rng.integers(n)) for n in (SHAPES, FURNISHINGS))
    sky = rng.random((2, CHUNK))
    if index == 0:
        shape = furnishing = 0
    surface, after = _profile(shape, ground)
    tiles = np.full((ROWS, CHUNK), TILE_ID["sky"], dtype=np.uint8)
    tiles[:3], tiles[3] = TILE_ID["sky_high"], TILE_ID["sky_haze"]
    tiles[0, sky[0] < _DECOR_HIGH_CHANCE] = TILE_ID["decor_high"]
    tiles[4, sky[1] < _DECOR_LOW_CHANCE] = TILE_ID["decor_low"]
    _lay_ground(tiles, surface, index * CHUNK)
    tiles[ground + 1, 0] = TILE_ID[f"shape_{shape}"]
    tiles[ground + 1, 1] = TILE_ID[f"furnishing_{furnishing}"]
    chunk = Chunk(tiles, surface)
    if shape == 2:
        tiles[ground - 1, 6:8] = TILE_ID["platform"]
    if shape == 5:
        tiles[ground - 4, 4:8] = TILE_ID["platform"]
    if shape == 6:
        tiles[ground, 4:7] = TILE_ID["spike"]
        chunk.unsafe |= {3, 4, 5, 6, 7}
    _furnish(chunk, shape, furnishing, index * CHUNK)
    return chunk, after


def _lay_ground(tiles: np.ndarray, surface: list[int], first_column: int) -> None:
    for c, top in enumerate(surface):
        if top == ROWS:
            tiles[ROWS - 1, c] = TILE_ID["pit"]
            continue
        parity = (first_column + c) % 2
        left_open = c > 0 and surface[c - 1] > top
        right_open = c + 1 < CHUNK and surface[c + 1] > top
        tiles[top, c] = TILE_ID["top_left" if left_open else "top_right" if right_open else f"top_{parity}"]
        for r in range(top + 1, ROWS):
            beside = (c > 0 and surface[c - 1] > r and "side_left") or (
                c + 1 < CHUNK and surface[c + 1] > r and "side_right"
            )
            tiles[r, c] = TILE_ID[beside or f"fill_{(parity + r) % 2}"]


def _furnish(chunk: Chunk, shape: int, furnishing: int, first_column: int) -> None:
    """Coins over the middle, an enemy or a spike near the end."""
    surface, tiles = chunk.surface, chunk.tiles
    if furnishing == 1:  # coins
        row = {2: min(surface) - 3, 5: surface[4] - 5}.get(shape, min(surface) - 3)
        tiles[row, 5:8] = TILE_ID["coin"]
    elif furnishing == 2 and shape != 2:  # an enemy
        low = {0: 3, 5: 3}.get(shape, 7)
        y = (surface[9] - 1) * 8
        chunk.enemies.append(EnemyPlace((first_column + low) * 8, (first_column + 9) * 8, y))
        chunk.unsafe |= set(range(low - 1, CHUNK))
    elif furnishing == 3 and shape != 2:  # a spike
        tiles[surface[8] - 1, 8] = TILE_ID["spike"]
        chunk.unsafe |= {7, 8, 9}


class Level:
    """The level of one seed, made as far as it is looked at. Its theme follows from the seed as well."""

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
