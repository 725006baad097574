"""What the page of a human's recording and the server say to each other, beside the binary frames of `messages`.

On connecting the client gets one `game`. ``keys`` and ``ack`` are not answered; every other message is answered by a
`status`, which also comes about once a second of play, or by an ``error``.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from worldlet.server.messages import Ack, Keys, Message, Pause


class NewLevel(Message):
    """Saves what was played and begins another level."""

    type: Literal["new_level"] = "new_level"


class Discard(Message):
    """Throws away what was played since the last save and begins another level."""

    type: Literal["discard"] = "discard"


class Finish(Message):
    """Saves everything and ends the recording, and the program with it."""

    type: Literal["finish"] = "finish"


RecordMessage = Keys | Ack | Pause | NewLevel | Discard | Finish
record_message: TypeAdapter[RecordMessage] = TypeAdapter(Annotated[RecordMessage, Field(discriminator="type")])


class Status(Message):
    """How far the recording is: frames and pieces that were saved, actions ``pending`` until the next save."""

    type: Literal["status"] = "status"
    paused: bool
    finished: bool
    frames: int
    pending: int
    pieces: int
    goal: int
    level_seed: int
    split: str
    note: str


class Game(Message):
    """What is played, where it goes, and the present frame as a PNG in base64."""

    type: Literal["game"] = "game"
    env_id: str
    folder: str
    fps: float
    frame_size: list[int]
    action_names: list[str]
    key_bindings: dict[str, list[list[str]]]
    data: str
    status: Status
