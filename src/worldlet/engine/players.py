"""Who plays when nobody sits there: a sticky random player, a list of actions, or the game's own scripted player."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldlet.manifest import WorldManifest

Player = Callable[[NDArray[np.uint8]], int]
"""Sees the present frame, uint8 (H, W, 3), and returns the number of the action to do at it."""

PLATFORMER = "worldlet/Platformer-v0"
HOLD_FRAMES = (4, 20)
RIGHT_BIAS = 4.0


def make_player(player: str | Path, manifest: WorldManifest, seed: int) -> Player:
    """Make a player: ``auto``, ``scripted``, ``random``, or the path of a file that lists actions.

    ``auto`` is the scripted player where the world's game has one, otherwise the random one. Raises ValueError.
    """
    scripted = _has_script(manifest)
    if player == "scripted" and not scripted:
        raise ValueError(f"there is no scripted player for {manifest.env_id}: use the player 'random'")
    if player == "random" or (player == "auto" and not scripted):
        return _sticky_random(manifest, seed)
    if player in ("auto", "scripted"):
        return _platformer_runner(seed)
    return _action_list(Path(player), manifest)


def _sticky_random(manifest: WorldManifest, seed: int) -> Player:
    """Hold random actions for a while each; those that lead right come more often, so that one gets somewhere."""
    rng = np.random.default_rng(seed)
    weights = np.array([RIGHT_BIAS if "right" in name else 1.0 for name in manifest.action_names])
    queue: list[int] = []

    def act(frame: NDArray[np.uint8]) -> int:
        if not queue:
            action = int(rng.choice(len(weights), p=weights / weights.sum()))
            queue.extend([action] * int(rng.integers(*HOLD_FRAMES, endpoint=True)))
        return queue.pop()

    return act


def _platformer_runner(seed: int) -> Player:
    """Play the dream by its pixels alone, as the recorder's scripted player plays the real game."""
    from worldlet.games.platformer.reading import read_frame
    from worldlet.games.platformer.runner import PLAYER_MISCHIEF, Runner

    runner = Runner(seed, PLAYER_MISCHIEF)
    return lambda frame: runner.act(read_frame(frame))


def _has_script(manifest: WorldManifest) -> bool:
    if manifest.env_id != PLATFORMER:
        return False
    from worldlet.games.platformer.rules import ACTION_NAMES, SCREEN

    return manifest.action_names == tuple(ACTION_NAMES) and manifest.frame_size == (SCREEN, SCREEN)


def _action_list(path: Path, manifest: WorldManifest) -> Player:
    """Read a JSON list of action numbers or names, and do them one after the other."""
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} is no player: use 'auto', 'scripted', 'random' or a JSON file with a list of actions"
        ) from error
    if not isinstance(listed, list):
        raise ValueError(f"{path} must hold a JSON list of actions, numbers or names")
    actions = iter([manifest.action_index(action) for action in listed])

    def act(frame: NDArray[np.uint8]) -> int:
        action = next(actions, None)
        if action is None:
            raise ValueError(f"{path} lists {len(listed)} actions and more steps were asked for: lower the steps")
        return action

    return act
