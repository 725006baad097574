"""An action log (CSV or JSONL) as one action for each frame, by the time convention.

A row says what the player did at a frame number or at a time in seconds, both counted from the video's first frame:
an action by name or number, all keys held, or one key that went down or up. ``frames[t]``, then ``actions[t]``, then
``frames[t+1]``: the action of frame t is what was done from the moment frame t is shown until frame t + 1 is.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IDLE_NAMES = ("noop", "none", "idle", "nothing", "")
"""Names of doing nothing; the empty one is what a row without action or keys says."""
NOOP = "noop"
UNKNOWN = "\0unknown"
"""Stands for the action of a frame that the log does not cover; no log can name it."""
TIMES = {"time": 1.0, "seconds": 1.0, "timestamp": 1.0, "t": 1.0, "time_s": 1.0, "time_ms": 1e-3, "ms": 1e-3}
"""Columns that hold a time, and how many seconds one unit of each is."""
DOWN = ("down", "press", "pressed", "keydown", "1", "true")
UP = ("up", "release", "released", "keyup", "0", "false")
_LOG_SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class ActionLog:
    """What a log says, row by row: ``names[i]`` begins at ``at[i]``, seconds or frame numbers, and ends with the next.

    ``until`` is where the last row's action ends; ``from_start`` tells that nothing was held before the first row.
    """

    path: str
    by_frame: bool
    at: NDArray[np.float64]
    names: tuple[str, ...]
    until: float
    from_start: bool


def read_log(path: Path | str, video: str = "", shared: bool = False) -> ActionLog:
    """Read the log of one video: the rows whose ``video`` column names it, or all where there is no such column.

    A log ``shared`` by several videos must have that column. Raises ValueError, with the row's number, for a log that
    cannot be understood or is not in order.
    """
    path = Path(path)
    rows = list(_rows(path))
    if rows and "video" in rows[0][1]:
        rows = [(line, row) for line, row in rows if str(row.get("video", "")) in (video, Path(video).name)]
        if not rows:
            raise ValueError(f"{path} has no row for the video {video!r}")
    elif rows and shared:
        raise ValueError(
            f"{path} needs a column video, because there are several: or give a folder with a log for each"
        )
    if not rows:
        raise ValueError(f"{path} holds no actions")
    clock = _clock(path, rows[0][1])
    at = np.array([_number(path, line, row, clock) for line, row in rows]) * TIMES.get(clock, 1.0)
    back = np.flatnonzero(np.diff(at) < 0)
    if len(back):
        line = rows[int(back[0]) + 1][0]
        raise ValueError(f"{path}, line {line}: {clock} goes back: sort the rows by {clock}")
    columns = rows[0][1].keys()
    if "event" in columns:
        return ActionLog(str(path), clock == "frame", at, tuple(_held(path, rows)), np.inf, from_start=True)
    names = tuple(_name_of(path, line, row) for line, row in rows)
    # The last row holds as long as any row before it did, so that a log that stops early is noticed.
    longest = float(np.diff(at).max()) if len(at) > 1 else 1.0
    return ActionLog(str(path), clock == "frame", at, names, float(at[-1]) + longest, from_start=False)


def align(log: ActionLog, times_F: NDArray[np.float64], picked_T: NDArray[np.int64], delay: float = 0.0) -> list[str]:
    """Return the name of the action done at each picked frame but the last, ``UNKNOWN`` where the log tells nothing.

    ``times_F`` are the seconds of the video's frames, ``picked_T`` the numbers of those that are kept; ``delay``
    seconds are added to the log's times. Of several actions between two kept frames the longest counts, but a tap
    that begins and ends between them is never lost to what was held around it. Raises ValueError where log and video
    do not fit together.
    """
    at, until = _seconds(log, times_F)
    at, until = at + delay, until + delay
    _check_overlap(log, times_F, at, until)
    first, stop = times_F[picked_T[:-1]], times_F[picked_T[1:]]
    ends = np.append(at[1:], until)
    # Half a millisecond: time stamps of containers and logs are rounded to whole ones.
    begin_T = np.searchsorted(at, first + 5e-4, side="right") - 1
    end_T = np.maximum(np.searchsorted(at, stop - 5e-4, side="left"), begin_T + 1)
    names = []
    for t, (begin, end) in enumerate(zip(begin_T.tolist(), end_T.tolist(), strict=True)):
        if (begin < 0 and not log.from_start) or first[t] + 5e-4 >= until:
            names.append(UNKNOWN)
        elif end - begin == 1:
            names.append(log.names[begin] if begin >= 0 else NOOP)
        else:
            names.append(_busiest(log, at, ends, range(begin, end), first[t], stop[t]))
    return names


def _busiest(
    log: ActionLog, at: NDArray[np.float64], ends: NDArray[np.float64], rows: range, first: float, stop: float
) -> str:
    held: dict[str, float] = {}
    taps: dict[str, float] = {}
    for row in rows:
        name = log.names[row] if row >= 0 else NOOP
        begin, end = (at[row] if row >= 0 else -np.inf), (ends[row] if row >= 0 else at[0])
        length = min(end, stop) - max(begin, first)
        held[name] = held.get(name, 0.0) + length
        if begin >= first and end <= stop and length > 0 and name != NOOP:
            taps[name] = taps.get(name, 0.0) + length
    best = taps or held
    return max(best, key=lambda name: round(best[name], 4))  # of two that held equally long the earlier


def _seconds(log: ActionLog, times_F: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    if not log.by_frame:
        return log.at, log.until
    count = len(times_F)
    if log.at[-1] > count - 1:
        raise ValueError(
            f"{log.path} does not align: it names frame {log.at[-1]:.0f}, but the video has frames 0 to {count - 1}"
        )
    step = float(np.median(np.diff(times_F))) if count > 1 else 1.0
    edges_F = np.append(times_F, times_F[-1] + step)
    until = float(edges_F[int(log.until)]) if log.until < count else (float(edges_F[-1]) + (log.until - count) * step)
    return edges_F[log.at.astype(np.int64)], until


def _check_overlap(log: ActionLog, times_F: NDArray[np.float64], at: NDArray[np.float64], until: float) -> None:
    length, begin = float(times_F[-1]), 0.0 if log.from_start else float(at[0])
    covered = min(until, length) - max(begin, 0.0)
    outside = at[-1] > length * 1.5 + 5.0
    if covered >= 0.25 * length and at[0] <= length and not outside:
        return
    hint = "are its times in milliseconds? then call the column time_ms" if at[-1] > 100 * max(length, 1) else (
        "--log_delay SECONDS moves the log"
    )  # fmt: skip
    raise ValueError(
        f"{log.path} does not align: it tells of seconds {at[0]:.2f} to {at[-1]:.2f}, but the video lasts "
        f"{length:.2f} s; {hint}"
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, row) with lower-case column names."""
    if path.suffix.lower() not in _LOG_SUFFIXES:
        raise ValueError(f"{path} is no action log: it must end in {' or '.join(_LOG_SUFFIXES)}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            if path.suffix.lower() == ".csv":
                reader = csv.DictReader(file, skipinitialspace=True)
                for row in reader:
                    yield reader.line_num, _plain(row)
                return
            for line, text in enumerate(file, 1):
                if text.strip():
                    try:
                        row = json.loads(text)
                    except ValueError as error:
                        raise ValueError(f"{path}, line {line}: not valid JSON ({error})") from error
                    if not isinstance(row, dict):
                        raise ValueError(f"{path}, line {line}: must be an object such as {{'frame': 0, 'action': 1}}")
                    yield line, _plain(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not readable as text ({error})") from error


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).strip().lower(): value for key, value in row.items() if key is not None}


def _clock(path: Path, row: Mapping[str, Any]) -> str:
    for name in ("frame", *TIMES):
        if name in row:
            break
    else:
        raise ValueError(f"{path} has the columns {', '.join(row)}: it needs frame or time (or time_ms)")
    if not ({"action", "keys"} & row.keys() or {"key", "event"} <= row.keys()):
        raise ValueError(f"{path} has the columns {', '.join(row)}: it needs action, or keys, or key and event")
    return name


def _number(path: Path, line: int, row: Mapping[str, Any], clock: str) -> float:
    try:
        value = float(row[clock])
        if not np.isfinite(value) or (clock == "frame" and (value < 0 or value % 1)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        kind = "whole number from 0 up" if clock == "frame" else "number"
        raise ValueError(f"{path}, line {line}: {clock} must be a {kind}, not {row.get(clock)!r}") from None
    return value


def _name_of(path: Path, line: int, row: Mapping[str, Any]) -> str:
    if "action" in row:
        value = row["action"]
        if isinstance(value, float) and value % 1 == 0:
            value = int(value)
        name = "" if value is None else str(value).strip()
    else:
        value = row.get("keys")
        if not isinstance(value, str | list | None):
            raise ValueError(f"{path}, line {line}: keys must be a list or a text such as 'left+up', not {value!r}")
        name = combination(value if isinstance(value, list) else re.split(r"[+\s;|]+", value or ""))
    return NOOP if name.lower() in IDLE_NAMES else name


def _held(path: Path, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield what is held after each key event."""
    held: set[str] = set()
    for line, row in rows:
        key, event = str(row.get("key") or "").strip(), str(row.get("event")).strip().lower()
        if not key or event not in DOWN + UP:
            raise ValueError(f"{path}, line {line}: needs a key, and an event that is down or up, not {event!r}")
        (held.add if event in DOWN else held.discard)(key)
        yield combination(held) or NOOP


def combination(keys: Any) -> str:
    """Return the name of holding these keys at once: sorted and joined with +, the same for any order."""
    return "+".join(sorted({str(key).strip() for key in keys} - {""}))
