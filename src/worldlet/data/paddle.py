"""A scripted player of Atari's Breakout, who finds ball and paddle in the picture and mostly keeps the ball alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

GAME = "ALE/Breakout-v5"
NEEDED = ("noop", "fire", "right", "left")

# Shares of the screen's height and width, from its 210x160 pixels: the dark field below the bricks, the paddle's rows,
# and what lies between the side walls.
_FIELD = (94 / 210, 187 / 210)
_PADDLE = (189 / 210, 194 / 210)
_SIDES = (9 / 160, 151 / 160)
_BRIGHT = 40  # a pixel of the ball or of the paddle, at any size of the picture
_HALF_PADDLE = 0.05  # of the width between the walls


class Paddle:
    """Follows the ball with an aim that wanders, serves when it is gone, and now and then does as it likes.

    Raises ValueError where the game is not Breakout by its actions.
    """

    blind = False

    def __init__(self, action_names: Sequence[str], mischief: float = 0.03) -> None:
        missing = [name for name in NEEDED if name not in action_names]
        if missing:
            raise ValueError(f"the player 'paddle' plays {GAME} alone: this game has no action {missing[0]!r}")
        self._actions = {name: list(action_names).index(name) for name in NEEDED}
        self._mischief = mischief
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start again with a fresh random stream."""
        self._rng = np.random.default_rng(seed)
        self._ball: tuple[float, float] | None = None
        self._paddle: float | None = None
        self._rising = False
        self._aim = 0.0
        self._whim, self._whim_left = 0, 0

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Find ball and paddle; places are shares of the width between the walls and of the screen's height."""
        ball, self._paddle = find_ball(frame_HWC), find_paddle(frame_HWC)
        rising = ball is not None and self._ball is not None and ball[1] < self._ball[1]
        if rising and not self._rising:  # just hit, or served: choose where on the paddle to take it next
            self._aim = float(self._rng.normal(0, 0.7 * _HALF_PADDLE))
        self._rising, self._ball = rising, ball

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the action: towards the ball, a serve, or a whim that lasts some frames."""
        if self._whim_left == 0 and self._rng.random() < self._mischief:
            self._whim, self._whim_left = (
                int(self._rng.choice(list(self._actions.values()))),
                int(self._rng.integers(2, 9)),
            )
        if self._whim_left:
            self._whim_left -= 1
            return self._whim
        return self._actions[self._wish()]

    def _wish(self) -> str:
        if self._ball is None:
            return "fire" if self._rng.random() < 0.4 else str(self._rng.choice(["noop", "left", "right"]))
        if self._paddle is None:
            return "noop"
        off = self._ball[0] + self._aim - self._paddle
        return "noop" if abs(off) < 0.4 * _HALF_PADDLE else "right" if off > 0 else "left"


def find_ball(frame_HWC: NDArray[np.uint8]) -> tuple[float, float] | None:
    """Return where the ball is in the field below the bricks, (x, y), or None."""
    return _middle(frame_HWC, _FIELD)


def find_paddle(frame_HWC: NDArray[np.uint8]) -> float | None:
    """Return the x of the paddle's middle, or None."""
    found = _middle(frame_HWC, _PADDLE)
    return None if found is None else found[0]


def sides(width: int) -> tuple[int, int]:
    """Return the columns between the walls of a screen so wide: the first, and the first that is not."""
    return int(np.ceil(_SIDES[0] * width)), int(_SIDES[1] * width)


def _middle(frame_HWC: NDArray[np.uint8], rows: tuple[float, float]) -> tuple[float, float] | None:
    height, width = frame_HWC.shape[:2]
    top, bottom = int(np.ceil(rows[0] * height)), int(rows[1] * height) + 1
    left, right = sides(width)
    bright_yx = np.argwhere(frame_HWC[top:bottom, left:right].max(-1) > _BRIGHT)
    if not len(bright_yx):
        return None
    y, x = bright_yx.mean(0)
    return float((x + 0.5) / (right - left)), float((top + y + 0.5) / height)
