"""What a running game gives the recorder: pictures by the clock, and key events with their times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class KeyEvent:
    """A key that went down or up at ``time``, seconds on its source's clock; an empty code releases every key.

    Codes are those of DOM ``KeyboardEvent.code``: ``ArrowRight``, ``KeyW``, ``Space``.
    """

    code: str
    down: bool
    time: float


@dataclass(frozen=True, eq=False)
class Grab:
    """What the screen showed at ``time``, seconds on the source's clock: uint8 (H, W, 3).

    ``fresh`` is false where the source knows that nothing was drawn since the grab before.
    """

    time: float
    pixels_HWC: NDArray[np.uint8]
    fresh: bool = True


class SourceClosed(ValueError):
    """The window or page is gone; what was captured before stays."""


class Source(Protocol):
    """A running game. Its clock only ever grows; all its times are seconds on that clock."""

    title: str
    """What is captured, in words."""

    late: int
    """Pictures that came too late to stand in the frame they belong to."""

    latency: float | None
    """Seconds from a key to the time of the picture that shows it, where the source could measure that."""

    def now(self) -> float:
        """Return the time."""
        ...

    def grab(self, due: float) -> Grab | None:
        """Wait until ``due`` and return the picture of that moment, or of as soon after as can be had.

        Returns None while the game is hidden or another window has the keyboard; raises SourceClosed at its end.
        """
        ...

    def events(self) -> list[KeyEvent]:
        """Return the key events that came since the last call, in order; later calls bring none before a grab's."""
        ...

    def hold(self, codes: Collection[str]) -> None:
        """Press and release keys in the game until exactly these are held."""
        ...

    def close(self) -> None:
        """Let go of the game and of everything that was opened for it."""
        ...
