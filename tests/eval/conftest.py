"""Fixtures of the evaluation's tests: a tiny suite, and the real game on the bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.eval.real_game import TINY, Fault, RealGame
from worldlet.eval import freeze
from worldlet.eval.bench import Bench
from worldlet.eval.gold import Gold
from worldlet.eval.reading import PlatformerReader


@pytest.fixture(scope="session")
def gold() -> Gold:
    """A tiny suite made like the frozen one."""
    return Gold(
        freeze.ENV_ID,
        plays=tuple(freeze.play_entry(1, i, 60, 0, freeze.MISCHIEF) for i in range(TINY.plays)),
        rollouts=tuple(freeze.rollout_entry(i) for i in range(TINY.rollouts)),
        control=tuple(freeze.control_entry(i) for i in range(TINY.control)),
        drift=tuple(freeze.play_entry(4, i, 30, 30, freeze.RUNNING) for i in range(TINY.drift)),
    )


@pytest.fixture
def bench(gold: Gold, tmp_path: Any) -> Callable[..., Bench]:
    """Put the real game, with a fault or without, on the bench."""

    def make(fault: Callable[[], Any] = Fault, backend: Any = None) -> Bench:
        engine = RealGame(gold, fault, backend)
        return Bench(engine, gold, PlatformerReader(), TINY, tmp_path, None, lambda n: None)

    return make
