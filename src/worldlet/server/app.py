"""Puts the server together: REST, the socket, the page, and one way of saying what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import worldlet
from worldlet.server.beside import BesideConnection, BesideTable
from worldlet.server.body_limit import BodyLimit
from worldlet.server.connection import Connection, refuse
from worldlet.server.errors import RequestError, error_reply, http_status, invalid_reply
from worldlet.server.limits import ServerLimits
from worldlet.server.messages import Error
from worldlet.server.page import page_routes
from worldlet.server.rest import rest_routes
from worldlet.server.sessions import SessionTable
from worldlet.server.stream import Clock, RealClock

if TYPE_CHECKING:
    from worldlet.engine import Engine


def create_app(
    worlds: Mapping[str, Engine],
    limits: ServerLimits | None = None,
    clock: Clock | None = None,
    beside: BesideTable | None = None,
) -> FastAPI:
    """Return the server over loaded worlds (name -> engine); the first is the one that players get by default.

    With ``beside``, everything below ``/beside`` plays real games and dreams together.
    """
    table = SessionTable(worlds, limits or ServerLimits())
    tables = [table] if beside is None else [table, beside]
    time = clock or RealClock()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        sweepers = [asyncio.create_task(_sweep_forever(each)) for each in tables]
        try:
            yield
        finally:
            for sweeper in sweepers:
                sweeper.cancel()
                with suppress(asyncio.CancelledError):
                    await sweeper
            for each in tables:
                await each.shut_down()

    # The interactive documentation pages load scripts from elsewhere: only the schema itself is served.
    app = FastAPI(title="Worldlet", version=worldlet.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.table = table
    app.add_middleware(BodyLimit, limit=table.limits.message_bytes)
    app.include_router(rest_routes(table))
    app.include_router(page_routes(beside=beside is not None))
    _add_socket(app, "/ws/{session_id}", table, Connection, time)
    if beside is not None:
        app.include_router(rest_routes(beside), prefix="/beside")
        _add_socket(app, "/beside/ws/{session_id}", beside, BesideConnection, time)
    _reply_to_errors(app)
    return app


def _add_socket(app: FastAPI, path: str, table: SessionTable, connection: type[Connection], clock: Clock) -> None:
    @app.websocket(path)
    async def play(socket: WebSocket, session_id: str) -> None:
        await socket.accept()
        try:
            player = table.get(session_id)
        except RequestError as error:
            await refuse(socket, error)
            return
        await connection(socket, player, table, clock).serve()


async def _sweep_forever(table: SessionTable) -> None:
    while True:
        await asyncio.sleep(max(1.0, table.limits.idle_seconds / 4))
        await table.sweep()


def _reply_to_errors(app: FastAPI) -> None:
    """Give every error of REST the same form: an `Error` message and a fitting status."""

    def respond(reply: Error, status: int | None = None) -> JSONResponse:
        return JSONResponse(reply.model_dump(), status_code=status or http_status(reply))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return respond(invalid_reply(error.errors()))

    @app.exception_handler(HTTPException)
    async def no_such_address(request: Request, error: HTTPException) -> JSONResponse:
        text = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
        code = {404: "not_found", 405: "not_found", 413: "too_large"}.get(error.status_code, "bad_request")
        return respond(Error(code=code, message=text), error.status_code)

    @app.exception_handler(ValueError)
    async def mistake(_: Request, error: ValueError) -> JSONResponse:
        return respond(error_reply(error))

    @app.exception_handler(Exception)
    async def failure(_: Request, error: Exception) -> JSONResponse:
        return respond(error_reply(error))
