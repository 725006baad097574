"""Who presses the keys when nobody does: a random player, or a script of actions and seconds."""

from __future__ import annotations

import json
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np

from worldlet.data.capture.keys import ActionBook
from worldlet.data.policies import StickyRandom

PLAYERS = ("sticky", "random")


class DemoPlayer:
    """Says for every frame which keys to hold.

    ``demo`` is ``sticky`` (holds a random action for a while), ``random`` (a new one every frame), or a JSON file: a
    list of ``[action, seconds]`` played over and over, or ``{"start": that list, "then": another or a player's name}``.
    An action is one of the book's names, or key codes joined by ``+``. Raises ValueError where the file cannot be
    read or presses nothing.
    """

    def __init__(self, demo: str, book: ActionBook, fps: float, seed: int) -> None:
        self._book, self._fps = book, fps
        script = _read_script(demo) if demo not in PLAYERS else {"start": [], "then": demo}
        self._random: StickyRandom | None = None
        if script["then"] in PLAYERS:
            self._random = StickyRandom(book.names, stick=0.9 if script["then"] == "sticky" else 0.0)
            self._random.reset(seed)
        self._keys = chain(self._frames(script["start"], demo), cycle(self._frames(script["then"], demo)))
        if self._random is None and not self._frames(script["then"], demo):
            raise ValueError(f"the script {demo} presses nothing: list [action, seconds] of a frame or longer")

    def keys(self) -> frozenset[str]:
        """Return the keys to hold from now until the next frame."""
        keys = next(self._keys, None)
        if keys is not None:
            return keys
        assert self._random is not None
        return self._book.keys_of(self._book.names[self._random.act({})])

    def _frames(self, entries: Any, demo: str) -> list[frozenset[str]]:
        """Return the keys of each frame; the times of entries add up before they are rounded to frames."""
        if not isinstance(entries, list):
            if entries in PLAYERS:
                return []
            raise ValueError(f"{demo} must hold lists of [action, seconds] or a player's name, not {entries!r}")
        frames: list[frozenset[str]] = []
        seconds = 0.0
        for entry in entries:
            match entry:
                case [str(name), int() | float() as length] if np.isfinite(length) and length > 0:
                    seconds += length
                    keys = self._book.keys_of(name)
                    frames += [keys] * max(0, round(seconds * self._fps) - len(frames))
                case _:
                    raise ValueError(f"{demo} holds {entry!r}, which is no action and seconds such as ['right', 0.5]")
        return frames


def _read_script(path: str) -> Any:
    if not Path(path).is_file():
        raise ValueError(f"there is no player {path!r}: the players are {', '.join(PLAYERS)}, or a JSON file")
    try:
        script = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"the script {path} is not valid JSON: {error}") from error
    if isinstance(script, list):
        return {"start": [], "then": script}
    if not isinstance(script, dict) or set(script) != {"start", "then"}:
        raise ValueError(f'the script {path} must be a list of [action, seconds], or {{"start": list, "then": ...}}')
    return script
