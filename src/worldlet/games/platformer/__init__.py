"""Worldlet's own platformer: an endless, seeded, easily dreamed game in pixel art."""

from worldlet.games.platformer.env import PlatformerEnv, PlatformerVectorEnv

__all__ = ["PlatformerEnv", "PlatformerVectorEnv"]
