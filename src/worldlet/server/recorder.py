"""`worldlet record ENV --agent human`: the real game runs in the page, at its own speed, and is recorded as played."""

from __future__ import annotations

import asyncio
import threading
import time
import webbrowser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import uvicorn
from fastapi import APIRouter, FastAPI, Request, WebSocket
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from worldlet.data.human import LiveRecording
from worldlet.data.record import RecordConfig, RecordSummary
from worldlet.server import record_messages as m
from worldlet.server.errors import RequestError, error_reply, http_status
from worldlet.server.keys import HeldKeys
from worldlet.server.launch import listen, page_address
from worldlet.server.limits import ServerLimits, TokenBucket
from worldlet.server.messages import Ack, Error, Keys, Pause
from worldlet.server.page import MEDIA_TYPES, POLICY, page_routes, static_files
from worldlet.server.pictures import StreamFrame, base64_png
from worldlet.server.stream import Clock, PacedStream, RealClock

WINDOW = 4
"""Frames on their way to the page at once; more would only grow the delay."""
BREATH_SECONDS = 1.0
"""Time between the end of a level and the next, so that the end is seen."""

Result = TypeVar("Result")


def record_human(config: RecordConfig, open_browser: bool = True, limits: ServerLimits | None = None) -> RecordSummary:
    """Serve the page until its player is done or Ctrl-C; return what the data folder holds then.

    Raises ValueError where the port, the game or the folder cannot be used.
    """
    limits = limits or ServerLimits()
    with listen("127.0.0.1", config.port) as listener:
        servers: list[uvicorn.Server] = []
        app = create_recorder(config, lambda: setattr(servers[0], "should_exit", True), limits)
        url = page_address("127.0.0.1", listener.getsockname()[1])
        print(f"Play {config.env} at {url}; it is recorded into {config.out} (Ctrl-C stops and saves)", flush=True)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        settings = uvicorn.Config(
            app, log_level="warning", ws_max_size=limits.socket_bytes, timeout_graceful_shutdown=3
        )
        servers.append(uvicorn.Server(settings))
        with suppress(KeyboardInterrupt):  # raised again after an orderly end; Ctrl-C is how one leaves
            servers[0].run(sockets=[listener])
        return app.state.desk.close()


def create_recorder(
    config: RecordConfig,
    on_finish: Callable[[], None] = lambda: None,
    limits: ServerLimits | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """Return the server of one recording; ``on_finish`` is called when the player has ended it in the page.

    Raises ValueError where the game or the folder cannot be used.
    """
    app = FastAPI(title="Worldlet recorder", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk = Desk(config, on_finish, limits or ServerLimits(), clock or RealClock())
    app.include_router(_index())
    app.include_router(page_routes())

    @app.exception_handler(RequestError)
    async def mistake(_: Request, error: RequestError) -> JSONResponse:
        reply = error_reply(error)
        return JSONResponse(reply.model_dump(), status_code=http_status(reply))

    @app.websocket("/record")
    async def record(socket: WebSocket) -> None:
        await socket.accept()
        await desk.serve(socket)

    return app


def _index() -> APIRouter:
    router = APIRouter()
    page = static_files()["record.html"]
    headers = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}

    @router.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response(page, media_type=MEDIA_TYPES[".html"], headers=headers)

    return router


class Desk:
    """The one place where the game is played: the newest page has it, and it stands still while there is none."""

    def __init__(self, config: RecordConfig, on_finish: Callable[[], None], limits: ServerLimits, clock: Clock) -> None:
        self._on_finish = on_finish
        self.limits, self.clock = limits, clock
        # Some games can only be called from the thread that opened them.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="game")
        try:
            self._recording = self._thread.submit(LiveRecording, config).result()
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        self._seat: Seat | None = None
        self._summary: RecordSummary | None = None
        self.finished = False

    async def run(self, work: Callable[[LiveRecording], Result]) -> Result:
        """Do something with the recording, in its own thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._recording)

    async def serve(self, socket: WebSocket) -> None:
        """Let this page play until it leaves; what it played is saved then."""
        if self._seat is not None:
            await self._seat.leave()
        seat = self._seat = Seat(socket, self, self._recording)
        try:
            await seat.serve()
        finally:
            if self._seat is seat:
                self._seat = None
                if not self.finished:
                    # Handed over before anything is awaited: a server that is being stopped cancels what awaits.
                    saving = self._thread.submit(self._recording.save)
                    with suppress(ValueError):  # said again when the recording is closed
                        await asyncio.shield(asyncio.wrap_future(saving))

    async def finish(self) -> None:
        """End the recording: save everything."""
        self.finished = True
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def dismiss(self) -> None:
        """Say that the player is done."""
        self._on_finish()

    def close(self) -> RecordSummary:
        """Save everything, once; return what the folder holds."""
        if self._summary is None:
            self._summary = self._thread.submit(self._recording.close).result()
            self._thread.shutdown()
        return self._summary


class Seat:
    """One page's socket: keys in, frames out. The game begins paused, so that nothing is recorded unasked."""

    def __init__(self, socket: WebSocket, desk: Desk, recording: LiveRecording) -> None:
        self._socket, self._desk, self._recording = socket, desk, recording
        self._keys = HeldKeys(recording.game.action_names, recording.key_bindings)
        fps = min(recording.game.fps, desk.limits.stream_fps)
        self._stream = PacedStream(self._step, self._send_bytes, fps, WINDOW, desk.clock)
        self._stream.pause(True)
        self._breathe = False
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Answer messages until the page leaves."""
        await self._send(await self._desk.run(self._game))
        streaming = asyncio.create_task(self._play())
        try:
            await self._receive()
        except (WebSocketDisconnect, ConnectionError):
            pass
        finally:
            streaming.cancel()
            await asyncio.gather(streaming, return_exceptions=True)

    async def leave(self) -> None:
        """Tell the page that the game is played elsewhere now."""
        self._stream.pause(True)
        with suppress(RuntimeError, WebSocketDisconnect, ConnectionError):
            await self._send(Error(code="taken_over", message="this game is played in another window now"))
            await self._socket.close()

    async def _receive(self) -> None:
        limits, clock = self._desk.limits, self._desk.clock
        bucket = TokenBucket(limits.messages_per_second, limits.message_burst, clock.now())
        while self._socket.client_state is WebSocketState.CONNECTED:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            await clock.sleep(bucket.delay(clock.now()))
            try:
                await self._answer(m.record_message.validate_json(event.get("text") or ""))
            except (WebSocketDisconnect, ConnectionError):
                raise
            except Exception as error:  # one bad message must not end the recording
                await self._send(error_reply(error))

    async def _answer(self, message: m.RecordMessage) -> None:
        if isinstance(message, Keys):
            self._keys.replace(message.held, message.stamp)
        elif isinstance(message, Ack):
            self._stream.ack(message.sequence)
        elif isinstance(message, Pause):
            self._stream.pause(message.paused or self._desk.finished)
            await self._send(await self._desk.run(self._status))
        elif isinstance(message, m.Finish):
            self._stream.pause(True)
            try:
                await self._desk.finish()
                await self._send(self._status(self._recording, "Everything is saved: this page can be closed."))
            finally:
                self._desk.dismiss()
        else:
            await self._change_level(throw_away=isinstance(message, m.Discard))

    async def _change_level(self, throw_away: bool) -> None:
        def change(recording: LiveRecording) -> tuple[m.Status, StreamFrame]:
            gone = recording.discard() if throw_away else -1
            if not throw_away:
                recording.next_level()
            note = f"{gone} frames were thrown away." if throw_away else "Saved. Here is another level."
            return self._status(recording, note), self._picture(0, 0.0)

        status, picture = await self._desk.run(change)
        self._stream.show(picture)
        await self._send(status)

    async def _play(self) -> None:
        """Run the stream; a game or a disk that fails stops the play, says why, and lets the page try again."""
        while True:
            try:
                await self._stream.run()
            except (WebSocketDisconnect, ConnectionError):
                return
            except Exception as error:
                self._stream.pause(True)
                with suppress(WebSocketDisconnect, ConnectionError):
                    await self._send(error_reply(error))
                    await self._send(self._status(self._recording))

    async def _step(self) -> StreamFrame:
        if self._breathe:
            self._breathe = False
            await self._desk.clock.sleep(BREATH_SECONDS)
        action, stamp = self._keys.action(), self._keys.stamp

        def step(recording: LiveRecording) -> tuple[StreamFrame, m.Status | None]:
            before = time.perf_counter()
            recording.step(action)
            took = 1000 * (time.perf_counter() - before)
            due = recording.ended or recording.index % max(1, round(recording.game.fps)) == 0
            note = "The level is over: the next one follows." if recording.ended else ""
            return self._picture(stamp, took, action), self._status(recording, note) if due else None

        picture, status = await self._desk.run(step)
        self._breathe = self._recording.ended
        if status:
            await self._send(status)
        return picture

    def _picture(self, stamp: int, took: float, action: int = 0) -> StreamFrame:
        recording = self._recording
        return StreamFrame.encode(recording.frame, "rgb", recording.index, stamp, took, action)

    def _game(self, recording: LiveRecording) -> m.Game:
        return m.Game(
            env_id=recording.env_id,
            folder=str(recording.folder),
            fps=recording.game.fps,
            frame_size=list(recording.frame.shape[:2]),
            action_names=list(recording.game.action_names),
            key_bindings=recording.key_bindings,
            data=base64_png(recording.frame),
            status=self._status(recording),
        )

    def _status(self, recording: LiveRecording, note: str = "") -> m.Status:
        return m.Status(
            paused=self._stream.paused,
            finished=self._desk.finished,
            frames=recording.frames,
            pending=recording.pending,
            pieces=recording.pieces,
            goal=recording.goal,
            level_seed=recording.level_seed,
            split=recording.split,
            note=note,
        )

    async def _send(self, message: m.Message) -> None:
        await self._deliver({"type": "websocket.send", "text": message.model_dump_json()})

    async def _send_bytes(self, data: bytes) -> None:
        await self._deliver({"type": "websocket.send", "bytes": data})

    async def _deliver(self, event: dict[str, Any]) -> None:
        async with self._sending:
            if self._socket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect(1006)
            await self._socket.send(event)
