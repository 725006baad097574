"""An agent's network and its file: one safetensors file holds weights, optimiser and what is known about them.

Nothing is unpickled: the policy of stable-baselines3 is built anew and filled with the tensors of the file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from worldlet.data.agents.sight import LOOKS
from worldlet.manifest import atomic_path

try:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file
    from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
except ImportError as error:
    raise ImportError("the player 'ppo' needs the agents extra: pip install 'worldlet[agents]'") from error

FORMAT = 1
_KEY = "agent"
_POLICY, _OPTIMIZER = "policy.", "optimizer."


@dataclass(frozen=True)
class AgentFacts:
    """What a file says of its agent.

    ``game`` names the environment and its options; ``actions`` counts them; ``size`` and ``repeat`` are those of its
    `Sight`; ``steps`` is how many decisions it was trained for; every row of ``returns`` is (steps, mean return of
    the episodes that ended since the row before, their number).
    """

    game: str
    actions: int
    size: int
    repeat: int
    steps: int
    returns: list[list[float]]
    format: int = FORMAT


def observation_space(size: int) -> gymnasium.spaces.Box:
    """Return the space of an agent's looks, uint8 (4, size, size)."""
    return gymnasium.spaces.Box(0, 255, (LOOKS, size, size), np.uint8)


def build_policy(facts: AgentFacts) -> ActorCriticCnnPolicy:
    """Return the untrained network: the convolutions of Mnih et al. 2015 below an actor and a critic."""
    actions = gymnasium.spaces.Discrete(facts.actions)
    # The weights come from a file: drawing orthogonal ones first would only take time.
    return ActorCriticCnnPolicy(observation_space(facts.size), actions, lambda _: 0.0, ortho_init=False)


def save_agent(path: Path, policy: ActorCriticPolicy, facts: AgentFacts) -> None:
    """Write the agent in one step, so that the file is whole whenever the process dies."""
    # Not `state_dict`, which lists the convolutions that actor and critic share three times.
    tensors = {_POLICY + name: value.detach() for name, value in policy.named_parameters()}
    for index, moments in policy.optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished:
        save_file(tensors, unfinished, metadata={_KEY: json.dumps(asdict(facts))})


def read_facts(path: Path) -> AgentFacts:
    """Return what the file says of its agent; ValueError where it is no agent of ours."""
    try:
        with safe_open(path, "pt") as file:
            values = json.loads((file.metadata() or {})[_KEY])
        facts = AgentFacts(**values)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a trained agent ({error}): delete it and train again") from error
    if facts.format != FORMAT:
        raise ValueError(f"{path} is an agent of format {facts.format}, not {FORMAT}: delete it and train again")
    return facts


def load_weights(path: Path, policy: ActorCriticPolicy, optimizer: bool = False) -> None:
    """Fill the network, and the optimiser too where asked, from a file; ValueError where it does not fit."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        with torch.no_grad():
            for name, value in policy.named_parameters():
                value.copy_(tensors[_POLICY + name])
        if optimizer:
            _load_optimizer(policy.optimizer, tensors)
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path} does not fit this agent ({error}): delete it and train again") from error


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, _, moment = name.removeprefix(_OPTIMIZER).partition(".")
            state.setdefault(int(index), {})[moment] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
