"""The games that Worldlet knows by name: what brings them, and the settings under which they are worth learning."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Family:
    """Games that one package brings."""

    title: str
    pattern: str
    """Which ids belong to it, as in a shell."""
    module: str
    """What must be importable; importing it makes the ids known to Gymnasium."""
    install: str
    """The command that brings it."""
    examples: tuple[str, ...]
    """Ids to suggest."""
    setup: str = ""
    """The environment of its own that `worldlet setup` makes for it, where it cannot share ours."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that its games are made with unless told otherwise."""
    action_names: tuple[str, ...] = ()
    """Names of the actions, where the package gives none and all its games have the same."""
    frame_skip: int = 1
    """Frames that an action is held for unless told otherwise."""
    fps: float = 0.0
    """Frames a second of the game itself, where the package does not say it or says it wrong."""
    flicker: bool = False
    """Whether things are drawn only in every other frame."""
    fresh: bool = False
    """Whether its own `reset(seed)` leaves nothing over from the episode before."""
    levels: bool | None = None
    """Whether seeds make levels, so that splits can be held out by seed; None where it differs from game to game."""


PROCGEN_NAMES = (
    "bigfish", "bossfight", "caveflyer", "chaser", "climber", "coinrun", "dodgeball", "fruitbot",
    "heist", "jumper", "leaper", "maze", "miner", "ninja", "plunder", "starpilot",
)  # fmt: skip

FAMILIES = (
    Family(
        title="Worldlet's own",
        pattern="worldlet/*",
        module="worldlet.games",
        install="nothing",
        examples=("worldlet/Platformer-v0",),
        fresh=True,
        levels=True,
    ),
    Family(
        title="Procgen",
        pattern="procgen/*",
        module="procgen",
        install="worldlet setup procgen",
        examples=tuple(f"procgen/{name}" for name in PROCGEN_NAMES),
        setup="procgen",
        fresh=True,
        levels=True,
    ),
    Family(
        title="Atari",
        pattern="ALE/*",
        module="ale_py",
        install="pip install 'worldlet[atari]'",
        examples=("ALE/Breakout-v5", "ALE/Pong-v5"),
        # Every frame from the emulator, and no action ignored by chance: what the keys do must show.
        options={"frameskip": 1, "repeat_action_probability": 0.0},
        frame_skip=4,
        fps=60.0,
        flicker=True,
        fresh=True,
        levels=False,
    ),
    Family(
        title="MiniGrid",
        pattern="MiniGrid-*",
        module="minigrid",
        install="pip install 'worldlet[minigrid]'",
        examples=("MiniGrid-FourRooms-v0", "MiniGrid-DoorKey-8x8-v0", "MiniGrid-MultiRoom-N6-v0"),
        fresh=True,
    ),
    Family(
        title="Crafter",
        pattern="crafter/*",
        module="crafter",
        install="pip install 'worldlet[crafter]'",
        examples=("crafter/Crafter-v1",),
        fresh=True,
        levels=True,
    ),
    Family(
        title="Flappy Bird",
        pattern="FlappyBird-*",
        module="flappy_bird_gymnasium",
        install="worldlet setup flappy",
        examples=("FlappyBird-v0",),
        setup="flappy",
        action_names=("noop", "flap"),
        fresh=True,
    ),
    Family(
        title="ViZDoom",
        pattern="Vizdoom*",
        module="vizdoom.gymnasium_wrapper",
        install="pip install 'worldlet[vizdoom]'",
        examples=("VizdoomMyWayHome-v1", "VizdoomHealthGathering-v1", "VizdoomBasic-v1", "VizdoomDefendCenter-v1"),
        fresh=True,
    ),
)


def find_family(env_id: str) -> Family | None:
    """Return the family that an id belongs to, or None for a game that is not in the catalogue."""
    return next((family for family in FAMILIES if fnmatch.fnmatchcase(env_id, family.pattern)), None)


def nearest(env_id: str, known: list[str]) -> str:
    """Return a clause that names the nearest known id, with what brings it where something must be installed."""
    catalogue = {example: family for family in FAMILIES for example in family.examples}
    # Case and the parts before a slash are what people misremember.
    spelled = {name.lower(): name for name in [*known, *catalogue]}
    tails = {name.lower().rpartition("/")[2]: name for name in [*known, *catalogue]}
    wanted = env_id.lower()
    ours = {name.lower().rpartition("/")[2]: name for name in catalogue}
    tail = wanted.rpartition("/")[2]
    for names, word, cutoff in ((ours, tail, 0.95), (spelled, wanted, 0.55), (tails, tail, 0.55)):
        found = difflib.get_close_matches(word, list(names), n=1, cutoff=cutoff)
        if found:
            name = names[found[0]]
            family = catalogue.get(name)
            brings = "" if family is None or family.install == "nothing" else f" (install it with: {family.install})"
            return f"did you mean {name!r}?{brings}"
    return f"known games are {', '.join(family.examples[0] for family in FAMILIES)}, and any id of Gymnasium"
