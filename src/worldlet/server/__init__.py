"""Worlds over REST and WebSocket, and the page that plays them. `run` serves; `create_app` is for embedding."""

from worldlet.server.app import create_app
from worldlet.server.launch import run
from worldlet.server.limits import ServerLimits

__all__ = ["ServerLimits", "create_app", "run"]
