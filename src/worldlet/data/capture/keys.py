"""Keys become actions: a mapping that the user gives, or one found from what was pressed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

REST = "noop"
"""The action of no key; it is number 0."""
MOST_ACTIONS = 32
"""Where actions are found from what was pressed, later combinations count as the nearest of these."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class ActionBook:
    """Action names in order, and the key combinations of each.

    A given mapping is kept as it is. Without one (``learning``), every combination that is held becomes an action of
    its own when it is first seen; numbers once given never change.
    """

    def __init__(self, bindings: Mapping[str, Sequence[Collection[str]]], learning: bool) -> None:
        self.names: list[str] = []
        self.learning = learning
        self._combinations: list[tuple[frozenset[str], int]] = []
        for name, combinations in {REST: (), **bindings}.items():
            self._enter(name, combinations)

    @property
    def bindings(self) -> dict[str, list[list[str]]]:
        """Combinations of key codes by action name, in the form of a manifest."""
        bindings: dict[str, list[list[str]]] = {name: [] for name in self.names}
        for keys, action in self._combinations:
            bindings[self.names[action]].append(sorted(keys))
        return bindings

    def action(self, held: Sequence[str]) -> int:
        """Return the action of the keys held, in the order in which they went down.

        It is the one whose combination has most keys, all held; of several, the one pressed last; or rest. This is
        how the player's keys are read in a dream as well. While learning, a new combination is entered first.
        """
        keys_held = frozenset(held)
        if self.learning and keys_held and len(self.names) < MOST_ACTIONS and not self._knows(keys_held):
            self._enter("_".join(sorted(map(_plain_name, keys_held))), [keys_held])
        place = {code: index for index, code in enumerate(held)}
        ranked = [
            (len(keys), max(place[code] for code in keys), action)
            for keys, action in self._combinations
            if keys <= keys_held
        ]
        return max(ranked, key=lambda rank: rank[:2])[2] if ranked else 0

    def keys_of(self, name: str) -> frozenset[str]:
        """Return the first combination of an action, or, where no action is called so, ``name`` read as one itself."""
        if name in self.names:
            action = self.names.index(name)
            return next((keys for keys, of in self._combinations if of == action), frozenset())
        return _combination(name)

    def _knows(self, keys: frozenset[str]) -> bool:
        return any(keys == known for known, _ in self._combinations)

    def _enter(self, name: str, combinations: Sequence[Collection[str]]) -> None:
        self._combinations += [(frozenset(keys), len(self.names)) for keys in combinations]
        self.names.append(name)


def parse_keys(text: str) -> dict[str, list[list[str]]]:
    """Read ``"right=ArrowRight,jump=Space|KeyW,right_jump=ArrowRight+Space"``: action name to its combinations.

    ``+`` joins keys held together, ``|`` separates combinations that do the same. Raises ValueError for anything else.
    """
    bindings: dict[str, list[list[str]]] = {}
    taken: dict[frozenset[str], str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, combinations = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not combinations:
            raise ValueError(f"cannot read {part!r}: keys are given as right=ArrowRight,jump=Space|KeyW")
        if name == REST or name in bindings:
            raise ValueError(f"the action {name!r} is {'what no key does' if name == REST else 'named twice'}")
        bindings[name] = []
        for combination in combinations.split("|"):
            keys = _combination(combination)
            if keys in taken:
                raise ValueError(f"{combination.strip()} belongs to {taken[keys]!r} already, so not to {name!r} too")
            taken[keys] = name
            bindings[name].append(sorted(keys))
    return bindings


def _combination(text: str) -> frozenset[str]:
    codes = [code.strip() for code in text.split("+")]
    for code in codes:
        if not _CODE.fullmatch(code):
            raise ValueError(f"{code!r} is no key: use codes such as ArrowRight, KeyW, Space, joined by +")
    return frozenset(codes)


def _plain_name(code: str) -> str:
    return re.sub(r"^(Arrow|Key|Digit)(?=.)", "", code).lower()
