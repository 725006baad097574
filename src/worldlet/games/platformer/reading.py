"""Read a platformer frame back: theme, tiles, hero and enemies, from pixels alone or from the game itself.

The same reader judges real and dreamed frames, and gives a scripted player the same eyes in both.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np

from worldlet.games.platformer.art import (
    HERO_HEIGHT,
    HERO_SPRITES,
    HERO_WIDTH,
    KIND_OF_TILE,
    STAFF_REACH,
    THEMES,
    TILE,
    TILE_ID,
    atlas,
    sprites,
)
from worldlet.games.platformer.env import PlatformerEnv
from worldlet.games.platformer.level import ROWS
from worldlet.games.platformer.rules import COLUMNS, SCREEN, hero_sprite

# Mean squared errors of a colour value (0 to 255) up to which the hero, and the puff he dies in, count as found.
HERO_ERROR, PUFF_ERROR = 2500.0, 500.0
TILE_ERROR = 400.0  # the same, up to which a cell is a tile and no remains of something else
_HOOD, _BODY = np.array([(232, 40, 96), (40, 96, 220)], dtype=np.int32)
_ENEMY = np.array((150, 60, 214), dtype=np.int32)
_WHITE = np.array((255, 255, 255), dtype=np.int32)
_NEAR, _NEARLY_WHITE = 48**2, 20**2  # squared colour distances
_FEWEST_SPOTS, _FEWEST_ENEMY_SPOTS = 12, 10  # pixels of his colours without which nobody is looked for
_LEAVING = (-1, -2, -3, -4)  # x of enemies who are half over the left edge at most
_FEWEST_LEAVING_SPOTS, _LEAVING_ERROR = 5, 1200.0  # as above, for what is left of them
_LEAST_SEEN = 16  # open pixels of a cell from which its tile can be told
_MOST_DOUBLES = 4  # more of him are not counted
_MARGIN = 24  # pixels around the screen, so that a hero who is partly outside is found
_TALL, _WIDE = HERO_HEIGHT // 2, HERO_WIDTH // 2  # the hero's box in blocks of 2x2 pixels
_FIRST_X, _FIRST_Y = -2, -6  # the first block at which his box may begin: he may be partly outside
_CORNERS_X, _CORNERS_Y = 64, 69  # and how many there are


@dataclass(frozen=True)
class HeroReading:
    """Where the hero's 12x16 box is on the screen, what he does, and how well his picture fits."""

    x: int  # screen pixels of the box's top left; a little below 0 or above 116 where he is partly outside
    y: int
    pose: str  # as `hero_pose` in info
    facing: int  # -1 or 1
    error: float  # mean squared error of a colour value over his pixels; 0 is exact


@dataclass(frozen=True)
class Reading:
    """What a frame shows."""

    theme: str
    kinds: np.ndarray  # uint8 (16, 16), indices into `art.KINDS`
    tiles: np.ndarray  # uint8 (16, 16), indices into `art.TILES`
    hero: HeroReading | None
    enemies: tuple[tuple[int, int], ...]  # x, y of the 8x8 boxes on the screen, those knocked out left out
    doubles: int = 0  # further pictures of the hero, of whom there should be one
    clear: np.ndarray = field(
        default_factory=lambda: np.ones((ROWS, COLUMNS), dtype=bool)
    )  # cells that look like tiles


def truth(env: gymnasium.Env[Any, Any]) -> Reading:
    """The reading of the frame that a platformer, wrapped or not, now shows, taken from its ground truth (quick).

    Raises:
        ValueError: on another game, or before the first reset.
    """
    platformer = env.unwrapped
    if not isinstance(platformer, PlatformerEnv):
        raise ValueError(f"only worldlet/Platformer-v0 can be read this way, not {env}")
    game = platformer.game
    if game is None:
        raise ValueError("call reset before reading the game")
    hero = HeroReading(game.x - game.camera, game.y, _pose(hero_sprite(game)), game.facing, 0.0)
    enemies = tuple((e.x - game.camera, e.y) for e in game.enemies if not e.puff)
    return Reading(game.theme, KIND_OF_TILE[game.grid], game.grid.copy(), hero, enemies)


def read_frame(frame_HWC: np.ndarray) -> Reading:
    """Read a frame of 128x128 uint8 from its pixels.

    Raises:
        ValueError: on another shape or dtype.
    """
    if frame_HWC.shape != (SCREEN, SCREEN, 3) or frame_HWC.dtype != np.uint8:
        raise ValueError(f"a platformer frame is uint8 (128, 128, 3), this is {frame_HWC.dtype} {frame_HWC.shape}")
    theme, tiles, clear = _read_tiles(frame_HWC)
    channels_CHW = np.ascontiguousarray(frame_HWC.transpose(2, 0, 1)).astype(np.int32)
    hero, doubles = _find_hero(frame_HWC, channels_CHW)
    enemies = _find_enemies(frame_HWC, channels_CHW)
    _look_behind(frame_HWC, theme, tiles, hero, enemies)
    return Reading(theme, KIND_OF_TILE[tiles], tiles, hero, enemies, doubles, clear)


@lru_cache
def _flat_atlases() -> tuple[np.ndarray, np.ndarray]:
    """All tiles of all themes as rows: float32 (themes * tiles, 192), and their squared norms."""
    rows = np.concatenate([atlas(theme).reshape(-1, TILE * TILE * 3) for theme in THEMES]).astype(np.float32)
    return rows, (rows**2).sum(1)


def _read_tiles(frame: np.ndarray) -> tuple[str, np.ndarray, np.ndarray]:
    """The theme whose tiles fit best over the screen, the best-fitting tile of it in each cell, and where it fits."""
    cells = frame.reshape(ROWS, TILE, COLUMNS, TILE, 3).swapaxes(1, 2).reshape(ROWS * COLUMNS, -1).astype(np.float32)
    rows, norms = _flat_atlases()
    errors = (norms - 2 * cells @ rows.T).reshape(ROWS * COLUMNS, len(THEMES), -1)
    least = errors.min(2)
    best = int(least.sum(0).argmin())
    clear = least[:, best] + (cells**2).sum(1) <= TILE_ERROR * cells.shape[1]
    tiles = errors[:, best].argmin(1).astype(np.uint8)
    return THEMES[best], tiles.reshape(ROWS, COLUMNS), clear.reshape(ROWS, COLUMNS)


def _look_behind(
    frame: np.ndarray, theme: str, tiles: np.ndarray, hero: HeroReading | None, enemies: tuple[tuple[int, int], ...]
) -> None:
    """Read the tiles behind hero and enemies again, in place, from the pixels left open; all but covered is sky."""
    open_HW = np.ones((SCREEN, SCREEN), dtype=bool)
    for x, y in enemies:
        open_HW[y : y + TILE, max(x, 0) : x + TILE] = False
    if hero is not None:
        reach = STAFF_REACH if hero.pose == "swing" else 0
        left, right = hero.x - reach * (hero.facing < 0), hero.x + HERO_WIDTH + reach * (hero.facing > 0)
        open_HW[max(hero.y, 0) : max(hero.y + HERO_HEIGHT, 0), max(left, 0) : max(right, 0)] = False
    open_cells = open_HW.reshape(ROWS, TILE, COLUMNS, TILE).swapaxes(1, 2)
    rows, columns = np.nonzero(~open_cells.all((2, 3)))
    seen = open_cells[rows, columns].reshape(-1, TILE * TILE)
    shown = frame.reshape(ROWS, TILE, COLUMNS, TILE, 3).swapaxes(1, 2)[rows, columns].reshape(-1, TILE * TILE * 3)
    pictures = atlas(theme).reshape(-1, TILE * TILE * 3).astype(np.float32)
    weights = np.repeat(seen, 3, axis=1).astype(np.float32)
    # Squared errors but for what all tiles have in common: whole numbers that float32 holds exactly.
    errors = weights @ (pictures**2).T - 2 * (weights * shown) @ pictures.T
    tiles[rows, columns] = np.where(seen.sum(1) < _LEAST_SEEN, TILE_ID["sky"], errors.argmin(1))


def _pose(sprite: str) -> str:
    return {"run_0": "run", "run_1": "run", "puff": "dead"}.get(sprite, sprite)


@lru_cache
def _hero_templates() -> list[tuple[str, int, np.ndarray, np.ndarray]]:
    """Sprite name, facing, colours float32 (16, 12, 3) and mask (16, 12) of everything the hero's box can show."""
    templates = []
    for name in HERO_SPRITES:
        picture = sprites(THEMES[0])[name]  # the same in every theme
        for facing in (1, -1):
            boxed = picture[:, :HERO_WIDTH] if facing > 0 else picture[:, ::-1][:, -HERO_WIDTH:]
            templates.append((name, facing, boxed[..., :3].astype(np.float32), (boxed[..., 3] > 0).astype(np.float32)))
    return templates


@lru_cache
def _hero_filters() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Templates as rows: masked colours (P, 576), masks (P, 576), squared norms (P,), pixel counts (P,)."""
    colours = np.stack([(c * m[..., None]).ravel() for _, _, c, m in _hero_templates()])
    masks = np.stack([np.repeat(m[..., None], 3, 2).ravel() for _, _, _, m in _hero_templates()])
    return colours, masks, (colours**2).sum(1), masks.sum(1)


def _distance(channels_CHW: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Squared distance (H, W) of each pixel to a colour; a channel at a time, which is several times as fast."""
    red, green, blue = (channel - part for channel, part in zip(channels_CHW, colour, strict=True))
    return np.asarray(red * red + green * green + blue * blue)


def _find_hero(frame: np.ndarray, channels_CHW: np.ndarray) -> tuple[HeroReading | None, int]:
    """The best-fitting hero picture near pixels of his hood and body; failing that, his puff near white ones.

    A pale sky looks a little like a puff, so a puff has to fit better. And how many more of him there are, dressed.
    """
    dressed = (_distance(channels_CHW, _HOOD) < _NEAR) | (_distance(channels_CHW, _BODY) < _NEAR)
    hero = _best_fit(frame, _corners(dressed, 0.5))
    if hero is not None and hero.error <= HERO_ERROR:
        return hero, _count_doubles(frame, dressed, hero)
    hero = _best_fit(frame, _corners(_distance(channels_CHW, _WHITE) < _NEARLY_WHITE, 0.0))
    return (hero if hero is not None and hero.error <= PUFF_ERROR else None), 0


def _count_doubles(frame: np.ndarray, dressed: np.ndarray, hero: HeroReading) -> int:
    """How many more heroes there are where one was found: what he covers is taken away, and they are looked for."""
    left, found = dressed.copy(), 0
    while True:
        left[max(hero.y, 0) : max(hero.y + HERO_HEIGHT, 0), max(hero.x, 0) : max(hero.x + HERO_WIDTH, 0)] = False
        if left.sum() < _FEWEST_SPOTS:
            return found
        other = _best_fit(frame, _corners(left, 0.5))
        if other is None or other.error > HERO_ERROR or other.pose == "dead" or found == _MOST_DOUBLES:
            return found
        hero, found = other, found + 1


def _best_fit(frame: np.ndarray, corners: np.ndarray) -> HeroReading | None:
    """The hero picture that fits best at one of the box corners (n, 2), however badly; None without corners."""
    if not len(corners):
        return None
    padded = np.pad(frame, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (HERO_HEIGHT, HERO_WIDTH), axis=(0, 1))
    boxes = windows[corners[:, 1] + _MARGIN, corners[:, 0] + _MARGIN].transpose(0, 2, 3, 1)
    boxes = boxes.reshape(len(corners), -1).astype(np.float32)
    colours, masks, norms, counts = _hero_filters()
    errors = (boxes**2 @ masks.T - 2 * boxes @ colours.T + norms) / counts
    at, which = np.unravel_index(errors.argmin(), errors.shape)
    name, facing, _, _ = _hero_templates()[which]
    error = float(max(errors[at, which], 0.0))
    return HeroReading(int(corners[at, 0]), int(corners[at, 1]), _pose(name), facing, error)


def _corners(spots: np.ndarray, share: float) -> np.ndarray:
    """Even corners (x, y) of boxes that hold a few spots, and at least a share of the most in any: int (n, 2)."""
    bits = spots.view(np.uint8)
    pairs = bits[::2] + bits[1::2]
    # Sums over blocks of 2x2, since corners, boxes and screen are even, from the first corner's block on.
    total = np.zeros((_CORNERS_Y + _TALL, _CORNERS_X + _WIDE), dtype=np.int32)
    total[1 - _FIRST_Y :, 1 - _FIRST_X :][: SCREEN // 2, : SCREEN // 2] = pairs[:, ::2] + pairs[:, 1::2]
    total = total.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    inside = total[_TALL:, _WIDE:] - total[:-_TALL, _WIDE:] - total[_TALL:, :-_WIDE] + total[:-_TALL, :-_WIDE]
    keep = np.argwhere(inside >= max(_FEWEST_SPOTS, int(inside.max() * share)))
    return 2 * (keep[:, ::-1] + (_FIRST_X, _FIRST_Y))


def _find_enemies(frame: np.ndarray, channels_CHW: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Boxes of 8x8 whose picture is an enemy's: one for every run of columns with enough of its colour.

    Those who are half over the left edge at most are found as well.
    """
    close = _distance(channels_CHW, _ENEMY) < _NEAR
    bands = close.reshape(ROWS, TILE, SCREEN).sum(1)[: ROWS - 2]  # buried things lie lower
    found = []
    for row in np.flatnonzero(bands.sum(1) >= _FEWEST_LEAVING_SPOTS).tolist():
        rows, band = slice(row * TILE, row * TILE + TILE), bands[row]
        inside = [x for x in _peaks(band) if _enemy_error(frame[rows, x : x + TILE], 0) < HERO_ERROR]
        if not (inside and inside[0] < TILE) and band[:TILE].sum() >= _FEWEST_LEAVING_SPOTS:
            error, x = min((_enemy_error(frame[rows, : x + TILE], -x), x) for x in _LEAVING)
            if error < _LEAVING_ERROR:
                found.append((x, row * TILE))
        found += [(x, row * TILE) for x in inside]
    return tuple(found)


def _peaks(band: np.ndarray) -> list[int]:
    """Left edges of 8-pixel windows that hold the most of a colour, left to right, not overlapping."""
    sums = np.convolve(band, np.ones(TILE, dtype=np.int64), mode="valid")
    peaks = []
    while sums.max() >= _FEWEST_ENEMY_SPOTS:
        x = int(sums.argmax())
        peaks.append(x)
        sums[max(0, x - TILE + 1) : x + TILE] = 0
    return sorted(peaks)


def _enemy_error(cell: np.ndarray, hidden: int) -> float:
    """Mean squared error of the enemy picture that fits best, whose first ``hidden`` columns are out of sight."""
    assert cell.shape[:2] == (TILE, TILE - hidden)
    errors = []
    for name in ("enemy_0", "enemy_1"):
        for picture in (sprites(THEMES[0])[name], sprites(THEMES[0])[name][:, ::-1]):
            part = picture[:, hidden:]
            solid = part[..., 3] > 0
            errors.append(float(((cell.astype(np.float32) - part[..., :3])[solid] ** 2).mean()))
    return min(errors)
