import json

import pytest
from pydantic import ValidationError

from worldlet.server import messages as m
from worldlet.server.pictures import StreamFrame
from worldlet.server.protocol_js import TARGET, protocol_js

VALUES = {"version": 1, "action": 0, "held": [], "sequence": 1, "data": ""}


def test_the_pages_copy_of_the_schema_is_up_to_date():
    assert TARGET.read_text() == protocol_js(), "run `python -m worldlet.server.protocol_js`"


def test_every_client_message_is_in_the_union_and_strict():
    for kind in m.CLIENT_MESSAGES:
        required = {name: VALUES[name] for name, field in kind.model_fields.items() if field.is_required()}
        body = {"type": kind.model_fields["type"].default, **required}
        assert type(m.client_message.validate_json(json.dumps(body))) is kind
        with pytest.raises(ValidationError, match="extra"):
            m.client_message.validate_json(json.dumps({**body, "surprise": 1}))


def test_types_are_unique_on_each_side():
    for side in (m.CLIENT_MESSAGES, m.SERVER_MESSAGES):
        types = [kind.model_fields["type"].default for kind in side]
        assert len(set(types)) == len(types)


def test_the_binary_head_is_as_documented():
    frame = StreamFrame(b"picture", "rgb", frame_index=5, stamp=9, step_ms=1.5, width=24, height=16, action=7)
    packed = frame.pack(sequence=3)
    assert packed == (
        bytes([3, 0, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0xC0, 0x3F, 24, 0, 16, 0, 7, 0, 1, 0]) + b"picture"
    )
