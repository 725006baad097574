"""Physics: do dreams keep the rules of the game? Judged on the frames that rollouts and drift have dreamed anyway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.bench import Bench, figure
from worldlet.eval.detector import detect, detector_work
from worldlet.eval.flight import Law, acceleration
from worldlet.eval.intervals import interval, rate_figure, ratio
from worldlet.eval.laws import Tally, kept_tallies

WATCHED = ("rollout", "drift")
"""Parts that leave tallies."""
WHO = {"": "dream", "real_": "real", "copy_": "copy"}
LAWS = ("gravity", "walls", "contact", "conservation")
CONSERVED = ("hero", "coins", "enemies")

Sums = NDArray[np.float64]


def work(bench: Bench) -> int:
    """Return the units of work ahead: frames that show what the detector finds."""
    return detector_work(bench)


def measure(bench: Bench) -> dict[str, Any]:
    """Score each law from 0 to 1, for the dream, for the real game (``real_``) and for a picture that stands still
    (``copy_``), all read from pixels by the same code; ``score`` is the mean of the laws. Units of intervals: runs.

    ``gravity``: how near the acceleration of each flight is to the real game's; a leap that was asked for and not done,
    and a hero who hangs in the air, count as 0. ``walls``, ``contact``: see `Laws`. ``conservation``: the worst of
    ``hero`` (frames with exactly one), ``coins`` and ``enemies`` (those that neither came from nothing nor went by
    themselves).
    ``detector``: how well the reader finds these in real frames.
    """
    tallies = _tallies(bench)
    law = Law([curve for tally in tallies["real"] for curve in tally.curves])
    figures: dict[str, Any] = {}
    for prefix, who in WHO.items():
        runs = [Counts(tally, law) for tally in tallies[who]]
        figures[f"{prefix}score"] = _combined(runs, ("gravity", "walls", "contact", *CONSERVED), _score)
        figures[f"{prefix}gravity"] = rate_figure([run.sums["gravity"] for run in runs], **_flights(tallies[who]))
        for name in ("walls", "contact"):
            figures[prefix + name] = rate_figure([run.sums[name] for run in runs])
        figures[f"{prefix}conservation"] = _combined(runs, CONSERVED, _worst)
        for name in CONSERVED:
            doubled = {"doubled": sum(tally.doubled for tally in tallies[who])} if name == "hero" else {}
            figures[prefix + name] = rate_figure([run.sums[name] for run in runs], **doubled)
    return figures | {"detector": detect(bench)}


class Counts:
    """The pairs (right, all) of one run, by law."""

    def __init__(self, tally: Tally, law: Law) -> None:
        scores = [score for curve in tally.curves if (score := law.score(curve)) is not None]
        pairs = {name: getattr(tally, name) for name in ("walls", "contact", *CONSERVED)}
        self.sums = {name: (float(right), float(of)) for name, (right, of) in pairs.items()}
        self.sums["gravity"] = (sum(scores), float(len(scores) + tally.refused + tally.hung))


def _tallies(bench: Bench) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {who: [] for who in WHO.values()}
    for part in WATCHED:
        for who, tallies in kept_tallies(bench, part).items():
            found[who] += tallies
    return found


def _flights(tallies: Sequence[Tally]) -> dict[str, Any]:
    """Return what stands beside gravity: the mean acceleration, how many flights, and what he did instead."""
    curves = [curve for tally in tallies for curve in tally.curves]
    mean = float(np.mean([acceleration(curve) for curve in curves])) if curves else None
    refused = sum(tally.refused for tally in tallies)
    hung = sum(tally.hung for tally in tallies)
    unit = "pixels per frame squared"
    return {"acceleration": mean, "flights": len(curves), "refused": refused, "hung": hung, "unit": unit}


def _combined(runs: Sequence[Counts], names: Sequence[str], of: Callable[[Sums], Sums]) -> dict[str, Any]:
    """Return a mean of rates as a figure; ``n`` counts everything that the rates rest on."""
    sums_UK = np.array([[number for name in names for number in run.sums[name]] for run in runs])
    if not len(sums_UK):
        return figure(None, 0, interval=None, units=0)
    total_K = sums_UK.sum(axis=0)
    value = float(of(total_K[None])[0])
    known = np.isfinite(value)
    return figure(
        value if known else None, int(total_K[1::2].sum()), interval=interval(sums_UK, of) if known else None,
        units=len(sums_UK),
    )  # fmt: skip


def _rates(sums_RK: Sums) -> Sums:
    """Return the rates whose (right, all) stand side by side, NaN where one rests on nothing."""
    return np.stack([ratio(sums_RK[:, k : k + 2]) for k in range(0, sums_RK.shape[1], 2)], axis=1)


def _worst(sums_RK: Sums) -> Sums:
    """Return the lowest of some rates, of those that rest on anything."""
    rates_RL = _rates(sums_RK)
    lowest_R = np.where(np.isfinite(rates_RL), rates_RL, np.inf).min(axis=1)
    return np.where(np.isfinite(lowest_R), lowest_R, np.nan)


def _score(sums_RK: Sums) -> Sums:
    """Return the mean of the four laws that rest on anything; conservation, the last six numbers, is one of them."""
    laws_RL = np.concatenate([_rates(sums_RK[:, :6]), _worst(sums_RK[:, 6:])[:, None]], axis=1)
    known = np.isfinite(laws_RL)
    some, total = known.sum(axis=1), np.where(known, laws_RL, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, some, out=np.full(len(total), np.nan), where=some > 0))
