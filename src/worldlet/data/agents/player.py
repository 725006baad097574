"""A trained agent as a player: its own taste draws among good actions, and now and then it does anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.agents.network import AgentFacts, build_policy, load_weights, read_facts, torch
from worldlet.data.agents.sight import Sight

AGENT_NAME = "ppo.safetensors"
"""The agent's file inside the folder of agents."""


class AgentPlayer:
    """Decides once a look, by chance as the network's logits weigh it, and holds that action until the next look.

    ``temperature`` above 1 evens the odds, towards 0 the best action alone is left. With probability ``epsilon`` a
    decision is any action, so that a record also shows what follows a mistake. Raises ValueError where ``folder``
    holds no agent for a game of so many ``actions``.
    """

    blind = False

    def __init__(self, folder: Path, actions: int, temperature: float = 1.0, epsilon: float = 0.05) -> None:
        path = folder / AGENT_NAME
        if not path.is_file():
            raise ValueError(f"there is no trained agent in {folder}: `worldlet record ENV --agent ppo` trains one")
        stat = path.stat()
        self.facts, self._policy = _load(path, stat.st_mtime_ns, stat.st_size)
        if self.facts.actions != actions:
            raise ValueError(f"the agent in {folder} knows {self.facts.actions} actions, the game has {actions}")
        self._temperature, self._epsilon = temperature, epsilon
        self._sight = Sight(self.facts.size, self.facts.repeat)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start again with a fresh memory and a fresh random stream."""
        self._rng = np.random.default_rng(seed)
        self._sight.forget()
        self._action: int | None = None
        self._asked = False

    def watch(self, frame_HWC: NDArray[np.uint8]) -> None:
        """See the frame; a new look, or having been without the controls, calls for a new decision."""
        if self._sight.watch(frame_HWC) or not self._asked:
            self._action = None
        self._asked = False

    def act(self, info: Mapping[str, Any]) -> int:
        """Return the held action, or decide."""
        self._asked = True
        if self._action is None:
            self._action = self._decide()
        return self._action

    def logits(self) -> NDArray[np.float64]:
        """Return the network's logits over actions, (actions,), for what it sees now."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # the last bits, and so the record, must not depend on the machine's cores
        try:
            with torch.no_grad():
                looks = torch.as_tensor(self._sight.looks[None])
                distribution: Any = self._policy.get_distribution(looks).distribution
                return np.asarray(distribution.logits[0], np.float64)
        finally:
            torch.set_num_threads(before)

    def _decide(self) -> int:
        if self._rng.random() < self._epsilon:
            return int(self._rng.integers(self.facts.actions))
        logits = self.logits() / self._temperature
        odds = np.exp(logits - logits.max())
        cumulative = np.cumsum(odds / odds.sum())[:-1]
        return int(np.searchsorted(cumulative, self._rng.random(), side="right"))


@lru_cache(maxsize=1)
def _load(path: Path, modified: int, size: int) -> tuple[AgentFacts, Any]:
    # A worker plays many episodes with one agent; time and size tell when the file is another.
    facts = read_facts(path)
    policy = build_policy(facts)
    load_weights(path, policy)
    policy.set_training_mode(False)
    return facts, policy
