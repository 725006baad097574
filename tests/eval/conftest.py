"""Fixtures of the evaluation's tests: a tiny suite, and the real game on the bench."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.eval.real_game import TINY, Fault, RealGame, tiny_gold
from worldlet.eval.bench import Bench
from worldlet.eval.gold import Gold
from worldlet.eval.reading import PlatformerReader


@pytest.fixture(scope="session")
def gold() -> Gold:
    """A tiny suite made like the frozen one."""
    return tiny_gold()


@pytest.fixture
def bench(gold: Gold, tmp_path: Any) -> Callable[..., Bench]:
    """Put the real game, with a fault or without, on the bench."""

    def make(fault: Callable[[], Any] = Fault, backend: Any = None) -> Bench:
        engine = RealGame(gold, fault, backend)
        return Bench(engine, gold, PlatformerReader(), TINY, tmp_path, None, lambda n: None)

    return make
