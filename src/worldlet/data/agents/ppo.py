"""Trains an agent to play a game with PPO (Schulman et al. 2017, arXiv:1707.06347) from stable-baselines3."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from worldlet.data.agents.curve import draw_returns
from worldlet.data.agents.network import AgentFacts, load_weights, observation_space, read_facts, save_agent
from worldlet.data.agents.player import AGENT_NAME
from worldlet.data.agents.sight import Sight
from worldlet.data.progress import FrameProgress
from worldlet.manifest import write_atomic

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.vec_env import DummyVecEnv
except ImportError as error:
    raise ImportError("the player 'ppo' needs the agents extra: pip install 'worldlet[agents]'") from error

DECISIONS_A_SECOND = 15
"""How often an agent decides in the game's own time, about as often as a quick human."""
SAVE_SECONDS = 30.0
"""A kill loses no more than this much training."""
PICTURE_NAME = "ppo.png"


@dataclass(frozen=True)
class AgentConfig:
    """How to train: ``steps`` decisions in all, in ``envs`` games side by side of the level seeds ``levels``.

    ``repeat`` frames pass between decisions, 0 for what the game's ``fps`` suggests; a look is ``size`` pixels wide
    and high; a game that never ends is begun anew after ``episode_frames``. ``rate`` (Adam's) and ``batch`` are PPO's.
    """

    game: str
    fps: float
    levels: range
    steps: int
    seed: int = 0
    repeat: int = 0
    size: int = 84
    envs: int = 8
    episode_frames: int = 4000
    rate: float = 2.5e-4
    batch: int = 256

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"an agent needs at least 1 step of training, not {self.steps}")

    @property
    def frames_per_decision(self) -> int:
        """Frames from one decision to the next."""
        return self.repeat or max(1, round(self.fps / DECISIONS_A_SECOND))


class AgentGame(gymnasium.Env[Any, Any]):
    """A game as PPO trains on it: looks instead of frames, decisions instead of actions, rewards cut to [-1, 1].

    ``info["episode"]`` at an episode's end holds its true return ``r`` and its length ``l`` in decisions.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], config: AgentConfig, seed: list[int]) -> None:
        self._env, self._config = env, config
        self._rng = np.random.default_rng(seed)
        self._sight = Sight(config.size, config.frames_per_decision)
        assert isinstance(env.action_space, gymnasium.spaces.Discrete)
        self.observation_space = observation_space(config.size)
        self.action_space = gymnasium.spaces.Discrete(int(env.action_space.n))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin a level drawn from the training levels."""
        levels = self._config.levels
        frame, _ = self._env.reset(seed=levels[int(self._rng.integers(len(levels)))])
        self._sight.forget()
        self._sight.watch(np.asarray(frame))
        self._frames, self._decisions, self._return = 0, 0, 0.0
        return self._sight.looks, {}

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Hold an action until the next look, or until the game ends."""
        reward, ended, looked = 0.0, False, False
        while not (looked or ended):
            frame, gained, terminated, truncated, _ = self._env.step(int(action))
            reward += float(gained)
            self._frames += 1
            truncated = truncated or self._frames >= self._config.episode_frames
            ended = terminated or truncated
            looked = self._sight.watch(np.asarray(frame))
        self._decisions += 1
        self._return += reward
        info = {"episode": {"r": self._return, "l": self._decisions, "t": 0.0}} if ended else {}
        return self._sight.looks, float(np.clip(reward, -1, 1)), terminated, truncated and not terminated, info

    def close(self) -> None:
        """Close the game."""
        self._env.close()


def train_agent(
    make_env: Callable[[], gymnasium.Env[Any, Any]], config: AgentConfig, folder: Path, console: Console
) -> AgentFacts:
    """Train the agent in ``folder``, or train it on, until it has made ``config.steps`` decisions.

    An agent that is there already keeps its own sight; one of another game is a ValueError. After Ctrl-C the agent is
    saved and KeyboardInterrupt raised again; the same call goes on from there.
    """
    path = folder / AGENT_NAME
    found = read_facts(path) if path.exists() else None
    if found and found.game != config.game:
        raise ValueError(f"{path} was trained for {found.game}, not for {config.game}: use another folder")
    if found and found.steps >= config.steps:
        return found
    if found:
        config = replace(config, size=found.size, repeat=found.repeat)
    done = found.steps if found else 0
    games = DummyVecEnv([_maker(make_env, config, [config.seed, index, done]) for index in range(config.envs)])
    try:
        return _learn(games, config, path, found, console)
    finally:
        games.close()


def _maker(
    make_env: Callable[[], gymnasium.Env[Any, Any]], config: AgentConfig, seed: list[int]
) -> Callable[[], AgentGame]:
    return lambda: AgentGame(make_env(), config, seed)


def _learn(
    games: DummyVecEnv, config: AgentConfig, path: Path, found: AgentFacts | None, console: Console
) -> AgentFacts:
    # What stable-baselines3's zoo publishes as tuned for Atari, but for a constant rate, so that training can go on.
    model = PPO(
        "CnnPolicy", games, n_steps=128, batch_size=config.batch, n_epochs=4, learning_rate=config.rate,
        clip_range=0.1, ent_coef=0.01, vf_coef=0.5, seed=config.seed, verbose=0,
    )  # fmt: skip
    assert isinstance(games.action_space, gymnasium.spaces.Discrete)
    actions = int(games.action_space.n)
    if found:
        load_weights(path, model.policy, optimizer=True)
        model.num_timesteps = found.steps
    facts = found or AgentFacts(config.game, actions, config.size, config.frames_per_decision, 0, [])
    keeper = _Keeper(path, facts)
    with FrameProgress(console, config.steps, done=facts.steps, unit="decisions") as progress:
        try:
            model.learn(config.steps - facts.steps, callback=_Reporter(keeper, progress), reset_num_timesteps=False)
        except KeyboardInterrupt:
            keeper.save(model)
            console.print("Stopped. The agent is saved: the same command trains it on.", highlight=False)
            raise
    keeper.save(model)
    console.print(_verdict(keeper.facts), highlight=False)
    return keeper.facts


class _Keeper:
    """Saves the agent and its curve, and remembers how well it plays."""

    def __init__(self, path: Path, facts: AgentFacts) -> None:
        self.facts = facts
        self._path = path
        self._episodes: list[float] = []
        self._saved = time.monotonic()

    def note(self, returned: float) -> None:
        """Take down the return of an episode that ended."""
        self._episodes.append(returned)

    def save_when_due(self, model: PPO) -> None:
        """Save, if the last time is long ago."""
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save(model)

    def save(self, model: PPO) -> None:
        """Write the agent's file and the picture of its returns."""
        rows = list(self.facts.returns)
        if self._episodes:
            rows.append([model.num_timesteps, float(np.mean(self._episodes)), len(self._episodes)])
        self._episodes = []
        self.facts = replace(self.facts, steps=model.num_timesteps, returns=rows)
        save_agent(self._path, model.policy, self.facts)
        write_atomic(self._path.with_name(PICTURE_NAME), draw_returns(self.facts))
        self._saved = time.monotonic()


class _Reporter(BaseCallback):
    """Stands between PPO and the rest: counts decisions, collects returns, saves between updates."""

    def __init__(self, keeper: _Keeper, progress: FrameProgress) -> None:
        super().__init__()
        self._keeper, self._progress = keeper, progress
        self._told = "agent"

    def _on_rollout_start(self) -> None:
        # Here the last update is complete: weights and optimiser belong together.
        self._keeper.save_when_due(self.model)  # type: ignore[arg-type]

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._keeper.note(info["episode"]["r"])
        return True

    def _on_rollout_end(self) -> None:
        recent = self.model.ep_info_buffer
        if recent:
            self._told = f"agent, return {np.mean([episode['r'] for episode in recent]):.2f}"
        assert self.training_env is not None
        self._progress.advance(self.training_env.num_envs * self.model.n_steps, self._told)  # type: ignore[attr-defined]


def _verdict(facts: AgentFacts) -> str:
    if not facts.returns:
        return "The agent is trained; no episode has ended yet, so its return is unknown."
    first, last = facts.returns[0], facts.returns[-1]
    text = f"The agent is trained: mean return {first[1]:.2f} at {first[0]:,.0f} decisions, {last[1]:.2f} at the end."
    if not any(row[1] for row in facts.returns):
        text += " This game never gave a reward, so the agent had nothing to learn from."
    return text
