"""Action logs beside their videos: which log belongs to which video, and what it says as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldlet.data.actionlog import UNKNOWN, align, read_log
from worldlet.data.plan import Track
from worldlet.data.survey import Survey
from worldlet.data.vocabulary import mirror_name, number_actions

NO_ACTIONS = "none"
"""The one action of a data set without an action log."""
_UNKNOWN_ACTION = -1


@dataclass(frozen=True)
class Tracks:
    """The sources that can be used, the names of the actions, and for each its mirror image's number."""

    tracks: tuple[Track, ...]
    action_names: tuple[str, ...]
    mirror_of: tuple[int, ...]


def without_actions(surveys: Sequence[Survey]) -> Tracks:
    """Return the tracks of sources of which nobody knows what was done: the one action ``none`` everywhere."""
    tracks = (Track(survey, np.zeros(max(0, len(survey) - 1), np.int64), labelled=False) for survey in surveys)
    return Tracks(tuple(tracks), (NO_ACTIONS,), (0,))


def with_actions(
    surveys: Sequence[Survey],
    logs: Path,
    given: Sequence[str],
    most: int,
    delay: float,
    flip: bool,
    skipped: dict[str, str],
) -> Tracks:
    """Return the tracks of the sources whose log can be read and aligned; the others are entered into ``skipped``.

    Raises ValueError where none is left, or the actions cannot be numbered, or not be mirrored though ``flip`` asks.
    """
    named: list[tuple[Survey, list[str]]] = []
    for survey in surveys:
        name = survey.source.name
        try:
            if survey.source.kind == "pictures":
                raise ValueError("pictures take no action log: give a video, or leave --actions out")
            log = read_log(log_of(logs, name), name, shared=len(surveys) > 1 and logs.is_file())
            named.append((survey, align(log, survey.times_F, survey.picked_T, delay)))
        except (ValueError, OSError) as error:
            skipped[name] = str(error)
    if not named:
        raise ValueError(skipped[surveys[0].source.name])
    counts = Counter(name for _, names in named for name in names if name != UNKNOWN)
    action_names, numbers = number_actions(counts, given, most)
    mirror_of = _mirror(action_names, may_grow=not given) if flip else []
    numbers[UNKNOWN] = _UNKNOWN_ACTION
    tracks = (
        Track(survey, np.array([numbers[name] for name in names], np.int64), labelled=True) for survey, names in named
    )
    return Tracks(tuple(tracks), tuple(action_names), tuple(mirror_of))


def log_of(logs: Path, video: str) -> Path:
    """Return a video's action log: ``logs`` itself, or that of its name in a folder; ValueError where there is none."""
    if not logs.exists():
        raise ValueError(f"{logs} does not exist: give the action log, or a folder of logs named like the videos")
    if logs.is_file():
        return logs
    for suffix in (".csv", ".jsonl"):
        path = (logs / video).with_suffix(suffix)
        if path.is_file():
            return path
    raise ValueError(f"{logs} holds no log of {video}: call it {Path(video).with_suffix('.csv')}")


def _mirror(action_names: list[str], may_grow: bool) -> list[int]:
    """Return the number of each action's mirror image; missing ones are added to the names where that is allowed."""
    if all(mirror_name(name) == name for name in action_names):
        raise ValueError(
            f"--flip needs actions whose names tell left from right, not {', '.join(action_names)}: name them with "
            "--action_names, or leave --flip out"
        )
    for name in list(action_names):
        if mirror_name(name) not in action_names:
            if not may_grow:
                raise ValueError(f"--flip needs the action {mirror_name(name)!r}, the mirror image of {name!r}")
            action_names.append(mirror_name(name))
    return [action_names.index(mirror_name(name)) for name in action_names]
