"""Turns frames, uint8 RGB (H, W, 3), into what travels: PNG, base64, and binary messages with a header."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.server.messages import HEADER, PICTURE_FORMATS


def png(frame: NDArray[np.uint8]) -> bytes:
    """Return the frame as a PNG file. The lightest compression: the time counts, and pixel art is small anyway."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG", compress_level=1)
    return file.getvalue()


def base64_png(frame: NDArray[np.uint8]) -> str:
    """Return the frame as a PNG in base64."""
    return base64.b64encode(png(frame)).decode("ascii")


@dataclass(frozen=True)
class StreamFrame:
    """One frame of the paced stream, ready to send: ``picture`` is encoded in ``format``; see `FRAME_HEADER`."""

    picture: bytes
    format: str
    frame_index: int
    stamp: int
    step_ms: float
    width: int
    height: int
    action: int

    @classmethod
    def encode(
        cls, frame: NDArray[np.uint8], format: str, frame_index: int, stamp: int, step_ms: float, action: int
    ) -> StreamFrame:
        """Encode a frame, uint8 (H, W, 3), as "png" or "rgb"."""
        picture = png(frame) if format == "png" else np.ascontiguousarray(frame).tobytes()
        height, width = frame.shape[:2]
        return cls(picture, format, frame_index, stamp, step_ms, width, height, action)

    def pack(self, sequence: int) -> bytes:
        """Return the binary message that is the ``sequence``-th of its socket."""
        head = HEADER.pack(
            sequence % 2**32,
            self.frame_index,
            self.stamp,
            self.step_ms,
            self.width,
            self.height,
            self.action,
            PICTURE_FORMATS.index(self.format),
            0,
        )
        return head + self.picture
