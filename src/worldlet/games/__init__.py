"""Games to learn from, as Gymnasium environments with ground truth in `info`."""

import gymnasium

from worldlet.games.making import make
from worldlet.games.platformer import PlatformerEnv, PlatformerVectorEnv

__all__ = ["PlatformerEnv", "PlatformerVectorEnv", "make", "register"]


def register() -> None:
    """Make the games known to `gymnasium.make`; calling it again changes nothing."""
    if "worldlet/Platformer-v0" not in gymnasium.registry:
        gymnasium.register(
            "worldlet/Platformer-v0",
            entry_point="worldlet.games.platformer:PlatformerEnv",
            vector_entry_point="worldlet.games.platformer:PlatformerVectorEnv",
        )


register()
