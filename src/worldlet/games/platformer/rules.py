"""The rules of the platformer in whole numbers: what one frame's time does to the hero, the enemies and the camera.

Easy to dream and yet a game: whole-pixel speeds, heights and steps that return to the tile grid, animation that follows
position, enemies that wake where they scroll into view, and a camera that slides in whole 16-pixel steps.
"""

from dataclasses import dataclass

from worldlet.games.platformer.art import (
    ENEMY_HEIGHT,
    ENEMY_WIDTH,
    GROUND,
    HERO_HEIGHT,
    HERO_WIDTH,
    KIND_OF_TILE,
    PLATFORM,
    STAFF_REACH,
    THEMES,
    TILE,
    TILE_ID,
)
from worldlet.games.platformer.level import CHUNK, ROWS, Level

ACTION_NAMES = ("up", "down", "left", "right", "noop", "action", "left_up", "right_up")
UP, DOWN, LEFT, RIGHT, NOOP, ACTION, LEFT_UP, RIGHT_UP = range(len(ACTION_NAMES))
LEAPS, RIGHTWARD, LEFTWARD = (UP, LEFT_UP, RIGHT_UP), (RIGHT, RIGHT_UP), (LEFT, LEFT_UP)

SCREEN = 128  # pixels, both ways
COLUMNS = SCREEN // TILE
RUN_SPEED = 2  # pixels a frame
FALLS = (-8, -8, -6, -6, -4, -4, -2, -2, 0, 0, 2, 2, 4, 4, 6)  # vertical speeds from the leap on; the last one lasts
APEX = FALLS.index(0)  # where a fall begins that no leap came before
_BOUNCE = 2  # where in the curve a stomp throws the hero
_SLIDE_FROM, _SLIDE_STEPS, _SLIDE_STEP = 72, 3, 16  # past this screen x the camera slides: frames, pixels a frame
_DEAD_FRAMES, _PUFF_FRAMES, _ENEMY_PUFF_FRAMES = 4, 4, 3
_START_COLUMN = 2
_CROUCH_HEIGHT = 8  # pixels that a crouching hero is lower

_SKY_TILE, _SPIKE_TILE, _COIN_TILE = TILE_ID["sky"], TILE_ID["spike"], TILE_ID["coin"]
_SOLID = (KIND_OF_TILE == GROUND) | (KIND_OF_TILE == PLATFORM)


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
    """One run through one level: `step(action)` advances a frame, the attributes tell about the frame now shown.

    Positions are world pixels of a box's top left, speeds pixels a frame.
    """

    def __init__(self, seed: int, themes: tuple[str, ...] = THEMES):
        self.level = Level(seed, themes)
        self.theme = self.level.theme
        self.camera = 0
        self.slide = 0  # steps that the camera has yet to slide
        self.x = _START_COLUMN * TILE
        self.y = self.level.surface(_START_COLUMN) * TILE - HERO_HEIGHT
        self.vx = self.vy = 0
        self.air = -1  # index into FALLS, -1 on the ground
        self.facing = 1
        self.pose = "idle"  # or run, jump, fall, crouch, swing, dead, puff
        self.dying = 0  # frames until the hero comes back to life
        self.contacts = (True, False, False, False)  # ground, ceiling, left wall, right wall
        self.coins = self.deaths = self.stomps = 0
        self.distance = self.x  # the furthest x reached
        self.events: tuple[str, ...] = ()
        self.enemies: list[Enemy] = []
        self.terrain = {"gaps": 0, "coins": 0, "spikes": 0, "enemies": 0}
        self._safe = (self.x, self.y)
        self._seen = 0  # columns counted into `terrain`
        self.grid = self.level.columns(0, COLUMNS)  # tile ids on the screen, less what was taken
        self._solid = _SOLID[self.grid]
        self._reveal()

    def step(self, action: int) -> None:
        """Advance one frame (1/30 s) under an action, an index into `ACTION_NAMES`."""
        self.events = ()
        self._move_enemies()
        if self.dying:
            self._keep_dying()
        else:
            self._move_hero(action)
            self._meet()
        self._move_camera()

    def _move_hero(self, action: int) -> None:
        run = 1 if action in RIGHTWARD else -1 if action in LEFTWARD else 0
        grounded = self.air < 0
        if grounded and action in LEAPS:
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
        """Move sideways unless a wall or an edge of the screen is met; returns whether on the left, on the right."""
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
        if any(self._blocked(edge, self.y + dy) for dy in (0, TILE, HERO_HEIGHT - 1)):
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
            self.air = APEX
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
            self.air = APEX
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
        if action == DOWN:
            return "crouch"
        if action == ACTION:
            return "swing"
        return "run" if run and self.vx else "idle"

    def _meet(self) -> None:
        """Take coins; die of a spike, a pit or an enemy."""
        top, bottom = (self.y + (_CROUCH_HEIGHT if self.pose == "crouch" else 0), self.y + HERO_HEIGHT)
        for row, column in self._cells_touched(top, bottom):
            tile = self.grid[row, column]
            if tile == _COIN_TILE:
                self._take_coin(row, column)
            elif tile == _SPIKE_TILE:
                self._die()
                return
        if self.y >= SCREEN - HERO_HEIGHT:
            self.y = SCREEN - HERO_HEIGHT
            self._die()
            return
        for enemy in self.enemies:
            if not enemy.puff:
                self._meet_enemy(enemy, top, bottom)
            if self.dying:
                return

    def _meet_enemy(self, enemy: Enemy, top: int, bottom: int) -> None:
        """Swing at an enemy, stomp on it or be caught."""
        if not (enemy.y < bottom and top < enemy.y + ENEMY_HEIGHT):
            return
        if self.pose == "swing":
            staff = self.x + HERO_WIDTH if self.facing > 0 else self.x - STAFF_REACH
            if enemy.x < staff + STAFF_REACH and staff < enemy.x + ENEMY_WIDTH:
                enemy.puff = _ENEMY_PUFF_FRAMES
                self.events += ("knock",)
                return
        if not (enemy.x < self.x + HERO_WIDTH and self.x < enemy.x + ENEMY_WIDTH):
            return
        if self.air > 0 and self.vy > 0:
            enemy.puff = _ENEMY_PUFF_FRAMES
            self.air = _BOUNCE
            self.stomps += 1
            self.events += ("stomp",)
        else:
            self._die()

    def _take_coin(self, row: int, column: int) -> None:
        world = self.camera // TILE + column
        self.level.chunks[world // CHUNK].tiles[row, world % CHUNK] = _SKY_TILE
        self.grid[row, column] = _SKY_TILE
        self.coins += 1
        self.events += ("coin",)

    def _die(self) -> None:
        self.dying = _DEAD_FRAMES + _PUFF_FRAMES
        self.pose = "dead"
        self.vx = self.vy = 0
        self.air = -1
        self.deaths += 1
        self.events += ("death",)

    def _keep_dying(self) -> None:
        self.dying -= 1
        self.vx = self.vy = 0
        self.pose = "dead" if self.dying > _PUFF_FRAMES else "puff"
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
        if self.slide == 0 and self.x - self.camera >= _SLIDE_FROM:
            self.slide = _SLIDE_STEPS
        if self.slide:
            self.slide -= 1
            self.camera += _SLIDE_STEP
            self.grid = self.level.columns(self.camera // TILE, COLUMNS)
            self._solid = _SOLID[self.grid]
            self._reveal()

    def _reveal(self) -> None:
        """Count what has come into view and wake the enemies in it."""
        first, last = self._seen, self.camera // TILE + COLUMNS
        for c in range(first, last):
            chunk, at = self.level.chunks[c // CHUNK], c % CHUNK
            tiles = chunk.tiles[:, at]
            self.terrain["coins"] += int((tiles == _COIN_TILE).sum())
            self.terrain["spikes"] += int((tiles == _SPIKE_TILE).sum())
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
        row, column = y // TILE, (x - self.camera) // TILE
        if row >= ROWS:
            return False
        return bool(self._solid[max(row, 0), min(max(column, 0), COLUMNS - 1)])


def hero_sprite(game: Game) -> str:
    """Which picture shows the hero: the running legs follow his place in the world, not a clock."""
    return f"run_{game.x // 4 % 2}" if game.pose == "run" else "puff" if game.pose == "puff" else game.pose
