"""Bootstrap intervals over runs: they cover, they shrink, they draw runs and not frames."""

from __future__ import annotations

import numpy as np
import pytest

from worldlet.eval.intervals import _bounds, interval, mean_figure, psnr_figure, rate_figure, ratio, ratio_interval
from worldlet.metrics import PooledError


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 400)
    low, high = interval([(value, 1) for value in values], ratio) or (0, 0)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    hits = 0
    for seed in range(100):
        values = np.random.default_rng(seed).random(40)
        low, high = interval([(value, 1) for value in values], ratio) or (1, 0)
        hits += low <= 0.5 <= high
    assert 86 <= hits <= 100


def test_runs_are_drawn_and_not_their_frames() -> None:
    """Two runs that differ and are each of one piece: many frames, but only two things seen."""
    together = mean_figure([[0.0] * 50, [1.0] * 50])
    apart = mean_figure([[value] for value in [0.0] * 50 + [1.0] * 50])
    assert together["value"] == apart["value"] == 0.5 and together["n"] == apart["n"] == 100
    assert together["interval"] == [0.0, 1.0] and together["units"] == 2
    assert apart["interval"][0] > 0.35 and apart["interval"][1] < 0.65


def test_the_same_figures_give_the_same_interval() -> None:
    values = [list(row) for row in np.random.default_rng(2).random((9, 3))]
    assert mean_figure(values) == mean_figure(values)


def test_one_run_has_no_interval_and_none_no_value() -> None:
    assert mean_figure([[0.25, 0.75]]) == {"value": 0.5, "n": 2, "interval": None, "units": 1}
    assert mean_figure([]) == {"value": None, "n": 0, "interval": None, "units": 0}
    assert rate_figure([(0, 0), (0, 0)])["value"] is None
    assert ratio_interval([(1, 2)], [(1, 2), (2, 2)]) is None
    assert psnr_figure([])["value"] is None


def test_psnr_is_pooled_and_its_interval_stays_below_the_cap() -> None:
    exact, wrong = PooledError(0, 100, 1), PooledError(30_000, 100, 1)
    figure = psnr_figure([exact, wrong, exact, PooledError()])
    assert figure["value"] == pytest.approx(10 * np.log10(255**2 * 900 / 30_000))
    assert figure["n"] == 3 and figure["units"] == 3
    assert figure["interval"][0] == pytest.approx(10 * np.log10(255**2 * 300 / 30_000))
    assert figure["interval"][1] == 100.0


def test_a_ratio_of_two_sides_knows_the_spread_of_both() -> None:
    rng = np.random.default_rng(3)
    dreamed = [(count, 50) for count in rng.poisson(5, 30)]
    real = [(count, 50) for count in rng.poisson(10, 30)]
    low, high = ratio_interval(dreamed, real) or (0, 0)
    assert 0.35 < low < 0.5 < high < 0.7
    assert ratio_interval(dreamed, [(0, 50)] * 30) is None


def test_an_interval_leaves_a_fortieth_out_at_either_end() -> None:
    assert _bounds(np.arange(1001.0)) == [25.0, 975.0]
    assert _bounds(np.array([np.nan, 3.0])) == [3.0, 3.0]
    assert _bounds(np.array([np.nan])) is None
