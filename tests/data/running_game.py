"""A running game without a screen, on a clock of its own, that shows in pixels which keys were down when it drew."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from worldlet.data.capture.source import Grab, KeyEvent, SourceClosed

CODES = ("ArrowLeft", "ArrowRight", "Space", "KeyX")


class RunningGame:
    """Draws 24x32 pixels, three times as large as wanted: four blocks for the keys, and a number that only grows.

    It draws a picture ``lag`` seconds after reading the keys. ``hiccups`` maps the number of a grab to how many seconds
    later than asked it comes; ``ends`` is the number of the grab at which the game is gone; grabs in ``hidden`` give
    nothing.
    """

    title = "running game"

    def __init__(
        self,
        hiccups: dict[int, float] | None = None,
        ends: int | None = None,
        hidden: Collection[int] = (),
        lag: float = 0.0,
        start: int = 0,
        number: Callable[[int], int] = lambda grab: grab,
    ) -> None:
        self.late = 0
        self.latency: float | None = None
        self.closed = False
        self.grabs = 0
        self._hiccups, self._ends, self._hidden, self._lag, self._number = hiccups or {}, ends, hidden, lag, number
        self._time = 1000.0
        self._start = start
        self._history: list[KeyEvent] = []
        self._new: list[KeyEvent] = []
        self._held: set[str] = set()

    def now(self) -> float:
        return self._time

    def grab(self, due: float) -> Grab | None:
        index, self.grabs = self.grabs, self.grabs + 1
        if self._ends is not None and index >= self._ends:
            raise SourceClosed("the window was closed")
        self._time = due + self._hiccups.get(index, 0.0)
        if index in self._hidden:
            return None
        pixels = np.zeros((8, 16, 3), np.uint8)
        for place, code in enumerate(CODES):
            pixels[:4, 4 * place : 4 * place + 4] = 255 * (code in self._held_at(self._time - self._lag))
        number = self._start + self._number(index)
        for bit in range(16):
            pixels[4:, bit] = 255 * (number >> bit & 1)
        return Grab(self._time, np.kron(pixels, np.ones((3, 3, 1), np.uint8)))

    def events(self) -> list[KeyEvent]:
        events, self._new = self._new, []
        return events

    def hold(self, codes: Collection[str]) -> None:
        """Press right after a frame, as a player does who saw it."""
        for code in sorted(self._held ^ set(codes)):
            event = KeyEvent(code, code in codes, self._time + 0.001)
            self._history.append(event)
            self._new.append(event)
        self._held = set(codes)

    def close(self) -> None:
        self.closed = True

    def _held_at(self, time: float) -> set[str]:
        held: set[str] = set()
        for event in self._history:
            if event.time <= time:
                (held.add if event.down else held.discard)(event.code)
        return held


def shown_keys(frames_THWC: np.ndarray) -> list[set[str]]:
    """Return the keys that each frame, 8x16, says were down."""
    return [{code for place, code in enumerate(CODES) if frame[1, 4 * place + 1, 0] > 127} for frame in frames_THWC]


def shown_numbers(frames_THWC: np.ndarray) -> np.ndarray:
    """Return the number that each frame, 8x16, shows."""
    return (frames_THWC[:, 6, :, 0] > 127) @ (1 << np.arange(16))
