"""The one way to open a game: ``worldlet.games.make``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium

from worldlet.games.adapt import AdaptedGame
from worldlet.games.calls import takes
from worldlet.games.catalog import Family, find_family, nearest


def make(
    env_id: str, *, frame_skip: int = 0, size: str = "", python: str = "", **options: Any
) -> gymnasium.Env[Any, Any]:
    """Open a game by its id: one of the catalogue, any of Gymnasium's, or ``module:name`` of a class or function.

    What comes back shows uint8 RGB frames (H, W, 3), takes actions 0 to n-1, and has ``action_names``,
    ``key_bindings`` and ``render_fps`` in its metadata; ``reset(seed=S)`` begins the level of seed S and leaves
    nothing over from before. An action is held for ``frame_skip`` of the game's frames and frames have ``size``
    (`picture.choose_size`); without them both are what suits the game. With ``python``, another environment's
    interpreter, or where the game needs an environment of its own, it runs in a child process. Other ``options`` are
    the game's own.

    Raises ValueError where the game is unknown, not installed, or refuses its options: the message says what to do.
    """
    family = find_family(env_id)
    ours = {"frame_skip": frame_skip, "size": size}
    if python:
        return _remote(Path(python), env_id, {**ours, **options})
    if family and family.setup and not _installed(family.module):
        from worldlet.games.remote.setup import environment_python

        return _remote(environment_python(family.setup), env_id, {**ours, **options})
    return make_here(env_id, frame_skip=frame_skip, size=size, **options)


def make_here(env_id: str, *, frame_skip: int = 0, size: str = "", **options: Any) -> gymnasium.Env[Any, Any]:
    """Open a game in this process; as `make`."""
    if frame_skip < 0:
        raise ValueError(f"frame_skip is {frame_skip}: it must be at least 1, or 0 for what suits the game")
    family = find_family(env_id)
    if family is not None:
        _require(family, env_id)
        options = {**family.options, **options}
    if env_id.startswith("worldlet/") and frame_skip in (0, 1) and not size:
        env: gymnasium.Env[Any, Any] = _open(env_id, options, drawn=False)  # already what we call a game
        return env
    about = family or _UNKNOWN
    return AdaptedGame(
        lambda drawn: _open(env_id, options, drawn),
        env_id,
        frame_skip=frame_skip or about.frame_skip,
        size=size,
        fps=about.fps,
        flicker=about.flicker,
        fresh=about.fresh,
        levels=about.levels,
        action_names=about.action_names,
    )


_UNKNOWN = Family("", "", "", "", ())


def _open(env_id: str, options: dict[str, Any], drawn: bool) -> Any:
    """Return the bare environment of an id, to be drawn if so; it need not be a Gymnasium one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what packages say about their own age is nothing a player can mend
            if env_id.startswith("procgen/"):
                from worldlet.games.procgen import Procgen

                return Procgen(env_id.removeprefix("procgen/"), **options)
            if env_id.startswith("crafter/"):
                from worldlet.games.crafter import Crafter

                return Crafter(**options)
            maker = _own_maker(env_id)
            if drawn and (maker is None or takes(maker, "render_mode")):
                options = {"render_mode": "rgb_array", **options}
            return maker(**options) if maker else gymnasium.make(env_id, disable_env_checker=True, **options)
    except gymnasium.error.UnregisteredEnv as error:
        raise ValueError(f"the game {env_id!r} cannot be made: {_told(error)}; {_nearest(env_id)}") from error
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise ValueError(f"the game {env_id!r} cannot be made: {_told(error)}") from error


def _own_maker(env_id: str) -> Any:
    """Return the class or function that ``module:name`` names, or None where that is an id registered by a module."""
    module, colon, name = env_id.partition(":")
    if not colon:
        return None
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # where `python` itself would look for somebody's own game
    found = getattr(importlib.import_module(module), name, None)
    return found if callable(found) else None


def _require(family: Family, env_id: str) -> None:
    """Import what brings a family of games; ValueError that says how to install it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(family.module)
    except ImportError as error:
        raise ValueError(f"the game {env_id!r} needs {family.title}: install it with: {family.install}") from error
    if family.module == "ale_py":
        module.ALEInterface.setLoggerMode(module.LoggerMode.Error)  # it greets at every start


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _remote(python: Path, env_id: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    from worldlet.games.remote.client import RemoteGame

    return RemoteGame(python, env_id, options)


def _nearest(env_id: str) -> str:
    return nearest(env_id.partition(":")[2] or env_id, list(gymnasium.registry))


def _told(error: Exception) -> str:
    """Return an error of a package as one clause."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
