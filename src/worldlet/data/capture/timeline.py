"""Which keys belong to which frame: those held between its time and the next frame's.

``frames[t]``, then the player does ``actions[t]``, then ``frames[t+1]`` appears: so a key counts for the interval
between two frames where it was held for half of it or longer. A tap that reaches that nowhere still happened, and
counts for the interval that holds most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldlet.data.capture.source import KeyEvent

REPEAT_SECONDS = 0.003
"""A key that goes down again within this time of going up was held all along: so X11 tells of keys that repeat."""
_SLACK = 1e-6  # clocks since 1970 in float64 are good to less than this


@dataclass
class _Hold:
    """One key from going down to going up; ``up`` is infinite while it is held."""

    code: str
    down: float
    up: float = np.inf


class KeyLog:
    """Key events in, held keys of each interval between frames out."""

    def __init__(self) -> None:
        self._holds: list[_Hold] = []
        self._open: dict[str, _Hold] = {}

    def add(self, event: KeyEvent) -> None:
        """Take over one event; repeated downs and unmatched ups change nothing."""
        if event.down and event.code not in self._open:
            last = next((hold for hold in reversed(self._holds) if hold.code == event.code), None)
            if last is not None and event.time - last.up <= REPEAT_SECONDS:
                last.up = np.inf
                self._open[event.code] = last
                return
            self._open[event.code] = _Hold(event.code, event.time)
            self._holds.append(self._open[event.code])
        elif not event.down:
            for code in [event.code] if event.code else list(self._open):
                if code in self._open:
                    self._open.pop(code).up = event.time

    def held(self, times: Sequence[float]) -> list[tuple[str, ...]]:
        """Return for each of the T intervals between T+1 rising times the keys of it, in the order of going down."""
        edges = np.asarray(times, np.float64)
        held: list[list[str]] = [[] for _ in edges[1:]]
        for hold in sorted(self._holds, key=lambda hold: hold.down):
            for index in _intervals(hold, edges):
                if hold.code not in held[index]:
                    held[index].append(hold.code)
        return [tuple(keys) for keys in held]

    def forget(self, before: float) -> None:
        """Drop the holds that ended before a time that is never asked about again."""
        self._holds = [hold for hold in self._holds if hold.up >= before]


def _intervals(hold: _Hold, edges: NDArray[np.float64]) -> list[int]:
    overlap = np.minimum(hold.up, edges[1:]) - np.maximum(hold.down, edges[:-1])
    inside = np.flatnonzero(overlap >= np.diff(edges) / 2 - _SLACK)
    if len(inside):
        return [int(index) for index in inside]
    # A tap that reaches beyond the ends has its larger part there.
    whole = len(overlap) > 0 and edges[0] <= hold.down and hold.up <= edges[-1]
    return [int(overlap.argmax())] if whole else []
