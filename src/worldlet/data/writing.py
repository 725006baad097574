"""The second pass of ``worldlet prepare``: planned episodes become shards, the splits side by side, resumable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import encode_episode
from worldlet.data.coverage import episode_coverage
from worldlet.data.dropped import Drop, save_picture, write_report
from worldlet.data.plan import Plan, PlannedEpisode, Track
from worldlet.data.progress import FrameProgress
from worldlet.data.record import SHARD_BYTES, SPLITS, enter_shard
from worldlet.data.shards import MANIFEST_NAME, UNFINISHED, DataManifest, ShardWriter
from worldlet.records import Episode

POLICY = "video"
"""Who played, as far as the meta of an episode from a video can tell."""


@dataclass
class _Shard:
    """A shard being written, and what it holds so far."""

    writer: ShardWriter
    frames: int = 0
    coverages: list[dict[str, Any]] = field(default_factory=list)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for leftover in (*folder.glob(f"*{UNFINISHED}"), *folder.glob(f".{Path(MANIFEST_NAME).stem}.*")):
        leftover.unlink()


def write_plan(
    folder: Path,
    manifest: DataManifest,
    plan: Plan,
    tracks: Sequence[Track],
    mirror_of: Sequence[int],
    shard_episodes: int,
    progress: FrameProgress,
) -> None:
    """Write the episodes that the manifest does not count yet, ``shard_episodes`` at once into a shard for each split.

    ``mirror_of[a]`` is the action that does in a mirrored picture what ``a`` does.
    """
    done = {split: entry["episodes"] for split, entry in manifest["splits"].items()}
    left = [episode for episode in plan.episodes if episode.index >= done[episode.split]]
    episodes = _read(left, tracks, manifest, mirror_of)
    while batch := list(islice(episodes, 1)):
        shards: dict[str, _Shard] = {}
        try:
            while batch:
                _add(folder, manifest, shards, *batch[0])
                progress.advance(len(batch[0][1].frames_THWC), "writing")
                count = sum(len(shard.coverages) for shard in shards.values())
                full = count >= shard_episodes or any(shard.writer.bytes >= SHARD_BYTES for shard in shards.values())
                batch = [] if full else list(islice(episodes, 1))
            for split in sorted(shards):
                shard = shards[split]
                file = shard.writer.close()
                enter_shard(folder, manifest, split, shard.writer.path.name, file, shard.frames, shard.coverages)
        except BaseException:
            for shard in shards.values():
                shard.writer.discard()
            raise


def report_plan(folder: Path, plan: Plan, tracks: Sequence[Track], thresholds: Mapping[str, Any]) -> None:
    """Write the report of what the plan drops, with the first frame of every span that can be decoded."""
    drops = list[Drop]()
    for source, track in enumerate(tracks):
        survey, spans = track.survey, [span for number, span in plan.spans if number == source]
        firsts = np.array([span.first for span in spans], np.int64)
        for span, frame in zip(spans, survey.frames(firsts) if spans else (), strict=True):
            name = survey.source.name
            picture = "" if frame is None else save_picture(folder, f"{name}-{span.first}", frame)
            seconds = round((span.stop - span.first) / survey.fps, 3)
            place = (name, name, span.first, span.stop, span.first)
            drops.append(Drop(*place, seconds, span.reason, span.figure, picture))
    write_report(folder, {track.survey.source.name: len(track.survey) for track in tracks}, drops, thresholds)


def _add(folder: Path, manifest: DataManifest, shards: dict[str, _Shard], key: str, episode: Episode) -> None:
    split = episode.meta["split"]
    if split not in shards:
        number = sum(shard["split"] == split for shard in manifest["shards"])
        shards[split] = _Shard(ShardWriter(folder / f"{split}-{number:06d}.tar"))
    shards[split].writer.write(key, encode_episode(episode))
    shards[split].frames += len(episode.frames_THWC)
    shards[split].coverages.append(episode_coverage(episode, {}))


def _read(
    episodes: Sequence[PlannedEpisode], tracks: Sequence[Track], manifest: DataManifest, mirror_of: Sequence[int]
) -> Iterator[tuple[str, Episode]]:
    """Yield key and episode in the planned order; each source is decoded once, a mirrored copy comes from memory."""
    for source, group in groupby(episodes, key=lambda episode: episode.source):
        mine, track = list(group), tracks[source]
        ranges = dict.fromkeys((episode.first, episode.first + episode.steps + 1) for episode in mine)
        stream = track.survey.frames(np.concatenate([np.arange(first, stop) for first, stop in ranges]))
        for _, copies in groupby(mine, key=lambda episode: episode.first):
            frames_THWC: NDArray[np.uint8] | None = None
            for planned in copies:
                if frames_THWC is None:
                    frames_THWC = _stack(list(islice(stream, planned.steps + 1)), track)
                yield (
                    f"{planned.split}-{planned.index:06d}",
                    _episode(planned, track, frames_THWC, manifest, mirror_of),
                )


def _stack(frames: list[NDArray[np.uint8] | None], track: Track) -> NDArray[np.uint8]:
    whole = [frame for frame in frames if frame is not None]
    if len(whole) < len(frames):
        raise ValueError(f"{track.survey.source.name} changed while it was read: start again in another folder")
    return np.stack(whole)


def _episode(
    planned: PlannedEpisode,
    track: Track,
    frames_THWC: NDArray[np.uint8],
    manifest: DataManifest,
    mirror_of: Sequence[int],
) -> Episode:
    survey, first = track.survey, planned.first
    actions_T = track.actions_T[first : first + planned.steps]
    if planned.mirrored:
        frames_THWC = np.ascontiguousarray(frames_THWC[:, :, ::-1])
        actions_T = np.asarray(mirror_of, np.int64)[actions_T]
    meta = {
        "episode_id": f"{planned.split}-{planned.index:06d}",
        "env_id": manifest["env_id"],
        # No level: the number only tells the split, as the levels of recorded games do.
        "level_seed": SPLITS[planned.split].start + planned.index,
        "split": planned.split,
        "policy": POLICY,
        "action_names": manifest["action_names"],
        "fps": manifest["fps"],
        "theme": "",
        "caption": "",
        "events": {},
        "source": survey.source.name,
        "source_frames": [int(survey.picked_T[first]), int(survey.picked_T[first + planned.steps])],
        "source_seconds": round(float(survey.times_F[survey.picked_T[first]]), 3),
        "mirrored": planned.mirrored,
    }
    return Episode(frames_THWC, actions_T.copy(), {}, meta)
