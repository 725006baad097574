"""In-memory tables of frames and of tokens, whose batches are a pure function of (seed, step).

Nothing is kept between batches, so a training run that is resumed at step s goes on with the very batches an
uninterrupted one would have seen. Shape letters: ``F`` frames of the whole table, ``E`` episodes, ``B`` batch,
``T`` time, ``H W`` pixels, ``C`` colours, ``N`` tokens of a frame row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import pack_masks, unpack_masks
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.manifest import atomic_path
from worldlet.records import Episode

NO_ACTION = -1
"""Stands in ``TokenTable.actions_F`` at the last frame of an episode; no clip ever holds it."""

_FRAME_BATCHES, _CLIP_BATCHES = 1, 2  # so that the two tables draw different numbers from one seed


@dataclass(frozen=True, eq=False)
class FrameTable:
    """Single frames with their masks, for training a tokenizer.

    ``frames_FHWC`` is uint8; ``hero_bits`` and ``moving_bits`` are the masks as packed bits, uint8 (F, bytes).
    """

    frames_FHWC: NDArray[np.uint8]
    hero_bits: NDArray[np.uint8]
    moving_bits: NDArray[np.uint8]

    @classmethod
    def load(cls, folder: Path | str, split: str, max_frames: int, seed: int = 0) -> FrameTable:
        """Read up to ``max_frames`` frames of a split, spread evenly over all of it by ``seed``.

        Where the game gave no mask of the hero it is all false; without one of what moves, that is what changed since
        the frame before. Raises ValueError for an unknown split or a damaged folder.
        """
        if max_frames < 1:
            raise ValueError(f"max_frames must be at least 1, not {max_frames}")
        manifest = read_manifest(folder)
        total = manifest["splits"][split]["frames"] if split in manifest["splits"] else 0
        keep_F = np.zeros(total, np.bool_)
        keep_F[_rng(seed, 0, _FRAME_BATCHES).permutation(total)[:max_frames]] = True
        hero, moving, first, filled = [], [], 0, 0
        # Filled in place: a table may take most of the memory, and joining parts would need it twice.
        frames_FHWC = np.empty((int(keep_F.sum()), *manifest["frame_size"], 3), np.uint8)
        for episode in read_episodes(folder, split):
            keep = keep_F[first : first + len(episode.frames_THWC)]
            first, kept = first + len(keep), int(keep.sum())
            frames_FHWC[filled : filled + kept] = episode.frames_THWC[keep]
            filled += kept
            hero.append(pack_masks(mask_of(episode, "hero_mask")[keep]))
            moving.append(pack_masks(moving_pixels(episode)[keep]))
        assert filled == len(frames_FHWC)
        return cls(frames_FHWC, np.concatenate(hero), np.concatenate(moving))

    def __len__(self) -> int:
        """Return the number of frames F."""
        return len(self.frames_FHWC)

    def batch(
        self, step: int, batch_size: int, seed: int, weights_F: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (frames_BHWC uint8, hero_BHW bool, moving_BHW bool), drawn with replacement.

        Evenly, or in proportion to ``weights_F``, which must not be negative nor all zero.
        """
        rng = _rng(seed, step, _FRAME_BATCHES)
        if weights_F is None:
            return self.rows(rng.integers(0, len(self), batch_size))
        cumulative_F = np.cumsum(weights_F)
        return self.rows(np.searchsorted(cumulative_F, rng.random(batch_size) * cumulative_F[-1], side="right"))

    def rows(self, rows_B: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the named rows in the form of a batch."""
        size = self.frames_FHWC.shape[1:3]
        hero, moving = unpack_masks(self.hero_bits[rows_B], size), unpack_masks(self.moving_bits[rows_B], size)
        return self.frames_FHWC[rows_B], hero, moving


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Clips for the dynamics: ``length`` actions and the ``length + 1`` frames around them.

    ``tokens_BTN`` uint16, ``hero_BTN`` and ``moving_BTN`` bool have length + 1 frames; ``actions_BT`` int64 has
    ``length``, and ``actions_BT[:, t]`` leads from frame t to frame t + 1.
    """

    tokens_BTN: NDArray[np.uint16]
    actions_BT: NDArray[np.int64]
    hero_BTN: NDArray[np.bool_]
    moving_BTN: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TokenTable:
    """The tokens of whole episodes, one after another.

    ``actions_F[f]`` is the action done at frame f, ``NO_ACTION`` at the last frame of an episode; ``starts`` int64
    (E,) holds the row of each episode's first frame; ``weights_F`` float64, none negative, makes a clip more likely
    to begin at a frame (all ones where none are given). Raises ValueError where the arrays do not fit together.
    """

    tokens_FN: NDArray[np.uint16]
    actions_F: NDArray[np.int64]
    starts: NDArray[np.int64]
    hero_FN: NDArray[np.bool_]
    moving_FN: NDArray[np.bool_]
    weights_F: NDArray[np.float64] | None = None
    _cumulative: dict[int, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        rows = len(self.tokens_FN)
        for name in ("actions_F", "hero_FN", "moving_FN", "weights_F"):
            array = getattr(self, name)
            if array is not None and len(array) != rows:
                raise ValueError(f"{name} needs one row for each of the {rows} frames, not {len(array)}")
        if not len(self.starts) or self.starts[0] != 0 or (np.diff(self.starts) < 1).any() or self.starts[-1] >= rows:
            raise ValueError("starts must rise from 0 and stay below the number of frames")
        if self.weights_F is not None and not (np.isfinite(self.weights_F).all() and (self.weights_F >= 0).all()):
            raise ValueError("weights_F must be finite and not negative")

    @classmethod
    def build(
        cls,
        episodes: Iterable[Episode],
        encode: Callable[[NDArray[np.uint8]], NDArray[np.integer]],
        grid: tuple[int, int],
        weigh: Callable[[Episode], NDArray[np.float64]] | None = None,
    ) -> TokenTable:
        """Encode episodes: ``encode`` takes frames_THWC to tokens (T, N) or (T, h, w) on ``grid`` (h, w).

        Where a game does not tell what moves, that is what changed since the frame before.
        ``weigh`` may give an episode's weights, one a frame; see ``event_weights``.
        """
        parts: list[list[NDArray[Any]]] = [[], [], [], [], []]
        lengths = []
        for episode in episodes:
            length = len(episode.frames_THWC)
            lengths.append(length)
            tokens_TN = np.asarray(encode(episode.frames_THWC)).reshape(length, -1).astype(np.uint16)
            told = "moving_mask" in episode.facts
            rows: tuple[NDArray[Any], ...] = (
                tokens_TN,
                np.append(episode.actions_T, NO_ACTION),
                cell_mask(mask_of(episode, "hero_mask"), grid),
                cell_mask(mask_of(episode, "moving_mask"), grid) if told else changed_cells(tokens_TN),
                np.ones(length) if weigh is None else np.asarray(weigh(episode), np.float64),
            )
            for part, row in zip(parts, rows, strict=True):
                part.append(row)
        if not lengths:
            raise ValueError("a token table needs at least one episode")
        starts = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
        tokens, actions, hero, moving, weights = (np.concatenate(part) for part in parts)
        return cls(tokens, actions, starts, hero, moving, None if weigh is None else weights)

    @classmethod
    def load(cls, path: Path | str) -> TokenTable:
        """Read a table that ``save`` wrote; ValueError where the file is missing, damaged or something else."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{name: arrays[name] for name in arrays.files})
        except Exception as error:
            raise ValueError(f"{path} is not a readable token table ({error}): encode the data again") from error

    def save(self, path: Path | str) -> None:
        """Write the table as npz, under a temporary name first."""
        arrays = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        with atomic_path(path) as unfinished, open(unfinished, "wb") as file:
            np.savez(file, **{name: array for name, array in arrays.items() if array is not None})

    def __len__(self) -> int:
        """Return the number of frames F."""
        return len(self.tokens_FN)

    def batch(self, step: int, batch_size: int, length: int, seed: int) -> TokenBatch:
        """Return clips of ``length`` actions that never cross an episode, with replacement.

        Clips begin evenly at every frame they fit at, or in proportion to ``weights_F``. Raises ValueError where no
        episode is that long.
        """
        rows_BT = self.draw(step, batch_size, length, seed)
        return TokenBatch(
            self.tokens_FN[rows_BT], self.actions_F[rows_BT[:, :-1]], self.hero_FN[rows_BT], self.moving_FN[rows_BT]
        )

    def draw(self, step: int, batch_size: int, length: int, seed: int) -> NDArray[np.int64]:
        """Return the rows that ``batch`` takes: int64 (B, length + 1)."""
        cumulative_F = self._cumulative_starts(length)
        draws_B = _rng(seed, step, _CLIP_BATCHES).random(batch_size) * cumulative_F[-1]
        first_B = np.searchsorted(cumulative_F, draws_B, side="right")
        rows_BT: NDArray[np.int64] = first_B[:, None] + np.arange(length + 1)
        return rows_BT

    def has_room(self, length: int) -> bool:
        """Tell whether any clip of ``length`` actions can be drawn."""
        return bool(self._cumulated(length)[-1] > 0)

    def _cumulative_starts(self, length: int) -> NDArray[np.float64]:
        if length < 1:
            raise ValueError(f"a clip holds at least one action, not {length}")
        if not self.has_room(length):
            raise ValueError(f"no episode of the table has room for a clip of {length} actions")
        return self._cumulated(length)

    def _cumulated(self, length: int) -> NDArray[np.float64]:
        if length not in self._cumulative:
            ends_E = np.append(self.starts[1:], len(self))
            left_F = np.repeat(ends_E, np.diff(np.append(self.starts, len(self)))) - np.arange(len(self))
            weights_F = np.ones(len(self)) if self.weights_F is None else self.weights_F
            self._cumulative[length] = np.cumsum(np.where(left_F > length, weights_F, 0.0))
        return self._cumulative[length]


def cell_mask(masks_THW: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which token cells hold any masked pixel: bool (T, N) for masks (T, H, W), bool (N,) for one mask (H, W).

    A pixel belongs to the cell ``floor(y * h / H), floor(x * w / W)`` of ``grid`` (h, w), which also serves frames
    that the grid does not divide.
    """
    if masks_THW.ndim == 2:
        return cell_mask(masks_THW[None], grid)[0]
    length, height, width = masks_THW.shape
    rows, columns = grid
    if not (1 <= rows <= height and 1 <= columns <= width):
        raise ValueError(f"a grid of {grid} does not fit frames of {height}x{width} pixels")
    first_rows = -(-np.arange(rows) * height // rows)
    first_columns = -(-np.arange(columns) * width // columns)
    by_row = np.logical_or.reduceat(masks_THW, first_rows, axis=1)
    return np.logical_or.reduceat(by_row, first_columns, axis=2).reshape(length, rows * columns)


def changed_cells(tokens_TN: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which cells differ from the frame before: bool (T, N), the first row all false."""
    changed_TN = np.zeros(tokens_TN.shape, np.bool_)
    changed_TN[1:] = tokens_TN[1:] != tokens_TN[:-1]
    return changed_TN


def changed_pixels(frames_THWC: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which pixels differ from the frame before: bool (T, H, W), the first frame all false."""
    changed_THW = np.zeros(frames_THWC.shape[:3], np.bool_)
    changed_THW[1:] = (frames_THWC[1:] != frames_THWC[:-1]).any(-1)
    return changed_THW


def moving_pixels(episode: Episode) -> NDArray[np.bool_]:
    """Return what moves in an episode, bool (T+1, H, W): what the game tells, else what changed."""
    if "moving_mask" in episode.facts:
        return mask_of(episode, "moving_mask")
    return changed_pixels(episode.frames_THWC)


def mask_of(episode: Episode, name: str) -> NDArray[np.bool_]:
    """Return a mask of an episode, bool (T+1, H, W); all false where the game gave none."""
    if name in episode.facts:
        return episode.facts[name]
    return np.zeros(episode.frames_THWC.shape[:3], np.bool_)


def event_weights(episode: Episode, boosts: dict[str, float], before: int = 16) -> NDArray[np.float64]:
    """Return weights (T+1,) that make clips likelier to begin up to ``before`` frames ahead of some events.

    A frame weighs 1, plus ``boosts[event]`` for each kind of event that comes within the next ``before`` frames.
    """
    weights_T = np.ones(len(episode.frames_THWC))
    for event, boost in boosts.items():
        near_T = np.zeros(len(weights_T), np.bool_)
        for frame in episode.meta.get("events", {}).get(event, ()):
            near_T[max(0, frame - before) : frame] = True
        weights_T += boost * near_T
    return weights_T


def _rng(seed: int, step: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, purpose, step])))
