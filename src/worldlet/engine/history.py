"""What a session keeps in order to go back: a keyframe now and then, and the steps between. Its size is bounded."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.engine.moment import Moment

Step = tuple[int, int]
"""The action done and the seed of the session when it was done."""

KEYFRAME_INTERVAL = 15
KEYFRAMES = 32


class History:
    """The last ``horizon`` frames of one session, as keyframes plus the steps that lead from each to the next.

    The newest keyframes lie 15 frames apart; as there is room for 32 only, the gap grows with the way back: going back
    a little, which is what players do, replays next to nothing, going back a minute up to eight seconds.
    """

    def __init__(self, first: Moment, horizon: int) -> None:
        self._horizon = horizon
        self._first = first
        self._shelf: Shelf | None = None  # made with the first keyframe after `first`: many sessions never get there
        self._keyframes = [(first.index, 0)]  # index of the frame and its place on the shelf, oldest first
        self._steps: deque[Step] = deque()

    @property
    def oldest(self) -> int:
        """The index of the earliest frame one can go back to."""
        return self._keyframes[0][0]

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of keyframes and of steps kept."""
        return len(self._keyframes), len(self._steps)

    def copy(self) -> History:
        """Return a history that goes its own way from here."""
        twin = History(self._first, self._horizon)
        twin._shelf = None if self._shelf is None else self._shelf.copy()
        twin._keyframes, twin._steps = self._keyframes.copy(), self._steps.copy()
        return twin

    def add(self, moment: Moment, step: Step) -> None:
        """Keep the step that led to ``moment``, and forget what lies beyond the horizon."""
        self._steps.append(step)
        assert moment.index == self.oldest + len(self._steps), "a step was left out"
        while len(self._keyframes) > 1 and self._keyframes[1][0] <= moment.index - self._horizon:
            dropped, _ = self._keyframes.pop(0)
            for _ in range(self.oldest - dropped):
                self._steps.popleft()
        if moment.index - self._keyframes[-1][0] >= KEYFRAME_INTERVAL:
            self._keep(moment)

    def route(self, index: int) -> tuple[Moment, list[Step]]:
        """Return the last keyframe at or before frame ``index``, and the steps that lead from it to that frame."""
        found, place = next(keyframe for keyframe in reversed(self._keyframes) if keyframe[0] <= index)
        moment = self._first if self._shelf is None else self._shelf.take(place, found)
        return moment, list(islice(self._steps, found - self.oldest, index - self.oldest))

    def cut(self, index: int) -> None:
        """Forget everything after frame ``index``."""
        while self._keyframes[-1][0] > index:
            self._keyframes.pop()
        while len(self._steps) > index - self.oldest:
            self._steps.pop()

    def _keep(self, moment: Moment) -> None:
        if self._shelf is None:
            self._shelf = Shelf(self._first, KEYFRAMES)
        if len(self._keyframes) == KEYFRAMES:
            self._drop_one(moment.index)
        (place, *_) = set(range(KEYFRAMES)) - {place for _, place in self._keyframes}
        self._shelf.put(place, moment)
        self._keyframes.append((moment.index, place))

    def _drop_one(self, now: int) -> None:
        """Drop the keyframe whose neighbours lie nearest to each other for their age; never the oldest or newest."""
        indices = [index for index, _ in self._keyframes]
        gaps = [
            (after - before) / (now - index)
            for before, index, after in zip(indices[:-2], indices[1:-1], indices[2:], strict=True)
        ]
        self._keyframes.pop(1 + gaps.index(min(gaps)))


class Shelf:
    """Room for a number of moments like ``first``, which takes place 0, in arrays that are made once.

    Moments are copied in and out. Were their own arrays kept instead, a session would take more memory for a minute,
    and its steps slower memory, because the arrays of a step could not be used again for the next one.
    """

    def __init__(self, first: Moment, places: int) -> None:
        # Written to now: pages that were never written to would only be given at the first use.
        self._arrays = {name: np.full((places, *value.shape), 1, value.dtype) for name, value in _arrays(first).items()}
        self.put(0, first)

    def put(self, place: int, moment: Moment) -> None:
        """Copy a moment to a place."""
        for name, value in _arrays(moment).items():
            self._arrays[name][place] = value

    def take(self, place: int, index: int) -> Moment:
        """Return a copy of the moment at a place, which was that of frame ``index``."""
        values = {name: array[place].copy() for name, array in self._arrays.items()}
        return Moment(index, values.pop("tokens"), values.pop("frame"), {name[6:]: values[name] for name in values})

    def copy(self) -> Shelf:
        """Return another shelf with the same moments."""
        twin = object.__new__(Shelf)
        twin._arrays = {name: array.copy() for name, array in self._arrays.items()}
        return twin


def _arrays(moment: Moment) -> dict[str, NDArray[Any]]:
    state = {f"state.{name}": value for name, value in moment.state.items()}
    return {"tokens": moment.tokens_N, "frame": moment.frame, **state}
