"""What an agent sees of a game: its latest four looks, grey and small. Training and playing use the same code.

An agent looks once in ``repeat`` frames. A look is the brighter of the last two frames at every pixel, because old
consoles draw some things in every second frame only (Mnih et al. 2015, "Human-level control", Methods).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOOKS = 4
"""Looks that an agent remembers; from one alone nobody tells which way a ball flies."""


class Sight:
    """The looks of one player, oldest first; ``size`` pixels high and wide, whatever the game's own shape."""

    def __init__(self, size: int, repeat: int) -> None:
        self._size, self._repeat = size, repeat
        self.forget()

    def forget(self) -> None:
        """Begin anew: the next frame is the first of an episode."""
        self._frames = 0
        self._before: NDArray[np.uint8] | None = None
        self._looks = np.zeros((LOOKS, self._size, self._size), np.uint8)

    def watch(self, frame_HWC: NDArray[np.uint8]) -> bool:
        """See the next frame, uint8 RGB; return whether it completed a look. The first frame of all is one."""
        looks = self._frames % self._repeat == 0
        if looks:
            brightest = frame_HWC if self._before is None else np.maximum(self._before, frame_HWC)
            look = self._shrink(brightest)
            self._looks = np.concatenate([self._looks[1:], look[None]]) if self._frames else np.stack([look] * LOOKS)
        self._before = frame_HWC.copy()
        self._frames += 1
        return looks

    @property
    def looks(self) -> NDArray[np.uint8]:
        """The four looks, uint8 (4, size, size), the newest last."""
        return self._looks

    def _shrink(self, frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey = Image.fromarray(frame_HWC).convert("L")
        return np.asarray(grey.resize((self._size, self._size), Image.Resampling.BOX))
