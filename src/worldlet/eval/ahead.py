"""Several runs at once, one thread each: networks let go of the interpreter, so two threads keep two cores busy."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

WORKERS = min(4, max(2, os.cpu_count() or 2))
"""What is not network holds the interpreter, so that more than four would wait for it."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield ``work(item)`` in the order of the items while the next ones are already under way.

    At most `WORKERS` results wait, so memory does not grow with the number of items. What ``work`` raises is raised
    here at its item; items after it are not begun.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # who is interrupted does not wait for what is under way
