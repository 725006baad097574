"""Which spans of a recording are no play: black, glitched, menu, frozen and stuck ones, by rules on measured figures.

Every rule is a threshold of `FilterConfig` on figures of `worldlet.data.measures`; none has been trained. Where several
apply to a frame, the first of `REASONS` counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worldlet.data.measures import GRID, Measures

REASONS = ("black", "glitched", "menu", "frozen", "stuck")
"""Why a span is dropped, in the order in which the rules are asked."""
_JUMP = 24
"""Grey levels by which a cell's mean jumps when another picture appears there."""


@dataclass(frozen=True)
class FilterConfig:
    """Thresholds of the filter: lengths in seconds (0 turns a rule off), shares from 0 to 1, grey levels of 255."""

    black_seconds: float = 0.2
    """Black: this long or longer, nearly all pixels are dark."""
    black_share: float = 0.98
    """Share of dark pixels that makes a frame black."""
    glitch_seconds: float = 1.0
    """Glitched: garbage comes suddenly and is gone again within this time (undecodable frames and noise: any time)."""
    glitch_roughness: float = 2.5
    """How many times as rough as the recording's median (plus 10 levels) a sudden noise is."""
    noise_level: float = 40.0
    """Mean grey step between neighbouring pixels from which a picture is noise however long it lasts."""
    garbage_share: float = 0.15
    """Share of the picture that sudden garbage covers at least."""
    menu_seconds: float = 3.0
    """Menu: this long or longer, a picture that appeared at once stands nearly still whatever the player does."""
    menu_jump: float = 0.2
    """Share of the picture that an overlay covers at least."""
    menu_area: float = 0.1
    """Share of the picture in which anything moves while a menu stands (a cursor, a blinking line) at most."""
    frozen_seconds: float = 3.0
    """Frozen: this long or longer, not one pixel changes."""
    stuck_seconds: float = 8.0
    """Stuck: over this long or longer, hardly a picture appears that was not seen within that time."""
    novelty: float = 0.05
    """Share of new pictures up to which a span is stuck, or may be a menu."""
    likeness_level: int = 4
    """Two pictures are alike when no cell of a 16x16 grid differs by more than this mean grey level."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"filter.{name} must be at least 0, not {value}")
            if name in ("black_share", "garbage_share", "menu_jump", "menu_area", "novelty") and value > 1:
                raise ValueError(f"filter.{name} is a share, from 0 to 1, not {value}")


@dataclass(frozen=True)
class Span:
    """Frames ``first`` up to but without ``stop``, and why they are dropped, with the figure that decided."""

    first: int
    stop: int
    reason: str
    figure: str


def find_spans(
    measures: Measures, fps: float, config: FilterConfig, actions_T: NDArray[np.int64] | None = None
) -> list[Span]:
    """Return the spans that are no play, in order and without overlap.

    ``actions_T`` has one action less than there are frames; where it is given, a menu needs that at least two
    different actions were tried in vain.
    """
    why_T = np.zeros(len(measures), np.int8)  # 1 + the place in REASONS
    for number, rule in enumerate((_black, _glitched, _menus, _frozen, _stuck), 1):
        for first, stop in rule(measures, fps, config, why_T > 0, actions_T):
            why_T[first:stop][why_T[first:stop] == 0] = number
    return [
        Span(first, stop, REASONS[number - 1], _figure(measures, first, stop, REASONS[number - 1]))
        for number in range(1, len(REASONS) + 1)
        for first, stop in runs(why_T == number)
    ]


def find_cuts(measures: Measures, share: float) -> NDArray[np.bool_]:
    """Return at which frames another scene begins, bool (T,): at once, at least ``share`` of the cells jump."""
    return np.append(
        np.zeros(1, np.bool_), _jumps(measures.likeness_TG[:-1], measures.likeness_TG[1:]).mean(1) >= share
    )


def runs(flags_T: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open ranges [first, stop) in which a flag is set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags_T, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


Ranges = Iterator[tuple[int, int]]
Actions = NDArray[np.int64] | None


def _glitched(m: Measures, fps: float, c: FilterConfig, dropped_T: NDArray[np.bool_], actions_T: Actions) -> Ranges:
    yield from runs(m.damaged_T)
    if not c.glitch_seconds:
        return
    longest = max(1, round(c.glitch_seconds * fps))
    usual = float(np.median(m.rough_T))
    yield from runs(m.rough_T >= max(c.noise_level, c.glitch_roughness * usual))
    sudden = runs(m.rough_T > c.glitch_roughness * usual + 10)
    yield from ((first, stop) for first, stop in sudden if stop - first <= longest)
    for first in np.flatnonzero(find_cuts(m, c.garbage_share)).tolist():
        if stop := _back_again(m, first, longest):
            yield first, stop


def _back_again(m: Measures, first: int, longest: int) -> int | None:
    """Return the frame that shows again what frame ``first - 1`` showed, where what lies between is another picture."""
    before_G, between_G = m.likeness_TG[first - 1], m.likeness_TG[first]
    after_TG = m.likeness_TG[first + 1 : first + 1 + longest]
    # The game has gone on meanwhile: most of what jumped must be back, not all.
    back = np.flatnonzero(_jumps(before_G, after_TG).mean(1) < _jumps(before_G, between_G).mean() / 4)
    if not len(back):
        return None
    jumped_G = _jumps(before_G, between_G)
    before, between = before_G[jumped_G], between_G[jumped_G]
    if min(before.std(), between.std()) > 1 and np.corrcoef(before, between)[0, 1] > 0.5:
        return None  # the same picture, lighter or darker: games flash
    return first + 1 + int(back[0])


def _black(m: Measures, fps: float, c: FilterConfig, dropped_T: NDArray[np.bool_], actions_T: Actions) -> Ranges:
    return _long(runs((m.dark_T >= c.black_share) & ~m.damaged_T), c.black_seconds * fps)


def _menus(m: Measures, fps: float, c: FilterConfig, dropped_T: NDArray[np.bool_], actions_T: Actions) -> Ranges:
    if not c.menu_seconds:
        return
    jumps_T = m.changed_TG.mean(1) >= c.menu_jump
    follows_T = np.concatenate([np.ones(1, np.bool_), dropped_T[:-1] & ~dropped_T[1:]])
    beyond = 0
    for first in np.flatnonzero(jumps_T | follows_T).tolist():
        if first < beyond:
            continue
        stop = first + _stands_for(m.changed_TG[first + 1 :], c.menu_area)
        if stop - first < c.menu_seconds * fps or (stop == len(m) and first == 0):
            continue  # a whole recording that stands still is frozen or stuck: nothing tells a menu from the game
        if first == 0 and not jumps_T[min(stop, len(m) - 1)]:
            continue
        tried = None if actions_T is None else len(np.unique(actions_T[first : stop - 1]))
        if tried is not None and tried < 2:
            continue
        if _novel(m.likeness_TG[first:stop], stop - first, c.likeness_level).mean() <= max(
            c.novelty, 2 / (stop - first)
        ):
            yield first, stop
            beyond = stop


def _stands_for(changed_TG: NDArray[np.bool_], area: float) -> int:
    """Return how many frames stand nearly still, the one before ``changed_TG`` included."""
    seen_G = np.zeros(GRID * GRID, np.bool_)
    for count, changed_G in enumerate(changed_TG, 1):
        seen_G |= changed_G
        if seen_G.mean() > area:
            return count
    return len(changed_TG) + 1


def _frozen(m: Measures, fps: float, c: FilterConfig, dropped_T: NDArray[np.bool_], actions_T: Actions) -> Ranges:
    still_T = ~np.any(m.changed_TG, axis=1)
    still_T[:1] = False
    return _long(runs(still_T), c.frozen_seconds * fps)


def _stuck(m: Measures, fps: float, c: FilterConfig, dropped_T: NDArray[np.bool_], actions_T: Actions) -> Ranges:
    window = round(c.stuck_seconds * fps)
    if not window or len(m) < window:
        return
    novel_T = _novel(m.likeness_TG, window, c.likeness_level)
    share_W = np.convolve(novel_T, np.ones(window), "valid") / window
    for first, stop in runs(share_W <= c.novelty):
        seen = first + np.flatnonzero(~novel_T[first : stop + window - 1])  # the play before and after stays
        if len(seen):
            yield int(seen[0]), int(seen[-1]) + 1


def _novel(likeness_TG: NDArray[np.uint8], window: int, level: int) -> NDArray[np.bool_]:
    """Return which frames are unlike all of the ``window`` frames before them; the first always is."""
    wide_TG = likeness_TG.astype(np.int16)
    novel_T = np.ones(len(wide_TG), np.bool_)
    for t in range(1, len(wide_TG)):
        # Most frames are like the one before or not like any: asking the neighbour first saves most of the work.
        if (np.abs(wide_TG[t - 1] - wide_TG[t]) <= level).all():
            novel_T[t] = False
        else:
            earlier = wide_TG[max(0, t - window) : t]
            novel_T[t] = bool((np.abs(earlier - wide_TG[t]).max(1) > level).all())
    return novel_T


def _jumps(before_TG: NDArray[np.uint8], after_TG: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.abs(after_TG.astype(np.int16) - before_TG) >= _JUMP


def _long(ranges: list[tuple[int, int]], least: float) -> Ranges:
    return ((first, stop) for first, stop in ranges if least and stop - first >= least)


def _figure(m: Measures, first: int, stop: int, reason: str) -> str:
    """Say in words what was measured over a span."""
    inside = slice(first, stop)
    if reason == "black":
        return f"{m.dark_T[inside].mean():.0%} of pixels are dark"
    if reason == "glitched":
        if m.damaged_T[inside].any():
            return f"{m.damaged_T[inside].sum()} cannot be decoded"
        rough, usual = m.rough_T[inside].mean(), np.median(m.rough_T)
        jumped = _jumps(m.likeness_TG[max(0, first - 1)], m.likeness_TG[first]).mean()
        return f"{jumped:.0%} jumps, rough {rough:.0f} for {usual:.0f}"
    if reason == "frozen":
        return "no pixel changes"
    moving = m.changed_TG[first + 1 : stop].any(0).mean()
    pictures = int(_novel(m.likeness_TG[inside], stop - first, FilterConfig().likeness_level).sum())
    return f"{pictures} pictures, {moving:.0%} moves"
