"""Tiles of 8x8 pixels, hero and enemy sprites, six themes: the letters of `pixels` as pictures."""

from functools import lru_cache

import numpy as np

from worldlet.games.platformer import pixels

THEMES = ("grass", "desert", "snow", "cave", "night", "lava")
TILE = 8  # pixels
HERO_WIDTH, HERO_HEIGHT = 12, 16
ENEMY_WIDTH, ENEMY_HEIGHT = 8, 8
STAFF_REACH = 8  # pixels that the swung staff sticks out in front of the hero's box

# How many a chunk of the level chooses from; each has a buried thing that shows it.
SHAPES, FURNISHINGS = 8, 4

SKY_TILES = ("sky_high", "sky_haze", "sky", "decor_high", "decor_low", "sun_00", "sun_01", "sun_10", "sun_11")
GROUND_TILES = (
    *(f"{part}_{parity}" for part in ("top", "fill") for parity in (0, 1)),
    "top_left",
    "top_right",
    "side_left",
    "side_right",
    *(f"shape_{i}" for i in range(SHAPES)),
    *(f"furnishing_{i}" for i in range(FURNISHINGS)),
)
TILES = (*SKY_TILES, *GROUND_TILES, "platform", "coin", "spike", "pit")
TILE_ID = {name: i for i, name in enumerate(TILES)}

# What a tile is to the rules.
KINDS = ("sky", "ground", "platform", "coin", "spike", "pit")
SKY, GROUND, PLATFORM, COIN, SPIKE, PIT = range(len(KINDS))
KIND_OF_TILE = np.array(
    [SKY] * len(SKY_TILES) + [GROUND] * len(GROUND_TILES) + [PLATFORM, COIN, SPIKE, PIT], dtype=np.uint8
)

HERO_SPRITES = ("idle", "run_0", "run_1", "jump", "fall", "crouch", "swing", "dead", "puff")
ENEMY_SPRITES = ("enemy_0", "enemy_1", "enemy_puff")


@lru_cache
def tileset(theme: str) -> dict[str, np.ndarray]:
    """Every tile of a theme as it appears on the screen, over the sky: uint8 (8, 8, 3) by name, in order of `TILES`.

    Raises:
        ValueError: on an unknown theme.
    """
    check_theme(theme)
    colours = pixels.SHARED_COLOURS | pixels.THEME_COLOURS[theme]
    high, low = (np.broadcast_to(np.array(colours[c], dtype=np.uint8), (TILE, TILE, 3)) for c in "hl")
    haze = np.where((np.indices((TILE, TILE)).sum(0) % 2 == 0)[..., None], high, low)
    sun = _draw(pixels.SUNS["moon" if theme in ("night", "cave") else "round"], colours)
    sun = np.concatenate([sun, sun[::-1]])
    fills = [_draw(rows, colours)[..., :3] for rows in pixels.FILLS[theme]]
    top = _draw(pixels.TOPS[theme], colours)[..., :3]
    tops = [top, top[:, ::-1]]
    buried = [_draw(rows, colours) for rows in pixels.BURIED]

    def edged(tile: np.ndarray, column: int) -> np.ndarray:
        tile = tile.copy()
        tile[:, column] = colours["3"]
        return tile

    tiles = {
        "sky_high": high,
        "sky_haze": haze,
        "sky": low,
        "decor_high": _over(_draw(pixels.DECOR_HIGH[theme], colours), high),
        "decor_low": _over(_draw(pixels.DECOR_LOW[theme], colours), low),
        **{
            f"sun_{r}{c}": _over(sun[r * TILE : (r + 1) * TILE, c * TILE : (c + 1) * TILE], high)
            for r in (0, 1)
            for c in (0, 1)
        },
        "top_0": tops[0],
        "top_1": tops[1],
        "fill_0": fills[0],
        "fill_1": fills[1],
        "top_left": edged(tops[0], 0),
        "top_right": edged(tops[1], TILE - 1),
        "side_left": edged(fills[0], 0),
        "side_right": edged(fills[1], TILE - 1),
        **{f"shape_{i}": _over(buried[i], fills[0]) for i in range(SHAPES)},
        **{f"furnishing_{i}": _over(buried[SHAPES + i], fills[1]) for i in range(FURNISHINGS)},
        "platform": _over(_draw(pixels.PLATFORM, colours), low),
        "coin": _over(_draw(pixels.COIN, colours), low),
        "spike": _over(_draw(pixels.SPIKE, colours), low),
        "pit": _over(_draw(pixels.PIT, colours), low),
    }
    assert tuple(tiles) == TILES
    return {name: np.ascontiguousarray(tile) for name, tile in tiles.items()}


@lru_cache
def atlas(theme: str) -> np.ndarray:
    """The tiles of a theme stacked in the order of `TILES`: uint8 (tiles, 8, 8, 3)."""
    return np.stack(list(tileset(theme).values()))


@lru_cache
def sprites(theme: str) -> dict[str, np.ndarray]:
    """Hero and enemy pictures facing right: uint8 RGBA (h, w, 4) by name, alpha 0 or 255; the same in every theme.

    Hero pictures are 16 high and 12 wide, but `swing` is 8 wider: the staff sticks out in front. Enemies are 8x8.

    Raises:
        ValueError: on an unknown theme.
    """
    check_theme(theme)
    pictures = {name: _draw(rows, pixels.SHARED_COLOURS) for name, rows in (pixels.HERO | pixels.ENEMY).items()}
    assert set(pictures) == {*HERO_SPRITES, *ENEMY_SPRITES}
    return pictures


def check_theme(theme: str) -> None:
    """Raise ValueError unless there is such a theme."""
    if theme not in THEMES:
        raise ValueError(f"unknown theme {theme!r}: choose from {', '.join(THEMES)}")


def _draw(text: str, colours: dict[str, pixels.Colour]) -> np.ndarray:
    """RGBA picture, uint8 (h, w, 4), from space-separated rows of colour letters; a dot, or nothing, is transparent."""
    rows = text.split()
    width = max(map(len, rows))
    picture = [[(*colours[c], 255) if c != "." else (0, 0, 0, 0) for c in row.ljust(width, ".")] for row in rows]
    return np.array(picture, dtype=np.uint8)


def _over(picture_HWA: np.ndarray, ground_HWC: np.ndarray) -> np.ndarray:
    """A picture with its transparent pixels filled from what lies behind it."""
    return np.where(picture_HWA[..., 3:] > 0, picture_HWA[..., :3], ground_HWC)
