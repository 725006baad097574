"""Snapshot: how many bytes hold a session."""

from __future__ import annotations

from typing import Any

from worldlet.eval.bench import Bench, Dream, figure

SNAPSHOTS, STEPS = 4, 30
"""How many snapshots are weighed, and the steps between them."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps."""
    return SNAPSHOTS * STEPS


def measure(bench: Bench) -> dict[str, Any]:
    """Weigh snapshots along one session from a start of the world's own; the largest counts."""
    session: Dream = bench.engine.open(seed=0)
    actions = len(bench.engine.manifest.action_names)
    sizes = []
    for _ in range(SNAPSHOTS):
        for t in range(STEPS):
            session.step(t % actions)
        sizes.append(len(session.snapshot()))
        bench.tick(STEPS)
    return {"bytes": figure(max(sizes), len(sizes))}
