"""Players that make data: random, sticky-random, the scripted runner with some mischief, a trained agent, mixtures.

All are deterministic: the same seed and the same game give the same actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.data.paddle import GAME as PADDLE_GAME
from worldlet.data.paddle import Paddle
from worldlet.manifest import suggestion

RUNNER_GAME = "worldlet/Platformer-v0"
"""The game whose levels the scripted runner can read."""
HUMAN = "human"
"""The player who sits at the keyboard; he plays alone, in the page."""
TRAINED = "ppo"
"""The player who learns the game before he plays it."""


class Policy(Protocol):
    """A player: is shown every frame by ``watch``, then asked by ``act`` for the action to do at it.

    One who is ``blind`` looks at neither frame nor info nor game, so that he may be asked for actions ahead of time.
    """

    @property
    def blind(self) -> bool:
        """Whether what he does follows from his seed alone."""
        ...

    def reset(self, seed: int) -> None:
        """Forget the past and play the next episode by this seed."""
        ...

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """See the newest frame, uint8 RGB, whoever holds the controls; not to be changed or kept without a copy."""
        ...

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the index of the next action."""
        ...


class Blind:
    """A player who looks at nothing."""

    blind = True

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Look away."""


class Random(Blind):
    """Draws every frame's action afresh, all equally likely."""

    def __init__(self, action_names: Sequence[str]) -> None:
        self._count = len(action_names)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start again with a fresh random stream."""
        self._rng = np.random.default_rng(seed)

    def act(self, info: Mapping[str, Any]) -> int:
        """Return any action."""
        return int(self._rng.integers(self._count))


class StickyRandom(Blind):
    """Holds a random action for a while, as fingers do: it keeps the last one with probability ``stick``.

    Unless ``weights`` say otherwise, actions to the right are three times as likely as the rest, so that side-scrolling
    levels are traversed.
    """

    def __init__(self, action_names: Sequence[str], stick: float = 0.9, weights: Sequence[float] | None = None) -> None:
        odds = np.array(weights or [3.0 if "right" in name.lower() else 1.0 for name in action_names])
        self._cumulative = np.cumsum(odds / odds.sum())[:-1]
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

    blind = False

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

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Look away: he reads the level, not the picture."""

    def act(self, info: Mapping[str, Any]) -> int:
        """Return what the runner does about the frame that the game now shows."""
        from worldlet.games.platformer.reading import truth

        return int(self._runner.act(truth(self._game)))


class Mixture:
    """Hands the controls from one player to another every 40 to 160 frames, each as often as its weight says."""

    def __init__(self, players: Sequence[Policy], weights: Sequence[float]) -> None:
        self._players = players
        self._probabilities = np.array(weights) / np.sum(weights)
        self.blind = all(player.blind for player in players)

    def reset(self, seed: int) -> None:
        """Start again; every player gets its own seed."""
        seeds = np.random.SeedSequence(seed).generate_state(len(self._players) + 1)
        for player, player_seed in zip(self._players, seeds[1:], strict=True):
            player.reset(int(player_seed))
        self._rng = np.random.default_rng(seeds[0])
        self._left = 0

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Show the frame to every player, so that none is blind when he takes over."""
        for player in self._players:
            player.watch(frame_HWC)

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the action of whoever holds the controls."""
        if self._left == 0:
            self._player = self._players[self._rng.choice(len(self._players), p=self._probabilities)]
            self._left = int(self._rng.integers(40, 161))
        self._left -= 1
        return self._player.act(info)


def default_players(env_id: str) -> str:
    """Return the mixture that suits a game: a scripted player where there is one, sticky-random everywhere."""
    return {RUNNER_GAME: "runner:0.6,sticky:0.4", PADDLE_GAME: "paddle:0.8,sticky:0.2"}.get(env_id, "sticky:1")


def parse_players(players: str) -> dict[str, float]:
    """Read ``"runner:0.5,sticky:0.5"``; a name alone weighs 1. Raises ValueError for anything else."""
    weights: dict[str, float] = {}
    known = [*_MAKERS, HUMAN]
    for part in players.split(","):
        name, _, number = part.strip().partition(":")
        if name not in known:
            listed = f"{', '.join(known[:-1])} and {known[-1]}"
            raise ValueError(f"unknown player {name!r}{suggestion(name, known)}: the players are {listed}")
        try:
            weights[name] = float(number or 1)
        except ValueError:
            raise ValueError(f"the weight of player {name!r} must be a number, not {number!r}") from None
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError(f"the players' weights must be numbers from 0 up and not all 0: {players!r}")
    if HUMAN in weights and len(weights) > 1:
        raise ValueError(f"a human shares the keyboard with nobody: use --agent {HUMAN} alone, not {players!r}")
    return weights


def is_trained(players: str) -> bool:
    """Say whether someone among ``players`` must learn the game first."""
    return bool(parse_players(players).get(TRAINED))


def check_players(players: str, env: gymnasium.Env[Any, Any], action_names: Sequence[str]) -> None:
    """Raise ValueError where one of ``players`` cannot play ``env``, whoever still has to learn it left out."""
    for name, weight in parse_players(players).items():
        if weight and name not in (TRAINED, HUMAN):
            _MAKERS[name](env, action_names, None)


def make_policy(
    players: str, env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None = None
) -> Policy:
    """Return the mixture that ``players`` describes, ready to play ``env``.

    ``agents`` is the folder of trained agents; without it a player who needs training is refused (ValueError).
    """
    weights = {name: weight for name, weight in parse_players(players).items() if weight}
    if HUMAN in weights:
        raise ValueError(f"a human plays in the page, not here: record with --agent {HUMAN}")
    return Mixture([_MAKERS[name](env, action_names, agents) for name in weights], list(weights.values()))


def _random(env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None) -> Policy:
    return Random(action_names)


def _sticky(env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None) -> Policy:
    return StickyRandom(action_names, weights=env.metadata.get("action_weights"))


def _runner(env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None) -> Policy:
    return Runner(env)


def _paddle(env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None) -> Policy:
    return Paddle(action_names)


def _ppo(env: gymnasium.Env[Any, Any], action_names: Sequence[str], agents: Path | None) -> Policy:
    if agents is None:
        raise ValueError("the player 'ppo' must be trained first: `worldlet record ENV --agent ppo` does it")
    from worldlet.data.agents.player import AgentPlayer

    return AgentPlayer(agents, len(action_names))


_MAKERS = {"runner": _runner, "paddle": _paddle, "sticky": _sticky, "random": _random, TRAINED: _ppo}
