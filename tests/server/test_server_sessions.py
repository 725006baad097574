import asyncio
import threading

import pytest

from worldlet.server.errors import RequestError
from worldlet.server.limits import ServerLimits
from worldlet.server.sessions import SessionTable

PATIENCE = 20.0


def with_table(engine, limits, script):
    async def run():
        table = SessionTable({"tiny": engine}, limits)
        try:
            await script(table)
        finally:
            await table.shut_down()

    asyncio.run(run())


def test_a_cancelled_caller_does_not_let_the_next_one_in_early(tiny_engine):
    """The thread of a cancelled step goes on; the next step of that session waits for it all the same."""

    async def script(table):
        player = await table.create(None, None, 0, None)
        began, release, order = threading.Event(), threading.Event(), []

        def slow(session):
            began.set()
            assert release.wait(PATIENCE)
            order.append("first")

        first = asyncio.create_task(player.run(slow))
        while not began.is_set():
            await asyncio.sleep(0.001)
        first.cancel()
        second = asyncio.create_task(player.run(lambda session: order.append("second")))
        await asyncio.sleep(0.05)
        release.set()
        await second
        assert order == ["first", "second"]

    with_table(tiny_engine, ServerLimits(workers=2), script)


def test_the_event_loop_is_free_while_a_world_runs(tiny_engine):
    async def script(table):
        player = await table.create(None, None, 0, None)
        release = threading.Event()
        running = asyncio.create_task(player.run(lambda session: release.wait(PATIENCE)))
        await asyncio.sleep(0.01)  # the loop turns although the world is busy
        assert not running.done()
        release.set()
        assert await running is True

    with_table(tiny_engine, ServerLimits(), script)


class Socket:
    """Something that plays a session."""

    def __init__(self):
        self.told = None

    async def dismiss(self, code, message):
        self.told = code


def test_the_sweep_frees_what_nobody_uses_and_keeps_what_a_socket_plays(tiny_engine):
    async def script(table):
        left = await table.create(None, None, 0, None)
        left.owner = Socket()
        gone = await table.create(None, None, 0, None)
        await table.sweep()
        assert [player.id for player in table] == [left.id]
        with pytest.raises(RequestError, match="POST /session/create"):
            await gone.step(0)

    with_table(tiny_engine, ServerLimits(idle_seconds=-1.0), script)


def test_a_resting_socket_gives_way_only_where_its_place_is_needed(tiny_engine):
    async def script(table):
        player = await table.create(None, None, 0, None)
        player.owner = socket = Socket()
        await table.create(None, None, 0, None)
        assert socket.told == "unknown_session" and len(table) == 1

    with_table(tiny_engine, ServerLimits(sessions=1, idle_seconds=-1.0), script)


def test_a_busy_session_never_gives_way(tiny_engine):
    async def script(table):
        await table.create(None, None, 0, None)
        with pytest.raises(RequestError, match="all 1 places are taken"):
            await table.create(None, None, 0, None)

    with_table(tiny_engine, ServerLimits(sessions=1), script)


def test_a_fork_needs_a_place_too(tiny_engine):
    async def script(table):
        player = await table.create(None, None, 0, None)
        with pytest.raises(RequestError, match="places are taken"):
            await table.fork(player, None)

    with_table(tiny_engine, ServerLimits(sessions=1), script)


def test_no_worlds_no_server():
    with pytest.raises(ValueError, match="at least one world"):
        SessionTable({}, ServerLimits())
