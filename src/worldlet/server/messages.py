"""Every message between server and clients, as one typed, versioned schema.

The page's ``static/protocol.js`` is generated from this file (``python -m worldlet.server.protocol_js``).

Rules of the socket. Each JSON text message of a client is answered by exactly one JSON message: the one named beside
it below, or ``error``. ``keys`` and ``ack`` are answered only when they are wrong. Nothing is sent unasked until
``stream`` turns the paced stream on and its answer is out; the frames are binary messages (see `FRAME_HEADER`) that
come between answers.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, TypeAdapter

VERSION = 1

PICTURE_FORMATS = ("png", "rgb")
"""How a binary frame carries its picture; a header stores the position in this tuple."""

FRAME_HEADER: tuple[tuple[str, str], ...] = (
    ("sequence", "uint32"),  # counts the binary frames sent on this socket; `ack` names it
    ("frame_index", "uint32"),  # the frame's place in the session, 0 for the starting frame
    ("stamp", "uint32"),  # the stamp of the newest `keys` message that this frame obeys
    ("step_ms", "float32"),  # how long the world took for it
    ("width", "uint16"),
    ("height", "uint16"),
    ("action", "uint16"),  # the action that led to this frame
    ("format", "uint8"),
    ("reserved", "uint8"),
)
"""Head of a binary frame, little-endian without gaps; the PNG file or the raw RGB rows follow."""

PAIR_EVENTS = ("", "start", "sync", "end")

PAIR_HEADER: tuple[tuple[str, str], ...] = (
    *FRAME_HEADER,
    ("level_seed", "float64"),  # of the real level
    ("age", "uint32"),  # frames since the dream was last opened on real frames
    ("psnr_db", "float32"),  # of the dreamed frame against the real one, at most 100
    ("hero_pixels", "float32"),  # distance of real and dreamed hero; NaN where unknown, infinite where he is lost
    ("event", "uint8"),  # position in `PAIR_EVENTS`
    ("reserved_2", "uint8"),
    ("reserved_3", "uint16"),
)
"""Head of a binary frame of a dream beside its real game; its picture is the real frame above the dreamed one."""

_STRUCT_CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "float32": "f", "float64": "d"}
HEADER = struct.Struct("<" + "".join(_STRUCT_CODES[kind] for _, kind in FRAME_HEADER))
PAIR = struct.Struct("<" + "".join(_STRUCT_CODES[kind] for _, kind in PAIR_HEADER))

ERROR_CODES = (
    "bad_json",  # not JSON text
    "unknown_type",  # no message of that type
    "bad_fields",  # a field is missing, unknown or of the wrong kind
    "bad_action",  # the world has no such action
    "bad_request",  # well formed, but it cannot be done
    "bad_snapshot",  # damaged, or of another world
    "wrong_version",  # client and server speak different versions
    "too_large",  # longer than the server reads
    "unknown_session",  # never opened, closed, or freed after a long rest
    "unknown_world",  # the server has no such world
    "full",  # no place for another session
    "taken_over",  # another socket plays this session now
    "not_found",  # no such address
    "internal",  # a mistake of ours
)

ActionField = Annotated[StrictInt, Field(description="number")] | Annotated[str, StringConstraints(max_length=64)]
Name = Annotated[str, StringConstraints(max_length=64)]
Prompt = Annotated[str, StringConstraints(max_length=1000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Stamp = Annotated[int, Field(ge=0, lt=2**32)]
KeyCode = Annotated[str, StringConstraints(max_length=32)]
Metrics = dict[str, float | int | str]


class Message(BaseModel):
    """Base of all messages: unknown fields and silently converted types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# What a client sends on /ws/{session_id}


class Hello(Message):
    """Names the client's version and asks for what a page needs; answered by `welcome`."""

    type: Literal["hello"] = "hello"
    version: int


class Action(Message):
    """Does one action, a number or a name, and asks for the frame that follows; answered by `frame`."""

    type: Literal["action"] = "action"
    action: ActionField


class Stream(Message):
    """Turns the paced stream on or off; answered by `state`.

    ``fps`` is the world's own where it is left out. With ``window`` the server sends at most that many binary frames
    beyond the last one named by `ack` and skips to the newest when there is room; without it only the socket's own
    back-pressure holds it.
    """

    type: Literal["stream"] = "stream"
    on: bool = True
    fps: Annotated[float, Field(ge=1, le=1000)] | None = None
    format: Literal["png", "rgb"] = "png"
    window: Annotated[int, Field(ge=1, le=64)] | None = None


class Keys(Message):
    """All keys held now, as DOM ``KeyboardEvent.code``; every coming stream frame obeys the newest one."""

    type: Literal["keys"] = "keys"
    held: Annotated[list[KeyCode], Field(max_length=16)]
    stamp: Stamp = 0


class Ack(Message):
    """Says that the binary frame of this sequence number has arrived."""

    type: Literal["ack"] = "ack"
    sequence: Stamp


class Pause(Message):
    """Holds the stream, or lets it go on; answered by `state`."""

    type: Literal["pause"] = "pause"
    paused: bool = True


class StepOnce(Message):
    """Steps one frame with the held keys or with ``action``, mostly while paused; answered by `frame`."""

    type: Literal["step_once"] = "step_once"
    action: ActionField | None = None


class Restart(Message):
    """Begins the session anew; answered by `started`. A seed left out is drawn at random and told."""

    type: Literal["restart"] = "restart"
    seed: Seed | None = None
    theme: Name | None = None
    prompt: Prompt | None = None


class Rewind(Message):
    """Goes back by so many frames, or as far as the session remembers; answered by `frame`."""

    type: Literal["rewind"] = "rewind"
    frames: Annotated[int, Field(ge=1, lt=2**31)] = 1


class Snapshot(Message):
    """Asks for the session's whole state; answered by `snapshot`."""

    type: Literal["snapshot"] = "snapshot"


class Restore(Message):
    """Goes on from a snapshot of the same world (base64); answered by `frame`."""

    type: Literal["restore"] = "restore"
    data: str


class Sync(Message):
    """Opens the dream anew on the last frames of the real game beside it; answered by `frame`."""

    type: Literal["sync"] = "sync"


class Fork(Message):
    """Opens a second session that begins where this one is; answered by `forked`."""

    type: Literal["fork"] = "fork"
    seed: Seed | None = None


ClientMessage = (
    Hello | Action | Stream | Keys | Ack | Pause | StepOnce | Restart | Rewind | Sync | Snapshot | Restore | Fork
)  # fmt: skip
CLIENT_MESSAGES: tuple[type[Message], ...] = (
    Hello, Action, Stream, Keys, Ack, Pause, StepOnce, Restart, Rewind, Sync, Snapshot, Restore, Fork,
)  # fmt: skip
client_message: TypeAdapter[ClientMessage] = TypeAdapter(Annotated[ClientMessage, Field(discriminator="type")])


# What the server sends, and the parts of it


class StartInfo(Message):
    """How a session began: ``chosen`` says how the start was picked, and what a prompt can do so far."""

    caption: str | None
    theme: str | None
    level_seed: int | None
    chosen: str
    seed: int


class StartOption(Message):
    """One of the world's starts."""

    caption: str
    theme: str
    level_seed: int


class WorldInfo(Message):
    """What a client needs to know of a world; ``frame_size`` is [height, width] in pixels."""

    name: str
    title: str
    env_id: str
    fps: int
    frame_size: list[int]
    action_names: list[str]
    key_bindings: dict[str, list[list[str]]]
    themes: list[str]
    starts: list[StartOption]
    parameters: dict[str, int]


class Welcome(Message):
    """Answers `hello`; ``data`` is the present frame as a PNG in base64."""

    type: Literal["welcome"] = "welcome"
    version: int
    session_id: str
    world: WorldInfo
    start: StartInfo
    frame_index: int
    data: str


class Frame(Message):
    """One frame as a PNG in base64, with ``frame_index``, ``action``, ``step_ms`` and ``fps`` in ``metrics``."""

    type: Literal["frame"] = "frame"
    data: str
    metrics: Metrics


class Started(Message):
    """Answers `restart`, with the new starting frame."""

    type: Literal["started"] = "started"
    start: StartInfo
    data: str
    metrics: Metrics


class State(Message):
    """The stream's settings as they are now."""

    type: Literal["state"] = "state"
    streaming: bool
    paused: bool
    fps: float
    format: Literal["png", "rgb"]
    window: int | None


class SnapshotData(Message):
    """A session's whole state, ``size`` bytes, in base64."""

    type: Literal["snapshot"] = "snapshot"
    data: str
    size: int
    frame_index: int


class Forked(Message):
    """The id of the new session; play it on a socket of its own."""

    type: Literal["forked"] = "forked"
    session_id: str
    frame_index: int


class Error(Message):
    """What went wrong, one of `ERROR_CODES`, and a sentence that says what to do. REST errors look the same."""

    type: Literal["error"] = "error"
    code: str
    message: str


SERVER_MESSAGES: tuple[type[Message], ...] = (Welcome, Frame, Started, State, SnapshotData, Forked, Error)
ServerMessage = Welcome | Frame | Started | State | SnapshotData | Forked | Error


# REST


class CreateRequest(Message):
    """Body of ``POST /session/create``; all of it may be left out."""

    prompt: Prompt | None = None
    seed: Seed | None = None
    theme: Name | None = None
    world: Name | None = None


class CreateReply(Message):
    """A new session, its starting frame (PNG in base64), and how it began."""

    session_id: str
    frame: str
    metrics: Metrics
    world: str
    start: StartInfo


class StepRequest(Message):
    """Body of ``POST /session/step``."""

    session_id: Annotated[str, StringConstraints(max_length=64)]
    action: ActionField


class StepReply(Message):
    """The frame that follows the action (PNG in base64)."""

    session_id: str
    frame: str
    metrics: Metrics


class CloseReply(Message):
    """Says that the session is gone."""

    session_id: str
    closed: bool


class Health(Message):
    """What ``GET /health`` answers."""

    status: Literal["ok"] = "ok"
    version: str
    protocol: int
    worlds: list[str]
    sessions: int
    session_limit: int


class WorldList(Message):
    """What ``GET /worlds`` answers; the first is the one that a session gets by default."""

    worlds: list[WorldInfo]
