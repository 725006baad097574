"""The paced stream by a clock of our own: no test here waits, and none can be late."""

import asyncio
import heapq
from dataclasses import replace

import pytest

from worldlet.server.limits import TokenBucket
from worldlet.server.messages import HEADER
from worldlet.server.pictures import StreamFrame
from worldlet.server.stream import PacedStream, Pacer

EMPTY = StreamFrame(b"", "rgb", frame_index=0, stamp=0, step_ms=0.0, width=1, height=1, action=0)


class FakeClock:
    """Time that jumps to the next sleeper once nothing else can go on."""

    def __init__(self):
        self.time = 100.0
        self._sleepers = []
        self._count = 0

    def now(self):
        return self.time

    async def sleep(self, seconds):
        self._count += 1
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.time + seconds, self._count, woken))
        await woken.wait()

    async def run_until(self, until):
        for _ in range(20):
            await asyncio.sleep(0)
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, woken = heapq.heappop(self._sleepers)
            self.time = max(self.time, at)
            woken.set()
            for _ in range(20):
                await asyncio.sleep(0)
        self.time = until


def pace(work_seconds, fps=10.0):
    """Return when each tick began and what was dropped before it, where tick i takes ``work_seconds[i]``."""

    class Clock(FakeClock):
        async def sleep(self, seconds):
            self.time += seconds

    async def run():
        clock = Clock()
        pacer = Pacer(fps, clock)
        ticks = []
        for seconds in work_seconds:
            dropped = await pacer.wait()
            ticks.append((round(clock.time - 100.0, 6), dropped))
            clock.time += seconds
        return ticks

    return asyncio.run(run())


def test_deadlines_are_absolute():
    """Work of changing length does not shift the ticks: the n-th stays at n periods."""
    assert pace([0.03, 0.09, 0.0, 0.05]) == [(0.1, 0), (0.2, 0), (0.3, 0), (0.4, 0)]


def test_a_tick_late_by_less_than_a_period_is_caught_up():
    assert pace([0.15, 0.0, 0.0]) == [(0.1, 0), (0.25, 0), (0.3, 0)]


def test_missed_deadlines_are_dropped_not_queued():
    """After a stall of 3.5 periods there is one late tick, not four at once, and the old rhythm goes on."""
    assert pace([0.35, 0.0, 0.0]) == [(0.1, 0), (0.45, 2), (0.5, 0)]


def play(script, fps=10.0, window=None, send_seconds=0.0):
    """Run a stream for the times of ``script`` ([(time, act(stream))]); return [(time, sequence, frame_index)]."""

    async def run():
        clock = FakeClock()
        made, sent = [], []

        async def step():
            made.append(clock.now())
            return replace(EMPTY, frame_index=len(made))

        async def send(data):
            sequence, index, *_ = HEADER.unpack_from(data)
            sent.append((round(clock.now() - 100.0, 6), sequence, index))
            if send_seconds:
                await clock.sleep(send_seconds)

        stream = PacedStream(step, send, fps, window, clock)
        task = asyncio.create_task(stream.run())
        for time, act in script:
            await clock.run_until(100.0 + time)
            act(stream)
            for _ in range(20):
                await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return len(made), sent

    return asyncio.run(run())


def wait(stream):
    pass


def test_frames_come_at_the_pace():
    made, sent = play([(0.55, wait)])
    assert made == 5
    assert sent == [(0.1, 1, 1), (0.2, 2, 2), (0.3, 3, 3), (0.4, 4, 4), (0.5, 5, 5)]


def test_a_slow_socket_gets_fewer_newer_frames():
    """Each send takes 3.5 periods: the world keeps its pace and every sent frame is the newest there is."""
    made, sent = play([(1.25, wait)], send_seconds=0.35)
    assert made == 12
    assert sent == [(0.1, 1, 1), (0.45, 2, 4), (0.8, 3, 8), (1.15, 4, 11)]


def test_a_silent_client_gets_a_window_of_frames_and_then_the_newest():
    made, sent = play([(0.95, wait), (0.96, lambda stream: stream.ack(2)), (0.98, wait)], window=2)
    assert [(sequence, index) for _, sequence, index in sent] == [(1, 1), (2, 2), (3, 9)]
    assert made == 9


def test_an_ack_of_frames_never_sent_gives_no_extra_room():
    _, sent = play([(0.15, lambda stream: stream.ack(1000)), (0.95, wait)], window=2)
    assert [sequence for _, sequence, _ in sent] == [1, 2, 3]


def test_a_paused_world_stands_still_and_does_not_catch_up():
    script = [(0.25, lambda stream: stream.pause(True)), (5.05, lambda stream: stream.pause(False)), (5.2, wait)]
    made, sent = play(script)
    assert [time for time, _, _ in sent] == pytest.approx([0.1, 0.2, 5.15])
    assert made == 3


def test_a_jump_throws_the_waiting_frame_away():
    script = [(0.35, lambda stream: stream.forget()), (0.36, lambda stream: stream.ack(1)), (0.45, wait)]
    _, sent = play(script, window=1)
    assert [index for _, _, index in sent] == [1, 4]


def test_a_failing_step_ends_the_stream_with_its_error():
    async def run():
        async def step():
            raise ValueError("broken")

        async def send(data):
            pass

        clock = FakeClock()
        task = asyncio.create_task(PacedStream(step, send, 10.0, None, clock).run())
        await clock.run_until(101.0)
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wait_for(task, 5)

    asyncio.run(run())


def test_the_rate_limit_makes_a_flood_wait_and_forgives_a_burst():
    bucket = TokenBucket(rate=10.0, burst=3, now=0.0)
    assert [bucket.delay(0.0) for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])
    assert bucket.delay(10.0) == 0.0
