"""Who plays what: the open sessions, their lifetimes, and the threads that run them off the event loop."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from worldlet.records import StepResult
from worldlet.server.errors import RequestError
from worldlet.server.limits import ServerLimits
from worldlet.server.messages import StartInfo
from worldlet.server.pictures import StreamFrame, base64_png
from worldlet.server.worlds import start_info, world_info

if TYPE_CHECKING:
    from worldlet.engine import Engine, Session

T = TypeVar("T")


class Owner(Protocol):
    """The socket that plays a session."""

    async def dismiss(self, code: str, message: str) -> None:
        """Tell the client why and close the socket."""


class FrameReply(NamedTuple):
    """A frame as PNG in base64, and figures about it; ``action`` is the one that led to it."""

    data: str
    metrics: dict[str, float | int | str]


class PlayerSession:
    """One player's session and the lock that keeps its steps in order.

    The engine's session is touched only inside `run`, on a worker thread, by one caller at a time.
    """

    def __init__(self, id: str, world: str, engine: Engine, session: Session, workers: ThreadPoolExecutor) -> None:
        self.id = id
        self.world = world
        self.engine = engine
        self.session = session
        self.owner: Owner | None = None
        self.last_used = time.monotonic()
        self.closed = False
        self._workers = workers
        # A cancelled caller leaves its thread running: the turn keeps callers in order, the lock keeps threads apart.
        self._turn = asyncio.Lock()
        self._lock = threading.Lock()

    async def run(self, work: Callable[[Session], T]) -> T:
        """Do ``work`` with the engine's session on a worker thread; callers take turns."""
        async with self._turn:
            if self.closed:
                raise unknown_session(self.id)
            self.touch()
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._locked, work)

    async def step(self, action: int | str) -> FrameReply:
        """Do an action and return the frame that follows it."""
        number = self.action_index(action)
        return await self.run(lambda session: _frame_reply(session, session.step(number), number))

    async def stream_step(self, action: int, stamp: int, format: str) -> StreamFrame:
        """Do an action and return the frame that follows it, encoded for the stream."""

        def step_and_encode(session: Session) -> StreamFrame:
            result = session.step(action)
            step_ms = float(result.metrics["step_ms"])
            return StreamFrame.encode(result.frame, format, session.index, stamp, step_ms, action)

        return await self.run(step_and_encode)

    async def look(self) -> FrameReply:
        """Return the present frame without a step."""
        return await self.run(lambda session: _frame_reply(session, StepResult(session.frame), None))

    async def restart(self, prompt: str | None, seed: int | None, theme: str | None) -> None:
        """Begin anew in the same world; a seed of None is drawn at random."""
        new_seed = random_seed() if seed is None else seed

        def replace(_: Session) -> None:
            self.session = self.engine.open(prompt=prompt, seed=new_seed, theme=theme)

        await self.run(replace)

    def start_info(self) -> StartInfo:
        """Say how the session began."""
        return start_info(self.session)

    def touch(self) -> None:
        """Note that somebody uses the session."""
        self.last_used = time.monotonic()

    def action_index(self, action: int | str) -> int:
        """Turn a number or a name into the action's number; the error says which there are."""
        try:
            return self.engine.manifest.action_index(action)
        except ValueError as error:
            raise RequestError("bad_action", str(error)) from error

    def _locked(self, work: Callable[[Session], T]) -> T:
        with self._lock:
            return work(self.session)


Seated = TypeVar("Seated", bound=PlayerSession)


class SessionTable:
    """All open sessions of a server over its worlds (name -> engine; the first is the default)."""

    def __init__(self, worlds: Mapping[str, Engine], limits: ServerLimits) -> None:
        if not worlds:
            raise ValueError("a server needs at least one world")
        self.worlds = dict(worlds)
        self.infos = {name: world_info(name, engine) for name, engine in worlds.items()}
        self.limits = limits
        self._workers = ThreadPoolExecutor(limits.workers, thread_name_prefix="worldlet")
        self._players: dict[str, PlayerSession] = {}

    def __len__(self) -> int:
        return len(self._players)

    def __iter__(self) -> Iterator[PlayerSession]:
        return iter(list(self._players.values()))

    def get(self, id: str) -> PlayerSession:
        """Return an open session; the error for any other says how to get one."""
        player = self._players.get(id)
        if player is None:
            raise unknown_session(id)
        return player

    async def create(self, world: str | None, prompt: str | None, seed: int | None, theme: str | None) -> PlayerSession:
        """Open a session; a seed of None is drawn at random."""
        name = self._world_name(world)
        await self._make_room()
        engine = self.worlds[name]
        seed = random_seed() if seed is None else seed
        loop = asyncio.get_running_loop()
        session = await loop.run_in_executor(self._workers, lambda: engine.open(prompt=prompt, seed=seed, theme=theme))
        return self._add(name, engine, session)

    async def fork(self, player: PlayerSession, seed: int | None) -> PlayerSession:
        """Open a second session that begins where ``player`` is."""
        await self._make_room()
        session = await player.run(lambda session: session.fork(seed=seed))
        return self._add(player.world, player.engine, session)

    async def close(self, id: str) -> None:
        """Free a session; a socket that plays it is told and closed."""
        await self._remove(self.get(id), "the session was closed: create a new one with POST /session/create")

    async def sweep(self) -> None:
        """Free every session without a socket that nobody used for ``idle_seconds``."""
        for player in self:
            if player.owner is None and self._idle(player):
                await self._remove(player, "")

    async def shut_down(self) -> None:
        """Free everything, and the threads."""
        for player in self:
            await self._remove(player, "the server is stopping")
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _world_name(self, world: str | None) -> str:
        name = next(iter(self.worlds)) if world is None else world
        if name not in self.worlds:
            raise RequestError("unknown_world", f"there is no world {name!r}: this server has {', '.join(self.worlds)}")
        return name

    async def _make_room(self) -> None:
        await self.sweep()
        if len(self) >= self.limits.sessions:
            resting = sorted((player for player in self if self._idle(player)), key=lambda player: player.last_used)
            if not resting:
                raise RequestError(
                    "full", f"all {self.limits.sessions} places are taken: close a session or try again in some minutes"
                )
            await self._remove(resting[0], "the session rested too long and another player needed its place")

    def _add(self, world: str, engine: Engine, session: Session) -> PlayerSession:
        return self._seat(PlayerSession(secrets.token_urlsafe(12), world, engine, session, self._workers))

    def _seat(self, player: Seated) -> Seated:
        # Several may have passed `_make_room` while their sessions were being opened.
        if len(self) >= self.limits.sessions:
            raise RequestError("full", f"all {self.limits.sessions} places are taken: try again in some minutes")
        self._players[player.id] = player
        return player

    def _idle(self, player: PlayerSession) -> bool:
        return time.monotonic() - player.last_used > self.limits.idle_seconds

    async def _remove(self, player: PlayerSession, why: str) -> None:
        player.closed = True
        self._players.pop(player.id, None)
        if player.owner is not None:
            await player.owner.dismiss("unknown_session", why)


def random_seed() -> int:
    """Return a seed for those who named none; short enough to be typed."""
    return secrets.randbelow(10**6)


def _frame_reply(session: Session, result: StepResult, action: int | None) -> FrameReply:
    metrics: dict[str, float | int | str] = {"frame_index": session.index, **result.metrics}
    if action is not None:
        metrics |= {"action": action, "action_name": session.manifest.action_names[action]}
    return FrameReply(base64_png(result.frame), metrics | {"rewindable": session.rewindable})


def unknown_session(id: str) -> RequestError:
    """Return the error for a session that is not open."""
    return RequestError(
        "unknown_session", f"there is no session {id[:64]!r} here (any more): create one with POST /session/create"
    )
