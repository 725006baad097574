"""What a session keeps in order to go back: a keyframe now and then, and the steps between. Its size is bounded."""

from __future__ import annotations

from collections import deque
from itertools import islice
from math import ceil

from worldlet.engine.moment import Moment

Step = tuple[int, int]
"""The action done and the seed of the session when it was done."""

KEYFRAME_INTERVAL = 15
KEYFRAME_BYTES = 24_000_000


class History:
    """The last ``horizon`` frames of one session, as keyframes plus the steps that lead from each to the next.

    Keyframes lie 15 frames apart, or further where they would take more than 24 MB together.
    """

    def __init__(self, first: Moment, horizon: int) -> None:
        self._horizon = horizon
        self._interval = max(KEYFRAME_INTERVAL, ceil(horizon * first.nbytes / KEYFRAME_BYTES))
        self._keyframes: deque[Moment] = deque([first])
        self._steps: deque[Step] = deque()

    @property
    def oldest(self) -> int:
        """The index of the earliest frame one can go back to."""
        return self._keyframes[0].index

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of keyframes and of steps kept."""
        return len(self._keyframes), len(self._steps)

    def copy(self) -> History:
        """Return a history that goes its own way from here; the moments themselves are shared."""
        twin = History(self._keyframes[0], self._horizon)
        twin._interval = self._interval
        twin._keyframes, twin._steps = self._keyframes.copy(), self._steps.copy()
        return twin

    def add(self, moment: Moment, step: Step) -> None:
        """Keep the step that led to ``moment``, and forget what lies beyond the horizon."""
        self._steps.append(step)
        assert moment.index == self.oldest + len(self._steps), "a step was left out"
        if moment.index - self._keyframes[-1].index >= self._interval:
            self._keyframes.append(moment)
        while len(self._keyframes) > 1 and self._keyframes[1].index <= moment.index - self._horizon:
            dropped = self._keyframes.popleft()
            for _ in range(self.oldest - dropped.index):
                self._steps.popleft()

    def route(self, index: int) -> tuple[Moment, list[Step]]:
        """Return the last keyframe at or before frame ``index``, and the steps that lead from it to that frame."""
        keyframe = next(moment for moment in reversed(self._keyframes) if moment.index <= index)
        return keyframe, list(islice(self._steps, keyframe.index - self.oldest, index - self.oldest))

    def cut(self, index: int) -> None:
        """Forget everything after frame ``index``."""
        while self._keyframes[-1].index > index:
            self._keyframes.pop()
        while len(self._steps) > index - self.oldest:
            self._steps.pop()
