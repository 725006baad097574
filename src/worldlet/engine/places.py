"""Where the hero is: by the game's own ground truth, and read from a picture, real or dreamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldlet.manifest import WorldManifest

Place = tuple[float, float]
"""x, y on the screen in pixels."""


class HeroFinder(Protocol):
    """Finds the hero of one game."""

    def truth(self, info: Mapping[str, Any]) -> Place | None:
        """Return his place by what the game says of the present frame; None where he is not on the screen."""

    def read(self, frame_HWC: NDArray[np.uint8]) -> Place | None:
        """Return his place by the pixels of a frame; None where nobody is found."""


class PlatformerHero:
    """The hero of ``worldlet/Platformer-v0``: the top left of his box."""

    def truth(self, info: Mapping[str, Any]) -> Place | None:
        """Return ``hero_screen``, or None while he has fallen out of the picture."""
        from worldlet.games.platformer.rules import SCREEN

        x, y = (float(value) for value in info["hero_screen"])
        return (x, y) if y < SCREEN else None

    def read(self, frame_HWC: NDArray[np.uint8]) -> Place | None:
        """Return where the best-fitting picture of him stands."""
        from worldlet.games.platformer.reading import read_frame

        hero = read_frame(frame_HWC).hero
        return None if hero is None else (float(hero.x), float(hero.y))


def hero_finder(manifest: WorldManifest) -> HeroFinder | None:
    """Return who can find the hero of a world's game, or None where nobody can."""
    if manifest.env_id != "worldlet/Platformer-v0":
        return None
    from worldlet.games.platformer.rules import SCREEN

    return PlatformerHero() if manifest.frame_size == (SCREEN, SCREEN) else None
