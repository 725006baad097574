"""Runs the server from the command line: takes the port first, then loads the worlds, then serves until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

import worldlet
from worldlet.engine.beside import Beside
from worldlet.server.app import create_app
from worldlet.server.beside import BesideTable
from worldlet.server.limits import ServerLimits

if TYPE_CHECKING:
    from worldlet.engine import Engine


def run(
    worlds: list[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    open_browser: bool = False,
    limits: ServerLimits | None = None,
    beside: bool = False,
) -> None:
    """Serve worlds (shipped names, world folders or RUNs) until Ctrl-C; port 0 takes any free one.

    With ``beside``, their real games run beside them, and the page that opens shows both. Raises ValueError where the
    port or the host cannot be used or a world or its game cannot be opened; nothing is served then.
    """
    limits = limits or ServerLimits()
    with listen(host, port) as listener:
        engines = load_worlds(worlds)
        pairs = open_beside(engines, limits) if beside else None
        url = page_address(host, listener.getsockname()[1]) + ("beside" if beside else "")
        print(f"Worldlet plays {', '.join(engines)} at {url} (Ctrl-C stops it)", flush=True)
        if open_browser:
            # The socket listens already: a browser that comes early waits there.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        config = uvicorn.Config(
            create_app(engines, limits, beside=pairs),
            log_level="warning",
            ws_max_size=limits.socket_bytes,
            timeout_graceful_shutdown=3,
        )
        with suppress(KeyboardInterrupt):  # raised again after an orderly end; Ctrl-C is how one leaves
            uvicorn.Server(config).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or raise ValueError with a sentence that says what to choose instead."""
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} does not exist: choose one from 1 to 65535 with --port")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ValueError(f"the host {host!r} is unknown: use 127.0.0.1 for this computer, 0.0.0.0 for all") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere this option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ValueError(_no_port(host, port, error)) from error
    return listener


def load_worlds(worlds: list[str]) -> dict[str, Engine]:
    """Load every world under its own name; a second one of the same name is called NAME-2, and so on."""
    engines: dict[str, Engine] = {}
    for world in worlds:
        engine = worldlet.load(world)
        name, count = engine.manifest.name, 1
        while name in engines:
            count += 1
            name = f"{engine.manifest.name}-{count}"
        engines[name] = engine
    return engines


def open_beside(engines: Mapping[str, Engine], limits: ServerLimits) -> BesideTable:
    """Return the table of pairs, once every world's real game was seen to open; ValueError says what is missing."""
    for engine in engines.values():
        Beside(engine).close()
    return BesideTable(engines, limits)


def page_address(host: str, port: int) -> str:
    """Return the page's address as a browser on this computer reaches it."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


def _no_port(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs special rights: choose one above 1023 with --port"
    return f"{host} port {port} cannot be used ({error.strerror}): choose another with --host and --port"
