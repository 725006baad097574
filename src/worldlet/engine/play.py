"""Play without a screen: a player of our own plays the dream, and the frames go into a film."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from worldlet.engine.engine import Engine, load
from worldlet.engine.film import open_film, track_steps
from worldlet.engine.players import make_player


@dataclass(frozen=True)
class PlaySummary:
    """What came of it: the file, its number of frames, frames dreamed a second, and how the session started."""

    path: Path
    frames: int
    fps: float
    start: str

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} frames, dreamed at {self.fps:.0f} frames a second; start: {self.start}"


def play_headless(
    world: Engine | str | Path,
    steps: int = 300,
    seed: int = 0,
    out: str | Path = "dream.gif",
    player: str | Path = "auto",
    prompt: str | None = None,
    theme: str | None = None,
    scale: int = 2,
) -> PlaySummary:
    """Dream ``steps`` frames after the first and write them to ``out`` (``.gif``, ``.mp4`` or ``.png``).

    ``world`` is an engine or what ``worldlet.load`` takes; ``player`` is ``auto``, ``scripted``, ``random`` or a JSON
    file of actions; ``scale`` enlarges the pixels. The same seed gives the same frames. Raises ValueError, and then
    nothing is written.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, not {steps}")
    engine = world if isinstance(world, Engine) else load(world)
    session = engine.open(prompt=prompt, seed=seed, theme=theme)
    act = make_player(player, engine.manifest, seed)
    busy_seconds = 0.0
    with open_film(out, engine.manifest.fps, scale) as film:
        film.add(session.frame)
        for _ in track_steps(steps, "dreaming"):
            action = act(session.frame)
            began = time.perf_counter()
            result = session.step(action)
            busy_seconds += time.perf_counter() - began
            film.add(result.frame)
    caption = f"{session.start.caption!r}, picked {session.start.chosen}"
    return PlaySummary(Path(out), film.frames, steps / busy_seconds, caption)
