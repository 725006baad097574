"""How far a long job is: a bar with the time left on a terminal, a plain line now and then anywhere else."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

QUIET_SECONDS = 15.0
"""Time between two lines where no terminal listens."""


class FrameProgress:
    """Counts frames, or whatever ``unit`` says, towards ``total``, of which ``done`` were there before.

    A context manager.
    """

    def __init__(self, console: Console, total: int, done: int = 0, unit: str = "frames") -> None:
        self._console, self._unit = console, unit
        self._total, self._done, self._done_before = total, done, done
        self._started = self._spoken = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)
            rate = TextColumn("{task.fields[rate]:,.0f}/s")
            self._bar = Progress(*columns, rate, TimeRemainingColumn(), console=console)
            self._task = self._bar.add_task("recording", total=total, completed=done, rate=0.0)

    def __enter__(self) -> FrameProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Time since the job began or was resumed."""
        return time.monotonic() - self._started

    @property
    def rate(self) -> float:
        """Frames a second since the job began or was resumed."""
        return (self._done - self._done_before) / max(self.seconds, 1e-9)

    @property
    def pace(self) -> float:
        """Frames a second after the first were done, as opening a game takes long; 0 before there is more to go by."""
        if self._first is None:
            return 0.0
        seconds = time.monotonic() - self._first[0]
        return (self._done - self._first[1]) / seconds if seconds > 0 else 0.0

    def advance(self, frames: int, what: str) -> None:
        """Count ``frames`` more of the part called ``what``."""
        self._done += frames
        if self._first is None:
            self._first = time.monotonic(), self._done
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=what, rate=self.pace)
        elif time.monotonic() - self._spoken >= QUIET_SECONDS:
            self._spoken = time.monotonic()
            line = f"{what}: {self._done:,} of {self._total:,} {self._unit}"
            if self.pace:
                left = max(0, self._total - self._done) / self.pace
                line += f", {self.pace:,.0f}/s, {left / 60:.1f} min left"
            self._console.print(line, highlight=False)
