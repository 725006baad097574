"""Players that make data: sticky-random, the scripted runner with some mischief, and a mixture of both.

All are deterministic: the same seed and the same game give the same actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np

from worldlet.manifest import suggestion

RUNNER_GAME = "worldlet/Platformer-v0"
"""The game whose levels the scripted runner can read."""


class Policy(Protocol):
    """A player: ``act`` is asked once a frame for the action to do at the frame that ``info`` describes."""

    def reset(self, seed: int) -> None:
        """Forget the past and play the next episode by this seed."""
        ...

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the index of the next action."""
        ...


class StickyRandom:
    """Holds a random action for a while, as fingers do: it keeps the last one with probability ``stick``.

    Unless ``weights`` say otherwise, actions to the right are three times as likely as the rest, so that side-scrolling
    levels are traversed.
    """

    def __init__(self, action_names: Sequence[str], stick: float = 0.9, weights: Sequence[float] | None = None) -> None:
        weights = np.array(weights or [3.0 if "right" in name.lower() else 1.0 for name in action_names])
        self._cumulative = np.cumsum(weights / weights.sum())[:-1]
        self._stick = stick
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start again with a fresh random stream."""
        self._rng = np.random.default_rng(seed)
        self._action = self._draw()

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the held action, or now and then another."""
        if self._rng.random() >= self._stick:
            self._action = self._draw()
        return self._action

    def _draw(self) -> int:
        return int(np.searchsorted(self._cumulative, self._rng.random(), side="right"))


class Runner:
    """The platformer's own scripted runner, who reads the true level around the hero and gets on in it.

    With ``mischief`` above 0 he now and then does something else for a while, so that his runs hold deaths and every
    action as well. Raises ValueError for any other game.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], mischief: float = 0.025) -> None:
        from worldlet.games import PlatformerEnv

        game = env.unwrapped
        if not isinstance(game, PlatformerEnv):
            raise ValueError(f"the runner plays only {RUNNER_GAME}, not {env}: use the player 'sticky'")
        self._game = game
        self._mischief = mischief

    def reset(self, seed: int) -> None:
        """Start again with a fresh runner."""
        from worldlet.games.platformer.runner import Runner as LevelRunner

        self._runner = LevelRunner(seed, self._mischief)

    def act(self, info: Mapping[str, Any]) -> int:
        """Return what the runner does about the frame that the game now shows."""
        from worldlet.games.platformer.reading import truth

        return int(self._runner.act(truth(self._game)))


class Mixture:
    """Hands the controls from one player to another every 40 to 160 frames, each as often as its weight says."""

    def __init__(self, players: Sequence[Policy], weights: Sequence[float]) -> None:
        self._players = players
        self._probabilities = np.array(weights) / np.sum(weights)

    def reset(self, seed: int) -> None:
        """Start again; every player gets its own seed."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self._players) + 1)
        for player, player_seed in zip(self._players, seeds[1:], strict=True):
            player.reset(int(player_seed))
        self._rng = np.random.default_rng(seeds[0])
        self._left = 0

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the action of whoever holds the controls."""
        if self._left == 0:
            self._player = self._players[self._rng.choice(len(self._players), p=self._probabilities)]
            self._left = int(self._rng.integers(40, 161))
        self._left -= 1
        return self._player.act(info)


def default_players(env_id: str) -> str:
    """Return the mixture that suits a game: the runner where it can play, sticky-random everywhere."""
    return "runner:0.6,sticky:0.4" if env_id == RUNNER_GAME else "sticky:1"


def parse_players(players: str) -> dict[str, float]:
    """Read ``"runner:0.5,sticky:0.5"``; a name alone weighs 1. Raises ValueError for anything else."""
    weights: dict[str, float] = {}
    for part in players.split(","):
        name, _, number = part.strip().partition(":")
        if name not in _MAKERS:
            known = " and ".join(_MAKERS)
            raise ValueError(f"unknown player {name!r}{suggestion(name, _MAKERS)}: the players are {known}")
        try:
            weights[name] = float(number or 1)
        except ValueError:
            raise ValueError(f"the weight of player {name!r} must be a number, not {number!r}") from None
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError(f"the players' weights must be numbers from 0 up and not all 0: {players!r}")
    return weights


def make_policy(players: str, env: gymnasium.Env[Any, Any], action_names: Sequence[str]) -> Policy:
    """Return the mixture that ``players`` describes, ready to play ``env``."""
    weights = {name: weight for name, weight in parse_players(players).items() if weight}
    return Mixture([_MAKERS[name](env, action_names) for name in weights], list(weights.values()))


def _sticky(env: gymnasium.Env[Any, Any], action_names: Sequence[str]) -> Policy:
    return StickyRandom(action_names, weights=env.metadata.get("action_weights"))


def _runner(env: gymnasium.Env[Any, Any], action_names: Sequence[str]) -> Policy:
    return Runner(env)


_MAKERS = {"runner": _runner, "sticky": _sticky}
