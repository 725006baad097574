"""``worldlet capture``: record a running desktop or web game, at a steady rate, into the shards of a data folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.capture.demo import DemoPlayer
from worldlet.data.capture.folder import LEAST_ACTIONS, CaptureFolder, begin, find_begun
from worldlet.data.capture.keys import ActionBook, parse_keys
from worldlet.data.capture.picture import frame_size, make_frame
from worldlet.data.capture.settings import CaptureConfig, CaptureSummary, Counts, parse_viewport
from worldlet.data.capture.source import Grab, Source, SourceClosed
from worldlet.data.capture.timeline import KeyLog
from worldlet.data.codec import require_encoders
from worldlet.data.coverage import merge, summarise
from worldlet.data.progress import FrameProgress
from worldlet.data.record import SPLITS
from worldlet.data.shards import FORMAT, DataManifest

GAP_STEPS = 2.5
"""Two frames further apart than this many steps do not belong to one episode."""
LAGGING_SECONDS = 10.0
"""After this time in which more steps were lost than seen, the console says so, and again after as much time."""
GUARD_SECONDS = 1.0
"""Left out where the split changes, so that no split ends in the picture with which another begins."""


@dataclass
class _Take:
    """The frames of the episode that is being captured, and their times."""

    split: str
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def capture(
    config: CaptureConfig, console: Console | None = None, open_game: Callable[[CaptureConfig], Source] | None = None
) -> CaptureSummary:
    """Capture a game into a data folder, or go on with one begun by the same config; a complete one stays as it is.

    Raises ValueError where the game cannot be captured or the folder holds something else, SourceClosed where the
    game ends before all frames are there, OSError where the disk is full: earlier shards are intact then, and the
    same config goes on. After Ctrl-C, what was captured is written and KeyboardInterrupt raised again.
    """
    console = console or Console(stderr=True)
    require_encoders()  # before anything is opened or written
    path = Path(config.out)
    found = find_begun(path, _settings(config))
    if found is not None and _frames(found) >= config.frames:
        return _summary(config, found, rate=0.0)
    with closing((open_game or open_source)(config)) as source:
        size = _frame_size(source, config, console)
        if found is not None and tuple(found["frame_size"]) != size:
            raise ValueError(f"{path} has frames of {found['frame_size']} but the game now gives {list(size)}")
        manifest = found or _fresh_manifest(config, size)
        begin(path, manifest)
        session = _Session(config, source, manifest, size)
        session.run(console)
    return _summary(config, manifest, session.rate)


def open_source(config: CaptureConfig) -> Source:
    """Open the page or find the window that a config names."""
    if config.url:
        from worldlet.data.capture.web import WebSource

        show = config.show or not config.demo
        return WebSource(config.url, config.selector, parse_viewport(config.viewport), show, config.stepped)
    from worldlet.data.capture.x11 import WindowSource

    return WindowSource(config.window, bool(config.demo))


class _Session:
    """One run of a capture: grabs by the clock, cuts episodes, hands them to the folder."""

    def __init__(self, config: CaptureConfig, source: Source, manifest: DataManifest, size: tuple[int, int]) -> None:
        self._config, self._source, self._size = config, source, size
        self._step = 1 / config.fps
        # Short recordings get short episodes, so that every split gets some.
        self._actions = max(LEAST_ACTIONS, min(config.episode_steps, config.frames // 20))
        self.folder = CaptureFolder(Path(config.out), manifest, config.shard_episodes)
        self.counts = Counts(**manifest["recording"]["captured"])
        self._shared_before = self.counts.shared
        learned = {name: keys for name, keys in manifest["key_bindings"].items() if keys}
        latency = config.latency_ms / 1000 if config.latency_ms is not None else source.latency
        # A key that is down for the later half of a step, as seen through the latency, is that step's.
        self._shift = 0.0 if latency is None else latency - self._step / 2
        self.counts.latency_ms = round(1000 * (self._shift + self._step / 2), 1)
        self._book = ActionBook(learned, learning=not config.keys)
        self._log = KeyLog()
        # A capture that is gone on with presses other keys than before.
        seed = int(np.random.SeedSequence([config.seed, self.counts.grabs]).generate_state(1)[0])
        self._player = DemoPlayer(config.demo, self._book, config.fps, seed) if config.demo else None
        self._take = _Take(self.folder.next_split())
        self._guard = 0
        self.rate = 0.0

    def run(self, console: Console) -> None:
        """Capture until all frames are there, the game ends, or Ctrl-C."""
        with FrameProgress(console, self._config.frames, done=self.folder.frames) as progress:
            try:
                self._capture(progress, console)
                self._close(complete=True)
            except (KeyboardInterrupt, SourceClosed) as error:
                self._cut(progress)
                self._close(complete=False)
                kept = f"{self.folder.path} holds {self.folder.frames:,} frames: the same command goes on from there"
                if isinstance(error, SourceClosed):
                    raise SourceClosed(f"{error}; {kept}") from error
                console.print(f"Stopped. {kept}.", highlight=False)
                raise
            finally:
                self.folder.abandon()

    def _capture(self, progress: FrameProgress, console: Console) -> None:
        source, step = self._source, self._step
        told, told_at = self.counts.lost - self.counts.grabs, source.now()
        began = due = source.now()
        grabs_before, late_before = self.counts.grabs, source.late
        while self.folder.frames < self._config.frames:
            grab = source.grab(due)
            self.folder.check()
            for event in source.events():
                self._log.add(event)
            if grab is None:
                self.counts.paused += 1
                self._cut(progress)
                due = max(due + step, source.now())
                continue
            behind = grab.time - due
            if behind >= step / 2:
                self.counts.late += 1
                self.counts.lost += int(behind / step)
                due = grab.time
            self._take_in(grab, progress)
            if self._player:
                source.hold(self._player.keys())
            due += step
            self.counts.late += source.late - late_before
            late_before = source.late
            self.counts.seconds += (now := source.now()) - began
            began = now
            if began - told_at > LAGGING_SECONDS:
                if self.counts.lost - self.counts.grabs > told:
                    rate = "lower --fps, or stop other programs"
                    console.print(f"Most frames come too late to be used: {rate}.", highlight=False)
                told, told_at = self.counts.lost - self.counts.grabs, began
            self.rate = (self.counts.grabs - grabs_before) / max(progress.seconds, 1e-9)

    def _take_in(self, grab: Grab, progress: FrameProgress) -> None:
        self.counts.grabs += 1
        self.counts.repeated += not grab.fresh
        if self._guard > 0:
            self._guard -= 1
            self.counts.guarded += 1
            return
        take = self._take
        if take.times and grab.time - take.times[-1] > GAP_STEPS * self._step:
            self._cut(progress)
            take = self._take
        take.frames.append(make_frame(grab.pixels_HWC, self._size))
        take.times.append(grab.time)
        if len(take.frames) > self._actions:
            self._cut(progress)

    def _cut(self, progress: FrameProgress) -> None:
        """End the episode: its keys become actions, the folder takes it, and the next one begins."""
        take = self._take
        if len(take.frames) > LEAST_ACTIONS:
            held = self._log.held([time - self._shift for time in take.times])
            actions = np.array([self._book.action(keys) for keys in held], np.int64)
            meta = {
                "env_id": self.folder.manifest["env_id"],
                "policy": self._config.demo or "human",
                "action_names": list(self._book.names),
                "fps": self._config.fps,
                "theme": "",
                "caption": "",
            }
            frames, times = np.stack(take.frames), np.array(take.times)
            progress.advance(self.folder.add(take.split, frames, actions, times, meta, self._changes()), take.split)
            self._log.forget(take.times[-1] - self._shift)
        split = self.folder.next_split()
        if split != take.split and take.frames:
            self._guard = round(GUARD_SECONDS / self._step)
        self._take = _Take(split)

    def _changes(self) -> dict[str, Any]:
        """Return what the manifest says of keys and steadiness by now."""
        self.counts.shared = self._shared_before + self.folder.shared
        recording = {**_settings(self._config), "captured": dict(vars(self.counts))}
        return {"action_names": list(self._book.names), "key_bindings": self._book.bindings, "recording": recording}

    def _close(self, complete: bool) -> None:
        env_id = self.folder.manifest["env_id"]
        title = f"{env_id}: {self.folder.frames:,} frames by {self._config.demo or 'human'}"
        self.folder.close(self._changes(), complete, title)


def _frame_size(source: Source, config: CaptureConfig, console: Console) -> tuple[int, int]:
    """Return the (H, W) of frames, from the first picture that can be had."""
    said = False
    while (grab := source.grab(source.now() + 0.05)) is None:
        if not said:
            console.print(f"Waiting: bring {source.title!r} to the front.", highlight=False)
            said = True
    height, width = grab.pixels_HWC.shape[:2]
    return frame_size((height, width), config.width, config.height)


def _settings(config: CaptureConfig) -> dict[str, Any]:
    """Return the settings that a folder keeps to; how many frames there are in the end is not one of them."""
    return {name: value for name, value in to_dict(config).items() if name not in ("out", "frames", "show")}


def _frames(manifest: DataManifest) -> int:
    return sum(entry["frames"] for entry in manifest["splits"].values())


def _summary(config: CaptureConfig, manifest: DataManifest, rate: float) -> CaptureSummary:
    shards, counts = manifest["shards"], manifest["recording"]["captured"]
    episodes, size = sum(shard["episodes"] for shard in shards), sum(shard["bytes"] for shard in shards)
    return CaptureSummary(config.out, _frames(manifest), episodes, size, rate, counts["late"], counts["lost"])


def _fresh_manifest(config: CaptureConfig, size: tuple[int, int]) -> DataManifest:
    book = ActionBook(parse_keys(config.keys), learning=not config.keys)
    name = config.window or config.url
    return {
        "format": FORMAT,
        "env_id": f"capture/{name}",
        "options": {},
        "frame_size": list(size),
        "fps": config.fps,
        "action_names": book.names,
        "key_bindings": book.bindings,
        "seed": config.seed,
        "recording": {**_settings(config), "captured": vars(Counts())},
        "complete": False,
        "splits": {
            split: {"level_seeds": [seeds.start, seeds.stop], "episodes": 0, "frames": 0}
            for split, seeds in SPLITS.items()
        },
        "coverage": summarise(merge([])),
        "shards": [],
    }
