"""The records a session is made of: one moment, how the session began, and all that its future depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame with all that the next one follows from. The arrays are made read-only: histories and forks share them.

    ``tokens_N`` is int64 (N,), ``frame`` uint8 (H, W, 3); the tensors of ``state`` have no batch axis.
    """

    index: int
    tokens_N: NDArray[np.int64]
    frame: NDArray[np.uint8]
    state: dict[str, NDArray[Any]]

    def __post_init__(self) -> None:
        arrays: list[NDArray[Any]] = [self.tokens_N, self.frame, *self.state.values()]
        for array in arrays:
            array.setflags(write=False)


@dataclass(frozen=True)
class SessionStart:
    """Where a session began. ``chosen`` says in words how the start was picked; None where frames were given."""

    caption: str | None
    theme: str | None
    level_seed: int | None
    chosen: str


@dataclass(frozen=True, eq=False)
class SessionData:
    """All that a session's future depends on, and what a snapshot holds."""

    seed: int
    moment: Moment
    prompt_D: NDArray[np.float32]
    start: SessionStart
