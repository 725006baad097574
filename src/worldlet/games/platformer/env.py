"""The platformer as a Gymnasium environment: the screen, the ground truth, the reward."""

import operator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from worldlet.games.platformer.art import ENEMY_WIDTH, HERO_WIDTH, THEMES, TILE, TILE_ID, atlas, check_theme, sprites
from worldlet.games.platformer.caption import caption
from worldlet.games.platformer.rules import ACTION_NAMES, COLUMNS, SCREEN, Game, hero_sprite

KEY_BINDINGS = {
    "up": [["KeyW"], ["ArrowUp"], ["Space"]],
    "down": [["KeyS"], ["ArrowDown"]],
    "left": [["KeyA"], ["ArrowLeft"]],
    "right": [["KeyD"], ["ArrowRight"]],
    "noop": [[]],
    "action": [["KeyJ"], ["KeyX"], ["Enter"]],
    "left_up": [["KeyA", "KeyW"], ["KeyA", "Space"], ["ArrowLeft", "ArrowUp"], ["ArrowLeft", "Space"]],
    "right_up": [["KeyD", "KeyW"], ["KeyD", "Space"], ["ArrowRight", "ArrowUp"], ["ArrowRight", "Space"]],
}
_SUN_ROWS, _SUN_COLUMNS = slice(1, 3), slice(12, 14)
_SUN = np.array([[TILE_ID["sun_00"], TILE_ID["sun_01"]], [TILE_ID["sun_10"], TILE_ID["sun_11"]]], dtype=np.uint8)


def draw(game: Game) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The screen of a game: frame uint8 (128, 128, 3), mask of the hero, mask of all that moves (bool (128, 128))."""
    grid = game.grid.copy()
    grid[_SUN_ROWS, _SUN_COLUMNS] = _SUN
    frame = np.ascontiguousarray(atlas(game.theme)[grid].swapaxes(1, 2)).reshape(SCREEN, SCREEN, 3)
    hero, moving = np.zeros((2, SCREEN, SCREEN), dtype=bool)
    pictures = sprites(game.theme)
    for enemy in game.enemies:
        name = "enemy_puff" if enemy.puff else f"enemy_{enemy.x // 4 % 2}"
        _blit(frame, moving, pictures[name], enemy.x - game.camera, enemy.y, ENEMY_WIDTH, enemy.direction)
    _blit(frame, hero, pictures[hero_sprite(game)], game.x - game.camera, game.y, HERO_WIDTH, game.facing)
    return frame, hero, moving | hero


def _blit(
    frame: np.ndarray, mask: np.ndarray, picture: np.ndarray, x: int, y: int, box_width: int, facing: int
) -> None:
    """Draw a picture whose box has its top left at x, y; what is wider than the box sticks out to the front."""
    h, w = picture.shape[:2]
    if facing < 0:
        picture, x = picture[:, ::-1], x - (w - box_width)
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + h, SCREEN), min(x + w, SCREEN)
    if top >= bottom or left >= right:
        return
    part = picture[top - y : bottom - y, left - x : right - x]
    solid = part[..., 3] > 0
    frame[top:bottom, left:right][solid] = part[..., :3][solid]
    mask[top:bottom, left:right] |= solid


def ground_truth(game: Game, hero: np.ndarray, moving: np.ndarray) -> dict[str, Any]:
    """The `info` of the frame now shown; keys, shapes and units in docs/contracts.md."""
    return {
        "hero_position": np.array([game.x, game.y], dtype=np.int32),
        "hero_velocity": np.array([game.vx, game.vy], dtype=np.int32),
        "hero_screen": np.array([game.x - game.camera, game.y], dtype=np.int32),
        "hero_pose": "dead" if game.pose == "puff" else game.pose,
        "hero_facing": game.facing,
        "contacts": np.array(game.contacts, dtype=bool),
        "camera": np.array([game.camera, 0], dtype=np.int32),
        "hero_mask": hero,
        "moving_mask": moving,
        "theme": game.theme,
        "caption": caption(game),
        "distance": game.distance,
        "coins": game.coins,
        "deaths": game.deaths,
        "stomps": game.stomps,
        "events": game.events,
        "level_seed": game.level.seed,
        "columns": game.camera // TILE + COLUMNS,
        "terrain": dict(game.terrain),
    }


def play(game: Game, action: Any) -> float:
    """Advance a game by one frame and return the reward: new distance in tiles, plus 1 a coin, less 5 a death.

    Raises:
        ValueError: if the action is not a whole number from 0 to 7.
    """
    index = whole_number(action, "action")
    if not 0 <= index < len(ACTION_NAMES):
        names = ", ".join(ACTION_NAMES)
        raise ValueError(f"action {index} is out of range: use 0 to {len(ACTION_NAMES) - 1} ({names})")
    before = game.distance
    game.step(index)
    return (game.distance - before) / TILE + game.events.count("coin") - 5.0 * game.events.count("death")


def whole_number(value: Any, name: str, least: int | None = None) -> int:
    """The value as an int; ValueError unless it is a whole number, and at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value!r}: use a whole number") from None
    if least is not None and number < least:
        raise ValueError(f"{name} is {number}: use a whole number from {least} up")
    return number


def checked_themes(themes: tuple[str, ...] | None) -> tuple[str, ...]:
    """The themes to choose from, all of them if None; ValueError on an unknown one."""
    if isinstance(themes, str):
        raise ValueError(f"themes is {themes!r}: use a list of names, such as [{themes!r}]")
    for theme in themes or ():
        check_theme(theme)
    return tuple(themes or THEMES)


class PlatformerEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Run, jump, crouch and swing through an endless level made from the seed.

    Observations are uint8 (128 * scale, 128 * scale, 3), actions `Discrete(8)` named in `metadata["action_names"]`. The
    reward is the new distance in tiles, plus 1 a coin, less 5 a death. An episode never ends by itself. `info` carries
    ground truth (docs/contracts.md). `themes` limits what the level's seed chooses from.

    Raises:
        ValueError: on a scale below 1, an unknown theme or another render mode than "rgb_array".
    """

    metadata = {
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "action_names": ACTION_NAMES,
        "key_bindings": KEY_BINDINGS,
        "themes": THEMES,
        "fresh_reset": True,
        "levels": True,
    }

    def __init__(self, scale: int = 1, themes: tuple[str, ...] | None = None, render_mode: str | None = None):
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}: use 'rgb_array' or None")
        self.scale, self.themes, self.render_mode = (
            whole_number(scale, "scale", 1),
            checked_themes(themes),
            render_mode,
        )
        self.observation_space = Box(0, 255, (SCREEN * self.scale, SCREEN * self.scale, 3), np.uint8)
        self.action_space = Discrete(len(ACTION_NAMES))
        self.game: Game | None = None
        self._frame = np.zeros((SCREEN * self.scale, SCREEN * self.scale, 3), dtype=np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the level of `seed` (0 or more), or without one a level that the environment's generator draws.

        Raises:
            ValueError: on a negative or fractional seed.
        """
        seed = None if seed is None else whole_number(seed, "seed", 0)
        super().reset(seed=seed)
        self.game = Game(int(self.np_random.integers(2**31)) if seed is None else seed, self.themes)
        return self._show(self.game)

    def step(self, action: int | np.integer) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one frame (1/30 s): the frame returned is the first that the action shows in.

        Raises:
            ValueError: before the first reset, or on an action that is not 0 to 7.
        """
        if self.game is None:
            raise ValueError("call reset before step")
        reward = play(self.game, action)
        frame, info = self._show(self.game)
        return frame, reward, False, False, info

    def render(self) -> np.ndarray | None:
        """The frame now shown, a copy, if `render_mode` is "rgb_array"."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def _show(self, game: Game) -> tuple[np.ndarray, dict[str, Any]]:
        """The observation and the `info` of the frame now shown, at scale."""
        frame, hero, moving = draw(game)
        if self.scale > 1:
            frame, hero, moving = (a.repeat(self.scale, 0).repeat(self.scale, 1) for a in (frame, hero, moving))
        self._frame = frame
        return frame.copy() if self.render_mode else frame, ground_truth(game, hero, moving)
