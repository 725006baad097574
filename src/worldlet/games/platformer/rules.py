"""The rules of the platformer in plain integers: what a frame's worth of time does to the hero, the enemies and the camera.

Easy to dream and yet a game: whole-pixel speeds, heights and steps that return to the tile grid, animation that follows position, enemies that wake
where they scroll into view, and a camera that slides in whole 16-pixel steps.
"""

from dataclasses import dataclass

import numpy as np

from worldlet.games.platformer.art import (
    ENEMY_HEIGHT,
    ENEMY_WIDTH,
    HERO_HEIGHT,
    HERO_WIDTH,
    KIND_OF_TILE,
    STAFF_REACH,
    THEMES,
    TILE,
    TILE_ID,
)
from worldlet.games.platformer.level import ROWS, Level

ACTION_NAMES = ("up", "down", "left", "right", "noop", "action", "left_up", "right_up")
SCREEN = 128  # pixels, both ways
COLUMNS = SCREEN // TILE
RUN_SPEED = 2
FALLS = (-8, -8, -6, -6, -4, -4, -2, -2, 0, 0, 2, 2, 4, 4, 6)  # vertical speeds from the leap on; the last one lasts
_APEX, _BOUNCE = 8, 2
SLIDE_FROM, SLIDE_STEPS, SLIDE_STEP = 72, 3, 16  # the camera slides when the hero's box passes this screen x
DEAD_FRAMES, PUFF_FRAMES, ENEMY_PUFF_FRAMES = 4, 4, 3
_SKY, _SPIKE, _COIN = TILE_ID["sky"], TILE_ID["spike"], TILE_ID["coin"]
_SOLID = (KIND_OF_TILE == 1) | (KIND_OF_TILE == 2)


@dataclass
class Enemy:
    """One walking enemy; x, y of its 8x8 box in world pixels; `puff` counts down after it was knocked out."""

    x: int
    y: int
    left: int
    right: int
    direction: int = -1
    puff: int = 0


class Game:
    """One run through one level. `step(action)` advances a frame; attributes are the ground truth of the frame now shown."""

    def __init__(self, seed: int, themes: tuple[str, ...] = THEMES):
        self.level = Level(seed, themes)
        self.theme = self.level.theme
        self.camera = 0
        self.slide = 0
        self.x, self.y = 16, self.level.surface(2) * TILE - HERO_HEIGHT
        self.vx = self.vy = 0
        self.air = -1  # index into FALLS, -1 on the ground
        self.facing = 1
        self.pose = "idle"
        self.dying = 0
        self.contacts = (True, False, False, False)
        self.coins = self.deaths = self.stomps = self.distance = 0
        self.distance = self.x
        self.events: tuple[str, ...] = ()
        self.enemies: list[Enemy] = []
        self.terrain = {"gaps": 0, "coins": 0, "spikes": 0, "enemies": 0}
        self._safe = (self.x, self.y)
        self._seen = 0  # columns counted into `terrain`
        self.grid = self.level.columns(0, COLUMNS)  # tile ids on the screen, less what was taken
        self._solid = _SOLID[self.grid]
        self._reveal()

    # -- time -----------------------------------------------------------------------------------------------

    def step(self, action: int) -> None:
        """Advance one frame under one of `ACTION_NAMES`."""
        self.events = ()
        self._move_enemies()
        if self.dying:
            self._keep_dying()
        else:
            self._move_hero(action)
            self._meet()
        self._move_camera()

    def _move_hero(self, action: int) -> None:
        run = 1 if action in (3, 7) else -1 if action in (2, 6) else 0
        leap = action in (0, 6, 7)
        grounded = self.air < 0
        if grounded and leap:
            self.air = 0
            self.events += ("jump",)
        if run:
            self.facing = run
        before = self.x
        left, right = self._run(run * RUN_SPEED)
        self.vx = self.x - before
        ceiling = self._fall() if self.air >= 0 else False
        landed = self._stand(grounded)
        if landed:
            self.events += ("land",)
        self.contacts = (self.air < 0, ceiling, left, right)
        self.pose = self._choose_pose(action, run)
        self.distance = max(self.distance, self.x)

    def _run(self, dx: int) -> tuple[bool, bool]:
        """Move sideways up to a wall or the screen's left edge; returns whether a wall was met on the left and on the right."""
        if dx == 0:
            return False, False
        x = self.x + dx
        if x < self.camera:
            self.x = self.camera
            return True, False
        if x > self.camera + SCREEN - HERO_WIDTH:
            self.x = self.camera + SCREEN - HERO_WIDTH
            return False, True
        edge = x + HERO_WIDTH - 1 if dx > 0 else x
        if (
            self._blocked(edge, self.y)
            or self._blocked(edge, self.y + 8)
            or self._blocked(edge, self.y + HERO_HEIGHT - 1)
        ):
            return dx < 0, dx > 0
        self.x = x
        return False, False

    def _fall(self) -> bool:
        """One frame in the air; returns whether the head met a ceiling."""
        self.vy = FALLS[min(self.air, len(FALLS) - 1)]
        self.air += 1
        y = self.y + self.vy
        if self.vy < 0 and (self._blocked(self.x, y) or self._blocked(self.x + HERO_WIDTH - 1, y)):
            self.y = (y // TILE + 1) * TILE
            self.air = _APEX
            return True
        self.y = y
        return False

    def _stand(self, grounded: bool) -> bool:
        """Land on what is under the feet, or begin to fall; returns whether the hero landed."""
        if not grounded and self.vy < 0:
            return False
        feet = self.y + HERO_HEIGHT
        under = self._blocked(self.x, feet) or self._blocked(self.x + HERO_WIDTH - 1, feet)
        inside = self.vy > 0 and (self._blocked(self.x, feet - 1) or self._blocked(self.x + HERO_WIDTH - 1, feet - 1))
        if self.air >= 0 and self.vy >= 0 and (inside or (under and feet % TILE == 0)):
            self.y = feet // TILE * TILE - HERO_HEIGHT
            self.air, self.vy = -1, 0
            self._remember_safe_ground()
            return not grounded
        if self.air < 0 and not under:
            self.air = _APEX
        elif self.air < 0:
            self._remember_safe_ground()
        return False

    def _remember_safe_ground(self) -> None:
        column = (self.x + HERO_WIDTH // 2) // TILE
        feet = self.y + HERO_HEIGHT
        if all(self.level.safe(c) and self.level.surface(c) * TILE == feet for c in (column, column + 1)):
            self._safe = (column * TILE, self.y)

    def _choose_pose(self, action: int, run: int) -> str:
        if self.air >= 0:
            return "jump" if self.vy < 0 else "fall"
        if action == 1:
            return "crouch"
        if action == 5:
            return "swing"
        return "run" if run and self.vx else "idle"

    # -- what the hero meets --------------------------------------------------------------------------------

    def _meet(self) -> None:
        top, bottom = self.y + (8 if self.pose == "crouch" else 0), self.y + HERO_HEIGHT
        for row, column in self._cells_touched(top, bottom):
            tile = self.grid[row, column]
            if tile == _COIN:
                self._take_coin(row, column)
            elif tile == _SPIKE:
                return self._die()
        if self.y >= SCREEN - HERO_HEIGHT:
            self.y = SCREEN - HERO_HEIGHT
            return self._die()
        for enemy in self.enemies:
            if not enemy.puff and self._meet_enemy(enemy, top, bottom):
                return None

    def _meet_enemy(self, enemy: Enemy, top: int, bottom: int) -> bool:
        """Swing, stomp or be caught; returns whether the hero died."""
        overlaps_y = enemy.y < bottom and top < enemy.y + ENEMY_HEIGHT
        if self.pose == "swing":
            low, high = (
                (self.x + HERO_WIDTH, self.x + HERO_WIDTH + STAFF_REACH)
                if self.facing > 0
                else (self.x - STAFF_REACH, self.x)
            )
            if overlaps_y and enemy.x < high and low < enemy.x + ENEMY_WIDTH:
                enemy.puff = ENEMY_PUFF_FRAMES
                self.events += ("knock",)
                return False
        if not (overlaps_y and enemy.x < self.x + HERO_WIDTH and self.x < enemy.x + ENEMY_WIDTH):
            return False
        if self.air > 0 and self.vy > 0:
            enemy.puff = ENEMY_PUFF_FRAMES
            self.air = _BOUNCE
            self.stomps += 1
            self.events += ("stomp",)
            return False
        self._die()
        return True

    def _take_coin(self, row: int, column: int) -> None:
        world = self.camera // TILE + column
        chunk = self.level.chunks[world // 10]
        chunk.tiles[row, world % 10] = _SKY
        self.grid[row, column] = _SKY
        self.coins += 1
        self.events += ("coin",)

    def _die(self) -> None:
        self.dying = DEAD_FRAMES + PUFF_FRAMES
        self.pose = "dead"
        self.vx = self.vy = 0
        self.air = -1
        self.deaths += 1
        self.events += ("death",)

    def _keep_dying(self) -> None:
        self.dying -= 1
        self.vx = self.vy = 0
        self.pose = "dead" if self.dying > PUFF_FRAMES else "puff"
        if self.dying == 0:
            self.x, self.y = self._safe if self._safe[0] >= self.camera else self._ground_on_screen()
            self.facing, self.pose, self.air = 1, "idle", -1
            self.contacts = (True, False, False, False)
            self.events += ("respawn",)

    def _ground_on_screen(self) -> tuple[int, int]:
        """The leftmost place on the screen where the hero may come back."""
        first = self.camera // TILE
        for c in range(first, first + COLUMNS - 1):
            if self.level.safe(c) and self.level.safe(c + 1) and self.level.surface(c) == self.level.surface(c + 1):
                return c * TILE, self.level.surface(c) * TILE - HERO_HEIGHT
        raise AssertionError("every chunk begins with safe ground")

    # -- enemies, camera, screen ----------------------------------------------------------------------------

    def _move_enemies(self) -> None:
        for enemy in self.enemies:
            if enemy.puff:
                enemy.puff -= 1
                if not enemy.puff:
                    enemy.y = SCREEN  # gone
                continue
            if enemy.x + enemy.direction < enemy.left or enemy.x + enemy.direction > enemy.right:
                enemy.direction = -enemy.direction
            enemy.x += enemy.direction
        self.enemies = [e for e in self.enemies if e.y < SCREEN and e.right + ENEMY_WIDTH > self.camera]

    def _move_camera(self) -> None:
        if self.slide == 0 and self.x - self.camera >= SLIDE_FROM:
            self.slide = SLIDE_STEPS
        if self.slide:
            self.slide -= 1
            self.camera += SLIDE_STEP
            self.grid = self.level.columns(self.camera // TILE, COLUMNS)
            self._solid = _SOLID[self.grid]
            self._reveal()

    def _reveal(self) -> None:
        """Count what has come into view and wake the enemies in it."""
        first, last = self._seen, self.camera // TILE + COLUMNS
        for c in range(first, last):
            chunk, at = self.level.chunks[c // 10], c % 10
            tiles = chunk.tiles[:, at]
            self.terrain["coins"] += int((tiles == _COIN).sum())
            self.terrain["spikes"] += int((tiles == _SPIKE).sum())
            self.terrain["gaps"] += chunk.surface[at] == ROWS and (at == 0 or chunk.surface[at - 1] < ROWS)
            for place in chunk.enemies:
                if place.right // TILE == c:
                    self.enemies.append(Enemy(place.right, place.y, place.left, place.right))
                    self.terrain["enemies"] += 1
        self._seen = last

    def _cells_touched(self, top: int, bottom: int) -> list[tuple[int, int]]:
        left = (self.x - self.camera) // TILE
        right = min((self.x + HERO_WIDTH - 1 - self.camera) // TILE, COLUMNS - 1)
        return [
            (r, c)
            for r in range(max(top // TILE, 0), min((bottom - 1) // TILE, ROWS - 1) + 1)
            for c in range(left, right + 1)
        ]

    def _blocked(self, x: int, y: int) -> bool:
        """Whether a world pixel is solid. Above the screen it is as in the top row; below it is open."""
        row, column = y >> 3, (x - self.camera) >> 3
        if row >= ROWS:
            return False
        return bool(self._solid[max(row, 0), min(max(column, 0), COLUMNS - 1)])


def hero_sprite(game: Game) -> str:
    """Which picture shows the hero: the running legs follow his place in the world, not a clock."""
    return f"run_{game.x // 4 % 2}" if game.pose == "run" else "puff" if game.pose == "puff" else game.pose


def caption(game: Game) -> str:
    """What the screen shows, in plain English."""
    kinds = KIND_OF_TILE[game.grid]
    things = [name for name, here in (("coins", (kinds == 3).any()), ("spikes", (kinds == 4).any()), ("a gap", (kinds == 5).any()),
                                      ("platforms", (kinds == 2).any()), ("an enemy", bool(game.enemies))) if here]  # fmt: skip
    places = {"grass": "a grassy land under a blue sky with clouds", "desert": "a sandy desert in the sun", "snow": "a snowy land on a winter day",
              "cave": "a dark stone cave", "night": "a night of stars and a moon over old bricks", "lava": "a volcano land with glowing lava"}  # fmt: skip
    seen = f" with {', '.join(things[:-1]) + ' and ' if len(things) > 1 else ''}{things[-1]}" if things else ""
    return f"2D platformer in {places[game.theme]}{seen}"
