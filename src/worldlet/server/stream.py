"""The paced stream: a world that runs by the clock, obeys the keys held now, and never queues.

Three small parts that know nothing of sockets: `Pacer` (when), `Latest` (what is still worth sending) and
`PacedStream` (both together). Time comes from a `Clock`, so that tests run without waiting.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from worldlet.server.pictures import StreamFrame

T = TypeVar("T")


class Clock(Protocol):
    """Seconds from any origin, and a way to wait."""

    def now(self) -> float:
        """Return the time in seconds; it never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after about so many seconds."""


class RealClock:
    """The event loop's own time."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep without holding the event loop."""
        await asyncio.sleep(seconds)


class Pacer:
    """Absolute deadlines at ``fps``: the n-th lies n periods after the first, so small delays never add up."""

    def __init__(self, fps: float, clock: Clock) -> None:
        self._period = 1.0 / fps
        self._clock = clock
        self._deadline = clock.now()

    async def wait(self) -> int:
        """Sleep until the next deadline; return how many were dropped because they lay in the past already."""
        self._deadline += self._period
        late = self._clock.now() - self._deadline
        dropped = max(0, math.floor(late / self._period))
        self._deadline += dropped * self._period
        await self._clock.sleep(max(0.0, self._deadline - self._clock.now()))
        return dropped


class Latest(Generic[T]):
    """Room for one value; a newer one takes the place of one that nobody fetched."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._there = asyncio.Event()

    def put(self, value: T) -> None:
        """Leave a value for `take`."""
        self._value = value
        self._there.set()

    def clear(self) -> None:
        """Throw away a value that was not fetched."""
        self._value = None
        self._there.clear()

    async def ready(self) -> None:
        """Wait until there is a value."""
        await self._there.wait()

    def take(self) -> T | None:
        """Fetch the value, or None where it was thrown away meanwhile."""
        value, self._value = self._value, None
        self._there.clear()
        return value


class PacedStream:
    """Steps a world at ``fps`` and sends its newest frame whenever the client has room.

    ``step`` makes the next frame, ``send`` ships one binary message and returns when the socket took it. Stepping
    and sending run side by side: a client too slow for every frame gets fewer, newer ones.
    """

    def __init__(
        self,
        step: Callable[[], Awaitable[StreamFrame]],
        send: Callable[[bytes], Awaitable[None]],
        fps: float,
        window: int | None,
        clock: Clock,
    ) -> None:
        self._step = step
        self._send = send
        self._fps = fps
        self._window = window
        self._clock = clock
        self._latest: Latest[StreamFrame] = Latest()
        self._going = asyncio.Event()
        self._going.set()
        self._room = asyncio.Event()
        self._sent = 0
        self._acked = 0

    @property
    def paused(self) -> bool:
        """Whether the world stands still."""
        return not self._going.is_set()

    def pause(self, paused: bool) -> None:
        """Hold the world, or let it go on; a frame that waits to be sent is still sent."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def ack(self, sequence: int) -> None:
        """Note that the client has this binary frame and all before it."""
        self._acked = max(self._acked, min(sequence, self._sent))
        self._room.set()

    def show(self, frame: StreamFrame) -> None:
        """Send this frame next, also where the world stands still."""
        self._latest.put(frame)

    def forget(self) -> None:
        """Throw away a frame that waits to be sent: the session has jumped elsewhere."""
        self._latest.clear()

    async def run(self) -> None:
        """Run until cancelled, or until ``step`` or ``send`` raises."""
        tasks = [asyncio.create_task(self._make_frames()), asyncio.create_task(self._send_frames())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _make_frames(self) -> None:
        while True:
            await self._going.wait()
            pacer = Pacer(self._fps, self._clock)
            while not self.paused:
                await pacer.wait()
                if not self.paused:
                    self._latest.put(await self._step())

    async def _send_frames(self) -> None:
        while True:
            await self._latest.ready()
            await self._wait_for_room()
            frame = self._latest.take()
            if frame is not None:
                self._sent += 1
                await self._send(frame.pack(self._sent))

    async def _wait_for_room(self) -> None:
        while self._window is not None and self._sent - self._acked >= self._window:
            self._room.clear()
            await self._room.wait()
