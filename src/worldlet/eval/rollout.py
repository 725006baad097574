"""Rollouts: dream and real game go on from the same frames under the same actions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval import pictures
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.intervals import psnr_figure, rate_figure
from worldlet.eval.laws import LawBook
from worldlet.eval.likeness import Likeness
from worldlet.eval.real import Play, RealSession, idle_action
from worldlet.eval.recorded import RecordedSuite
from worldlet.eval.visual import edge_sums, gain_sums
from worldlet.metrics import PooledError

HORIZONS = (1, 5, 10, 30, 60)
"""Dreamed frames at which every rollout is scored."""
LONG_HORIZONS = (150, 300, 900)
"""And those at which the long rollouts of the full suite are scored as well."""
SHOWN = 3
"""Rollouts drawn as film strips."""
ENEMY_EVENTS = {"death", "stomp"}
"""What may happen to a hero through an enemy."""
REACH = 8
"""Pixels around the hero's box whose terrain may act on him: one tile."""
RECORDED_HORIZONS = (1, 5, 10, 16, 30, 60)
"""Where recorded episodes take the place of the game: others publish theirs after 16 frames."""
ANSWERS = ("dream", "copy", "mean", "ignored", "shuffled", "forced", "ceiling")
"""Who answers: the dream on its own; the last real frame repeated; the mean image of recorded data; the real game where
no action, or another play's actions, are done; the dream that is shown every real frame but the next; and the real
frames through the tokenizer. Those that a suite does not know are missing in its figures."""
LOOKED_AT = ("dream", "copy", "ceiling")
"""Those of them whose pictures are judged by structure and perception too."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    return sum(CONTEXT + _length(entry) + _forced_steps(bench, n) for n, entry in enumerate(_entries(bench)))


def measure(bench: Bench) -> dict[str, Any]:
    """Compare dreamed with real frames at each horizon, pooling squared errors over the starts.

    ``hero_psnr_db``: over the real hero mask, where the past determines the hero (see `determined`).
    ``margin_db``, for recorded data: above the better of the copied frame and the mean image.
    ``known_psnr_db``: over the columns that had been seen at the start; ``new_psnr_db``: over all others.
    The same measures for who else could answer (`ANSWERS`) have that word before their names. ``ssim``, ``ms_ssim``,
    ``gmsd`` (or ``lpips``) likewise, ``temporal_gmsd`` and the distance of clips: see `eval.visual`.
    Of the first dreamed frame, ``pixel_gain``: by what factor its pixels exceed the real ones (least squares), and
    ``hero_sharpness``: how strong the edges in the hero's pixels are, against the real ones.
    Units of intervals: starts.
    """
    entries = _entries(bench)
    asked_of_all = RECORDED_HORIZONS if isinstance(bench.suite, RecordedSuite) else HORIZONS
    longest = max(map(_length, entries), default=1)
    horizons = [horizon for horizon in (*asked_of_all, *LONG_HORIZONS) if horizon <= longest]
    scores = {name: {horizon: Scores() for horizon in horizons} for name in ANSWERS}
    likeness, laws = Likeness(bench.networks, horizons), LawBook(bench)
    films: list[list[NDArray[np.uint8]]] = []
    gains: list[tuple[float, float]] = []
    edges: list[tuple[float, float]] = []
    answered = ahead(partial(_answers, bench, entries, horizons), range(len(entries)))
    for seed, (real, dreamed, answers) in enumerate(answered):
        start, length = entries[seed].start, len(dreamed)
        asked = list(answers["dream"])
        known_T = determined(real, start)
        gains.append(gain_sums(dreamed[0], real.frames_THWC[start + 1]))
        if known_T[1] and real.hero_mask_THW[start + 1].any():
            edges.append(edge_sums(dreamed[0], real.frames_THWC[start + 1], real.hero_mask_THW[start + 1]))
        for name, frames in answers.items():
            for horizon, frame_HWC in frames.items():
                scores[name][horizon].add(frame_HWC, real, start, horizon, bool(known_T[horizon]))
        truth_BHWC = np.stack([real.frames_THWC[start + horizon] for horizon in asked])
        for name in LOOKED_AT:
            seen_BHWC = np.stack(list(answers[name].values()))
            likeness.add("" if name == "dream" else f"{name}_", seen_BHWC, truth_BHWC, asked)
        run_THWC = real.frames_THWC[start : start + 1 + length]
        likeness.add_run(np.stack(dreamed), run_THWC[1:], run_THWC[0])
        sides: dict[str, Sequence[NDArray[np.uint8]]] = {"dream": dreamed, "real": list(run_THWC[1:])}
        for who, seen in (sides | {"copy": [run_THWC[0]] * length}).items():
            laws.watch(who, [run_THWC[0], *seen], real.actions[start:])
        if seed < SHOWN:
            shown = [horizon for horizon in (1, 2, *HORIZONS[1:]) if horizon <= length]
            films += [[real.frames_THWC[start + t] for t in shown], [dreamed[t - 1] for t in shown]]
    labels = ["real", "dreamed"] * (len(films) // 2)
    pictures.save(pictures.strips(films, labels), bench.pictures / "rollout.png")
    figures: dict[str, Any] = {}
    present = [name for name in ANSWERS if any(score.starts for score in scores[name].values())]
    for name in present:
        by_horizon = scores[name]
        for measured in Scores.NAMES:
            key = measured if name == "dream" else f"{name}_{measured}"
            figures[key] = {str(horizon): score.figure(measured) for horizon, score in by_horizon.items()}
    if "mean" in present:
        figures["margin_db"] = {str(horizon): _margin(figures, str(horizon)) for horizon in horizons}
    figures["pixel_gain"] = rate_figure(gains, len(gains))
    figures["hero_sharpness"] = rate_figure(edges, len(edges))
    figures |= likeness.figures(f"{len(entries)} gold rollouts of {bench.suite.env_id}")
    _draw(bench, figures, present, horizons)
    laws.keep("rollout")
    return figures


def _answers(
    bench: Bench, entries: Sequence[GoldPlay], horizons: Sequence[int], place: int
) -> tuple[Play, list[NDArray[np.uint8]], dict[str, dict[int, NDArray[np.uint8]]]]:
    """Return one real play, the frames dreamed from its start on, and all `ANSWERS` by horizon."""
    entry = entries[place]
    real, start, length = bench.suite.replay(entry), entry.start, _length(entry)
    asked = [horizon for horizon in horizons if horizon <= length]
    dream = bench.dream(real, start, place)
    dreamed = [dream.step(action).frame for action in real.actions[start : start + length]]
    bench.tick(CONTEXT + length)
    answers = {"dream": {horizon: dreamed[horizon - 1] for horizon in asked}}
    answers |= {"copy": dict.fromkeys(asked, real.frames_THWC[start])}
    answers |= _real_answers(bench, entries, place, asked)
    answers |= {"forced": _forced(bench, real, start, place, asked, dreamed[0])}
    return real, dreamed, answers | {"ceiling": _through(bench, real, start, asked)}


def _margin(figures: dict[str, Any], horizon: str) -> dict[str, Any]:
    """Return how many dB the dream lies above the better of the copied frame and the mean image."""
    ours, *rivals = (figures[name][horizon] for name in ("psnr_db", "copy_psnr_db", "mean_psnr_db"))
    known = ours["value"] is not None and all(rival["value"] is not None for rival in rivals)
    return figure(ours["value"] - max(rival["value"] for rival in rivals) if known else None, ours["n"])


def determined(real: Play, start: int) -> NDArray[np.bool_]:
    """Return, for each frame from ``start`` on, whether what has been seen by then determines the hero.

    The level's columns left of ``edge`` have been seen at the start. The hero stays determined while all his pixels,
    and one tile beside them, lie left of it. After new columns have appeared, an enemy may have come from them: from
    the first death or stomp then, he is no longer determined. What was lost once is not regained.
    """
    width = real.frames_THWC.shape[2]
    edge = int(real.camera_x[start]) + width
    known = np.ones(len(real.frames_THWC) - start, dtype=bool)
    for t in range(start + 1, len(real.frames_THWC)):
        columns = np.flatnonzero(real.hero_mask_THW[t].any(axis=0))
        among_seen = not len(columns) or int(real.camera_x[t] + columns[-1]) + 1 + REACH <= edge
        scrolled = int(real.camera_x[t]) + width > edge
        touched = scrolled and bool(ENEMY_EVENTS & set(real.events[t]))
        known[t - start] = known[t - start - 1] and among_seen and not touched
    return known


def _entries(bench: Bench) -> tuple[GoldPlay, ...]:
    """Return the rollouts to be scored; the long ones count at every horizon."""
    return bench.suite.rollouts[: bench.size.rollouts] + bench.suite.long[: bench.size.long]


def _length(entry: GoldPlay) -> int:
    return len(entry.actions) - entry.start


def _forced_steps(bench: Bench, place: int) -> int:
    """Return the steps that the teacher-forced answers to one start take: one context and one step a horizon."""
    horizons = RECORDED_HORIZONS if isinstance(bench.suite, RecordedSuite) else HORIZONS
    return (len(horizons) - 1) * (CONTEXT + 1) if place < bench.size.forced else 0


def _real_answers(
    bench: Bench, entries: Sequence[GoldPlay], place: int, asked: Sequence[int]
) -> dict[str, dict[int, NDArray[np.uint8]]]:
    """Return what the real game shows where no action is done, and where those of the next entry's play are.

    Where only recorded episodes are at hand, the mean image of the training takes the place of both.
    """
    if isinstance(bench.suite, RecordedSuite):
        mean_HWC = bench.suite.mean_HWC
        return {} if mean_HWC is None else {"mean": dict.fromkeys(asked, mean_HWC)}
    entry, other = entries[place], entries[(place + 1) % len(entries)]
    session = RealSession(bench.suite.env_id, entry.level_seed)
    for action in entry.actions[: entry.start]:
        session.step(action)
    idle = idle_action(bench.engine.manifest.action_names)
    others = other.actions[other.start :]
    done = {"ignored": lambda t: idle, "shuffled": lambda t: others[t % len(others)]}
    return {name: _played(session.fork(), choose, asked) for name, choose in done.items()}


def _played(session: RealSession, choose: Any, asked: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    frames = [session.step(choose(t)).frame.copy() for t in range(max(asked))]
    return {horizon: frames[horizon - 1] for horizon in asked}


def _forced(
    bench: Bench, real: Play, start: int, seed: int, asked: Sequence[int], first_HWC: NDArray[np.uint8]
) -> dict[int, NDArray[np.uint8]]:
    """Return the teacher-forced answers: at each horizon the dream has just seen the real frames before it.

    ``first_HWC`` is what it dreamed first on its own, of which that is true too.
    """
    if seed >= bench.size.forced:
        return {}
    frames = {1: first_HWC}
    for horizon in (horizon for horizon in asked if 1 < horizon <= HORIZONS[-1]):
        last = start + horizon - 1
        frames[horizon] = bench.dream(real, last, seed).step(real.actions[last]).frame
    bench.tick(_forced_steps(bench, seed))
    return frames


def _through(bench: Bench, real: Play, start: int, asked: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
    """Return the real frames as the world's tokenizer shows them: no dream of this world can look better."""
    frames_BHWC = np.stack([real.frames_THWC[start + horizon] for horizon in asked])
    return dict(zip(asked, bench.decode(bench.encode(frames_BHWC)), strict=True))


def _draw(bench: Bench, figures: dict[str, Any], present: Sequence[str], horizons: Sequence[int]) -> None:
    """Draw the curves of the whole frame and of the hero."""
    for title, measured, file in (
        ("PSNR of the frame (dB) by dreamed frames", "psnr_db", "rollout_psnr.png"),
        ("PSNR of what had been in view (dB) by dreamed frames", "known_psnr_db", "rollout_known_psnr.png"),
        ("PSNR of the hero (dB) by dreamed frames", "hero_psnr_db", "rollout_hero_psnr.png"),
    ):
        lines = {
            name: [figures[key][str(h)]["value"] for h in horizons]
            for name in present
            for key in (measured if name == "dream" else f"{name}_{measured}",)
        }
        pictures.save(pictures.curves(horizons, lines, title), bench.pictures / file)


class Scores:
    """The errors of one answer at one horizon, one pool for each start."""

    NAMES = ("psnr_db", "known_psnr_db", "new_psnr_db", "hero_psnr_db")

    def __init__(self) -> None:
        self._pools: dict[str, list[PooledError]] = {name: [] for name in self.NAMES}
        self._undetermined = self._without_hero = self.starts = 0

    def add(self, seen_HWC: NDArray[np.uint8], real: Play, start: int, horizon: int, determined: bool) -> None:
        """Add what one answer shows at one horizon after a start."""
        real_HWC = real.frames_THWC[start + horizon]
        self.starts += 1
        for pools in self._pools.values():
            pools.append(PooledError())
        self._pools["psnr_db"][-1].add(seen_HWC, real_HWC)
        columns = int(real.camera_x[start] - real.camera_x[start + horizon]) + real_HWC.shape[1]
        known = max(0, min(columns, real_HWC.shape[1]))
        if known:
            self._pools["known_psnr_db"][-1].add(seen_HWC[:, :known], real_HWC[:, :known])
        if known < real_HWC.shape[1]:
            self._pools["new_psnr_db"][-1].add(seen_HWC[:, known:], real_HWC[:, known:])
        mask_HW = real.hero_mask_THW[start + horizon]
        if not mask_HW.any():
            self._without_hero += 1
        elif not determined:
            self._undetermined += 1
        else:
            self._pools["hero_psnr_db"][-1].add(seen_HWC, real_HWC, mask_HW)

    def figure(self, name: str) -> dict[str, Any]:
        """Return one of the measures `NAMES` as a figure."""
        left_out = {"undetermined": self._undetermined, "without_hero": self._without_hero}
        return psnr_figure(self._pools[name], **(left_out if name == "hero_psnr_db" else {}))
