"""How a session begins: which start is picked, what given frames must be, and warming up on them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.engine.backends.base import Backend, State
from worldlet.engine.moment import Moment, SessionStart
from worldlet.engine.noise import frame_noise
from worldlet.manifest import Start, WorldManifest, suggestion

FILLER_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "of", "on", "the", "to", "with"}
)
PROMPT_NOTE = "so far a prompt only picks the starting frame"


def pick_start(starts: Sequence[Start], prompt: str | None, theme: str | None, seed: int) -> tuple[Start, SessionStart]:
    """Pick a start of ``theme`` by the words it shares with ``prompt``; the seed decides between equals."""
    candidates = list(starts)
    for name, words in {"prompt": prompt, "theme": theme}.items():
        if words is not None and not isinstance(words, str):
            raise ValueError(f"the {name} is words, not {words!r}: give a string")
    if theme is not None:
        candidates = [start for start in starts if start.theme == theme]
        if not candidates:
            themes = sorted({start.theme for start in starts})
            raise ValueError(
                f"no start has the theme {theme!r}{suggestion(theme, themes)}: there is {', '.join(themes)}"
            )
    how = f"by the seed {seed} among {len(candidates)} starts" + (f" of the theme {theme}" if theme else "")
    if prompt is not None:
        wanted = _words(prompt)
        shared = [wanted & (_words(start.caption) | _words(start.theme)) for start in candidates]
        most = max(len(words) for words in shared)
        if most:
            candidates = [start for start, words in zip(candidates, shared, strict=True) if len(words) == most]
            how = f"by the words of the prompt that its caption shares; {PROMPT_NOTE}"
        else:
            how += f", as no caption shares a word with the prompt; {PROMPT_NOTE}"
    # Frame 0 is never dreamed, so its noise is free to make the choice.
    luck = float(frame_noise(seed, 0, 1)[0])
    start = candidates[int(luck * len(candidates))]
    return start, SessionStart(start.caption, start.theme, start.level_seed, how)


def check_opening(manifest: WorldManifest, frames: Any, actions: Any) -> tuple[NDArray[np.uint8], list[int]]:
    """Return given frames as (K, H, W, 3) and the K-1 action numbers between them; ValueError says what is wrong."""
    height, width = manifest.frame_size
    wanted = f"uint8 of shape ({height}, {width}, 3) or (K, {height}, {width}, 3)"
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"frames must be a numpy array, {wanted}, not {type(frames).__name__}")
    shape = frames.shape if frames.ndim == 4 else (1, *frames.shape)
    if frames.dtype != np.uint8 or len(shape) != 4 or shape[1:] != (height, width, 3) or shape[0] < 1:
        raise ValueError(f"frames must be {wanted}, not {frames.dtype} of shape {frames.shape}")
    between = [] if actions is None else [manifest.action_index(action) for action in actions]
    if len(between) != shape[0] - 1:
        raise ValueError(f"{shape[0]} frames need the {shape[0] - 1} actions done between them, not {len(between)}")
    return np.ascontiguousarray(frames.reshape(shape)), between


def warm_up(
    backend: Backend,
    manifest: WorldManifest,
    frames_KHWC: NDArray[np.uint8],
    actions: Sequence[int],
    prompt_D: NDArray[np.float32],
) -> Moment:
    """Let the state see frames and the actions between; return the moment of the last one, index 0."""
    tokens_KN = backend.encode(frames_KHWC)
    state: State = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in manifest.state}
    noise_BN = np.zeros((1, manifest.tokens), np.float32)
    for tokens_N, action in zip(tokens_KN, actions, strict=False):
        state = backend.step(state, tokens_N[None], np.array([action], np.int64), prompt_D[None], noise_BN).state
    frame = backend.decode(tokens_KN[-1:])[0]
    return Moment(0, tokens_KN[-1], frame, {name: tensor[0] for name, tensor in state.items()})


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - FILLER_WORDS
