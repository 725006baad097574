"""Figures with their 95 % confidence intervals: a percentile bootstrap over whole runs, seeded.

Frames of one run are alike, so runs (plays, starts, closed loops) are drawn with replacement, never frames. Every
figure here is a function of sums over its runs: a mean, a ratio, a pooled PSNR. So one resample is one weighted sum,
and a thousand of them are one product of matrices. After Efron and Tibshirani, An Introduction to the Bootstrap (1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.bench import figure
from worldlet.metrics import PSNR_CAP_DB, PooledError

LEVEL = 0.95
RESAMPLES = 1000
SEED = 20261120

Sums = NDArray[np.float64]


def interval(sums_UK: Any, of: Callable[[Sums], Sums]) -> list[float] | None:
    """Return the interval [low, high] of ``of(sums)`` when the U units are drawn with replacement.

    ``sums_UK`` holds K numbers for each unit; ``of`` takes their totals (R, K) for R resamples and returns (R,) values,
    NaN where there is none. None for fewer than two units, or where no resample has a value.
    """
    return _bounds(of(_resampled(np.asarray(sums_UK, dtype=np.float64), SEED)))


def ratio_interval(dreamed_UK: Any, real_UK: Any) -> list[float] | None:
    """Return the interval of a ratio of two rates from different runs: each side (count, size) per unit.

    None where either side has fewer than two units.
    """
    dreamed, real = (np.asarray(side, dtype=np.float64) for side in (dreamed_UK, real_UK))
    if min(len(dreamed), len(real)) < 2:
        return None
    rates = ratio(_resampled(dreamed, SEED)), ratio(_resampled(real, SEED + 1))
    return _bounds(ratio(np.stack(rates, axis=1)))


def ratio(sums_R2: Sums) -> Sums:
    """Return the first number over the second, NaN where the second is zero."""
    above, below = sums_R2[:, 0], sums_R2[:, 1]
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def mean_figure(values: Sequence[Sequence[float]], **beside: Any) -> dict[str, Any]:
    """Return the mean of all values as a figure; the values of one unit stand together. ``n`` counts values."""
    sums_UK = [(sum(unit), len(unit)) for unit in values if len(unit)]
    return rate_figure(sums_UK, **beside)


def rate_figure(sums_UK: Sequence[tuple[float, float]], n: int | None = None, **beside: Any) -> dict[str, Any]:
    """Return a rate, the sum of first numbers over that of second ones, as a figure; ``n``: what it rests on."""
    total = sum(below for _, below in sums_UK)
    value = sum(above for above, _ in sums_UK) / total if total else None
    bounds = interval(sums_UK, ratio) if total else None
    return figure(value, int(total) if n is None else n, **beside, interval=bounds, units=len(sums_UK))


def psnr_figure(units: Sequence[PooledError], **beside: Any) -> dict[str, Any]:
    """Return the PSNR pooled over all units as a figure; ``n`` counts frames that had any pixel."""
    whole = PooledError(*(sum(getattr(unit, name) for unit in units) for name in ("squared", "pixels", "frames")))
    sums_UK = [(unit.squared, 3 * unit.pixels) for unit in units if unit.pixels]
    bounds = interval(sums_UK, _psnr_db) if sums_UK else None
    return figure(whole.psnr_db, whole.frames, **beside, interval=bounds, units=len(sums_UK))


def _psnr_db(sums_R2: Sums) -> Sums:
    """Return the PSNR of (squared errors, numbers), at most that of equal pictures."""
    mean = ratio(sums_R2)
    exact = mean == 0
    decibels = 10 * np.log10(255.0**2 / np.where(exact, 1.0, mean))
    return np.where(exact, PSNR_CAP_DB, np.minimum(PSNR_CAP_DB, decibels))


def _resampled(sums_UK: Sums, seed: int) -> Sums:
    """Return the totals (R, K) of R resamples of the units; no rows for fewer than two units."""
    units = len(sums_UK)
    if units < 2:
        return np.zeros((0, 2))
    drawn_RU = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=RESAMPLES)
    return drawn_RU.astype(np.float64) @ sums_UK


def _bounds(values_R: Sums) -> list[float] | None:
    known = values_R[np.isfinite(values_R)]
    if not len(known):
        return None
    tail = (1 - LEVEL) / 2
    return [round(float(bound), 6) for bound in np.quantile(known, [tail, 1 - tail])]
