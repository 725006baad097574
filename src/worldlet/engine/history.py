"""What a session keeps in order to go back: a keyframe now and then, and the steps between. Its size is bounded."""

from __future__ import annotations

from collections import deque
from itertools import islice

from worldlet.engine.moment import Moment

Step = tuple[int, int]
"""The action done and the seed of the session when it was done."""

KEYFRAME_INTERVAL = 15
AGE_OF_INTERVAL = 12


class History:
    """The last ``horizon`` frames of one session, as keyframes plus the steps that lead from each to the next.

    The newest keyframes lie 15 frames apart; further back the gap grows to a twelfth of the way back, so that a
    minute takes about forty, and going back a little, which is what players do, replays next to nothing.
    """

    def __init__(self, first: Moment, horizon: int) -> None:
        self._horizon = horizon
        self._keyframes = [first]
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
        twin._keyframes, twin._steps = self._keyframes.copy(), self._steps.copy()
        return twin

    def add(self, moment: Moment, step: Step) -> None:
        """Keep the step that led to ``moment``, and forget what lies beyond the horizon."""
        self._steps.append(step)
        assert moment.index == self.oldest + len(self._steps), "a step was left out"
        if moment.index - self._keyframes[-1].index >= KEYFRAME_INTERVAL:
            self._keyframes.append(moment)
            self._thin_out(moment.index)
        while len(self._keyframes) > 1 and self._keyframes[1].index <= moment.index - self._horizon:
            dropped = self._keyframes.pop(0)
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

    def _thin_out(self, now: int) -> None:
        """Drop keyframes whose neighbours are near enough to each other for their age."""
        kept = [self._keyframes[0]]
        for moment, after in zip(self._keyframes[1:-1], self._keyframes[2:], strict=True):
            if after.index - kept[-1].index > (now - moment.index) / AGE_OF_INTERVAL:
                kept.append(moment)
        self._keyframes = [*kept, self._keyframes[-1]]
