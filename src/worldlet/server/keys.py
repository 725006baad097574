"""Held keys become one action: the world's bindings are looked up here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class HeldKeys:
    """The latest state of one player's keyboard. Nothing is queued: a new state replaces the old one whole."""

    def __init__(self, action_names: Sequence[str], key_bindings: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._rest = action_names.index("noop") if "noop" in action_names else 0
        self._combinations = [
            (frozenset(combination), action_names.index(name))
            for name, combinations in key_bindings.items()
            for combination in combinations
            if combination
        ]
        self._held: tuple[str, ...] = ()
        self.stamp = 0

    def replace(self, held: Sequence[str], stamp: int) -> None:
        """Take over all keys held now, in the order in which they were pressed, and the client's stamp of them."""
        self._held = tuple(held)
        self.stamp = stamp

    def action(self) -> int:
        """Return the action whose combination has most keys, all held; of several, the one pressed last; or noop."""
        place = {code: index for index, code in enumerate(self._held)}
        ranked = [
            (len(keys), max(place[code] for code in keys), action)
            for keys, action in self._combinations
            if keys <= place.keys()
        ]
        if not ranked:
            return self._rest
        return max(ranked, key=lambda rank: rank[:2])[2]
