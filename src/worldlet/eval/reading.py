"""The seam between the suite and a game: who can read what its pixels show, and who can play by reading.

A game without a reader is still measured where no reading is needed; the card lists what could not be judged.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Player(Protocol):
    """A player who sees only what was read from pixels."""

    def act(self, reading: Any) -> int:
        """Return the next action."""


class GameReader(Protocol):
    """Reads frames of one game, real or dreamed, and plays it by its readings."""

    def read(self, frame_HWC: NDArray[np.uint8]) -> Any:
        """Return what one frame shows: theme, tiles, hero and enemies, from its pixels alone."""

    def truth(self, env: Any) -> Any:
        """Return the same of the frame that the game itself now shows, as the game knows it."""

    def player(self, seed: int) -> Player:
        """Return a closed-loop player; the same seed and readings give the same actions."""


class PlatformerReader:
    """Reads ``worldlet/Platformer-v0``."""

    def read(self, frame_HWC: NDArray[np.uint8]) -> Any:
        """Return the `worldlet.games.platformer.reading.Reading` of a frame."""
        from worldlet.games.platformer.reading import read_frame

        return read_frame(frame_HWC)

    def truth(self, env: Any) -> Any:
        """Return the `worldlet.games.platformer.reading.Reading` that is true of a game."""
        from worldlet.games.platformer.reading import truth

        return truth(env)

    def player(self, seed: int) -> Player:
        """Return the scripted runner."""
        from worldlet.games.platformer.runner import PLAYER_MISCHIEF, Runner

        return Runner(seed, PLAYER_MISCHIEF)


READERS = {"worldlet/Platformer-v0": PlatformerReader}


def reader_for(env_id: str) -> GameReader | None:
    """Return the reader of a game, or None where there is none."""
    return READERS[env_id]() if env_id in READERS else None
