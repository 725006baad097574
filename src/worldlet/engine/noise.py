"""The noise of a session: a pure function of its seed and the frame's index, so that replays repeat byte for byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**64 - 1


def frame_noise(seed: int, index: int, count: int) -> NDArray[np.float32]:
    """Return ``count`` uniform numbers in [0, 1), float32, for the frame ``index`` of a session with this seed.

    The index goes into the second word of Philox's counter: the first one counts the blocks that a frame draws, so
    neighbouring frames would share most of their numbers if the index were added there.
    """
    bits = np.random.Philox(key=seed, counter=index << 64)
    return np.random.Generator(bits).random(count, dtype=np.float32)


def check_seed(seed: object) -> int:
    """Return ``seed`` as an int from 0 to 2**64 - 1, or raise ValueError."""
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or not 0 <= seed.__index__() <= MAX_SEED:
        raise ValueError(f"a seed is a whole number from 0 to {MAX_SEED}, not {seed!r}")
    return int(seed.__index__())
