"""The parts of a suite: what each needs, how it is measured, and how what it made is kept until the card is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from worldlet.eval.bench import Bench
from worldlet.manifest import write_atomic


class Part(NamedTuple):
    """One part of the suite and what it needs; ``needs_reader`` says so of frozen suites alone where a recorded one
    ``spares_reader``."""

    work: Callable[[Bench], int]
    measure: Callable[[Bench], dict[str, Any]]
    needs_gold: bool
    needs_reader: bool
    needs_recorded: bool = False
    full_only: bool = False
    spares_reader: bool = False


def measure_part(
    name: str, part: Part, bench: Bench, folder: Path, key: str, report: Callable[[str, int], None]
) -> dict[str, Any]:
    """Measure one part, or take what an interrupted run has left of it in ``folder`` under the same ``key``.

    ``report(name, units)`` is told of the work as it is done.
    """
    done, stopped = 0, Event()
    report(name, 0)

    def tick(n: int) -> None:
        nonlocal done
        if stopped.is_set():
            raise InterruptedError("the suite was stopped")  # ends what still runs ahead
        done += n
        report(name, n)

    working = replace(bench, tick=tick, keep=partial(_kept, folder, key))
    try:
        figures = _kept(folder, key, name, lambda: part.measure(working))
    except BaseException:
        stopped.set()
        raise
    report(name, part.work(bench) - done)  # what was taken from an interrupted run took no work
    return figures


def _kept(folder: Path, key: str, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``make`` does, or what an interrupted run has left under this name and key; keep it."""
    path = folder / f"{name}.json"
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["key"] == key:
            return dict(kept["made"])
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps({"key": key, "made": made}).encode())
    return dict(json.loads(path.read_text())["made"])


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a bar with the time left, on standard error; yields ``report(part, units)``."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:14}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("eval", total=total)

        def report(part: str, units: int) -> None:
            shown.update(task, advance=units, description=part)

        yield report
