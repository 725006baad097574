"""What recorded plays can tell beyond pixels: tokens one frame ahead, and control read by an inverse-dynamics judge.

The judge has seen real frames of the training split only. Letters: M moments, A actions, N tokens of a frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.outcomes import Game, NotTheSameGameError, ask
from worldlet.data.paddle import GAME as PADDLE_GAME
from worldlet.engine.noise import frame_noise
from worldlet.eval import paddle
from worldlet.eval.ahead import ahead
from worldlet.eval.bench import Bench, figure
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.intervals import rate_figure
from worldlet.eval.recorded import RecordedSuite

if TYPE_CHECKING:
    from worldlet.dynamics.inverse import InverseDynamics

MOMENTS = (0, 2, 4)
"""Dreamed frames, from 0, whose action is asked for: early, while the dream is still where the real game is."""
LENGTH = 12
"""Dreamed frames of each start."""
STEPS = 500
"""Steps of the real game for each start of the suite, where its state cannot be copied: they decide how many moments
can be asked about, since each answer is then a replay from the start of the level (`worldlet.data.outcomes.ask`)."""
_FORCED = 120  # frames of a play that the one-step figures look at

Frames = NDArray[np.uint8]


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps of dreams."""
    forced = sum(min(len(entry.actions), _FORCED) for entry in bench.suite.plays)
    starts = len(_starts(bench))
    return forced + (CONTEXT + LENGTH) * (2 * starts if starts > 1 else starts)


def measure(bench: Bench) -> dict[str, Any]:
    """Return what `tokens_ahead` and `control` measure, and for Breakout `paddle.measure`."""
    assert isinstance(bench.suite, RecordedSuite), "a frozen suite has the game itself to ask"
    figures = tokens_ahead(bench)
    films = _dream(bench)
    if bench.judge is not None:
        figures |= control(bench, films, bench.judge, bench.suite.game())
    if bench.suite.env_id == PADDLE_GAME:
        figures |= paddle.measure(films)
    return figures


def tokens_ahead(bench: Bench) -> dict[str, Any]:
    """Show the world every real frame and ask for the tokens of the next. Units: plays.

    ``changed``: of the tokens that change, the fraction that is right; ``wrongly_changed``: of those that do not, the
    fraction that is not left alone. Copying the last frame scores 0 on both.
    """
    changed: list[tuple[int, int]] = []
    wrong: list[tuple[int, int]] = []
    for counts, length in ahead(partial(_tokens_of, bench), enumerate(bench.suite.plays)):
        changed.append((int(counts[0]), int(counts[1])))
        wrong.append((int(counts[2]), int(counts[3])))
        bench.tick(length)
    return {"changed": rate_figure(changed), "wrongly_changed": rate_figure(wrong)}


def _tokens_of(bench: Bench, numbered: tuple[int, GoldPlay]) -> tuple[NDArray[np.int64], int]:
    """Return of one play the tokens changed rightly, changed, wrongly changed and unchanged, and its actions asked."""
    number, entry = numbered
    manifest = bench.engine.manifest
    prompt_BD = np.zeros((1, manifest.prompt_width), np.float32)
    length = min(len(entry.actions), _FORCED)
    tokens_TN = bench.encode(bench.suite.replay(entry).frames_THWC[: length + 1])
    state = {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in manifest.state}
    counts = np.zeros(4, np.int64)
    for t in range(length):
        action_B = np.array(entry.actions[t : t + 1], np.int64)
        noise_BN = frame_noise(number, t, tokens_TN.shape[1])[None]
        step = bench.engine.backend.step(state, tokens_TN[t : t + 1], action_B, prompt_BD, noise_BN)
        state = step.state
        if t >= CONTEXT:
            changes = tokens_TN[t + 1] != tokens_TN[t]
            right = step.tokens_BN[0] == tokens_TN[t + 1]
            counts += [(changes & right).sum(), changes.sum(), (~changes & ~right).sum(), (~changes).sum()]
    return counts, length


def control(
    bench: Bench, films: list[paddle.Films], judge: InverseDynamics, make: Callable[[], Game] | str
) -> dict[str, Any]:
    """Ask the judge which action led to some frames of each dream; units: starts.

    ``accuracy``: an answer is right if it comes to the same as the action done, by the real game where ``make`` makes
    it (moments at which all actions come to the same are left out and counted as ``excluded``), else by what the judge
    confuses on real frames (``make`` is then the reason, or one of the plays does not come again). ``asked``: of the
    moments, those whose outcomes were looked up; the others do not count. ``real_accuracy``: the judge on the real
    frames of the same moments. ``relative``: the dream's accuracy over it, None where the judge does no better on real
    frames than the best answer that is always the same (``constant_accuracy``): such a judge cannot tell actions apart.
    ``shuffled_accuracy``: dreams under another start's actions, of which a single start has none.
    """
    entries = _starts(bench)
    moments = np.array([moment for moment in MOMENTS if moment + judge.config.after < LENGTH])
    classes_SMA, asked_SM, why = _outcomes(bench, entries, moments, judge, make)
    rows = np.arange(len(moments))
    scores: dict[str, list[tuple[int, int]]] = {"accuracy": [], "real_accuracy": [], "shuffled_accuracy": []}
    constant_SA: list[NDArray[np.int64]] = []
    excluded = decisive = 0
    for entry, film, classes_MA, asked_M in zip(entries, films, classes_SMA, asked_SM, strict=True):
        if not asked_M.any():
            continue
        differ_M = np.array([len(set(row)) > 1 for row in classes_MA.tolist()])
        decided = differ_M & asked_M
        excluded += int((asked_M & ~differ_M).sum())
        done_M = np.array(entry.actions)[entry.start + moments]
        decisive += int(decided.sum())
        constant_SA.append((classes_MA == classes_MA[rows, done_M][:, None])[decided].sum(0))
        for name, frames_THWC in (
            ("accuracy", film.dream_THWC), ("real_accuracy", film.real_THWC), ("shuffled_accuracy", film.shuffled_THWC),
        ):  # fmt: skip
            if frames_THWC is None:
                continue
            said_M = judge.predict_episode(np.concatenate([film.past_THWC, frames_THWC]))[CONTEXT - 1 + moments]
            said_M = said_M.argmax(1)
            right = (classes_MA[rows, said_M] == classes_MA[rows, done_M]) & decided
            scores[name].append((int(right.sum()), int(decided.sum())))
    figures: dict[str, Any] = {name: rate_figure(counts) for name, counts in scores.items()}
    ours, real = figures["accuracy"]["value"], figures["real_accuracy"]["value"]
    constant = int(np.sum(constant_SA, 0).max()) / decisive if decisive else None
    figures["constant_accuracy"] = figure(constant, decisive)
    told = ours is not None and real is not None and constant is not None and real > constant
    figures["relative"] = figure(ours / real if told else None, figures["accuracy"]["n"])
    asked = sum(int(asked_M.sum()) for asked_M in asked_SM)
    figures["asked"] = figure(asked, len(films) * len(moments))
    figures["excluded"] = figure(excluded, asked)
    figures["classes"] = f"what the judge confuses on real frames ({why})" if why else "the real game's outcomes"
    return figures


def _outcomes(
    bench: Bench,
    entries: list[GoldPlay],
    moments: NDArray[np.int64],
    judge: InverseDynamics,
    make: Callable[[], Game] | str,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]], str]:
    """Return for each start the classes (M, A) and the moments asked about (M,), and why not by the real game.

    All by the same means: a game that stops to match the recording half-way is asked nothing.
    """
    assert isinstance(bench.suite, RecordedSuite)
    why = make if isinstance(make, str) else ""
    if not isinstance(make, str) and entries:
        plays = [bench.suite.episodes[entry.level_seed] for entry in entries]
        at = [entry.start + moments for entry in entries]
        try:
            return *ask(make, plays, at, 2 + judge.config.after, STEPS * bench.size.rollouts), ""
        except NotTheSameGameError as error:
            why = str(error)
    every = np.ones(len(moments), bool)
    return [np.tile(confused(judge), (len(moments), 1))] * len(entries), [every] * len(entries), why


def confused(judge: InverseDynamics) -> NDArray[np.int64]:
    """Return the classes (A,) of actions that the judge takes for each other on held-out real frames."""
    names = list(judge.config.action_names)
    class_A = np.arange(len(names))
    for group in judge.about.get("held_out", {}).get("confused", []):
        class_A[[names.index(name) for name in group]] = min(names.index(name) for name in group)
    return class_A


def _starts(bench: Bench) -> list[GoldPlay]:
    """Return the rollouts that are long enough."""
    entries = bench.suite.rollouts[: bench.size.rollouts]
    return [entry for entry in entries if len(entry.actions) - entry.start >= LENGTH]


def _dream(bench: Bench) -> list[paddle.Films]:
    """Let the world go on from every start under the recorded actions, and under those of the next start, if any."""
    entries, films = _starts(bench), []
    for film in ahead(partial(_film, bench, entries), range(len(entries))):
        films.append(film)
        bench.tick((CONTEXT + LENGTH) * (1 + (film.shuffled_THWC is not None)))
    return films


def _film(bench: Bench, entries: list[GoldPlay], seed: int) -> paddle.Films:
    entry, other = entries[seed], entries[(seed + 1) % len(entries)]
    real, start = bench.suite.replay(entry), entry.start
    runs = []
    for actions in (entry.actions[start:], other.actions[other.start :])[: 1 + (other is not entry)]:
        dream = bench.dream(real, start, seed)
        runs.append(np.stack([dream.step(action).frame for action in actions[:LENGTH]]))
    past = real.frames_THWC[start - CONTEXT + 1 : start + 1]
    return paddle.Films(past, real.frames_THWC[start + 1 : start + 1 + LENGTH], *runs)
