"""Speed: how fast a session steps with its frame decoded, whether it slows down, and how soon the first frame comes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from worldlet.eval.bench import Bench, Dream, figure
from worldlet.eval.gold import CONTEXT
from worldlet.eval.intervals import rate_figure

WARM_UP = 20
EARLY, AROUND = 100, 40
"""A long session's step time is the median over 2 * 40 steps around frame 100 and around its last frames."""
START_UPS = 3
BLOCK = 10
"""Steps drawn together for the interval of the frame rate: neighbours in time are alike."""
_FIRST_FRAME = "import sys, worldlet; worldlet.load(sys.argv[1]).open(seed=0).step(0)"
_PEAK_MEMORY = "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
"""Unix only; kilobytes, but bytes on macOS."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps."""
    return WARM_UP + bench.size.speed_frames + bench.size.long_session


def measure(bench: Bench) -> dict[str, Any]:
    """Time single steps of one session, and the start-up of a fresh process; none of it is the same twice.

    ``peak_memory_mb``: of a fresh process that plays. ``memory_growth_mb``: resident memory between frame 100 and the
    last frame of the long session.
    """
    bench = _as_played(bench)
    session = _session(bench)
    _time_steps(bench, session, WARM_UP)
    seconds = _time_steps(bench, session, bench.size.speed_frames)
    blocks = [(len(block), sum(block)) for block in (seconds[i : i + BLOCK] for i in range(0, len(seconds), BLOCK))]
    figures = {
        "fps": rate_figure(blocks, len(seconds)),
        "p95_ms": figure(1000 * sorted(seconds)[int(0.95 * (len(seconds) - 1))], len(seconds)),
    }
    if bench.world is not None:
        starts = [_start_up_seconds(bench.world) for _ in range(START_UPS)]
        figures["start_up_s"] = figure(statistics.median(starts), len(starts), fastest=min(starts), slowest=max(starts))
        figures["peak_memory_mb"] = figure(_peak_memory_mb(bench.world), 1)
    if bench.size.long_session:
        figures |= _long_session(bench)
    return figures


def _as_played(bench: Bench) -> Bench:
    """Return the bench with the world opened as players open it: the suite's own engine has one thread a session."""
    if bench.world is None:
        return bench
    from worldlet.engine.engine import load

    return replace(bench, engine=load(bench.world, bench.engine.backend.device, bench.engine.backend.name))


def _session(bench: Bench) -> Dream:
    if bench.gold is None or not bench.gold.drift:
        dream: Dream = bench.engine.open(seed=0)
        return dream
    entry = bench.gold.drift[0]
    return bench.dream(bench.gold.replay(entry), entry.start, 0)


def _time_steps(bench: Bench, session: Dream, steps: int) -> list[float]:
    actions = len(bench.engine.manifest.action_names)
    seconds = []
    for t in range(steps):
        began = time.perf_counter()
        session.step(t // CONTEXT % actions)
        seconds.append(time.perf_counter() - began)
        bench.tick(1)
    return seconds


def _long_session(bench: Bench) -> dict[str, Any]:
    session = _session(bench)
    early = _time_steps(bench, session, EARLY + AROUND)[-2 * AROUND :]
    memory = _resident_mb()
    late = _time_steps(bench, session, bench.size.long_session - EARLY - AROUND)[-2 * AROUND :]
    ratio = statistics.median(late) / statistics.median(early)
    growth = None if memory is None else (_resident_mb() or 0.0) - memory
    return {
        "late_to_early": figure(ratio, 2 * AROUND, frame=bench.size.long_session),
        "memory_growth_mb": figure(growth, 1, frame=bench.size.long_session),
    }


def _start_up_seconds(world: Path) -> float:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _FIRST_FRAME, str(world)], check=True, env=environment)
    return time.perf_counter() - began


def _peak_memory_mb(world: Path) -> float | None:
    """Return the most resident memory, in MB, of a process that loads the world and dreams one frame."""
    if find_spec("resource") is None:
        return None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _FIRST_FRAME + _PEAK_MEMORY, str(world)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024) / 1e6


def _resident_mb() -> float | None:
    """Return the resident memory of this process in MB, None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
