"""Speed: how fast a session steps with its frame decoded, whether it slows down, and how soon the first frame comes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from worldlet.eval.bench import Bench, Dream, figure
from worldlet.eval.gold import CONTEXT
from worldlet.eval.intervals import rate_figure

WARM_UP = 20
EARLY, AROUND = 100, 40
"""Step times of a long session are those of 2 * 40 steps around its last frame, of a young one around frame 100."""
START_UPS = 3
BLOCK = 10
"""Steps drawn together for the interval of the frame rate: neighbours in time are alike."""
_FIRST_FRAME = "import sys, worldlet; worldlet.load(sys.argv[1]).open(seed=0).step(0)"
_PEAK_MEMORY = {
    "linux": "; print([1024 * int(s.split()[1]) for s in open('/proc/self/status') if s.startswith('VmHWM')][0])",
    "darwin": "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)",
}
"""What prints the most resident memory in bytes. Linux's ``ru_maxrss`` would begin with that of the parent."""


def work(bench: Bench) -> int:
    """Return the units of work ahead: steps."""
    long = bench.size.long_session + EARLY + 2 * AROUND if bench.size.long_session else 0
    return WARM_UP + bench.size.speed_frames + long


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
    return [times[0] for times in _time_in_turns(bench, [session], steps)]


def _time_in_turns(bench: Bench, sessions: Sequence[Dream], steps: int) -> list[list[float]]:
    """Step sessions in turns under the same actions; return the seconds that each step took, (steps, sessions)."""
    actions = len(bench.engine.manifest.action_names)
    seconds: list[list[float]] = []
    for t in range(steps):
        seconds.append([])
        for session in sessions:
            began = time.perf_counter()
            session.step(t // CONTEXT % actions)
            seconds[-1].append(time.perf_counter() - began)
            bench.tick(1)
    return seconds


def _long_session(bench: Bench) -> dict[str, Any]:
    """Compare a long session with a young one, in turns: whatever else the machine does, it does to both."""
    old = _session(bench)
    _time_steps(bench, old, EARLY + AROUND)
    memory = _resident_mb()
    _time_steps(bench, old, bench.size.long_session - EARLY - 2 * AROUND)
    growth = None if memory is None else (_resident_mb() or 0.0) - memory
    young = _session(bench)
    _time_steps(bench, young, EARLY - AROUND)
    late, early = zip(*_time_in_turns(bench, [old, young], 2 * AROUND), strict=True)
    ratio = statistics.median(late) / statistics.median(early)
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
    if sys.platform not in _PEAK_MEMORY:
        return None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _FIRST_FRAME + _PEAK_MEMORY[sys.platform], str(world)]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1e6


def _resident_mb() -> float | None:
    """Return the resident memory of this process in MB, None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
