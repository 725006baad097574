"""What passes between us and a game in a child process: a kind, a length, and that many bytes.

From us: `MAKE` (JSON: game, options), `RESET` (JSON: seed), `PLAY` (actions, int64 each). Back: `MADE` (JSON: frame
size, number of actions, metadata), `FRAMES` (for each: reward, ended, length of info, JSON of info, pixels), `FAILED`
(JSON: the error). Fewer frames than actions mean that the game ended, or that it failed: then `PLAY` without actions is
answered by `FAILED`. Nothing but numbers, text and pixels passes, so neither side can make the other run anything.
"""

import base64
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

MAKE, RESET, PLAY, MADE, FRAMES, FAILED = b"M", b"R", b"P", b"G", b"F", b"E"
_HEAD = struct.Struct("<cI")
_FRAME = struct.Struct("<d??I")
Step = tuple[np.ndarray, float, bool, bool, dict[str, Any]]
"""What a step gives: frame uint8 (H, W, 3), reward, terminated, truncated, info."""
_LARGEST = 64 * 2**20
_ARRAY = "array of"


def send(pipe: BinaryIO, kind: bytes, *parts: bytes) -> None:
    """Write one message whose payload is the parts in order; at once, so that the other side wakes up once."""
    pipe.write(b"".join((_HEAD.pack(kind, sum(map(len, parts))), *parts)))
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[bytes, bytes]:
    """Read one message; EOFError where the other side is gone."""
    kind, length = _HEAD.unpack(_read(pipe, _HEAD.size))
    if length > _LARGEST:
        raise EOFError(f"a message of {length} bytes, which is none of ours")
    return kind, _read(pipe, length)


def pack_actions(actions: Sequence[int]) -> bytes:
    """Return the payload of PLAY."""
    return struct.pack(f"<{len(actions)}q", *actions)


def unpack_actions(payload: bytes) -> tuple[int, ...]:
    """Undo `pack_actions`."""
    return struct.unpack(f"<{len(payload) // 8}q", payload)


def pack_frame(
    frame_HWC: np.ndarray, info: dict[str, Any], reward: float, terminated: bool, truncated: bool
) -> tuple[bytes, bytes]:
    """Return what FRAMES holds of one frame, in parts; what of `info` is neither plain nor an array is left out."""
    facts = pack_values({key: value for key, value in info.items() if isinstance(key, str)}) if info else b"{}"
    return _FRAME.pack(reward, terminated, truncated, len(facts)) + facts, frame_HWC.tobytes()


def unpack_frames(payload: bytes, size: tuple[int, int]) -> list[Step]:
    """Undo `pack_frame` for all frames of a payload, of H x W pixels."""
    steps, pixels, start = list[Step](), size[0] * size[1] * 3, 0
    while start < len(payload):
        reward, terminated, truncated, length = _FRAME.unpack_from(payload, start)
        begin = start + _FRAME.size + length
        info = unpack_values(payload[start + _FRAME.size : begin])
        frame = np.frombuffer(payload, np.uint8, pixels, begin).reshape(*size, 3)
        steps.append((frame, reward, terminated, truncated, info))
        start = begin + pixels
    return steps


def pack_values(values: dict[str, Any]) -> bytes:
    """Return plain values and arrays as JSON."""
    return json.dumps({key: _plain(value) for key, value in values.items() if _fits(value)}).encode()


def unpack_values(text: bytes) -> dict[str, Any]:
    """Undo `pack_values`."""
    values: dict[str, Any] = {} if text == b"{}" else json.loads(text, object_hook=_array)
    return values


def _read(pipe: BinaryIO, length: int) -> bytes:
    data = pipe.read(length)
    if data is None or len(data) < length:
        raise EOFError("the other side is gone")
    return data


def _fits(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    if isinstance(value, dict):
        return all(isinstance(key, str) and _fits(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_fits, value))
    return value is None or isinstance(value, bool | int | float | str | np.bool_ | np.integer | np.floating)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {_ARRAY: value.dtype.str, "shape": value.shape, "bytes": base64.b64encode(value.tobytes()).decode()}
    if isinstance(value, np.bool_ | np.integer | np.floating):
        return value.item()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _array(value: dict[str, Any]) -> Any:
    if _ARRAY not in value:
        return value
    data = np.frombuffer(base64.b64decode(value["bytes"]), value[_ARRAY])
    return data.reshape(value["shape"]).copy()
