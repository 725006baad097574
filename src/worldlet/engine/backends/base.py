"""What every backend does: encode frames, decode tokens, and take one step. ``B`` sessions, ``N`` tokens a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

State = dict[str, NDArray[Any]]
"""The recurrent state by name, each tensor with a leading batch axis."""


@dataclass(frozen=True, eq=False)
class BackendStep:
    """The next frame: its tokens int64 (B, N), its pixels uint8 (B, H, W, 3), and the state that goes with it."""

    tokens_BN: NDArray[np.int64]
    frames_BHWC: NDArray[np.uint8]
    state: State


class Backend(Protocol):
    """A world's networks on one device. Calls keep no state and may come from several threads."""

    name: str
    device: str

    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn frames into tokens int64 (B, N)."""
        ...

    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn tokens into frames uint8 (B, H, W, 3)."""
        ...

    def step(
        self,
        state: State,
        tokens_BN: NDArray[np.int64],
        action_B: NDArray[np.int64],
        prompt_BD: NDArray[np.float32],
        noise_BN: NDArray[np.float32],
    ) -> BackendStep:
        """Take the current tokens and the action done at them, and give the next frame."""
        ...
