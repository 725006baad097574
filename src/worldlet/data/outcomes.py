"""Which actions come to the same: the real game, asked at every moment what each action would have led to.

A hero in the air cannot leap, a hero at a wall cannot run: there no judge can tell the keys apart from pixels, and none
should be blamed. Letters: T actions of a play, M moments looked at, A actions of the game.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.data.play import open_game
from worldlet.records import Clip, Episode

Game = gymnasium.Env[Any, Any]
EARLY = 48
"""Where every answer is a replay from the start of a level, moments from this one on are not asked about."""
RESET_STEPS = 10
"""So many steps of a game its reset is reckoned to take."""


class NotTheSameGameError(ValueError):
    """The game does not show again what was recorded, so it cannot tell what other actions would have led to."""


def game_of(play: Episode | Clip, options: dict[str, Any]) -> Callable[[], Game]:
    """Return what makes the game that a recorded play was played in; ValueError where it cannot be made here."""
    env_id = str(play.meta["env_id"])
    open_game(env_id, options).close()
    return lambda: open_game(env_id, options)


def ask(
    make: Callable[[], Game],
    plays: Sequence[Episode | Clip],
    moments: Sequence[NDArray[np.int64]],
    horizon: int,
    steps: int,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.bool_]]]:
    """Return `outcome_classes` (M, A) of the moments of each play, and which of those moments (M,) were asked about.

    All were where the game can be copied. Else each answer is a replay from the start of the level, and only those
    `within_reach` of ``steps`` steps of the game were; elsewhere every action is a class of its own. Raises
    NotTheSameGameError where one of the recorded plays does not come again.
    """
    count = len(plays[0].meta["action_names"])
    asked = [np.ones(len(moments_M), bool) for moments_M in moments]
    classes = [np.tile(np.arange(count), (len(moments_M), 1)) for moments_M in moments]
    with kept_open(make) as again:
        if not can_copy(again, plays[0]):
            ends = np.cumsum([len(moments_M) for moments_M in moments])[:-1]
            asked = np.split(within_reach(np.concatenate(moments), count, horizon, steps), ends)
        for play, moments_M, classes_MA, asked_M in zip(plays, moments, classes, asked, strict=True):
            if asked_M.any():
                classes_MA[asked_M] = outcome_classes(again, play, moments_M[asked_M], horizon)
    return classes, asked


def within_reach(moments_M: NDArray[np.int64], actions: int, horizon: int, steps: int) -> NDArray[np.bool_]:
    """Return which of some moments (M,) to ask about by replays that take ``steps`` steps of the game at most.

    Those before `EARLY` (or, where all are late, up to twice the first), thinned out evenly.
    """
    cost_M = actions * (moments_M + horizon + RESET_STEPS)
    first = int(moments_M.min()) if len(moments_M) else 0
    early = np.flatnonzero(moments_M < max(EARLY, 2 * first + 1))
    chosen = np.zeros(len(moments_M), bool)
    for count in range(len(early), 0, -1):
        places = early[np.linspace(0, len(early) - 1, count).round().astype(int)]
        if cost_M[places].sum() <= steps:
            chosen[places] = True
            break
    return chosen


@contextmanager
def kept_open(make: Callable[[], Game]) -> Iterator[Callable[[], Game]]:
    """Yield what makes the game, but hands out the same one again where a reset leaves nothing over from before.

    To open a game may take seconds (CoinRun's first reset does).
    """
    opened: list[Game] = []

    def again() -> Game:
        if opened and not opened[0].metadata.get("fresh_reset"):
            opened.pop().close()
        if not opened:
            opened.append(make())
        return _KeptOpen(opened[0])

    try:
        yield again
    finally:
        for env in opened:
            env.close()


class _KeptOpen(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A game that somebody else closes."""

    def close(self) -> None:
        """Leave it open."""


def can_copy(make: Callable[[], Game], play: Episode | Clip) -> bool:
    """Return whether deep copies of a game are games of their own, tried at the start of a recorded play.

    Raises NotTheSameGameError where the game begins with another frame.
    """
    try:
        _by_copies(make, play, [0], 1)
    except _NO_COPIES:
        return False
    return True


def outcome_classes(
    make: Callable[[], Game],
    play: Episode | Clip,
    moments_M: Sequence[int] | NDArray[np.int64],
    horizon: int = 2,
) -> NDArray[np.int64]:
    """Return for each moment the class of each action, int64 (M, A): the smallest action that comes to the same.

    ``play`` is a play from its level's start (its ``meta`` tells the ``level_seed``), and a moment is the index of
    one of its actions. At each moment every action is tried in a copy of the game that has seen the same history,
    followed by the recorded actions; those whose next ``horizon`` frames are identical are one class. Copies are deep
    copies where the game survives that, else the history is replayed. Raises NotTheSameGameError, a ValueError,
    where the recorded frames do not come again.
    """
    wanted = sorted({int(moment) for moment in moments_M})
    if horizon < 1 or (wanted and not 0 <= wanted[0] <= wanted[-1] < len(play)):
        raise ValueError(f"moments lie within the {len(play)} actions of the play, and horizon is at least 1")
    if not wanted:
        return np.zeros((0, len(play.meta["action_names"])), np.int64)
    try:
        found = _by_copies(make, play, wanted, horizon)
    except _NO_COPIES:
        found = _by_replay(make, play, wanted, horizon)
    return np.stack([found[int(moment)] for moment in moments_M])


class _NoCopyError(Exception):
    """A deep copy of the game is not a game of its own."""


_NO_COPIES = (TypeError, AttributeError, RuntimeError, _NoCopyError)  # an unfinished method is a RuntimeError


def _by_copies(make: Callable[[], Game], play: Episode | Clip, moments: list[int], horizon: int) -> dict[int, Any]:
    found: dict[int, NDArray[np.int64]] = {}
    with closing(make()) as env:
        _check(play, 0, env.reset(seed=play.meta["level_seed"])[0], NotTheSameGameError)
        for t in range(moments[-1] + 1):
            if t in moments:
                tails = [_tail(copy.deepcopy(env), play, t, action, horizon) for action in range(_actions(env))]
                # A copy that shares state with the game would show something else from the second one on.
                if tails[play.actions_T[t]] != _recorded_tail(play, t, horizon):
                    raise _NoCopyError
                found[t] = _classes(tails)
            _check(play, t + 1, env.step(int(play.actions_T[t]))[0], _NoCopyError)
    return found


def _by_replay(make: Callable[[], Game], play: Episode | Clip, moments: list[int], horizon: int) -> dict[int, Any]:
    found: dict[int, NDArray[np.int64]] = {}
    with closing(make()) as env:
        for t in moments:
            tails = []
            for action in range(_actions(env)):
                _check(play, 0, env.reset(seed=play.meta["level_seed"])[0], NotTheSameGameError)
                for before in range(t):
                    _check(play, before + 1, env.step(int(play.actions_T[before]))[0], NotTheSameGameError)
                tails.append(_tail(env, play, t, action, horizon))
            if tails[play.actions_T[t]] != _recorded_tail(play, t, horizon):
                raise NotTheSameGameError(_unlike(play, t + 1))
            found[t] = _classes(tails)
    return found


def _tail(env: Game, play: Episode | Clip, t: int, action: int, horizon: int) -> list[bytes]:
    """Return the digests of the frames that an action at ``t`` leads to, the play's own actions following."""
    digests = []
    for chosen in [action, *play.actions_T[t + 1 : t + horizon]]:
        frame, _, terminated, truncated, _ = env.step(int(chosen))
        digests.append(_digest(frame))
        if terminated or truncated:
            break
    return digests


def _recorded_tail(play: Episode | Clip, t: int, horizon: int) -> list[bytes]:
    return [_digest(frame) for frame in play.frames_THWC[t + 1 : t + 1 + horizon]]


def _classes(tails: list[list[bytes]]) -> NDArray[np.int64]:
    return np.array([tails.index(tail) for tail in tails], np.int64)


def _check(play: Episode | Clip, index: int, frame: Any, error: type[Exception]) -> None:
    if _digest(frame) != _digest(play.frames_THWC[index]):
        raise error(_unlike(play, index))


def _unlike(play: Episode | Clip, index: int) -> str:
    name = play.meta.get("episode_id", "the play")
    return f"the game shows another frame {index} than {name} has: record again with this version of the game"


def _digest(frame: Any) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()


def _actions(env: Game) -> int:
    assert isinstance(env.action_space, gymnasium.spaces.Discrete)
    return int(env.action_space.n)
