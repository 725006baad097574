"""Worldlet: a game becomes a small neural network that you can play.

``worldlet.load("platformer")`` gives an engine; ``engine.open(seed=7)`` a session; ``session.step("right")`` a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldlet.engine.engine import load
    from worldlet.manifest import WorldError
    from worldlet.records import Clip, Episode, StepResult

__version__ = "0.1.0"

__all__ = ["Clip", "Episode", "StepResult", "WorldError", "__version__", "load"]

_HOMES = {
    "load": "worldlet.engine.engine",
    "WorldError": "worldlet.manifest",
    "Clip": "worldlet.records",
    "Episode": "worldlet.records",
    "StepResult": "worldlet.records",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that ``import worldlet`` itself costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'worldlet' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
