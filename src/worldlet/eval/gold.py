"""The gold suite: level seeds, action lists and starts, frozen in a file, so that every world is asked the same.

``eval/gold/GAME.json`` is written once by ``python -m worldlet.eval.freeze`` and never changed for one world's sake.
Its own hash guards it against edits, and the fingerprint of every play against a game that has changed under it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from worldlet.eval.real import Play, replay

FIRST_SEED = 9 * 10**6
"""Level seeds from here on belong to this suite; recording never uses them."""

CONTEXT = 16
"""Real frames that a dream sees before it goes on alone."""

KINDS = ("plays", "rollouts", "control", "drift", "long")
FILES = {"worldlet/Platformer-v0": "platformer.json"}


@dataclass(frozen=True)
class GoldPlay:
    """One frozen play: a level, the actions done in it, and the frame at which a dream takes over."""

    level_seed: int
    actions: tuple[int, ...]
    start: int
    fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """Return the form in the file: actions are one string of digits."""
        digits = "".join(str(action) for action in self.actions)
        return {
            "level_seed": self.level_seed, "start": self.start, "fingerprint": self.fingerprint, "actions": digits,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GoldPlay:
        """Read the form in the file."""
        actions = tuple(int(digit) for digit in values["actions"])
        return cls(values["level_seed"], actions, values["start"], values["fingerprint"])


@dataclass(frozen=True)
class Gold:
    """The frozen suite of one game.

    ``plays`` are whole plays; ``rollouts`` go on for 60 actions after their start, ``long`` for 900; ``control`` and
    ``drift`` end at it. ``version`` counts up whenever a list is added or changed.
    """

    env_id: str
    plays: tuple[GoldPlay, ...]
    rollouts: tuple[GoldPlay, ...]
    control: tuple[GoldPlay, ...]
    drift: tuple[GoldPlay, ...]
    long: tuple[GoldPlay, ...] = ()
    version: int = 2

    @property
    def sha256(self) -> str:
        """The hash over everything in the suite."""
        return hashlib.sha256(json.dumps(self._body(), sort_keys=True).encode()).hexdigest()

    @property
    def lists(self) -> dict[str, str]:
        """The hash of each list: equal ones ask the same of two suites."""
        plays = {kind: [play.to_json() for play in getattr(self, kind)] for kind in KINDS}
        return {kind: hashlib.sha256(json.dumps(entries).encode()).hexdigest() for kind, entries in plays.items()}

    def to_json(self) -> str:
        """Return the file's text."""
        return json.dumps({"sha256": self.sha256, **self._body()}, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Gold:
        """Read the file's text; ValueError where its hash is not that of its content."""
        values = json.loads(text)
        kinds = {kind: tuple(GoldPlay.from_json(play) for play in values[kind]) for kind in KINDS}
        gold = cls(values["env_id"], **kinds, version=values["version"])
        if gold.sha256 != values["sha256"]:
            raise ValueError("the gold suite was edited: restore its file from the repository")
        return gold

    def replay(self, play: GoldPlay) -> Play:
        """Play one entry in the real game; ValueError where the game no longer draws what was frozen."""
        real = replay(self.env_id, play.level_seed, play.actions)
        if real.fingerprint != play.fingerprint:
            raise ValueError(
                f"the game {self.env_id} has changed since the gold suite was frozen (level {play.level_seed}): "
                "freeze a new suite with 'python -m worldlet.eval.freeze' and measure every world again"
            )
        return real

    def _body(self) -> dict[str, Any]:
        plays = {kind: [play.to_json() for play in getattr(self, kind)] for kind in KINDS}
        return {"format": 2, "version": self.version, "env_id": self.env_id, **plays}


def load_gold(env_id: str) -> Gold | None:
    """Read the frozen suite of a game, or None where nobody has frozen one."""
    if env_id not in FILES:
        return None
    return Gold.from_json((resources.files("worldlet.eval") / "gold" / FILES[env_id]).read_text())
