"""Worldlet's own platformer: an endless, seeded, easily dreamed game in pixel art."""

from worldlet.games.platformer.env import PlatformerEnv
from worldlet.games.platformer.vector import PlatformerVectorEnv

__all__ = ["PlatformerEnv", "PlatformerVectorEnv"]
