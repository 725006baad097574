"""Writes ``static/protocol.js``, the page's copy of the message schema, so that it cannot drift."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from worldlet.manifest import write_atomic
from worldlet.server import messages

TARGET = Path(__file__).parent / "static" / "protocol.js"


def protocol_js() -> str:
    """Return the text of ``protocol.js``: version, messages with their fields, binary header, error codes."""
    header, pair_header = _offsets(messages.FRAME_HEADER), _offsets(messages.PAIR_HEADER)
    constants = {
        "VERSION": messages.VERSION,
        "CLIENT_MESSAGES": _fields(messages.CLIENT_MESSAGES),
        "SERVER_MESSAGES": _fields(messages.SERVER_MESSAGES),
        "PICTURE_FORMATS": messages.PICTURE_FORMATS,
        "HEADER": header,
        "HEADER_BYTES": messages.HEADER.size,
        "PAIR_EVENTS": messages.PAIR_EVENTS,
        "PAIR_HEADER": pair_header,
        "PAIR_HEADER_BYTES": messages.PAIR.size,
        "ERROR_CODES": messages.ERROR_CODES,
    }
    lines = ["// Generated from messages.py by `python -m worldlet.server.protocol_js`. Do not edit.", ""]
    lines += [f"export const {name} = {json.dumps(value, indent=2)};\n" for name, value in constants.items()]
    return "\n".join(lines)


def _offsets(header: tuple[tuple[str, str], ...]) -> dict[str, dict[str, str | int]]:
    """Map each field of a binary header to its kind and its place, without gaps."""
    table: dict[str, dict[str, str | int]] = {}
    offset = 0
    for name, kind in header:
        table[name] = {"kind": kind, "offset": offset}
        offset += int(kind.lstrip("uintfloa")) // 8
    return table


def _fields(kinds: tuple[type[messages.Message], ...]) -> dict[str, dict[str, list[str]]]:
    """Map a message's type to the names of its required and its optional fields."""
    table = {}
    for kind in kinds:
        fields = {name: field for name, field in kind.model_fields.items() if name != "type"}
        table[kind.model_fields["type"].default] = {
            "required": [name for name, field in fields.items() if field.is_required()],
            "optional": [name for name, field in fields.items() if not field.is_required()],
        }
    return table


def main() -> None:
    """Write the file of this checkout, or only compare with ``--check``."""
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() != protocol_js():
            raise SystemExit("static/protocol.js is out of date: run `python -m worldlet.server.protocol_js`")
        return
    write_atomic(TARGET, protocol_js().encode())
    print(f"wrote {TARGET.name}")


if __name__ == "__main__":
    main()
