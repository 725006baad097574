"""``worldlet prepare``: videos or pictures, with or without an action log, become a data set folder.

Two passes: the first measures every frame (kept beside the data until the end, so that a kill costs little), then the
plan follows from the measures alone, and the second pass writes shards. The folder is what ``worldlet record`` writes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.codec import require_encoders
from worldlet.data.coverage import draw_coverage, merge, summarise
from worldlet.data.framing import CELL, Box
from worldlet.data.measures import Measures
from worldlet.data.plan import Cutting, Plan, Track, by_source, make_plan
from worldlet.data.progress import FrameProgress
from worldlet.data.record import COVERAGE_NAME, SPLITS, frame_count
from worldlet.data.shards import FORMAT, MANIFEST_NAME, DataManifest, read_manifest, write_manifest
from worldlet.data.spans import FilterConfig
from worldlet.data.survey import Survey, look_at, own_rate
from worldlet.data.tracks import Tracks, log_of, with_actions, without_actions
from worldlet.data.video import Source, find_sources
from worldlet.data.vocabulary import key_bindings
from worldlet.data.writing import remove_leftovers, report_plan, write_plan
from worldlet.manifest import hash_file, write_atomic

SURVEY_FOLDER = ".survey"
_SETTINGS_NAME = "settings.json"
_LOGS = "action logs"  # as the error calls what they hold


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare and how; raises ValueError for values out of range."""

    source: str
    """A video, or a folder of videos or of pictures."""
    out: str
    """Data folder to write, or to resume if it was begun with the same settings."""
    actions: str = ""
    """Action log (.csv or .jsonl); for several videos one with a column video, or a folder of logs named like them."""
    action_names: str = ""
    """Names of the actions in order, such as noop,left,right; empty for those that the log uses."""
    most_actions: int = 32
    """Actions at most; rarer combinations of keys become the nearest commoner one."""
    log_delay: float = 0.0
    """Seconds to add to the log's times, where its clock began before or after the video's."""
    fps: float = 0.0
    """Frames a second to take; 0 for the first video's own rate, regular repeats of frames not counted."""
    size: int = 128
    """Longer side of a frame in pixels; the other follows the aspect ratio, both divisible by 8."""
    height: int = 0
    """Height of a frame, with --width in place of --size."""
    width: int = 0
    """Width of a frame."""
    crop: str = ""
    """Pixels to cut from each picture, as left,top,right,bottom."""
    bars: bool = True
    """Cut black bars."""
    flip: bool = False
    """Add a mirrored copy of every training episode, left and right actions swapped."""
    clean: bool = True
    """Drop black, glitched, menu, frozen and stuck spans."""
    cut_share: float = 0.5
    """A cut to another scene: this share of the picture jumps at once; no clip crosses one. 0 for no cuts."""
    split_by: Literal["auto", "video", "span"] = "auto"
    """Hold out whole videos, or far-apart spans; auto takes videos where there are ten or more."""
    span_seconds: float = 30.0
    """Length of a held-out span at most."""
    guard_seconds: float = 5.0
    """Training keeps this far from a held-out span of the same video."""
    val_fraction: float = 0.05
    """Part of the frames that goes to validation."""
    test_fraction: float = 0.05
    """Part of the frames that goes to testing."""
    seed: int = 0
    """Seed of what is held out."""
    episode_steps: int = 500
    """Actions of an episode at most."""
    least_steps: int = 16
    """Actions of an episode at least; shorter scraps are dropped."""
    shard_episodes: int = 64
    """Episodes of a shard at most; a kill loses no more than the shards that are being written."""
    filter: FilterConfig = field(default_factory=FilterConfig)
    """Thresholds of the quality filter."""

    def __post_init__(self) -> None:
        least = {"most_actions": 1, "fps": 0, "size": CELL, "span_seconds": 0, "guard_seconds": 0, "seed": 0}
        for name, low in (least | {"episode_steps": 1, "least_steps": 1, "shard_episodes": 1}).items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("size", "height", "width"):
            if getattr(self, name) % CELL:
                near = max(CELL, CELL * round(getattr(self, name) / CELL))
                raise ValueError(f"{name} must be divisible by {CELL}, not {getattr(self, name)}: {near} is")
        if bool(self.height) != bool(self.width):
            raise ValueError("height and width go together: give both, or --size for the longer side")
        if self.least_steps > self.episode_steps:
            raise ValueError("least_steps must not be greater than episode_steps")
        if not 0 <= self.cut_share <= 1:
            raise ValueError(f"cut_share is a share, from 0 to 1, not {self.cut_share}")
        if min(self.val_fraction, self.test_fraction) < 0 or self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction must be at least 0 and leave something for training")
        names = self.names
        if len(set(names)) < len(names):
            raise ValueError(f"action_names must name each action once: {self.action_names}")
        if self.action_names and not self.actions:
            raise ValueError("action_names goes with an action log: give one with --actions")
        _ = self.margins

    @property
    def names(self) -> list[str]:
        """The given action names."""
        return [name.strip() for name in self.action_names.split(",") if name.strip()]

    @property
    def margins(self) -> Box:
        """The given crop."""
        parts = self.crop.split(",") if self.crop else ["0"] * 4
        if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
            raise ValueError(f"crop must be four whole numbers left,top,right,bottom, not {self.crop!r}")
        left, top, right, bottom = (int(part) for part in parts)
        return left, top, right, bottom


@dataclass(frozen=True)
class PrepareSummary:
    """What a data folder holds after ``prepare``: frames kept and dropped, and which sources were skipped and why."""

    folder: str
    frames: int
    episodes: int
    dropped: dict[str, int]
    skipped: dict[str, str]


def prepare(config: PrepareConfig, console: Console | None = None) -> PrepareSummary:
    """Prepare a data folder, or go on with one begun by the same settings; a complete one is left as it is.

    Raises ValueError where there is nothing to read, no source can be used, or the folder holds something else. After
    Ctrl-C the folder can be resumed; the console says so and KeyboardInterrupt is raised again.
    """
    console = console or Console(stderr=True)
    require_encoders()
    folder, sources = Path(config.out), find_sources(config.source)
    _begin(config, folder, sources)
    if not (folder / MANIFEST_NAME).exists() or not read_manifest(folder)["complete"]:
        try:
            _prepare(config, folder, sources, console)
        except KeyboardInterrupt:
            console.print(f"Stopped. {folder} is intact: the same command goes on from there.", highlight=False)
            raise
    manifest = read_manifest(folder)
    episodes, frames = (sum(split[what] for split in manifest["splits"].values()) for what in ("episodes", "frames"))
    told = manifest["recording"]
    return PrepareSummary(str(folder), frames, episodes, told["dropped"], told["skipped"])


def _prepare(config: PrepareConfig, folder: Path, sources: list[Source], console: Console) -> None:
    skipped: dict[str, str] = {}
    surveys = _look(config, sources, skipped)
    if config.actions:
        logs = Path(config.actions).expanduser()
        known = with_actions(surveys, logs, config.names, config.most_actions, config.log_delay, config.flip, skipped)
    else:
        known = without_actions(surveys)
    measures = _measure(folder, known.tracks, sources, console)
    plan = make_plan(known.tracks, measures, _cutting(config, known))
    if not any(episode.split == "train" for episode in plan.episodes):
        raise ValueError(
            f"nothing is left of {config.source} for training (dropped: {plan.dropped or 'nothing'}): --no-clean keeps "
            "everything, --least_steps keeps shorter scraps"
        )
    manifest = _manifest(config, folder, sources, known, plan, skipped)
    with FrameProgress(console, plan.frames, done=frame_count(manifest)) as progress:
        write_plan(folder, manifest, plan, known.tracks, known.mirror_of, config.shard_episodes, progress)
    report_plan(folder, plan, known.tracks, to_dict(config.filter))
    coverage = merge(shard["coverage"] for shard in manifest["shards"])
    title = f"{config.source}: {plan.frames:,} frames of {len(known.tracks)} sources"
    write_atomic(folder / COVERAGE_NAME, draw_coverage(coverage, title))
    manifest["complete"] = True
    write_manifest(folder, manifest)
    shutil.rmtree(folder / SURVEY_FOLDER, ignore_errors=True)


def _measure(folder: Path, tracks: Sequence[Track], sources: Sequence[Source], console: Console) -> list[Measures]:
    """Measure every frame of every source, or read what an interrupted run has measured."""
    (folder / SURVEY_FOLDER).mkdir(parents=True, exist_ok=True)
    with FrameProgress(console, sum(len(track.survey) for track in tracks)) as progress:
        return [
            track.survey.measures(
                folder / SURVEY_FOLDER / f"{sources.index(track.survey.source):06d}.npz",
                lambda frames: progress.advance(frames, "measuring"),
            )
            for track in tracks
        ]


def _cutting(config: PrepareConfig, known: Tracks) -> Cutting:
    fps = known.tracks[0].survey.fps
    pictures = known.tracks[0].survey.source.kind == "pictures"  # single ones: no time, so no guard and no scraps
    return Cutting(
        fps=fps,
        pictures=pictures,
        clean=config.filter if config.clean else None,
        cut_share=config.cut_share,
        fractions={"val": config.val_fraction, "test": config.test_fraction},
        by_source=by_source(config.split_by, len(known.tracks)),
        span=round(config.span_seconds * fps),
        guard=0 if pictures else round(config.guard_seconds * fps),
        seed=config.seed,
        most_steps=config.episode_steps,
        least_steps=0 if pictures else config.least_steps,
        flip=config.flip,
    )


def _manifest(
    config: PrepareConfig,
    folder: Path,
    sources: Sequence[Source],
    known: Tracks,
    plan: Plan,
    skipped: Mapping[str, str],
) -> DataManifest:
    """Return the folder's manifest, fresh or from the run that was interrupted."""
    if (folder / MANIFEST_NAME).exists():
        return read_manifest(folder)
    first = known.tracks[0].survey
    manifest: DataManifest = {
        "format": FORMAT,
        "env_id": f"video/{Path(config.source).expanduser().resolve().stem}",
        "options": {},
        "frame_size": list(first.size),
        "fps": first.fps,
        "action_names": list(known.action_names),
        "key_bindings": key_bindings(known.action_names),
        "seed": config.seed,
        "recording": {
            "settings": _settings(config, sources),
            "labelled": known.tracks[0].labelled,
            "sources": {track.survey.source.name: _facts(track) for track in known.tracks},
            "skipped": dict(skipped),
            "dropped": plan.dropped,
        },
        "complete": False,
        "splits": {
            split: {"level_seeds": [seeds.start, seeds.stop], "episodes": 0, "frames": 0}
            for split, seeds in SPLITS.items()
        },
        "coverage": summarise(merge([])),
        "shards": [],
    }
    write_manifest(folder, manifest)
    return manifest


def _facts(track: Track) -> dict[str, Any]:
    """What the manifest tells of a source: its frames, how many were taken, its length, what was cut from each side."""
    survey = track.survey
    return {
        "kind": survey.source.kind,
        "frames": len(survey.times_F),
        "taken": len(survey),
        "seconds": round(float(survey.times_F[-1]), 3),
        "margins": list(survey.margins),
    }


def _begin(config: PrepareConfig, folder: Path, sources: Sequence[Source]) -> None:
    """Make the folder, or check that it was begun with the same settings from the same files."""
    wanted = _settings(config, sources)
    path = folder / SURVEY_FOLDER / _SETTINGS_NAME
    if (folder / MANIFEST_NAME).exists():
        found = read_manifest(folder)["recording"].get("settings")
    elif path.exists():
        found = json.loads(path.read_bytes())
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and not a data folder: choose another one")
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(wanted).encode())
        return
    if not isinstance(found, dict):
        raise ValueError(f"{folder} holds another data set: choose another folder")
    # Earlier versions did not note what the action logs held.
    other = [name for name in wanted if found.get(name, wanted[name] if name == _LOGS else None) != wanted[name]]
    if other:
        raise ValueError(
            f"{folder} was begun with other settings ({', '.join(other)}): use the same to go on, or another folder"
        )
    remove_leftovers(folder)


def _settings(config: PrepareConfig, sources: Sequence[Source]) -> dict[str, Any]:
    """Return what a resumed run must have in common with the one it goes on with."""
    settings = {name: value for name, value in to_dict(config).items() if name not in ("source", "out")}
    settings |= {"files": {source.name: sum(f.stat().st_size for f in source.files) for source in sources}}
    return settings | ({_LOGS: _hash_logs(Path(config.actions).expanduser(), sources)} if config.actions else {})


def _hash_logs(logs: Path, sources: Sequence[Source]) -> dict[str, str]:
    """Return the hash of each source's action log, of those that have one."""
    hashes, found = dict[Path, str](), dict[str, str]()
    for source in sources:
        with suppress(ValueError, OSError):  # a log that is missing is told of where it is read
            path = log_of(logs, source.name)
            found[source.name] = hashes[path] = hashes.get(path) or hash_file(path).sha256
    return found


def _look(config: PrepareConfig, sources: Sequence[Source], skipped: dict[str, str]) -> list[Survey]:
    """Look at every source once; what cannot be used is entered into ``skipped`` with the reason."""
    size: tuple[int, int] | int = (config.height, config.width) if config.height else config.size
    fps, surveys, known = config.fps, list[Survey](), dict[tuple[int, str], str]()
    for source in sources:
        try:
            if twin := _twin(source, sources, known):
                raise ValueError(f"{source.name} is the same file as {twin}")
            fps = fps or (1.0 if source.kind == "pictures" else own_rate(source))
            survey = look_at(source, fps, config.margins, config.bars, size)
        except ValueError as error:
            skipped[source.name] = str(error)
            continue
        size = survey.size
        surveys.append(survey)
    if not surveys:
        raise ValueError(f"nothing of {config.source} can be used: {next(iter(skipped.values()))}")
    return surveys


def _twin(source: Source, sources: Sequence[Source], known: dict[tuple[int, str], str]) -> str | None:
    """Return the name of an earlier video with the same bytes; only files of equal size are read for it."""
    if source.kind == "pictures":
        return None
    size = source.files[0].stat().st_size
    if sum(other.files[0].stat().st_size == size for other in sources) < 2:
        return None
    key = (size, hash_file(source.files[0]).sha256)
    twin = known.get(key)
    known.setdefault(key, source.name)
    return twin
