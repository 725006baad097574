"""What a play looks like over time: a few numbers every 12th frame, averaged over windows of 60 frames.

The same code looks at dreamed and real frames. `eval.horizon` compares the windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVERY = 12
"""Every such frame is looked at."""
WINDOW = 60
"""Frames of one window."""
LEVELS = 8
"""Levels of each colour channel in the histogram: LEVELS ** 3 bins."""
OBJECTS = ("ground", "coin", "spike")
"""Kinds of tiles that are counted, beside enemies."""
VISIBLE = 16
"""Levels by which a pixel has to change to move: decoders ripple by a few where nothing happens."""
HERO_BOX = (16, 12)
"""Height and width of the hero's box in pixels."""


@dataclass(frozen=True, eq=False)
class Window:
    """Sixty frames of a play, two seconds at 30 a second.

    ``themes``: the share of frames read in each theme, empty where nobody reads. ``values``: means by name (see
    `look`). ``colours_C``: the mean colour histogram, float64 (LEVELS ** 3,), which sums to 1.
    """

    themes: dict[str, float]
    values: dict[str, float]
    colours_C: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """Return a form for a file; of the histogram only the bins that hold anything."""
        bins = {str(b): float(self.colours_C[b]) for b in np.flatnonzero(self.colours_C)}
        return {"themes": self.themes, "values": self.values, "colours": bins}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Window:
        """Read that form."""
        colours_C = np.zeros(LEVELS**3)
        for b, share in values["colours"].items():
            colours_C[int(b)] = share
        return cls(values["themes"], values["values"], colours_C)


@dataclass
class Looks:
    """Looks along one play, and the windows that are full. ``encode`` gives the tokens (B, N) of frames."""

    encode: Callable[[NDArray[np.uint8]], NDArray[np.int64]]
    windows: list[Window] = field(default_factory=list)
    _values: list[dict[str, float]] = field(default_factory=list)
    _themes: list[str] = field(default_factory=list)
    _colours: list[NDArray[np.float64]] = field(default_factory=list)

    def follow(self, t: int, before_HWC: NDArray[np.uint8], frame_HWC: NDArray[np.uint8], reading: Any) -> None:
        """Take frame ``t`` of a play, counted from 1, the one before it, and what was read from it (None: nothing)."""
        if t % EVERY:
            return
        self._values.append(look(before_HWC, frame_HWC, reading))
        if reading is not None:
            self._themes.append(reading.theme)
        self._colours.append(colours(frame_HWC))
        if t % WINDOW == 0:
            self._close(token_entropy(self.encode(frame_HWC[None])[0]))

    def _close(self, entropy: float) -> None:
        looked = len(self._colours)
        shares = {theme: count / looked for theme, count in sorted(Counter(self._themes).items())}
        names = dict.fromkeys(name for values in self._values for name in values)
        seen = {name: [values[name] for values in self._values if name in values] for name in names}
        means = {name: float(np.mean(values)) for name, values in seen.items()}
        self.windows.append(Window(shares, {**means, "token_entropy": entropy}, np.mean(self._colours, axis=0)))
        self._values, self._themes, self._colours = [], [], []


def look(before_HWC: NDArray[np.uint8], frame_HWC: NDArray[np.uint8], reading: Any) -> dict[str, float]:
    """Return what one frame shows, as numbers.

    ``hero``: 1 where he is found, else 0. ``sharpness``: mean magnitude of the luminance's Laplacian (levels), and
    ``hero_sharpness`` the same inside his box, where he is found whole. ``moving``: share of pixels that visibly differ
    from the frame before. ``ground``, ``coin``, ``spike``: tiles; ``enemy``: enemies. Where nothing was read, only
    ``sharpness`` and ``moving``.
    """
    edges_HW = laplacian(frame_HWC)
    apart_HWC = np.abs(frame_HWC.astype(np.int16) - before_HWC)
    values = {
        "sharpness": float(edges_HW.mean()),
        "moving": float((apart_HWC > VISIBLE).any(axis=-1).mean()),
    }
    if reading is None:
        return values
    from worldlet.games.platformer.art import KINDS

    values |= {
        "hero": float(reading.hero is not None),
        **{kind: float((reading.kinds == KINDS.index(kind)).sum()) for kind in OBJECTS},
        "enemy": float(len(reading.enemies)),
    }
    if reading.hero is not None and reading.hero.pose != "dead":
        x, y = max(0, reading.hero.x), max(0, reading.hero.y)
        box = edges_HW[y : y + HERO_BOX[0], x : x + HERO_BOX[1]]
        if box.shape == HERO_BOX:
            values["hero_sharpness"] = float(box.mean())
    return values


def laplacian(frame_HWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the magnitude (H, W) of the discrete Laplacian of a frame's luminance; the border repeats."""
    grey = np.pad(frame_HWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114]), 1, mode="edge")
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return np.asarray(np.abs(4 * grey[1:-1, 1:-1] - around))


def colours(frame_HWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the colour histogram (LEVELS ** 3,) of a frame; it sums to 1."""
    levels = (frame_HWC // (256 // LEVELS)).astype(np.int64).reshape(-1, 3)
    bins = (levels[:, 0] * LEVELS + levels[:, 1]) * LEVELS + levels[:, 2]
    return np.bincount(bins, minlength=LEVELS**3) / len(bins)


def token_entropy(tokens_N: NDArray[np.int64]) -> float:
    """Return the entropy, in bits, of the tokens of one frame."""
    shares = np.unique(tokens_N, return_counts=True)[1] / len(tokens_N)
    return float(-(shares * np.log2(shares)).sum())
