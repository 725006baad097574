"""What to capture and how, strict; what a capture counted; and what it came to."""

from __future__ import annotations

from dataclasses import dataclass

from worldlet.data.capture.folder import LEAST_ACTIONS
from worldlet.data.capture.keys import parse_keys
from worldlet.data.capture.picture import GRAIN


@dataclass(frozen=True)
class CaptureConfig:
    """Which game to capture, how, and where to; raises ValueError for values out of range."""

    out: str
    """Data folder to write, or to go on with if it was begun with the same settings."""
    window: str = ""
    """Part of the title or class of the desktop window to capture (X11), such as SuperTux."""
    url: str = ""
    """Address of the web game to capture, instead of a window."""
    frames: int = 18_000
    """Frames to capture, over all splits; Ctrl-C stops earlier and keeps what is there."""
    fps: float = 30.0
    """Frames a second."""
    width: int = 128
    """Width of the frames in pixels, a multiple of 8."""
    height: int = 0
    """Height of the frames, a multiple of 8; 0 for what keeps the aspect ratio."""
    keys: str = ""
    """Actions and their keys, such as right=ArrowRight,jump=Space|KeyW,right_jump=ArrowRight+Space; empty for an
    action of its own for every combination that is pressed."""
    demo: str = ""
    """Who presses the keys: sticky, random, or a JSON file of actions and seconds; empty for you."""
    seed: int = 0
    """Seed of the random players."""
    selector: str = ""
    """CSS selector of the game's element on the page; empty for the largest canvas, or the whole page."""
    viewport: str = "800x600"
    """Size of the page in pixels."""
    show: bool = False
    """Show the page even where a player of ours presses the keys."""
    stepped: bool = False
    """Give the page the time of one frame after another instead of real time: slower, and no frame is ever late."""
    latency_ms: float | None = None
    """Time from a key to the picture that shows it; measured for a web game, half a step for a window, unless given."""
    episode_steps: int = 500
    """Actions of an episode at most."""
    shard_episodes: int = 8
    """Episodes of a shard at most; a kill loses no more than the shards that are being written."""

    def __post_init__(self) -> None:
        if bool(self.window) == bool(self.url):
            raise ValueError("say what to capture: either --window TITLE or --url ADDRESS")
        for name, least in {"frames": 1, "seed": 0, "episode_steps": LEAST_ACTIONS, "shard_episodes": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 1 <= self.fps <= 120:
            raise ValueError(f"fps must be from 1 to 120, not {self.fps}")
        for name, least in {"width": GRAIN, "height": 0}.items():
            if getattr(self, name) < least or getattr(self, name) % GRAIN:
                raise ValueError(f"{name} must be a multiple of {GRAIN}, not {getattr(self, name)}")
        if self.latency_ms is not None and not 0 <= self.latency_ms <= 1000:
            raise ValueError(f"latency_ms must be from 0 to 1000, not {self.latency_ms}")
        if self.stepped and not (self.url and self.demo):
            raise ValueError("a stepped page runs in no real time: it needs --url and a --demo player")
        parse_keys(self.keys)
        parse_viewport(self.viewport)
        if self.demo and not self.keys:
            raise ValueError("say which keys the player may press, such as --keys right=ArrowRight,jump=Space")


@dataclass(frozen=True)
class CaptureSummary:
    """What a data folder holds after ``capture``, and how steady this run was."""

    folder: str
    frames: int
    episodes: int
    bytes: int
    frames_per_second: float
    late: int
    lost: int


@dataclass
class Counts:
    """How steady a capture was, over all runs of a folder."""

    grabs: int = 0
    """Pictures taken."""
    seconds: float = 0.0
    """Time in which they were taken, on the game's clock."""
    repeated: int = 0
    """Pictures in which nothing new was drawn."""
    late: int = 0
    """Pictures that came half a step or more behind their time."""
    lost: int = 0
    """Steps for which there was no picture at all."""
    latency_ms: float = 0.0
    """Time from a key to the picture that shows it, as it was taken to be in the last run."""
    paused: int = 0
    """Steps in which the window was hidden or had no keyboard."""
    guarded: int = 0
    """Frames left out where the split changed."""
    shared: int = 0
    """Frames left out because another split holds the same picture."""


def parse_viewport(text: str) -> tuple[int, int]:
    """Read ``"800x600"`` as (width, height); ValueError for anything else."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 64):
        raise ValueError(f"the viewport must be two numbers from 64 up such as 800x600, not {text!r}")
    return int(width), int(height)
