"""``worldlet prepare vpt INDEX``: download VPT segments, or read those of a folder, and write a data set folder.

A segment becomes one shard, written whole or not at all, so an interrupted run goes on with the next segment.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.codec import encode_episode, require_encoders
from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.progress import FrameProgress
from worldlet.data.record import COVERAGE_NAME, SPLITS, RecordSummary, split_of
from worldlet.data.shards import (
    FORMAT,
    MANIFEST_NAME,
    UNFINISHED,
    DataManifest,
    ShardWriter,
    read_manifest,
    write_manifest,
)
from worldlet.data.vpt.actions import action_names, key_bindings
from worldlet.data.vpt.download import Folder, Missing, Unreachable
from worldlet.data.vpt.index import LOG, VIDEO, Index, Segment, read_index
from worldlet.data.vpt.log import BUTTONS, mend, read_log
from worldlet.data.vpt.segment import Rules, camera_lag, read_segment
from worldlet.manifest import write_atomic

ENV_ID = "vpt"
FPS = 20.0
_CHARTED = 24  # actions in the picture of the coverage, of 4356


@dataclass(frozen=True)
class VptConfig:
    """What to prepare and how; raises ValueError for values out of range."""

    index: str
    """Index file of the VPT data (a path or URL), or a folder of .mp4 and .jsonl pairs."""
    out: str
    """Data folder to write, or to resume if it was begun with the same settings."""
    downloads: str = ""
    """Folder that keeps what is downloaded; empty for OUT-downloads."""
    segments: int = 10
    """Segments to take, of up to five minutes each; 0 for all of them."""
    seed: int = 0
    """Seed that draws them."""
    height: int = 72
    """Height of a frame in pixels, divisible by 8; the recordings are 640x360."""
    width: int = 128
    """Width of a frame in pixels, divisible by 8."""
    keep_gui: bool = False
    """Keep what happens in menus."""
    max_idle: int = 20
    """Actions in which nothing is pressed that may follow each other; what is longer is cut out. -1 keeps all."""
    skip_null: bool = False
    """Leave out every action in which nothing is pressed, as the published loader does; time then jumps."""
    episode_steps: int = 500
    """Actions of an episode at most."""
    min_steps: int = 16
    """Actions of an episode at least."""
    val_fraction: float = 0.05
    """Part of the sessions that goes to validation."""
    test_fraction: float = 0.05
    """Part of the sessions that goes to testing."""

    def __post_init__(self) -> None:
        least = {"segments": 0, "seed": 0, "height": 8, "width": 8, "max_idle": -1, "min_steps": 1}
        for name, low in (least | {"episode_steps": self.min_steps}).items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        if self.height % 8 or self.width % 8:
            raise ValueError(f"height and width must be divisible by 8, not {self.height} and {self.width}")
        if min(self.val_fraction, self.test_fraction) < 0 or self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction must be at least 0 and leave something for training")

    @property
    def rules(self) -> Rules:
        """The settings that say what of a segment becomes episodes."""
        return Rules(self.keep_gui, self.max_idle, self.skip_null, self.episode_steps, self.min_steps)


def prepare_vpt(config: VptConfig, console: Console | None = None) -> RecordSummary:
    """Write a data folder of VPT segments, or go on with one begun by the same config.

    Segments that are missing, damaged or hold nothing of use are named on the console and in the manifest, and skipped.
    Those that could not be downloaded are left for the next run, and in the end a ValueError says so. Raises ValueError
    too where the index cannot be read or the folder holds something else, or where nothing was of use.
    """
    console = console or Console(stderr=True)
    folder = Path(config.out)
    require_encoders()  # before anything is written
    index = read_index(config.index)
    chosen = index.choose(config.segments, config.seed)
    manifest = _begin(config, folder)
    skipped: dict[str, str] = manifest["recording"]["skipped"]
    done = {shard.get("source") for shard in manifest["shards"]} | skipped.keys()
    if not manifest["complete"]:
        left = [segment for segment in chosen if segment.path not in done]
        missed = 0
        with FrameProgress(console, len(chosen), done=len(chosen) - len(left), unit="segments") as progress:
            try:
                for segment in left:
                    try:
                        _write_segment(config, index, segment, folder, manifest)
                    except Unreachable as error:
                        missed += 1
                        console.print(f"Left for later: {error}", highlight=False)
                    except ValueError as error:
                        skipped[segment.path] = str(error)
                        console.print(f"Skipped {segment.path}: {error}", highlight=False)
                        write_manifest(folder, manifest)
                    progress.advance(1, segment.path)
            except KeyboardInterrupt:
                console.print(f"Stopped. {folder} is intact: the same command goes on from there.", highlight=False)
                raise
        if missed:
            raise ValueError(
                f"{missed} of {len(chosen)} segments could not be downloaded: the same command tries them again"
            )
        _finish(folder, manifest)
    splits, shards = manifest["splits"].values(), manifest["shards"]
    frames, episodes = sum(split["frames"] for split in splits), sum(split["episodes"] for split in splits)
    size = sum(shard["bytes"] for shard in shards)
    return RecordSummary(str(folder), frames, episodes, len(shards), size, 0.0)


def _begin(config: VptConfig, folder: Path) -> DataManifest:
    settings = {name: value for name, value in to_dict(config).items() if name not in ("out", "downloads")}
    if (folder / MANIFEST_NAME).exists():
        found = read_manifest(folder)
        other = [name for name in settings if found["recording"].get(name) != settings[name]]
        if other:
            was = ", ".join(f"{name} {found['recording'].get(name)!r} (now {settings[name]!r})" for name in other)
            raise ValueError(f"{folder} was begun with {was}: use the same settings to go on, or another folder")
        for leftover in folder.glob(f"*{UNFINISHED}"):
            leftover.unlink()
        return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and not a data folder: choose another one")
    folder.mkdir(parents=True, exist_ok=True)
    manifest: DataManifest = {
        "format": FORMAT,
        "env_id": ENV_ID,
        "options": {},
        "frame_size": [config.height, config.width],
        "fps": FPS,
        "action_names": list(action_names()),
        "key_bindings": key_bindings(),
        "seed": config.seed,
        "recording": {**settings, "buttons": list(BUTTONS), "skipped": {}, "camera_lags": {}},
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


def _write_segment(config: VptConfig, index: Index, segment: Segment, folder: Path, manifest: DataManifest) -> None:
    """Turn one segment into a shard and enter it into the manifest."""
    video, log = _files(config, index, segment)
    ticks = mend(read_log(log), segment.version)
    lag = camera_lag(ticks)
    seed = segment.level_seed(config.val_fraction, config.test_fraction)
    split = split_of(seed)
    number = sum(shard["split"] == split for shard in manifest["shards"])
    writer = ShardWriter(folder / f"{split}-{number:06d}.tar")
    frames, coverages = 0, list[dict[str, Any]]()
    try:
        for episode in read_segment(video, ticks, config.rules, (config.height, config.width)):
            key = f"{split}-{number:06d}-{len(coverages):03d}"
            episode.meta.update(
                {
                    "episode_id": key,
                    "env_id": ENV_ID,
                    "level_seed": seed,
                    "split": split,
                    "policy": "human",
                    "action_names": manifest["action_names"],
                    "fps": FPS,
                    "theme": "",
                    "caption": "",
                    "events": {},
                    "source": segment.path,
                }
            )
            coverages.append(episode_coverage(episode, {}))
            episode.meta["action_names"] = []  # 4356 names that the manifest holds once
            writer.write(key, encode_episode(episode))
            frames += len(episode.frames_THWC)
        if not coverages:
            raise ValueError("no span of it is usable by the rules given")
        file = writer.close()
    except BaseException:
        writer.discard()
        raise
    manifest["splits"][split]["episodes"] += len(coverages)
    manifest["splits"][split]["frames"] += frames
    manifest["recording"]["camera_lags"][segment.path] = lag
    manifest["shards"].append(
        {
            "file": writer.path.name,
            "split": split,
            "sha256": file.sha256,
            "bytes": file.bytes,
            "episodes": len(coverages),
            "frames": frames,
            "coverage": merge(coverages),
            "source": segment.path,
        }
    )
    manifest["coverage"] = summarise(merge(shard["coverage"] for shard in manifest["shards"]))
    write_manifest(folder, manifest)


def _files(config: VptConfig, index: Index, segment: Segment) -> tuple[Path, Path]:
    """Return video and log of a segment, downloaded where they are not at hand."""
    names = segment.path + VIDEO, segment.path + LOG
    if not index.remote:
        video, log = (Path(index.basedir) / name for name in names)
        for path in (video, log):
            if not path.is_file():
                raise ValueError(f"{path} is missing")
        return video, log
    kept = Folder(Path(config.downloads or f"{config.out.rstrip('/')}-downloads"))
    try:
        # The log first: it is small, and tells whether there is anything to see.
        log, video = (kept.fetch(index.basedir + name, name) for name in reversed(names))
    except Missing as error:
        raise ValueError(f"{error}: some segments of the index were never uploaded") from error
    return video, log


def _finish(folder: Path, manifest: DataManifest) -> None:
    if not manifest["shards"]:
        reasons = Counter(manifest["recording"]["skipped"].values()).most_common(1)
        raise ValueError(
            f"no segment could be used; most often because {reasons[0][0] if reasons else 'there is none'}"
        )
    coverage = merge(shard["coverage"] for shard in manifest["shards"])
    common = sorted(coverage["actions"].items(), key=lambda item: -item[1])[:_CHARTED]
    title = f"VPT: {sum(shard['frames'] for shard in manifest['shards']):,} frames, the {len(common)} commonest actions"
    write_atomic(folder / COVERAGE_NAME, draw_coverage({**coverage, "actions": dict(common)}, title))
    manifest["complete"] = True
    write_manifest(folder, manifest)
