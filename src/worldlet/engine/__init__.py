"""Plays a world: bundle (the checked folder), backends (how a frame is computed), session, engine. No torch here."""

from worldlet.engine.engine import Engine, load
from worldlet.engine.session import Session
from worldlet.engine.snapshots import SnapshotError

__all__ = ["Engine", "Session", "SnapshotError", "load"]
