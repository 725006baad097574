"""Small games of one hero each, who goes one step in four ways or stays: shapes, colours, places and grounds differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldlet.records import Episode

SIDE, HERO, STEP = 24, 4, 2
WAYS = ((0, 0), (0, -STEP), (0, STEP), (-STEP, 0), (STEP, 0))  # rows, columns
SHAPES = (
    ("####", "####", "####", "####"),
    (".##.", "####", "####", ".##."),
    ("####", "#..#", "#..#", "####"),
)


class HeroGame:
    """One level of one of the games; walls stop the hero."""

    def __init__(self, seed: int):
        rng = np.random.default_rng([seed, 3])
        tiles = rng.integers(0, 110, (SIDE // 4, SIDE // 4, 3)).astype(np.uint8)
        self.ground = tiles.repeat(4, 0).repeat(4, 1)
        self.shape = np.array([[letter == "#" for letter in row] for row in SHAPES[seed % len(SHAPES)]])
        self.colour = np.roll([255, int(rng.integers(120, 256)), 40], int(rng.integers(3)))
        self.place = STEP * rng.integers(0, (SIDE - HERO) // STEP + 1, 2)

    @property
    def free(self) -> bool:
        """Whether no wall is near."""
        return bool(((self.place >= STEP) & (self.place <= SIDE - HERO - STEP)).all())

    def step(self, way: int) -> NDArray[np.uint8]:
        self.place = np.clip(self.place + WAYS[way], 0, SIDE - HERO)
        return self.draw()

    def draw(self) -> NDArray[np.uint8]:
        frame = self.ground.copy()
        row, column = self.place
        frame[row : row + HERO, column : column + HERO][self.shape] = self.colour
        return frame


@dataclass(frozen=True, eq=False)
class Played:
    """A play, and what its hero really did: for each action the index of its way, or 0 where a wall stopped him."""

    episode: Episode
    ways_T: NDArray[np.int64]


def play_hero(seed: int, length: int) -> Played:
    game, actions = HeroGame(seed), np.random.default_rng([seed, 9]).integers(0, len(WAYS), length)
    frames, ways = [game.draw()], []
    for action in actions:
        before = game.place
        frames.append(game.step(int(action)))
        ways.append(int(action) if (game.place != before).any() else 0)
    meta = {
        "episode_id": f"hero-{seed:06d}", "env_id": "nowhere/Hero-v0", "level_seed": seed, "split": "train",
        "policy": "random", "action_names": ["stay", "left", "right", "up", "down"], "fps": 20.0, "theme": "",
        "caption": "",
    }  # fmt: skip
    return Played(Episode(np.stack(frames), actions.astype(np.int64), {}, meta), np.array(ways))
