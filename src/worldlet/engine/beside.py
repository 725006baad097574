"""Dream beside reality: the real game and its dream on the same actions, and how far they are apart, frame by frame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.engine.engine import Engine
from worldlet.engine.moment import SessionStart
from worldlet.engine.noise import check_seed
from worldlet.engine.places import HeroFinder, hero_finder
from worldlet.engine.session import Session
from worldlet.manifest import WorldManifest
from worldlet.metrics import psnr

CONTEXT = 8
"""Real frames that a dream is warmed up on; the starts of a world hold as many."""
TRIES = 10
HELD_OUT_SEEDS = range(2_000_000, 3_000_000)
"""Level seeds that recording keeps for testing, so that no world has seen their levels."""
EVENTS = ("", "start", "sync", "end")

GameOpener = Callable[[str | None], gymnasium.Env[Any, Any]]
"""Opens the real game, in a theme or (None) in any."""


@dataclass(frozen=True, eq=False)
class Pair:
    """The real frame and the dreamed one after the same actions, uint8 (H, W, 3), and how far they are apart.

    ``index`` counts frames since the level began, ``age`` since the dream was last opened on real frames.
    ``psnr_db`` is that of the dreamed frame against the real one, at most 100. ``hero_pixels`` is the distance
    between the real hero and the one read from the dream; None where the game tells of no hero, where the real one is
    out of the picture, and where none is found in the dream (then ``hero_lost``).
    ``event``, one of `EVENTS`: "start" of a level, "sync" of the dream, "end" of the level with this frame, or "".
    """

    real: NDArray[np.uint8]
    dream: NDArray[np.uint8]
    index: int
    age: int
    psnr_db: float
    hero_pixels: float | None
    hero_lost: bool
    level_seed: int
    event: str
    step_ms: float


class Beside:
    """A real game and a dream of it, stepped together. Not to be used from two threads at once.

    A level begins with ``CONTEXT`` real frames of doing nothing; the dream is opened on exactly those frames and
    actions, and from then on sees nothing of the game but the actions. Where the game ends a level, the next step
    begins the level of the next seed. ``close`` it when done: a real game may be a process of its own.
    """

    def __init__(self, engine: Engine, open_game: GameOpener | None = None) -> None:
        self.engine = engine
        self._open_game = open_game or (lambda theme: open_real_game(engine.manifest, theme))
        self._finder: HeroFinder | None = hero_finder(engine.manifest)
        self._rest = rest_action(engine.manifest.action_names)
        self._game = self._open_checked(None)
        self.theme: str | None = None
        self.themes: tuple[str, ...] = tuple(self._game.metadata.get("themes", ()))
        self.level_seed = 0
        self._ended = self._failed = False

    @property
    def knows_hero(self) -> bool:
        """Whether the hero's distance is measured in this game."""
        return self._finder is not None

    @property
    def session(self) -> Session:
        """The dream's session; another one after every `restart` and `sync`."""
        return self._session

    @property
    def start(self) -> SessionStart:
        """How the level on the screen began; caption and theme where the game tells them."""
        return self._start

    def restart(self, seed: int, theme: str | None = None) -> Pair:
        """Begin the real level of ``seed`` (in ``theme``, where the game has themes) and the dream of it."""
        check_seed(seed)
        if theme != self.theme or self._failed:
            self._reopen(theme)
        for level_seed in range(seed, seed + TRIES):
            if self._warm_up(level_seed):
                self.level_seed = level_seed
                self._index = 0
                self._start = self._describe(level_seed)
                self._open_dream()
                return self._pair("start")
        raise ValueError(f"{self.engine.manifest.env_id} ends within {CONTEXT} frames from seed {seed}: try another")

    def step(self, action: int | str) -> Pair:
        """Do an action in both; after the end of a level begin the next level instead, after an error this one."""
        if self._ended:
            return self.restart(self.level_seed + 1, self.theme)
        if self._failed:  # nobody knows whether the game did the last action, so both begin anew
            return self.restart(self.level_seed, self.theme)
        number = self.engine.manifest.action_index(action)
        self._failed = True  # a game that fails now is opened anew by `restart`
        frame, _, terminated, truncated, info = self._game.step(number)
        self._failed = False
        if info.get("frame_missing"):  # the game ended without drawing a last frame: there is nothing to compare
            self._ended = True
            return self._pair("end")
        self._info = info
        self._frames.append(np.array(frame))
        self._actions.append(number)
        step_ms = float(self._session.step(number).metrics["step_ms"])
        self._index += 1
        self._ended = bool(terminated or truncated)
        return self._pair("end" if self._ended else "", step_ms)

    def sync(self) -> Pair:
        """Open the dream anew on the last real frames and actions; the real game does not move."""
        self._open_dream()
        return self._pair("sync")

    def look(self) -> Pair:
        """Return the present pair without a step."""
        return self._pair("end" if self._ended else "")

    def close(self) -> None:
        """Free the real game."""
        self._game.close()

    def _reopen(self, theme: str | None) -> None:
        if theme is not None and theme not in self.themes:
            there = f"it has {', '.join(self.themes)}" if self.themes else "it has none"
            raise ValueError(f"the game {self.engine.manifest.env_id} has no theme {theme!r}: {there}")
        game = self._open_checked(theme)
        self._game.close()
        self._game, self.theme, self._failed = game, theme, False

    def _open_checked(self, theme: str | None) -> gymnasium.Env[Any, Any]:
        game = self._open_game(theme)
        try:
            check_game(game, self.engine.manifest)
        except ValueError:
            game.close()
            raise
        return game

    def _warm_up(self, level_seed: int) -> bool:
        """Let the game show its first frames; False where it ends meanwhile."""
        self._failed = True
        frame, self._info = self._game.reset(seed=level_seed)
        self._frames: deque[NDArray[np.uint8]] = deque([np.array(frame)], maxlen=CONTEXT)
        self._actions: deque[int] = deque(maxlen=CONTEXT - 1)
        self._ended = False
        for _ in range(CONTEXT - 1):
            frame, _, terminated, truncated, self._info = self._game.step(self._rest)
            self._frames.append(np.array(frame))
            self._actions.append(self._rest)
            self._ended = bool(terminated or truncated)
            if self._ended:
                break
        self._failed = False
        return not self._ended

    def _describe(self, level_seed: int) -> SessionStart:
        caption, theme = (self._info.get(name) for name in ("caption", "theme"))
        return SessionStart(
            caption=caption if isinstance(caption, str) else None,
            theme=theme if isinstance(theme, str) else None,
            level_seed=level_seed,
            chosen=f"by its seed {level_seed}; the dream saw its first {CONTEXT} frames and then only actions",
        )

    def _open_dream(self) -> None:
        self._session: Session = self.engine.open(
            frames=np.stack(self._frames), actions=list(self._actions), seed=self.level_seed
        )

    def _pair(self, event: str, step_ms: float = 0.0) -> Pair:
        real, dream = self._frames[-1], self._session.frame
        where = None if self._finder is None else self._finder.truth(self._info)
        seen = None if self._finder is None or where is None else self._finder.read(dream)
        return Pair(
            real=real,
            dream=dream,
            index=self._index,
            age=self._session.index,
            psnr_db=psnr(dream, real),
            hero_pixels=None if where is None or seen is None else math.dist(where, seen),
            hero_lost=where is not None and seen is None,
            level_seed=self.level_seed,
            event=event,
            step_ms=step_ms,
        )


def open_real_game(manifest: WorldManifest, theme: str | None = None) -> gymnasium.Env[Any, Any]:
    """Open the game that a world dreams of, as it was recorded; ValueError names what to install if it is missing."""
    from worldlet.games import make

    options = dict(manifest.config.get("game", {}))
    if theme is not None:
        options["themes"] = [theme]
    return make(manifest.env_id, **options)


def check_game(game: gymnasium.Env[Any, Any], manifest: WorldManifest) -> None:
    """Raise ValueError unless the game shows frames and takes actions as the world does."""
    shape = game.observation_space.shape
    if shape != (*manifest.frame_size, 3):
        height, width = manifest.frame_size
        raise ValueError(
            f"the world {manifest.name} dreams frames of {height}x{width} pixels, but {manifest.env_id} shows {shape}: "
            "record and train it again with the game as it is now"
        )
    count = getattr(game.action_space, "n", None)
    if count != len(manifest.action_names):
        raise ValueError(
            f"the world {manifest.name} knows {len(manifest.action_names)} actions, but {manifest.env_id} has {count}: "
            "record and train it again with the game as it is now"
        )


def rest_action(action_names: Sequence[str]) -> int:
    """Return the action of a player who holds no key: ``noop``, or the first where none has that name."""
    return action_names.index("noop") if "noop" in action_names else 0
