"""A dream beside its real game over the same messages as a dream alone: sessions that are pairs, and their socket."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from starlette.websockets import WebSocket

from worldlet.engine.beside import HELD_OUT_SEEDS, Beside, GameOpener, Pair
from worldlet.server import messages as m
from worldlet.server.connection import Connection
from worldlet.server.errors import RequestError
from worldlet.server.limits import ServerLimits
from worldlet.server.pictures import StreamFrame, base64_png
from worldlet.server.sessions import FrameReply, PlayerSession, SessionTable
from worldlet.server.stream import Clock

if TYPE_CHECKING:
    from worldlet.engine import Engine, Session

T = TypeVar("T")

GAMES = 4
"""Real games open at once at most: each may be a process of its own."""


@dataclasses.dataclass(frozen=True)
class PairFrame(StreamFrame):
    """One pair of the paced stream: the picture is the real frame above the dreamed one; see `PAIR_HEADER`."""

    level_seed: int
    age: int
    psnr_db: float
    hero_pixels: float
    event: str

    @classmethod
    def of(cls, pair: Pair, format: str, stamp: int, action: int) -> PairFrame:
        """Encode a pair as "png" or "rgb"."""
        frame = StreamFrame.encode(stacked(pair), format, pair.index, stamp, pair.step_ms, action)
        hero_pixels = math.nan if pair.hero_pixels is None else pair.hero_pixels
        return cls(
            **vars(frame),
            level_seed=pair.level_seed,
            age=pair.age,
            psnr_db=pair.psnr_db,
            hero_pixels=math.inf if pair.hero_lost else hero_pixels,
            event=pair.event,
        )

    def pack(self, sequence: int) -> bytes:
        """Return the binary message that is the ``sequence``-th of its socket."""
        message = super().pack(sequence)
        figures = (self.level_seed, self.age, self.psnr_db, self.hero_pixels)
        head = m.PAIR.pack(*m.HEADER.unpack_from(message), *figures, m.PAIR_EVENTS.index(self.event), 0, 0)
        return head + self.picture


def stacked(pair: Pair) -> np.ndarray:
    """Return the real frame above the dreamed one, uint8 (2 H, W, 3)."""
    return np.concatenate([pair.real, pair.dream])


class BesideSession(PlayerSession):
    """A player's real game and dream."""

    def __init__(self, world: str, engine: Engine, beside: Beside, workers: ThreadPoolExecutor) -> None:
        super().__init__(secrets.token_urlsafe(12), world, engine, beside.session, workers)
        self.beside = beside

    async def run_both(self, work: Callable[[Beside], T]) -> T:
        """Do ``work`` with both on a worker thread; callers take turns."""

        def with_both(_: Session) -> T:
            return work(self.beside)

        return await self.run(with_both)

    async def step(self, action: int | str) -> FrameReply:
        """Do an action in both and return the pair that follows it."""
        number = self.action_index(action)
        names = self.engine.manifest.action_names
        return await self.run_both(
            lambda both: pair_reply(both.step(number), {"action": number, "action_name": names[number]})
        )

    async def stream_step(self, action: int, stamp: int, format: str) -> PairFrame:
        """Do an action in both and return the pair that follows it, encoded for the stream."""
        return await self.run_both(lambda both: PairFrame.of(both.step(action), format, stamp, action))

    async def look(self) -> FrameReply:
        """Return the present pair without a step."""
        return await self.run_both(lambda both: pair_reply(both.look()))

    async def sync(self) -> FrameReply:
        """Open the dream anew on the last real frames."""
        return await self.run_both(lambda both: pair_reply(both.sync()))

    async def restart(self, prompt: str | None, seed: int | None, theme: str | None) -> None:
        """Begin the real level of ``seed`` and a dream of it; a seed of None is one of a held-out level."""
        refuse_prompt(prompt)
        level_seed = held_out_seed() if seed is None else seed
        await self.run_both(lambda both: both.restart(level_seed, theme))

    def start_info(self) -> m.StartInfo:
        """Say which level is being played."""
        return m.StartInfo(**dataclasses.asdict(self.beside.start), seed=self.beside.level_seed)

    def free(self) -> None:
        """Close the real game, once no step is under way."""
        with self._lock:
            self.beside.close()


class BesideTable(SessionTable):
    """The open pairs of a server. One thread runs them all: not every game may be moved between threads."""

    def __init__(self, worlds: Mapping[str, Engine], limits: ServerLimits, open_game: GameOpener | None = None) -> None:
        super().__init__(worlds, dataclasses.replace(limits, workers=1, sessions=min(GAMES, limits.sessions)))
        self._open_game = open_game

    async def create(self, world: str | None, prompt: str | None, seed: int | None, theme: str | None) -> BesideSession:
        """Open a real game and the dream of it; a seed of None is one of a held-out level."""
        refuse_prompt(prompt)
        name = self._world_name(world)
        await self._make_room()
        engine = self.worlds[name]
        level_seed = held_out_seed() if seed is None else seed

        def open_both() -> Beside:
            beside = Beside(engine, self._open_game)
            try:
                beside.restart(level_seed, theme)
            except BaseException:
                beside.close()
                raise
            return beside

        beside = await asyncio.get_running_loop().run_in_executor(self._workers, open_both)
        # Themes are those of the real game here, not those of the world's starts.
        self.infos[name] = self.infos[name].model_copy(update={"themes": list(beside.themes)})
        player = BesideSession(name, engine, beside, self._workers)
        try:
            return self._seat(player)
        except RequestError:
            await self._free(player)
            raise

    async def _remove(self, player: PlayerSession, why: str) -> None:
        await super()._remove(player, why)
        assert isinstance(player, BesideSession)
        await self._free(player)

    async def _free(self, player: BesideSession) -> None:
        await asyncio.get_running_loop().run_in_executor(self._workers, player.free)


class BesideConnection(Connection):
    """Serves one socket that plays both: what needs a past to go back to is refused, since no real game has one."""

    def __init__(self, socket: WebSocket, player: PlayerSession, table: SessionTable, clock: Clock) -> None:
        super().__init__(socket, player, table, clock)
        assert isinstance(player, BesideSession)
        self._both = player
        for kind in (m.Rewind, m.Snapshot, m.Restore, m.Fork):
            del self._handlers[kind]
        self._handlers[m.Sync] = self._sync

    def _refusal(self, message: m.Message) -> str:
        return "a real game cannot be rewound, saved or forked: do it in the dream alone, with `worldlet play`"

    async def _sync(self, message: m.Sync) -> m.Frame:
        data, metrics = await self._both.sync()
        if self._stream is not None:
            self._stream.forget()
        return m.Frame(data=data, metrics=metrics)


def pair_reply(pair: Pair, more: Mapping[str, Any] | None = None) -> FrameReply:
    """Return a pair as one PNG in base64, the real frame above the dreamed one, with its figures."""
    metrics: dict[str, float | int | str] = {
        "frame_index": pair.index,
        "age": pair.age,
        "psnr_db": round(pair.psnr_db, 3),
        "level_seed": pair.level_seed,
        "event": pair.event,
        "step_ms": pair.step_ms,
    }
    if pair.hero_pixels is not None:
        metrics["hero_pixels"] = round(pair.hero_pixels, 3)
    elif pair.hero_lost:
        metrics["hero_lost"] = 1
    return FrameReply(base64_png(stacked(pair)), metrics | dict(more or {}))


def refuse_prompt(prompt: str | None) -> None:
    """Say that words pick no level of a real game."""
    if prompt is not None:
        raise RequestError("bad_request", "a prompt picks no level of a real game: give a seed, or a theme")


def held_out_seed() -> int:
    """Return the seed of a level that no training has seen, for those who named none."""
    return secrets.choice(HELD_OUT_SEEDS)
