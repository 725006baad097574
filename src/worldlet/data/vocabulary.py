"""From the names in action logs to a data set's numbered actions: their order, their keys, their mirror images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from worldlet.data.actionlog import IDLE_NAMES, NOOP, combination
from worldlet.manifest import suggestion

_CODES = {"space": "Space", "enter": "Enter", "return": "Enter", "shift": "ShiftLeft", "ctrl": "ControlLeft"}
_CODES |= {"control": "ControlLeft", "tab": "Tab", "escape": "Escape", "esc": "Escape"}
_CODES |= {name: f"Arrow{name.capitalize()}" for name in ("left", "right", "up", "down")}
_DEEDS = {"jump": "Space", "action": "KeyJ", "fire": "Space", "attack": "KeyJ", "shoot": "KeyJ", "duck": "ArrowDown"}
_MIRRORED = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "KeyA": "KeyD", "a": "d", "A": "D"}
_MIRRORED |= {there: here for here, there in _MIRRORED.items()}


def number_actions(counts: Counter[str], given: Sequence[str] = (), most: int = 32) -> tuple[list[str], dict[str, int]]:
    """Return the action names in order, and the number of every name that was logged.

    ``given`` names are taken as they are, and a logged number means one of them. Otherwise doing nothing comes first,
    then all names in alphabetical order; actions logged as numbers keep them. Of more than ``most`` actions the rarest
    combinations of keys become the commonest kept one that they hold. Raises ValueError for a name that is not given,
    or for more actions than ``most`` that are no combinations.
    """
    if given:
        return list(given), {name: _given(name, given) for name in counts}
    if all(name == NOOP or name.isdigit() for name in counts) and any(name.isdigit() for name in counts):
        last = max(int(name) for name in counts if name.isdigit())
        if last >= max(most, 1):
            raise ValueError(f"the log has an action number {last}: with --most_actions {last + 1} it is allowed")
        names = [str(number) for number in range(last + 1)]
        return names, {name: 0 if name == NOOP else int(name) for name in counts}
    ranked = sorted(counts, key=lambda name: (name != NOOP, -counts[name], name))
    kept, rare = ranked[:most], ranked[most:]
    if rare and not all("+" in name for name in rare):
        raise ValueError(
            f"the log has {len(counts)} different actions, such as {rare[0]!r}: are they single actions or keys? "
            f"--most_actions {len(counts)} allows them"
        )
    names = sorted(kept, key=lambda name: (name != NOOP, name))
    numbers = {name: number for number, name in enumerate(names)}
    return names, numbers | {name: numbers[_part_of(name, kept)] for name in rare}


def key_bindings(names: Iterable[str]) -> dict[str, list[list[str]]]:
    """Return the DOM key codes of those actions whose names are keys, combinations of keys, or well-known deeds."""
    bindings = {}
    for name in names:
        codes = [_code(part) for part in re.split(r"[+_]", name)]
        if name not in IDLE_NAMES and all(codes):
            bindings[name] = [sorted(str(code) for code in codes)]
    return bindings


def mirror_name(name: str) -> str:
    """Return the action that does in a mirrored picture what ``name`` does in the true one: left and right swapped."""
    if "+" in name:
        return combination(_mirror_word(part) for part in name.split("+"))
    return _mirror_word(name)


def _mirror_word(word: str) -> str:
    if word in _MIRRORED:
        return _MIRRORED[word]
    return re.sub(r"left|right|Left|Right|LEFT|RIGHT", lambda match: _MIRRORED[match[0]], word)


def _given(name: str, given: Sequence[str]) -> int:
    if name in given:
        return given.index(name)
    if name.isdigit() and int(name) < len(given):
        return int(name)
    if name == NOOP:
        idle = [number for number, known in enumerate(given) if known.lower() in IDLE_NAMES]
        if idle:
            return idle[0]
    raise ValueError(
        f"the log has an action {name!r}, but --action_names names only {', '.join(given)}{suggestion(name, given)}"
    )


def _part_of(name: str, kept: Sequence[str]) -> str:
    keys = set(name.split("+"))
    parts = [other for other in kept if other != NOOP and set(other.split("+")) <= keys]
    # The commonest is first in ``kept``; more keys in common count more.
    return max(parts, key=lambda other: len(other.split("+")), default=NOOP)


def _code(key: str) -> str | None:
    if re.fullmatch(r"(Key[A-Z]|Digit\d|Arrow(Left|Right|Up|Down)|Space|Enter|Tab|Escape|\w+(Left|Right))", key):
        return key
    if re.fullmatch(r"[A-Za-z]", key):
        return f"Key{key.upper()}"
    return _CODES.get(key.lower()) or _DEEDS.get(key.lower())
