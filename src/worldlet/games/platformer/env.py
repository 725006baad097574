"""The platformer as a Gymnasium environment, alone and in numbers."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector.utils import batch_space

from worldlet.games.platformer.art import (
    ENEMY_HEIGHT,
    ENEMY_WIDTH,
    HERO_HEIGHT,
    HERO_WIDTH,
    THEMES,
    TILE,
    TILE_ID,
    atlas,
    sprites,
)
from worldlet.games.platformer.rules import ACTION_NAMES, SCREEN, Game, caption, hero_sprite

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
        "columns": game.camera // TILE + SCREEN // TILE,
        "terrain": dict(game.terrain),
    }


def _checked_themes(themes: tuple[str, ...] | None) -> tuple[str, ...]:
    unknown = set(themes or ()) - set(THEMES)
    if unknown:
        raise ValueError(f"unknown theme {sorted(unknown)[0]!r}: choose from {', '.join(THEMES)}")
    return tuple(themes or THEMES)


class PlatformerEnv(gymnasium.Env[np.ndarray, int]):
    """Run, jump, crouch and swing through an endless level made from the seed.

    Observations are uint8 (128 * scale, 128 * scale, 3), actions `Discrete(8)` named in `metadata["action_names"]`. The reward is the new distance in tiles,
    plus one a coin, less five a death. An episode never ends by itself. `info` carries ground truth (docs/contracts.md).

    Raises:
        ValueError: on a scale below 1 or an unknown theme.
    """

    metadata = {
        "render_modes": ["rgb_array"],
        "render_fps": 30,
        "action_names": ACTION_NAMES,
        "key_bindings": KEY_BINDINGS,
        "themes": THEMES,
    }  # noqa: RUF012

    def __init__(self, scale: int = 1, themes: tuple[str, ...] | None = None, render_mode: str | None = None):
        if scale < 1:
            raise ValueError(f"scale is {scale}: use a whole number from 1 up")
        self.scale, self.themes, self.render_mode = scale, _checked_themes(themes), render_mode
        self.observation_space = Box(0, 255, (SCREEN * scale, SCREEN * scale, 3), np.uint8)
        self.action_space = Discrete(len(ACTION_NAMES))
        self.game: Game | None = None
        self._frame = np.zeros(self.observation_space.shape, dtype=np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin the level of `seed` (a random one without)."""
        super().reset(seed=seed)
        level_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self.game = Game(level_seed, self.themes)
        return self._show()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one frame (1/30 s)."""
        if self.game is None:
            raise ValueError("call reset before step")
        if not 0 <= int(action) < len(ACTION_NAMES):
            raise ValueError(
                f"action {action} is out of range: use 0 to {len(ACTION_NAMES) - 1} ({', '.join(ACTION_NAMES)})"
            )
        game = self.game
        before = game.distance
        game.step(int(action))
        reward = (game.distance - before) / TILE + game.events.count("coin") - 5.0 * game.events.count("death")
        frame, info = self._show()
        return frame, reward, False, False, info

    def render(self) -> np.ndarray | None:
        """The frame now shown, if `render_mode` is "rgb_array"."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def _show(self) -> tuple[np.ndarray, dict[str, Any]]:
        assert self.game is not None
        frame, hero, moving = draw(self.game)
        if self.scale > 1:
            frame, hero, moving = (a.repeat(self.scale, 0).repeat(self.scale, 1) for a in (frame, hero, moving))
        self._frame = frame
        return frame.copy() if self.render_mode else frame, ground_truth(self.game, hero, moving)


class PlatformerVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Many levels side by side without the cost of `info`: observations uint8 (num_envs, 128, 128, 3). Environment i plays level `seed + i`."""

    metadata = PlatformerEnv.metadata | {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int, themes: tuple[str, ...] | None = None):
        self.num_envs, self.themes = num_envs, _checked_themes(themes)
        self.single_observation_space = Box(0, 255, (SCREEN, SCREEN, 3), np.uint8)
        self.single_action_space = Discrete(len(ACTION_NAMES))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.games: list[Game] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin `num_envs` levels."""
        super().reset(seed=seed)
        first = int(self.np_random.integers(2**31)) if seed is None else seed
        self.games = [Game(first + i, self.themes) for i in range(self.num_envs)]
        return self._frames(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one frame in every level."""
        if len(actions) != self.num_envs:
            raise ValueError(f"got {len(actions)} actions for {self.num_envs} environments")
        rewards = np.zeros(self.num_envs)
        for i, (game, action) in enumerate(zip(self.games, actions, strict=True)):
            before = game.distance
            game.step(int(action))
            rewards[i] = (game.distance - before) / TILE + game.events.count("coin") - 5.0 * game.events.count("death")
        never = np.zeros(self.num_envs, dtype=bool)
        return self._frames(), rewards, never, never.copy(), {}

    def _frames(self) -> np.ndarray:
        return np.stack([draw(game)[0] for game in self.games])
