"""Budgets, learning rates and cadences."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from worldlet.train.ema import Ema
from worldlet.train.schedule import Budget, Cadence, learning_rate_at


def test_progress_by_steps_and_by_minutes() -> None:
    assert [Budget(None, 4).progress(step, 99.0) for step in (0, 1, 4, 5)] == [0.0, 0.25, 1.0, 1.0]
    assert [Budget(0.5, None).progress(99, seconds) for seconds in (0.0, 15.0, 30.0, 31.0)] == [0.0, 0.5, 1.0, 1.0]
    assert Budget(None, 10).seconds_left(4, 1.0, 2.0) == 12.0
    assert Budget(1.0, None).seconds_left(4, 20.0, 2.0) == 40.0


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_learning_rate_rises_then_falls_to_the_floor(decay: Literal["cosine", "linear"]) -> None:
    rates = [learning_rate_at(step / 100, 2.0, 0.1, 0.05, decay) for step in range(101)]
    assert 0 < rates[0] < 0.05
    assert rates[:11] == sorted(rates[:11]) and rates[10] == pytest.approx(2.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(1.05) and rates[100] == pytest.approx(0.1)
    assert learning_rate_at(0.0, 2.0, 0.0, 0.05, decay) == 2.0


def test_cosine_holds_longer_than_linear() -> None:
    assert learning_rate_at(0.3, 1.0, 0.0, 0.0, "cosine") > learning_rate_at(0.3, 1.0, 0.0, 0.0, "linear") == 0.7


def test_cadence() -> None:
    by_steps = Cadence(1.0, 3)
    assert [step for step in range(1, 10) if by_steps.due(step, 1e9)] == [3, 6, 9]
    by_minutes = Cadence(1.0, None, elapsed=30.0)
    assert [seconds for seconds in range(0, 300, 25) if by_minutes.due(1, seconds)] == [100, 175, 250]
    assert not Cadence(None, None).due(1, 1e9)


def test_average_follows_quickly_at_first_and_copies_buffers() -> None:
    module = nn.BatchNorm1d(2)
    ema = Ema(module, decay=0.5)
    assert not ema.module.training and not ema.module.weight.requires_grad
    with torch.no_grad():
        module.weight.fill_(2.0)
        module.running_mean.fill_(7.0)
    ema.update(module)
    assert ema.module.weight[0] == pytest.approx(1.9), "the first update keeps a tenth"
    assert ema.module.running_mean[0] == 7.0
    for _ in range(20):
        last = float(ema.module.weight[0])
        ema.update(module)
    assert 2.0 - float(ema.module.weight[0]) == pytest.approx(0.5 * (2.0 - last), abs=1e-6)
    assert module.weight[0] == 2.0
