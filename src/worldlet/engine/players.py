"""Who plays when nobody sits there: a sticky random player, a list of actions, or the game's own scripted player."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldlet.data.paddle import GAME as BREAKOUT
from worldlet.data.paddle import NEEDED, Paddle
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
    if player == "random":
        return _sticky_random(manifest, seed)
    if player in ("auto", "scripted"):
        scripted = _scripted(manifest, seed)
        if scripted is None and player == "scripted":
            raise ValueError(f"there is no scripted player for {manifest.env_id}: use the player 'random'")
        return scripted or _sticky_random(manifest, seed)
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


def _scripted(manifest: WorldManifest, seed: int) -> Player | None:
    """The player that the world's game has, who sees pixels alone; None where there is none."""
    if manifest.env_id == PLATFORMER and _is_our_platformer(manifest):
        return _platformer_runner(seed)
    if manifest.env_id == BREAKOUT:
        return _paddle(manifest, seed)
    return None


def _paddle(manifest: WorldManifest, seed: int) -> Player | None:
    """Keep the dreamed ball alive, as the recorder's scripted player does the real one."""
    if not set(NEEDED) <= set(manifest.action_names):
        return None
    paddle = Paddle(manifest.action_names)
    paddle.reset(seed)

    def act(frame: NDArray[np.uint8]) -> int:
        paddle.watch(frame)
        return paddle.act({})

    return act


def _platformer_runner(seed: int) -> Player:
    """Play the dream by its pixels alone, as the recorder's scripted player plays the real game."""
    from worldlet.games.platformer.reading import read_frame
    from worldlet.games.platformer.runner import PLAYER_MISCHIEF, Runner

    runner = Runner(seed, PLAYER_MISCHIEF)
    return lambda frame: runner.act(read_frame(frame))


def _is_our_platformer(manifest: WorldManifest) -> bool:
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
