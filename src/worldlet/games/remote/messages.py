"""What passes between us and a game in a child process: a kind, a length, and that many bytes.

From us: `MAKE` (JSON: game, options), `RESET` (JSON: seed), `STEP` (the action, int64). Back: `MADE` (JSON: frame size,
number of actions, metadata), `FRAME` (reward, ended, JSON of info, pixels), `FAILED` (JSON: the error). Nothing but
numbers, text and pixels passes, so neither side can make the other run anything.
"""

import base64
import json
import struct
from typing import Any, BinaryIO

import numpy as np

MAKE, RESET, STEP, MADE, FRAME, FAILED = b"M", b"R", b"S", b"G", b"F", b"E"
_HEAD = struct.Struct("<cI")
_STEP = struct.Struct("<q")
_FRAME = struct.Struct("<d??I")
_LARGEST = 64 * 2**20
_ARRAY = "array of"


def send(pipe: BinaryIO, kind: bytes, payload: bytes) -> None:
    """Write one message."""
    pipe.write(_HEAD.pack(kind, len(payload)))
    pipe.write(payload)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[bytes, bytes]:
    """Read one message; EOFError where the other side is gone."""
    kind, length = _HEAD.unpack(_read(pipe, _HEAD.size))
    if length > _LARGEST:
        raise EOFError(f"a message of {length} bytes, which is none of ours")
    return kind, _read(pipe, length)


def pack_step(action: int) -> bytes:
    """Return the payload of STEP."""
    return _STEP.pack(action)


def unpack_step(payload: bytes) -> int:
    """Undo `pack_step`."""
    return int(_STEP.unpack(payload)[0])


def pack_frame(frame_HWC: np.ndarray, info: dict[str, Any], reward: float, terminated: bool, truncated: bool) -> bytes:
    """Return the payload of FRAME; what of `info` is neither plain nor an array is left out."""
    facts = pack_values({key: value for key, value in info.items() if isinstance(key, str)}) if info else b"{}"
    return _FRAME.pack(reward, terminated, truncated, len(facts)) + facts + frame_HWC.tobytes()


def unpack_frame(payload: bytes, size: tuple[int, int]) -> tuple[np.ndarray, dict[str, Any], float, bool, bool]:
    """Undo `pack_frame`: frame uint8 (H, W, 3), info, reward, terminated, truncated."""
    reward, terminated, truncated, length = _FRAME.unpack_from(payload)
    start = _FRAME.size + length
    info = unpack_values(payload[_FRAME.size : start])
    frame = np.frombuffer(payload, np.uint8, offset=start).reshape(*size, 3)
    return frame, info, reward, terminated, truncated


def pack_values(values: dict[str, Any]) -> bytes:
    """Return plain values and arrays as JSON."""
    return json.dumps({key: _plain(value) for key, value in values.items() if _fits(value)}).encode()


def unpack_values(text: bytes) -> dict[str, Any]:
    """Undo `pack_values`."""
    values: dict[str, Any] = json.loads(text, object_hook=_array)
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
