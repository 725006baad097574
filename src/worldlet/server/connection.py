"""One socket and the session it plays: every message of the client gets its one answer here."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from worldlet.server import messages as m
from worldlet.server.errors import RequestError, error_reply
from worldlet.server.keys import HeldKeys
from worldlet.server.limits import TokenBucket
from worldlet.server.pictures import StreamFrame
from worldlet.server.sessions import PlayerSession, SessionTable
from worldlet.server.stream import Clock, PacedStream

CLOSE_CODE = 4000
"""The socket's close code where the server ends it; the error message before it says why."""


async def refuse(socket: WebSocket, error: RequestError) -> None:
    """Say on an accepted socket why it cannot be served, and close it."""
    await socket.send_text(error_reply(error).model_dump_json())
    await socket.close(CLOSE_CODE)


class Connection:
    """Serves one accepted socket until it closes. One task receives and answers; the stream runs in another."""

    def __init__(self, socket: WebSocket, player: PlayerSession, table: SessionTable, clock: Clock) -> None:
        self._socket = socket
        self._player = player
        self._table = table
        self._clock = clock
        self._sending = asyncio.Lock()
        self._task: asyncio.Task[Any] | None = None
        self._dismissed = False
        manifest = player.engine.manifest
        self._keys = HeldKeys(manifest.action_names, manifest.key_bindings)
        self._settings = m.Stream(on=False)
        self._stream: PacedStream | None = None
        self._streaming: asyncio.Task[None] | None = None
        self._handlers: dict[type[m.Message], Callable[[Any], Coroutine[Any, Any, m.ServerMessage | None]]] = {
            m.Hello: self._hello,
            m.Action: self._action,
            m.Stream: self._turn_stream,
            m.Keys: self._take_keys,
            m.Ack: self._ack,
            m.Pause: self._pause,
            m.StepOnce: self._step_once,
            m.Restart: self._restart,
            m.Rewind: self._rewind,
            m.Snapshot: self._snapshot,
            m.Restore: self._restore,
            m.Fork: self._fork,
        }

    async def serve(self) -> None:
        """Answer messages until the client leaves; the session stays for a while, so that it can come back."""
        if self._player.owner is not None:
            await self._player.owner.dismiss("taken_over", "this session is played in another window now")
        self._player.owner = self
        self._task = asyncio.current_task()
        try:
            await self._receive_and_answer()
        except (WebSocketDisconnect, ConnectionError):
            pass
        except asyncio.CancelledError:
            if not self._dismissed:
                raise
        finally:
            await self._stop_stream()
            if self._player.owner is self:
                self._player.owner = None

    async def dismiss(self, code: str, message: str) -> None:
        """Tell the client why it is sent away and close the socket; one that reads nothing is not waited for."""
        self._dismissed = True
        try:
            async with asyncio.timeout(self._table.limits.farewell_seconds):
                await self._send(m.Error(code=code, message=message))
                await self._socket.close(CLOSE_CODE)
        except (RuntimeError, WebSocketDisconnect, ConnectionError):
            pass  # gone already
        except TimeoutError:
            if self._task is not None:
                self._task.cancel()

    async def _receive_and_answer(self) -> None:
        limits = self._table.limits
        bucket = TokenBucket(limits.messages_per_second, limits.message_burst, self._clock.now())
        while self._socket.client_state is WebSocketState.CONNECTED:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            await self._clock.sleep(bucket.delay(self._clock.now()))
            self._player.touch()
            reply = await self._answer(event.get("text"))
            if reply is not None:
                await self._send(reply)
            if self._stream is not None and self._streaming is None:  # its first frame comes after the answer
                self._streaming = asyncio.create_task(self._run_stream(self._stream))

    async def _answer(self, text: str | None) -> m.ServerMessage | None:
        try:
            if text is None:
                raise RequestError("bad_json", "messages to the server are JSON text, not binary")
            if len(text) > self._table.limits.message_bytes:
                raise RequestError("too_large", f"a message has at most {self._table.limits.message_bytes} bytes")
            message = m.client_message.validate_json(text)
            if type(message) not in self._handlers:
                raise RequestError("bad_request", self._refusal(message))
            return await self._handlers[type(message)](message)
        except (WebSocketDisconnect, ConnectionError):
            raise
        except Exception as error:  # one bad message must end neither this session nor another
            return error_reply(error)

    def _refusal(self, message: m.Message) -> str:
        """Say why a message of the schema has no meaning for this kind of session."""
        assert isinstance(message, m.Sync)
        return "this dream has no real game beside it: play one with `worldlet play --beside`"

    async def _hello(self, message: m.Hello) -> m.Welcome:
        if message.version != m.VERSION:
            raise RequestError(
                "wrong_version", f"this server speaks version {m.VERSION}, not {message.version}: reload the page"
            )
        player = self._player
        data, metrics = await player.look()
        return m.Welcome(
            version=m.VERSION,
            session_id=player.id,
            world=self._table.infos[player.world],
            start=player.start_info(),
            frame_index=int(metrics["frame_index"]),
            data=data,
        )

    async def _action(self, message: m.Action) -> m.Frame:
        data, metrics = await self._player.step(message.action)
        return m.Frame(data=data, metrics=metrics)

    async def _step_once(self, message: m.StepOnce) -> m.Frame:
        action = self._keys.action() if message.action is None else message.action
        data, metrics = await self._player.step(action)
        return m.Frame(data=data, metrics=metrics)

    async def _take_keys(self, message: m.Keys) -> None:
        self._keys.replace(message.held, message.stamp)

    async def _ack(self, message: m.Ack) -> None:
        if self._stream is not None:
            self._stream.ack(message.sequence)

    async def _turn_stream(self, message: m.Stream) -> m.State:
        fastest = self._table.limits.stream_fps
        fps = float(self._player.engine.manifest.fps) if message.fps is None else message.fps
        if fps > fastest:
            raise RequestError("bad_request", f"a stream runs at 1 to {fastest:g} frames a second, not {fps:g}")
        paused = self._paused
        await self._stop_stream()
        self._settings = message
        if message.on:
            self._stream = PacedStream(self._stream_step, self._send_binary, fps, message.window, self._clock)
            self._stream.pause(paused)
        return self._state()

    async def _pause(self, message: m.Pause) -> m.State:
        if self._stream is None:
            raise RequestError("bad_request", "there is no stream to pause: send a stream message first")
        self._stream.pause(message.paused)
        return self._state()

    async def _restart(self, message: m.Restart) -> m.Started:
        await self._player.restart(message.prompt, message.seed, message.theme)
        frame = await self._jumped()
        return m.Started(start=self._player.start_info(), data=frame.data, metrics=frame.metrics)

    async def _rewind(self, message: m.Rewind) -> m.Frame:
        await self._player.run(lambda session: session.rewind(min(message.frames, session.rewindable)))
        return await self._jumped()

    async def _snapshot(self, message: m.Snapshot) -> m.SnapshotData:
        state, index = await self._player.run(lambda session: (session.snapshot(), session.index))
        return m.SnapshotData(data=base64.b64encode(state).decode("ascii"), size=len(state), frame_index=index)

    async def _restore(self, message: m.Restore) -> m.Frame:
        try:
            state = base64.b64decode(message.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError("bad_snapshot", "a snapshot is sent as base64 text") from error
        await self._player.run(lambda session: session.restore(state))
        return await self._jumped()

    async def _fork(self, message: m.Fork) -> m.Forked:
        player = await self._table.fork(self._player, message.seed)
        return m.Forked(session_id=player.id, frame_index=player.session.index)

    async def _jumped(self) -> m.Frame:
        """Return the present frame after a jump, and let no older one follow it."""
        if self._stream is not None:
            self._stream.forget()
        data, metrics = await self._player.look()
        return m.Frame(data=data, metrics=metrics)

    async def _stream_step(self) -> StreamFrame:
        action, stamp, format = self._keys.action(), self._keys.stamp, self._settings.format
        return await self._player.stream_step(action, stamp, format)

    async def _run_stream(self, stream: PacedStream) -> None:
        try:
            await stream.run()
        except (WebSocketDisconnect, ConnectionError):
            pass  # the socket went away: the receiving task ends the rest
        except Exception as error:  # the world failed: the stream ends, the socket and the session stay
            self._stream = None
            with contextlib.suppress(WebSocketDisconnect, ConnectionError):
                await self._send(error_reply(error))

    async def _stop_stream(self) -> None:
        self._stream = None
        if self._streaming is not None:
            self._streaming.cancel()
            await asyncio.gather(self._streaming, return_exceptions=True)
            self._streaming = None

    @property
    def _paused(self) -> bool:
        return self._stream is not None and self._stream.paused

    def _state(self) -> m.State:
        settings = self._settings
        return m.State(
            streaming=self._stream is not None,
            paused=self._paused,
            fps=settings.fps or float(self._player.engine.manifest.fps),
            format=settings.format,
            window=settings.window,
        )

    async def _send(self, message: m.ServerMessage) -> None:
        await self._deliver({"type": "websocket.send", "text": message.model_dump_json()})

    async def _send_binary(self, data: bytes) -> None:
        await self._deliver({"type": "websocket.send", "bytes": data})

    async def _deliver(self, event: dict[str, Any]) -> None:
        async with self._sending:
            if self._socket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect(1006)  # closed by us meanwhile
            await self._socket.send(event)
