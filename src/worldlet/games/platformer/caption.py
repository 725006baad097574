"""What the screen shows, in plain English."""

from worldlet.games.platformer.art import COIN, KIND_OF_TILE, PIT, PLATFORM, SPIKE
from worldlet.games.platformer.rules import Game

_PLACES = {
    "grass": "a grassy land under a blue sky with clouds",
    "desert": "a sandy desert in the sun",
    "snow": "a snowy land on a winter day",
    "cave": "a dark stone cave",
    "night": "a night of stars and a moon over old bricks",
    "lava": "a volcano land with glowing lava",
}
_TILES = {COIN: "coins", SPIKE: "spikes", PIT: "a gap", PLATFORM: "platforms"}


def caption(game: Game) -> str:
    """Return one sentence without a full stop: the theme, and which things are on the screen now."""
    kinds = set(KIND_OF_TILE[game.grid].ravel().tolist())
    things = [name for kind, name in _TILES.items() if kind in kinds]
    if game.enemies:
        things.append("an enemy")
    place = f"2D platformer in {_PLACES[game.theme]}"
    if not things:
        return place
    return f"{place} with {', '.join(things[:-1]) + ' and ' if len(things) > 1 else ''}{things[-1]}"
