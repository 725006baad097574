"""The plan of ``worldlet prepare``: the list of episodes, a pure function of measures, actions and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldlet.data.measures import Measures
from worldlet.data.spans import FilterConfig, Span, find_cuts, find_spans, runs
from worldlet.data.splits import Piece, drop_repeats, hold_out_sources, hold_out_spans
from worldlet.data.survey import Survey

UNLOGGED, REPEATED, LEFT_OUT = "unlogged", "repeated", "left out"
_MANY_SOURCES = 10


@dataclass(frozen=True, eq=False)
class Track:
    """A source and what was done: ``actions_T`` leads from taken frame t to t + 1, -1 where nobody knows."""

    survey: Survey
    actions_T: NDArray[np.int64]
    labelled: bool


@dataclass(frozen=True)
class Cutting:
    """How sources are cut into episodes; lengths in frames or actions, see ``PrepareConfig``."""

    fps: float
    pictures: bool
    clean: FilterConfig | None
    cut_share: float
    fractions: dict[str, float]
    by_source: bool
    span: int
    guard: int
    seed: int
    most_steps: int
    least_steps: int
    flip: bool


@dataclass(frozen=True)
class PlannedEpisode:
    """Frames ``first`` to ``first + steps`` of a source as the episode number ``index`` of a split."""

    source: int
    first: int
    steps: int
    split: str
    index: int
    mirrored: bool = False


@dataclass(frozen=True)
class Plan:
    """The episodes in the order in which they are written, and what is dropped: (source, span), and frames by reason.

    Reasons are those of the filter, ``unlogged`` (no action known), ``repeated`` (a picture like the one before),
    and ``left out`` (the guard around held-out spans, held-out frames that training has too, and short scraps).
    """

    episodes: tuple[PlannedEpisode, ...]
    spans: tuple[tuple[int, Span], ...]
    dropped: dict[str, int]

    @property
    def frames(self) -> int:
        """Frames of all episodes."""
        return sum(episode.steps + 1 for episode in self.episodes)


def make_plan(tracks: Sequence[Track], measures: Sequence[Measures], how: Cutting) -> Plan:
    """Drop what is no play, hold out validation and testing, and cut the rest into episodes."""
    spans = [
        (source, span) for source, pair in enumerate(zip(tracks, measures, strict=True)) for span in _bad(*pair, how)
    ]
    kept = [np.ones(len(each), np.bool_) for each in measures]
    for source, span in spans:
        kept[source][span.first : span.stop] = False
    links = [_links(track, each, how) for track, each in zip(tracks, measures, strict=True)]
    alike = how.clean or FilterConfig()
    pieces = drop_repeats(_split(kept, how), [each.likeness_TG for each in measures], alike.likeness_level)
    episodes = _episodes(pieces, links, how)
    dropped = Counter[str]()
    for _, span in spans:
        dropped[span.reason] += span.stop - span.first
    used = sum(episode.steps + 1 for episode in episodes if not episode.mirrored)
    if left_out := sum(int(keep_T.sum()) for keep_T in kept) - used:
        dropped[LEFT_OUT] = left_out
    return Plan(tuple(episodes), tuple(spans), dict(sorted(dropped.items())))


def _bad(track: Track, measures: Measures, how: Cutting) -> list[Span]:
    """Return what is dropped of a source; pictures in a folder have no time, so that only single ones are judged."""
    if how.pictures:
        still_T = ~measures.changed_TG.any(1) & ~measures.damaged_T
        still_T[0] = False
        rules = [("glitched", measures.damaged_T, "the file cannot be read")]
        if how.clean:
            rules += [("black", measures.dark_T >= how.clean.black_share, "nearly all pixels are dark")]
            rules += [(REPEATED, still_T, "like the picture before")]
        spans, taken_T = list[Span](), np.zeros(len(measures), np.bool_)
        for reason, flags_T, figure in rules:
            spans += [Span(first, stop, reason, figure) for first, stop in runs(flags_T & ~taken_T)]
            taken_T |= flags_T
        return sorted(spans, key=lambda span: span.first)
    if how.clean:
        spans = find_spans(measures, how.fps, how.clean, track.actions_T if track.labelled else None)
    else:
        spans = [Span(first, stop, "glitched", "cannot be decoded") for first, stop in runs(measures.damaged_T)]
    unknown_T = track.actions_T < 0
    alone_T = np.append(unknown_T, True) & np.append(True, unknown_T) if len(unknown_T) else np.zeros(1, np.bool_)
    for reason, flags_T, figure in (
        ("glitched", track.survey.stale_T, "the video shows no frame"),
        (UNLOGGED, alone_T, "the log tells no action"),
    ):
        free_T = flags_T.copy()
        for span in spans:
            free_T[span.first : span.stop] = False
        spans += [Span(first, stop, reason, figure) for first, stop in runs(free_T)]
    return sorted(spans, key=lambda span: span.first)


def _links(track: Track, measures: Measures, how: Cutting) -> NDArray[np.bool_]:
    """Return which frames belong to the same episode as the frame before them, bool (T,)."""
    links_T = np.append(False, track.actions_T >= 0)
    if how.cut_share and not how.pictures:
        links_T &= ~find_cuts(measures, how.cut_share)
    return links_T


def _split(kept: Sequence[NDArray[np.bool_]], how: Cutting) -> list[Piece]:
    if how.by_source:
        splits = hold_out_sources(kept, how.fractions, how.seed)
        return [Piece(n, first, stop, splits[n]) for n, keep_T in enumerate(kept) for first, stop in runs(keep_T)]
    return hold_out_spans(kept, how.fractions, how.seed, how.span, how.guard, how.least_steps + 1)


def by_source(split_by: str, sources: int) -> bool:
    """Tell whether whole videos are held out."""
    return split_by == "video" or (split_by == "auto" and sources >= _MANY_SOURCES)


def _episodes(pieces: Sequence[Piece], links: Sequence[NDArray[np.bool_]], how: Cutting) -> list[PlannedEpisode]:
    episodes, count = [], Counter[str]()
    for piece in pieces:
        starts = piece.first + np.flatnonzero(~links[piece.source][piece.first : piece.stop])
        edges = sorted({piece.first, piece.stop, *starts.tolist()})
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            for first in range(begin, end, how.most_steps + 1):
                steps = min(end - first, how.most_steps + 1) - 1
                if steps < how.least_steps:
                    continue
                for mirrored in (False, True)[: 1 + (how.flip and piece.split == "train")]:
                    index = count[piece.split]
                    episodes.append(PlannedEpisode(piece.source, first, steps, piece.split, index, mirrored))
                    count[piece.split] += 1
    return episodes
