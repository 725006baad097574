"""One episode: a player plays a Gymnasium game by a level seed, and what happened becomes an ``Episode``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.data.policies import Policy
from worldlet.games.making import make
from worldlet.games.remote.client import GameGone, RemoteGame
from worldlet.records import FACT_KEYS, Episode


@dataclass(frozen=True)
class GameFacts:
    """What the recorder needs to know of a game: (H, W), frames a second, names of actions, keys on a keyboard."""

    frame_size: tuple[int, int]
    fps: float
    action_names: tuple[str, ...]
    key_bindings: dict[str, Any]


def open_game(env_id: str, options: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    """Open a game as ``worldlet.games.make`` does."""
    return make(env_id, **options)


def describe_game(env: gymnasium.Env[Any, Any]) -> GameFacts:
    """Read a game's facts from its spaces and metadata; actions without names are called by their numbers."""
    assert isinstance(env.observation_space, gymnasium.spaces.Box)
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    height, width = env.observation_space.shape[:2]
    metadata, count = env.metadata, int(env.action_space.n)
    names = metadata.get("action_names")
    if names is None and hasattr(env.unwrapped, "get_action_meanings"):
        names = [name.lower() for name in env.unwrapped.get_action_meanings()]
    names = tuple(names) if names is not None else tuple(str(action) for action in range(count))
    if len(names) != count:
        raise ValueError(f"the game names {len(names)} actions but has {count}")
    bindings = {name: [list(keys) for keys in combos] for name, combos in metadata.get("key_bindings", {}).items()}
    return GameFacts((height, width), float(metadata.get("render_fps") or 30), names, bindings)


class GameFailed(ValueError):
    """A game raised an error of its own in the middle of an episode; the message says after how many actions."""


_AHEAD = 16  # actions that a blind player decides ahead of time
_ROOM = 1000  # frames that there is room for at first: an episode may have as many as it likes


def play_episode(
    env: gymnasium.Env[Any, Any], policy: Policy, level_seed: int, steps: int
) -> tuple[NDArray[np.uint8], list[int], list[dict[str, Any]]]:
    """Play up to ``steps`` actions: frames uint8 (T+1, H, W, 3), T actions, T+1 infos, ``infos[t]`` for ``frames[t]``.

    A game that ends sooner gives a shorter episode, its last frame included unless the game says that it drew none.
    Raises GameFailed where the game does not survive it.
    """
    actions, infos = list[int](), list[dict[str, Any]]()
    try:
        frame, info = env.reset(seed=level_seed)
    except Exception as error:
        raise GameFailed(f"at its start: {_told(error)}") from error
    # Copies, because a game may draw every frame into the same buffer.
    frames_THWC = np.empty((min(steps, _ROOM) + 1, *frame.shape), np.uint8)
    frames_THWC[0] = frame
    infos.append(keep_info(info))
    ahead, ended = _AHEAD if policy.blind else 1, False
    while not ended and len(actions) < steps:
        wanted = list[int]()
        for _ in range(min(ahead, steps - len(actions))):
            policy.watch(frames_THWC[len(actions)])
            wanted.append(policy.act(info))
        try:
            for action, (frame, _, terminated, truncated, info) in zip(wanted, _play(env, wanted), strict=False):
                drawn = not info.get("frame_missing")
                ended = bool(terminated or truncated) or not drawn
                if drawn:
                    actions.append(action)
                    if len(actions) == len(frames_THWC):
                        frames_THWC = np.concatenate([frames_THWC, np.empty_like(frames_THWC)])
                    frames_THWC[len(actions)] = frame
                    infos.append(keep_info(info))
                if ended:
                    break
        except Exception as error:
            unsure = isinstance(error, GameGone) and len(wanted) > 1
            within = f"within {len(wanted)} actions " if unsure else ""
            raise GameFailed(f"{within}after {len(actions)} actions: {_told(error)}") from error
    return frames_THWC[: len(infos)], actions, infos


def _play(
    env: gymnasium.Env[Any, Any], actions: Sequence[int]
) -> Iterator[tuple[Any, Any, bool, bool, dict[str, Any]]]:
    """Yield what a game's ``step`` returns for each action; a game in another process plays them in one go."""
    return env.play(actions) if isinstance(env, RemoteGame) else map(env.step, actions)


def _told(error: Exception) -> str:
    told = " ".join(str(error).split())
    return told if isinstance(error, ValueError) and told else f"{type(error).__name__}: {told}"


def has_levels(env: gymnasium.Env[Any, Any], tries: int = 6) -> bool:
    """Return whether seeds make levels: the game says so, or shows another first frame for every one of a few seeds."""
    told = env.metadata.get("levels")
    if told is not None:
        return bool(told)
    return len({env.reset(seed=seed)[0].tobytes() for seed in range(tries)}) == tries


def make_episode(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    actions: Sequence[int],
    infos: Sequence[Mapping[str, Any]],
    meta: Mapping[str, Any],
) -> Episode:
    """Put what was played into an episode; ``meta["events"]`` lists for each event the frames it led to."""
    events: dict[str, list[int]] = {}
    for index, info in enumerate(infos):
        for event in info.get("events", ()):
            events.setdefault(event, []).append(index)
    texts = {name: str(infos[0].get(name, "")) for name in ("theme", "caption")}
    return Episode(np.asarray(frames), np.array(actions, np.int64), _facts(infos), {**meta, **texts, "events": events})


def keep_info(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the recorder keeps of a game's ``info``, copied."""
    if not info:
        return {}
    snapshot: dict[str, Any] = {key: np.array(info[key]) for key in FACT_KEYS if key in info}
    snapshot |= {key: info[key] for key in _PLAIN_KEYS if key in info}
    events = info.get("events", ())
    if events and isinstance(events, tuple | list) and all(isinstance(event, str) for event in events):
        snapshot["events"] = events
    return snapshot


_PLAIN_KEYS = ("theme", "caption", "distance")


def _facts(infos: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    # Another game may use one of these names for something else, or only at times: then it is no fact of ours.
    facts = {}
    for key in FACT_KEYS:
        rows = [info[key] for info in infos if key in info]
        if len(rows) < len(infos) or rows[0].dtype.kind not in "biuf":
            continue
        if all(row.dtype == rows[0].dtype and row.shape == rows[0].shape for row in rows):
            facts[key] = np.stack(rows)
    return facts
