"""Near-duplicate frames, and episodes cut so that no frame of a held-out split is in another.

Where every play of a game begins with the same screen (Atari), levels cannot be held out by their seed: then training
is recorded first, and an episode for validation or testing keeps only the spans that no earlier split has shown.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worldlet.data.distinct import hash_rows
from worldlet.records import Episode

SAME_BITS = 3
"""Two frames are near-duplicates if they agree in all but the lowest bits of every pixel: nobody sees a difference."""
SHORTEST_SPAN = 17
"""Frames of a span at least; what is shorter is dropped."""


def fingerprints(frames_THWC: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return one number for each frame, uint64 (T,), equal for near-duplicates and for them alone."""
    coarse = np.right_shift(frames_THWC, SAME_BITS, dtype=np.uint8)
    return hash_rows(coarse.reshape(len(coarse), -1))


def unseen_spans(prints_T: NDArray[np.uint64], seen: set[int]) -> list[tuple[int, int]]:
    """Return [start, stop) of every span of frames of which none is in ``seen``, long enough to learn from."""
    new = np.array([int(value) not in seen for value in prints_T], np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], new, [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= SHORTEST_SPAN]


def cut(episode: Episode, spans: list[tuple[int, int]]) -> Iterator[Episode]:
    """Yield each span of an episode as one of its own; its id says at which frame of the play it begins."""
    for start, stop in spans:
        events = {
            name: kept
            for name, at in episode.meta.get("events", {}).items()
            if (kept := [index - start for index in at if start <= index < stop])
        }
        meta = {**episode.meta, "episode_id": f"{episode.meta['episode_id']}-{start:05d}", "events": events}
        facts = {name: rows[start:stop] for name, rows in episode.facts.items()}
        yield Episode(episode.frames_THWC[start:stop], episode.actions_T[start : stop - 1], facts, meta)
