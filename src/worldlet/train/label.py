"""`worldlet label`: actions for video that came without, from a little labelled data, or from codes that someone named.

With labelled data a judge (inverse dynamics) reads the actions, and the spans that it is unsure of are dropped. With
neither labels nor codes, latent actions are looked for and shown, so that the user can name them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from worldlet.data.codec import encode_episode
from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.progress import FrameProgress
from worldlet.data.record import COVERAGE_NAME, enter_shard
from worldlet.data.shards import (
    MANIFEST_NAME,
    UNFINISHED,
    DataManifest,
    ShardWriter,
    read_episodes,
    read_manifest,
    write_manifest,
)
from worldlet.dynamics.inverse import JSON_NAME, InverseDynamics
from worldlet.manifest import write_atomic
from worldlet.records import Episode
from worldlet.train.judge import JudgeConfig, summary, train_judge, wants
from worldlet.train.latent_codes import LatentCodesConfig, Named, find_codes, read_codes
from worldlet.train.verdicts import sureness

JUDGE_FOLDER = "judge"


@dataclass(frozen=True)
class LabelConfig:
    """What to label with what. ValueError for values out of range."""

    unlabelled: str
    """Data folder of video without actions, as `worldlet prepare` makes it; its own actions, if any, are not used."""
    out: str
    """Data folder to write, or to go on with; without --with and --codes, the folder for the codes that are found."""
    labelled: str | None = None
    """Labelled data folder to train a judge on, or the folder of a trained judge (OUT/judge of an earlier run)."""
    codes: str | None = None
    """The codes.yaml of an earlier run, with the codes named."""
    least_span: int = 16
    """Labelled actions that an episode of the result has at least."""
    shard_episodes: int = 32
    """Episodes of the source that go into a shard; a kill loses no more than those."""
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    """How to train the judge."""
    latent: LatentCodesConfig = field(default_factory=LatentCodesConfig)
    """How to look for latent actions."""

    def __post_init__(self) -> None:
        if self.labelled is not None and self.codes is not None:
            raise ValueError("give either labelled data (--with) or named codes (--codes), not both")
        if min(self.least_span, self.shard_episodes) < 1:
            raise ValueError("least_span and shard_episodes must be at least 1")


@dataclass(frozen=True)
class Labels:
    """The actions of one play: `actions_T`, -1 where nobody is sure."""

    actions_T: NDArray[np.int64]
    sureness_T: NDArray[np.float64]


@dataclass(frozen=True)
class Labeller:
    """What gives labels: their names and keys, a function from frames to labels, and where they come from."""

    action_names: tuple[str, ...]
    key_bindings: dict[str, Any]
    read: Callable[[NDArray[np.uint8]], Labels]
    origin: dict[str, Any]


@dataclass(frozen=True)
class LabelResult:
    """What came of it; `finished` is False after Ctrl-C in training. `words` tell the figures to the user."""

    folder: Path
    words: str
    finished: bool


def label(config: LabelConfig, console: Console | None = None) -> LabelResult:
    """Label a data folder, or find the codes to label it with.

    ValueError where folders cannot be read, do not fit each other, or nothing could be labelled surely enough. Where it
    was interrupted the same command goes on.
    """
    console = console or Console(stderr=True)
    out = Path(config.out)
    source = read_manifest(config.unlabelled)
    if config.labelled is None and config.codes is None:
        found = find_codes(config.unlabelled, out, config.latent, console)
        return LabelResult(out, found or "interrupted: the same command goes on", found is not None)
    if config.codes is not None:
        labeller: Labeller | None = _by_codes(read_codes(config.codes))
    else:
        labeller = _by_judge(cast(str, config.labelled), out, source, config, console)
    if labeller is None:
        return LabelResult(out, "interrupted: the same command goes on", False)
    return LabelResult(out, _write(config, source, labeller, console), True)


def _by_judge(labelled: str, out: Path, source: DataManifest, config: LabelConfig, console: Console) -> Labeller | None:
    if (Path(labelled) / JSON_NAME).exists():
        judge: InverseDynamics | None = InverseDynamics.load(labelled)
        assert judge is not None
        example = judge.about["labelled_manifest"]
        wants(judge, config.judge.accuracy)
    else:
        manifest = read_manifest(labelled)
        example = {name: manifest[name] for name in ("frame_size", "fps", "key_bindings")}
        _check_alike(config.unlabelled, source, labelled, example)
        judge = train_judge(labelled, out / JUDGE_FOLDER, config.judge, console)
    if judge is None:
        return None
    _check_alike(config.unlabelled, source, labelled, example)
    least = judge.about["threshold"]["sureness"]
    console.print(summary(judge.about), highlight=False)
    reader = judge

    def read(frames_THWC: NDArray[np.uint8]) -> Labels:
        probabilities_TA = reader.predict_episode(frames_THWC)
        sure_T = sureness(probabilities_TA)
        return Labels(np.where(sure_T >= least, probabilities_TA.argmax(1), -1), sure_T)

    shown = {name: value for name, value in judge.about.items() if name not in ("labelled_manifest", "heard")}
    origin = {"by": "inverse dynamics", "judge": shown}
    return Labeller(judge.config.action_names, example["key_bindings"], read, origin)


def _by_codes(named: Named) -> Labeller:
    def read(frames_THWC: NDArray[np.uint8]) -> Labels:
        codes_T = named.model.infer(frames_THWC)
        return Labels(named.action_of_code[codes_T], np.ones(len(codes_T)))

    origin = {"by": "latent actions", "codes": str(named.path), "held_out": named.model.about["held_out"]}
    return Labeller(named.action_names, named.key_bindings, read, origin)


def _check_alike(folder: str, ours: DataManifest, labelled: str, theirs: dict[str, Any]) -> None:
    """Refuse pictures of another shape, or another pace: an action does something else there."""
    (height, width), (other_height, other_width) = ours["frame_size"], theirs["frame_size"]
    if abs(height / width - other_height / other_width) > 0.03 * height / width:
        raise ValueError(
            f"{folder} has frames of {height}x{width} and {labelled} of {other_height}x{other_width} pixels: "
            "prepare them at the same size"
        )
    if abs(ours["fps"] - theirs["fps"]) > 0.1 * theirs["fps"]:
        raise ValueError(
            f"{folder} runs at {ours['fps']:g} frames a second and {labelled} at {theirs['fps']:g}: "
            "prepare them at the same rate"
        )


def _write(config: LabelConfig, source: DataManifest, labeller: Labeller, console: Console) -> str:
    """Label every episode of the source and write the result; return its figures in a sentence."""
    out = Path(config.out)
    manifest = _begin(config, source, labeller)
    if manifest["complete"]:
        return _told(manifest)
    labels = cast(dict[str, Any], manifest)["labels"]
    total = sum(split["frames"] for split in source["splits"].values())
    done = sum(labels["seen"].values())
    with FrameProgress(console, total, done) as progress:
        for split, entry in source["splits"].items():
            if not entry["episodes"]:
                continue
            episodes = islice(read_episodes(config.unlabelled, split), labels["episodes_read"].get(split, 0), None)
            while batch := list(islice(episodes, config.shard_episodes)):
                _write_shard(out, manifest, split, batch, labeller, config.least_span, progress)
    if not labels["kept"]:
        (out / MANIFEST_NAME).unlink()  # so that other settings may be tried in the same folder
        raise ValueError(
            f"nothing in {config.unlabelled} could be labelled surely enough for {config.least_span} actions in a row: "
            "label more data to learn from, ask for less --judge.accuracy, or for a smaller --least_span"
        )
    coverage = merge(shard["coverage"] for shard in manifest["shards"])
    write_atomic(out / COVERAGE_NAME, draw_coverage(coverage, f"{out}: labelled by {labels['by']}"))
    manifest["complete"] = True
    write_manifest(out, manifest)
    return _told(manifest)


def _begin(config: LabelConfig, source: DataManifest, labeller: Labeller) -> DataManifest:
    """Return the manifest of the result, fresh or from the run that was interrupted."""
    out = Path(config.out)
    recording = {
        "source": config.unlabelled,
        "labels": config.codes or config.labelled,
        "accuracy": None if config.codes else config.judge.accuracy,
        "least_span": config.least_span,
        "shard_episodes": config.shard_episodes,
    }
    if (out / MANIFEST_NAME).exists():
        found = read_manifest(out)
        if found["recording"] != recording:
            before = found["recording"]
            other = ", ".join(
                f"{name} {before.get(name)!r}" for name in recording if before.get(name) != recording[name]
            )
            raise ValueError(f"{out} was begun with {other}: use the same settings, or another folder")
        for leftover in out.glob(f"*{UNFINISHED}"):
            leftover.unlink()
        return found
    if out.exists() and any(path.name != JUDGE_FOLDER for path in out.iterdir()):
        raise ValueError(f"{out} is not empty and not a data folder: choose another one")
    out.mkdir(parents=True, exist_ok=True)
    splits = {name: {**entry, "episodes": 0, "frames": 0} for name, entry in source["splits"].items()}
    counts = {"actions": 0, "kept": 0, "episodes_read": {}, "seen": {}, "agree": 0, "had_actions": 0}
    manifest = {
        **source,
        "action_names": list(labeller.action_names),
        "key_bindings": labeller.key_bindings,
        "recording": recording,
        "labels": {**labeller.origin, **counts},
        "complete": False,
        "splits": splits,
        "coverage": summarise(merge([])),
        "shards": [],
    }
    write_manifest(out, cast(DataManifest, manifest))
    return cast(DataManifest, manifest)


def _write_shard(
    out: Path,
    manifest: DataManifest,
    split: str,
    batch: list[Episode],
    labeller: Labeller,
    least_span: int,
    progress: FrameProgress,
) -> None:
    """Label some episodes of the source into the next shard of a split, and note how far the split is."""
    labels = cast(dict[str, Any], manifest)["labels"]
    number = sum(shard["split"] == split for shard in manifest["shards"])
    writer = ShardWriter(out / f"{split}-{number:06d}.tar")
    coverages, frames = list[dict[str, Any]](), 0
    counts = dict.fromkeys(("actions", "kept", "agree", "had_actions"), 0)
    try:
        for episode in batch:
            found = labeller.read(episode.frames_THWC)
            known = tuple(episode.meta["action_names"]) == labeller.action_names
            counts["actions"] += len(episode)
            for start, end in sure_runs(found.actions_T, least_span):
                part = cut_episode(episode, start, end, found, labeller.action_names, labeller.origin["by"])
                writer.write(part.meta["episode_id"], encode_episode(part))
                frames += len(part.frames_THWC)
                coverages.append(episode_coverage(part, {}))
                counts["kept"] += len(part)
                counts["had_actions"] += len(part) * known
                counts["agree"] += known * int((part.actions_T == episode.actions_T[start:end]).sum())
            progress.advance(len(episode.frames_THWC), f"labelling {split}")
        file = writer.close() if coverages else None
    except BaseException:
        writer.discard()
        raise
    for name, count in counts.items():
        labels[name] += count
    labels["episodes_read"][split] = labels["episodes_read"].get(split, 0) + len(batch)
    labels["seen"][split] = labels["seen"].get(split, 0) + sum(len(episode.frames_THWC) for episode in batch)
    if file is None:
        writer.discard()
        write_manifest(out, manifest)
    else:
        enter_shard(out, manifest, split, writer.path.name, file, frames, coverages)


def sure_runs(actions_T: NDArray[np.int64], least: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of every run of at least ``least`` labelled actions (those that are not -1)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], actions_T >= 0, [False]]).astype(np.int8)))
    for start, end in zip(edges[0::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - start >= least:
            yield start, end


def cut_episode(episode: Episode, start: int, end: int, labels: Labels, names: tuple[str, ...], by: str) -> Episode:
    """Return the actions ``start`` to ``end`` of an episode, labelled; ``meta["labels"]`` says by whom."""
    frames = slice(start, end + 1)
    identity = str(episode.meta["episode_id"])
    events = {
        event: [index - start for index in indices if start <= index <= end]
        for event, indices in episode.meta.get("events", {}).items()
    }
    sure = round(float(labels.sureness_T[start:end].mean()), 4)
    origin = {"by": by, "source": identity, "start": start, "sureness": sure}
    meta = {
        **episode.meta,
        "episode_id": f"{identity}-{start:06d}",
        "action_names": list(names),
        "events": events,
        "labels": origin,
    }
    facts = {name: rows[frames] for name, rows in episode.facts.items()}
    return Episode(episode.frames_THWC[frames], labels.actions_T[start:end], facts, meta)


def _told(manifest: DataManifest) -> str:
    labels = cast(dict[str, Any], manifest)["labels"]
    dropped = 1 - labels["kept"] / max(1, labels["actions"])
    words = f"{labels['kept']:,} of {labels['actions']:,} actions labelled, {dropped:.1%} dropped"
    if labels["had_actions"]:
        words += f"; {labels['agree'] / labels['had_actions']:.3f} of them are what the source itself says"
    return words
