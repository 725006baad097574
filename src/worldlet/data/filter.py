"""``worldlet filter``: a data set without its black, glitched, menu, frozen and stuck spans, and a report of them.

Shard for shard, so that a kill costs one shard; an episode without such a span keeps its very bytes. The rules are
those of ``worldlet prepare`` (`worldlet.data.spans`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.codec import decode_episode, encode_episode, require_encoders
from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.dropped import Drop, save_picture, write_report
from worldlet.data.measures import measure
from worldlet.data.progress import FrameProgress
from worldlet.data.record import COVERAGE_NAME, enter_shard, frame_count
from worldlet.data.shards import (
    MANIFEST_NAME,
    DataManifest,
    ShardEntry,
    ShardWriter,
    read_manifest,
    read_samples,
    write_manifest,
)
from worldlet.data.spans import FilterConfig, find_spans, runs
from worldlet.data.writing import remove_leftovers
from worldlet.manifest import hash_file, write_atomic
from worldlet.records import Episode


@dataclass(frozen=True)
class CleanConfig:
    """What to filter and where to; raises ValueError for values out of range."""

    data: str
    """Data folder to read; it stays as it is."""
    out: str
    """Data folder to write, or to resume if it was begun with the same settings."""
    least_steps: int = 16
    """Actions of an episode at least; shorter scraps between dropped spans are dropped too."""
    filter: FilterConfig = field(default_factory=FilterConfig)
    """Thresholds of the rules."""

    def __post_init__(self) -> None:
        if self.least_steps < 1:
            raise ValueError(f"least_steps must be at least 1, not {self.least_steps}")


@dataclass(frozen=True)
class CleanSummary:
    """What a filtered data folder holds, and how many frames were dropped by reason."""

    folder: str
    frames: int
    episodes: int
    dropped: dict[str, int]


def clean(config: CleanConfig, console: Console | None = None) -> CleanSummary:
    """Filter a data folder, or go on with a run begun by the same settings; a complete one is left as it is.

    Raises ValueError for a folder that is no complete data set or is damaged, and where nothing would be left.
    """
    console = console or Console(stderr=True)
    require_encoders()
    data, folder = Path(config.data), Path(config.out)
    source = read_manifest(data)
    if not source["complete"]:
        raise ValueError(f"{data} is not complete: let the command that began it finish first")
    if data.resolve() == folder.resolve():
        raise ValueError(f"{folder} cannot be filtered in place: give another folder with --out")
    manifest = _begin(config, source, folder)
    if not manifest["complete"]:
        try:
            _clean_shards(config, data, folder, source, manifest, console)
        except KeyboardInterrupt:
            console.print(f"Stopped. {folder} is intact: the same command goes on from there.", highlight=False)
            raise
        _finish(config, folder, source, manifest)
    episodes = sum(split["episodes"] for split in manifest["splits"].values())
    return CleanSummary(str(folder), frame_count(manifest), episodes, manifest["recording"]["filter"]["dropped"])


def _begin(config: CleanConfig, source: DataManifest, folder: Path) -> DataManifest:
    settings = {"least_steps": config.least_steps, **to_dict(config.filter)}
    shards = [shard["sha256"] for shard in source["shards"]]
    if (folder / MANIFEST_NAME).exists():
        manifest = read_manifest(folder)
        told = manifest["recording"].get("filter", {})
        if (told.get("settings"), told.get("shards")) != (settings, shards):
            raise ValueError(f"{folder} was begun from other data or with other settings: use another folder")
        remove_leftovers(folder)
        return manifest
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and not a data folder: choose another one")
    manifest = copy.deepcopy(source)
    manifest["recording"]["filter"] = {"settings": settings, "shards": shards, "dropped": {}, "done": {}}
    manifest["shards"], manifest["complete"] = [], False
    for entry in manifest["splits"].values():
        entry["episodes"] = entry["frames"] = 0
    manifest["coverage"] = summarise(merge([]))
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)
    return manifest


def _clean_shards(
    config: CleanConfig, data: Path, folder: Path, source: DataManifest, manifest: DataManifest, console: Console
) -> None:
    done = manifest["recording"]["filter"]["done"]
    left = [shard for shard in source["shards"] if shard["file"] not in done]
    before = frame_count(source) - sum(shard["frames"] for shard in left)
    with FrameProgress(console, frame_count(source), done=before) as progress:
        for shard in left:
            _clean_shard(config, data, folder, shard, manifest, progress)


def _clean_shard(
    config: CleanConfig,
    data: Path,
    folder: Path,
    shard: ShardEntry,
    manifest: DataManifest,
    progress: FrameProgress,
) -> None:
    """Write what is left of a shard under its own name and enter it, with what was dropped, into the manifest."""
    writer, drops = ShardWriter(folder / shard["file"]), list[Drop]()
    place, frames, coverages = 0, 0, list[dict[str, Any]]()
    try:
        for key, members in _samples(data / shard["file"], shard["sha256"]):
            episode = decode_episode(members)
            found = find_drops(episode, config.filter, folder, shard["file"], key, place)
            drops += found
            for name, piece in _pieces(key, episode, found, config.least_steps):
                writer.write(name, members if piece is episode else encode_episode(piece))
                frames += len(piece.frames_THWC)
                coverages.append(episode_coverage(piece, _last_info(piece)))
            place += len(episode.frames_THWC)
            progress.advance(len(episode.frames_THWC), shard["split"])
        file = writer.close() if coverages else None
    except BaseException:
        writer.discard()
        raise
    told = manifest["recording"]["filter"]
    told["done"][shard["file"]] = [asdict(drop) for drop in drops]
    for drop in drops:
        told["dropped"][drop.reason] = told["dropped"].get(drop.reason, 0) + drop.stop - drop.first
    if file is None:
        writer.discard()
        write_manifest(folder, manifest)
    else:
        enter_shard(folder, manifest, shard["split"], shard["file"], file, frames, coverages)


def find_drops(episode: Episode, config: FilterConfig, folder: Path, row: str, key: str, place: int) -> list[Drop]:
    """Return the spans of an episode that are no play, and save their first frames for the report in ``folder``."""
    fps = float(episode.meta.get("fps", 30))
    measures = measure(episode.frames_THWC, episode.frames_THWC.shape[1:3])
    spans = find_spans(measures, fps, config, episode.actions_T if _labelled(episode) else None)
    return [
        Drop(
            row, key, span.first, span.stop, place + span.first, round((span.stop - span.first) / fps, 3), span.reason,
            span.figure, save_picture(folder, f"{key}-{span.first}", episode.frames_THWC[span.first]),
        )
        for span in spans
    ]  # fmt: skip


def _labelled(episode: Episode) -> bool:
    return len(episode.meta.get("action_names", ())) > 1


def _samples(path: Path, sha256: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    if not path.is_file() or hash_file(path).sha256 != sha256:
        raise ValueError(f"the shard {path} is missing or damaged: record the data set again")
    return read_samples(path)


def _pieces(key: str, episode: Episode, drops: list[Drop], least_steps: int) -> Iterator[tuple[str, Episode]]:
    """Yield what is left of an episode: itself where nothing was dropped, else its pieces."""
    if not drops:
        yield key, episode
        return
    keep_T = np.ones(len(episode.frames_THWC), np.bool_)
    for drop in drops:
        keep_T[drop.first : drop.stop] = False
    for first, stop in runs(keep_T):
        if stop - first > least_steps:
            name = f"{key}-{first:06d}"
            yield name, _piece(name, episode, first, stop)


def _piece(name: str, episode: Episode, first: int, stop: int) -> Episode:
    events = {
        event: [frame - first for frame in frames if first <= frame < stop]
        for event, frames in episode.meta.get("events", {}).items()
    }
    meta = {**episode.meta, "episode_id": name, "first_frame": first}
    meta["events"] = {event: frames for event, frames in events.items() if frames}
    clip = episode.clip(first, stop - first - 1)
    return Episode(clip.frames_THWC, clip.actions_T, clip.facts, meta)


def _last_info(episode: Episode) -> dict[str, Any]:
    return {name: rows[-1] for name, rows in episode.facts.items()}


def _finish(config: CleanConfig, folder: Path, source: DataManifest, manifest: DataManifest) -> None:
    told = manifest["recording"]["filter"]
    drops = [Drop(**drop) for shard in source["shards"] for drop in told["done"][shard["file"]]]
    write_report(folder, {shard["file"]: shard["frames"] for shard in source["shards"]}, drops, to_dict(config.filter))
    if not manifest["splits"]["train"]["episodes"]:
        raise ValueError(f"nothing of {config.data} is left for training: {folder / 'report'} shows why")
    coverage = merge(shard["coverage"] for shard in manifest["shards"])
    title = f"{manifest['env_id']}: {frame_count(manifest):,} frames after filtering"
    write_atomic(folder / COVERAGE_NAME, draw_coverage(coverage, title))
    manifest["complete"] = True
    write_manifest(folder, manifest)
