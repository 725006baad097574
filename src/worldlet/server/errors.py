"""What can go wrong with a request, and the one reply that says so, over REST and over the socket."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from worldlet.engine import SnapshotError
from worldlet.server.messages import CLIENT_MESSAGES, ERROR_CODES, Error

logger = logging.getLogger("worldlet.server")

STATUS = {
    "unknown_session": 404,
    "unknown_world": 404,
    "not_found": 404,
    "too_large": 413,
    "internal": 500,
    "full": 503,
}


class RequestError(ValueError):
    """A request that cannot be done; ``code`` is one of `ERROR_CODES`, the text says what to do."""

    def __init__(self, code: str, message: str) -> None:
        assert code in ERROR_CODES, code
        super().__init__(message)
        self.code = code


def error_reply(error: Exception) -> Error:
    """Turn any exception into the message for the client; one that is our mistake is logged and not shown."""
    if isinstance(error, RequestError):
        return Error(code=error.code, message=str(error))
    if isinstance(error, ValidationError):
        return invalid_reply(error.errors(include_url=False, include_context=False, include_input=False))
    if isinstance(error, SnapshotError):
        return Error(code="bad_snapshot", message=str(error))
    if isinstance(error, ValueError):
        return Error(code="bad_request", message=str(error))
    logger.error("a request failed", exc_info=error)
    return Error(code="internal", message="the server made a mistake (see its log): restart the session")


def http_status(reply: Error) -> int:
    """Return the HTTP status that goes with an error."""
    return STATUS.get(reply.code, 422)


def invalid_reply(problems: Any) -> Error:
    """Put the first of pydantic's findings in a sentence."""
    kind, where, text = problems[0]["type"], problems[0]["loc"], problems[0]["msg"]
    types = ", ".join(message.model_fields["type"].default for message in CLIENT_MESSAGES)
    if kind == "json_invalid":
        return Error(code="bad_json", message="the message is not JSON: send one JSON object as text")
    if kind == "union_tag_invalid":
        return Error(code="unknown_type", message=f"no message has that type: use one of {types}")
    if kind == "union_tag_not_found":
        return Error(code="bad_fields", message=f'a message is an object with a "type", one of {types}')
    # Before the field stands "body" over REST and the message's type on the socket.
    name = str(where[1]) if len(where) > 1 else "body"
    if name == "action":
        return Error(code="bad_action", message="an action is a whole number or the name of an action")
    if kind == "extra_forbidden":
        return Error(code="bad_fields", message=f"{name!r} is not a field of this message: leave it out")
    if kind == "missing":
        return Error(code="bad_fields", message=f"the field {name!r} is missing")
    return Error(code="bad_fields", message=f"the field {name!r} is wrong: {text[:1].lower()}{text[1:]}")
