"""A real server over the tiny world, on a free port, in a thread of this process."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tiny_world import build_tiny_world
from websockets.sync.client import ClientConnection, connect

import worldlet
from worldlet.server.app import create_app
from worldlet.server.beside import BesideTable
from worldlet.server.launch import listen
from worldlet.server.limits import ServerLimits
from worldlet.server.messages import FRAME_HEADER, HEADER
from worldlet.server.sessions import SessionTable

PATIENCE = 20.0  # seconds until a missing answer fails a test; nothing waits for it when all is well


@dataclass
class Served:
    """A running server, and how to talk to it."""

    address: str
    engine: Any
    table: SessionTable

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def post(self, path: str, body: Any = None) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=PATIENCE)

    def create(self, **wishes: Any) -> dict[str, Any]:
        response = self.post("/session/create", wishes)
        assert response.status_code == 200, response.text
        return response.json()

    @contextlib.contextmanager
    def play(self, session_id: str) -> Iterator["Player"]:
        with connect(f"ws://{self.address}/ws/{session_id}", max_size=None, open_timeout=PATIENCE) as socket:
            yield Player(socket)


@dataclass
class Player:
    """A client's end of a socket."""

    socket: ClientConnection

    def send(self, type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type, **fields}))

    def receive(self) -> Any:
        """Return the next message: parsed JSON, or a binary frame as a dict with its picture."""
        data = self.socket.recv(timeout=PATIENCE)
        if isinstance(data, str):
            return json.loads(data)
        fields = dict(zip((name for name, _ in FRAME_HEADER), HEADER.unpack_from(data), strict=True))
        return {"type": "binary", **fields, "picture": data[HEADER.size :]}

    def ask(self, type: str, **fields: Any) -> Any:
        """Send a message and return the JSON answer to it, passing over frames of a stream."""
        self.send(type, **fields)
        while (reply := self.receive())["type"] == "binary":
            pass
        return reply

    def frame_of_stream(self) -> Any:
        """Return the next binary frame and acknowledge it."""
        frame = self.receive()
        assert frame["type"] == "binary", frame
        self.send("ack", sequence=frame["sequence"])
        return frame


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def tiny_engine(tiny_folder: Path) -> Any:
    return worldlet.load(tiny_folder)


@contextlib.contextmanager
def serving(engine: Any, limits: ServerLimits, port: int = 0, beside: BesideTable | None = None) -> Iterator[Served]:
    app = create_app({"tiny": engine}, limits, beside=beside)
    with listen("127.0.0.1", port) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                ws_max_size=limits.socket_bytes,
                timeout_graceful_shutdown=1,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(f"127.0.0.1:{listener.getsockname()[1]}", engine, app.state.table)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def served(tiny_engine: Any) -> Iterator[Served]:
    """A server with the usual limits, shared by the tests of one file."""
    with serving(tiny_engine, ServerLimits()) as running:
        yield running


@pytest.fixture
def serve(tiny_engine: Any) -> Callable[..., contextlib.AbstractContextManager[Served]]:
    """Start servers with limits, and a port, of one's own: ``with serve(limits) as served``."""
    return lambda limits=None, port=0: serving(tiny_engine, limits or ServerLimits(), port)
