"""The small records that pass between the parts: an episode, a cut of one, and the result of one step.

Time convention: ``frames[t]``, then the player does ``actions[t]``, then ``frames[t+1]`` appears, so T actions
stand beside T+1 frames. Shape letters: ``T`` actions, ``H W`` pixels, ``C`` three colours (RGB).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

META_KEYS = (
    "episode_id", "env_id", "level_seed", "split", "policy", "action_names", "fps", "theme", "caption",
)  # fmt: skip
"""What the meta of every recorded episode holds at least."""

FACT_KEYS = (
    "hero_position", "hero_velocity", "hero_screen", "hero_facing", "contacts", "camera", "hero_mask",
    "moving_mask", "coins", "deaths",
)  # fmt: skip
"""The ground truth that the recorder keeps of the platformer's ``info``."""


@dataclass(frozen=True, eq=False)
class Episode:
    """Frames, actions and facts of one play-through.

    ``frames_THWC`` is uint8 (T+1, H, W, 3); ``actions_T`` int64 (T,), none negative; every array of ``facts`` has
    T+1 rows, row t describing frame t; ``meta`` is JSON-like. Raises ValueError where shapes or dtypes differ.
    """

    frames_THWC: NDArray[np.uint8]
    actions_T: NDArray[np.int64]
    facts: dict[str, NDArray[Any]] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_play(self.frames_THWC, self.actions_T, self.facts)

    def __len__(self) -> int:
        """Return the number of actions T; there is one frame more."""
        return len(self.actions_T)

    def clip(self, start: int, length: int) -> Clip:
        """Cut out ``length`` actions and their ``length + 1`` frames, beginning with frame ``start``."""
        if length < 1 or start < 0 or start + length > len(self):
            raise ValueError(f"no clip of {length} actions at {start}: the episode has {len(self)} actions")
        frames = slice(start, start + length + 1)
        return Clip(
            self.frames_THWC[frames],
            self.actions_T[start : start + length],
            {name: rows[frames] for name, rows in self.facts.items()},
            dict(self.meta),
        )


@dataclass(frozen=True, eq=False)
class Clip:
    """A fixed-length cut of one episode: the same fields under the same rules, with T at least 1."""

    frames_THWC: NDArray[np.uint8]
    actions_T: NDArray[np.int64]
    facts: dict[str, NDArray[Any]] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_play(self.frames_THWC, self.actions_T, self.facts)
        if len(self.actions_T) < 1:
            raise ValueError("a clip holds at least one action")

    def __len__(self) -> int:
        """Return the number of actions T; there is one frame more."""
        return len(self.actions_T)


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one step gives: the new frame, uint8 (H, W, 3), and plain figures about how it came to be."""

    frame: NDArray[np.uint8]
    metrics: dict[str, float | int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_frames(self.frame, dimensions=3)


def check_frames(frames: NDArray[Any], dimensions: int = 4) -> None:
    """Raise ValueError unless ``frames`` is a uint8 RGB array: (T, H, W, 3), or (H, W, 3) for 3 dimensions."""
    wanted = "(T, H, W, 3)" if dimensions == 4 else "(H, W, 3)"
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"frames are a uint8 numpy array of shape {wanted}, not {type(frames).__name__}")
    if frames.dtype != np.uint8 or frames.ndim != dimensions or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames are uint8 of shape {wanted}, not {frames.dtype} of shape {frames.shape}")


def _check_play(frames: NDArray[Any], actions: NDArray[Any], facts: dict[str, NDArray[Any]]) -> None:
    check_frames(frames)
    if not isinstance(actions, np.ndarray) or actions.dtype != np.int64 or actions.ndim != 1:
        found = np.asarray(actions)
        raise ValueError(f"actions are an int64 numpy array of shape (T,), not {found.dtype} of shape {found.shape}")
    if len(frames) != len(actions) + 1:
        raise ValueError(f"{len(actions)} actions need {len(actions) + 1} frames, not {len(frames)}")
    if len(actions) and actions.min() < 0:
        raise ValueError(f"actions are never negative: found {actions.min()}")
    for name, rows in facts.items():
        if not isinstance(rows, np.ndarray) or rows.ndim < 1 or len(rows) != len(frames):
            raise ValueError(f"the fact {name!r} needs one row for each of the {len(frames)} frames")
