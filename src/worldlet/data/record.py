"""``worldlet record``: play episodes and write them as shards, deterministic per seed and resumable after a kill.

An episode is a pure function of (config, split, index), and shards take episodes in order, so neither the number of
workers nor an interruption can change a byte of the folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.codec import require_encoders
from worldlet.data.coverage import draw_coverage, merge, summarise
from worldlet.data.episodes import SPLITS, Sample, Sitting, Team, level_seed, split_of
from worldlet.data.keeping import Keeper, locked, prints_of_others
from worldlet.data.play import describe_game, has_levels, open_game
from worldlet.data.policies import HUMAN, check_players, default_players, is_trained, parse_players
from worldlet.data.progress import FrameProgress
from worldlet.data.shards import (
    FORMAT,
    MANIFEST_NAME,
    UNFINISHED,
    DataManifest,
    ShardWriter,
    read_manifest,
    write_manifest,
)
from worldlet.manifest import FileEntry, hash_file, write_atomic

__all__ = [
    "COVERAGE_NAME",
    "SHARD_BYTES",
    "SPLITS",
    "RecordConfig",
    "RecordSummary",
    "Sample",
    "begin",
    "enter_shard",
    "finish",
    "frame_count",
    "level_seed",
    "players_of",
    "record",
    "split_of",
    "summary",
]

SHARD_BYTES = 50_000_000
"""A shard that has grown to this size takes no more episodes."""
COVERAGE_NAME = "coverage.png"
# Settings that do not change what is recorded, or that only some players have.
_NOT_RECORDED = (
    *("out", "workers", "skip_crashes", "agent", "agent_steps", "agent_folder", "port"),
    *("frame_skip", "size", "python"),  # they stand among the options
)


@dataclass(frozen=True)
class RecordConfig:
    """What to record and where to; raises ValueError for values out of range."""

    env: str
    """Gymnasium id of the game, such as worldlet/Platformer-v0, procgen/coinrun, ALE/Pong-v5 or module:id.
    docs/games.md lists what was tried."""
    out: str
    """Data folder to write, or to resume if it was begun with the same settings."""
    frames: int = 200_000
    """Frames to record at least, over all splits; the last episode of a split is never cut."""
    seed: int = 0
    """Seed of the levels and of the players."""
    episode_steps: int = 500
    """Actions of an episode at most."""
    players: str = ""
    """Mixture of players and weights, such as runner:0.5,sticky:0.5; empty for what suits the game."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options for making the game, such as themes."""
    frame_skip: int = 0
    """Frames of the game that an action is held for; 0 for what suits the game."""
    size: str = ""
    """Height x width of the frames, such as 84x64, or the shorter side alone; empty for what suits the game."""
    python: str = ""
    """Interpreter of another environment to run the game in, where its packages cannot share ours."""
    held_out: Literal["auto", "levels", "frames"] = "auto"
    """What splits must not share: levels (by seed) or near-duplicate frames; auto: what suits the game."""
    skip_crashes: bool = False
    """Leave out episodes in which the game crashes, instead of stopping."""
    val_fraction: float = 0.05
    """Part of the frames that goes to validation."""
    test_fraction: float = 0.05
    """Part of the frames that goes to testing."""
    shard_episodes: int = 64
    """Episodes of a shard at most; a kill loses no more than the shard that is being written."""
    workers: int = 0
    """Processes that play and encode; 0 for one per core. Never changes what is recorded."""
    agent: str = ""
    """One player alone, such as ppo or human; short for --players NAME."""
    agent_steps: int = 500_000
    """Decisions that the player ppo is trained for before it records; the same command goes on with its training."""
    agent_folder: str = ""
    """Folder of the trained agent; empty for OUT/agents."""
    port: int = 8000
    """Port of the page on which a human records."""

    def __post_init__(self) -> None:
        least_values = {"frames": 1, "seed": 0, "episode_steps": 1, "shard_episodes": 1, "workers": 0, "agent_steps": 1}
        for name, least in least_values.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if min(self.val_fraction, self.test_fraction) < 0 or self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction must be at least 0 and leave something for training")
        if self.players and self.agent:
            raise ValueError(f"--agent {self.agent} is short for --players {self.agent}: give one of them")
        if self.players or self.agent:
            parse_players(players_of(self))
        ours = {"frame_skip": self.frame_skip, "size": self.size, "python": self.python}
        object.__setattr__(self, "options", {**self.options, **{name: value for name, value in ours.items() if value}})
        try:
            json.dumps(self.options)
        except TypeError as error:
            raise ValueError(f"the options must be plain values that JSON can hold: {error}") from None


@dataclass(frozen=True)
class RecordSummary:
    """What a data folder holds after ``record``, and how fast this run filled it (0 where it was complete)."""

    folder: str
    frames: int
    episodes: int
    shards: int
    bytes: int
    frames_per_second: float


def record(config: RecordConfig, console: Console | None = None) -> RecordSummary:
    """Record a data folder, or go on with one begun by the same config; a complete one is left as it is.

    Raises ValueError where the game cannot be recorded, the folder holds something else, or was begun with other
    settings. After Ctrl-C the folder can be resumed; the console says so and KeyboardInterrupt is raised again.
    """
    console = console or Console(stderr=True)
    folder = Path(config.out)
    if HUMAN in parse_players(players_of(config)):
        raise ValueError(f"a human records in a page: use `worldlet record {config.env} --agent {HUMAN} --out FOLDER`")
    require_encoders()  # before anything is written
    manifest = begin(config, folder)
    rate = 0.0
    if not manifest["complete"]:
        _train_agent(config, folder, manifest, console)
        with FrameProgress(console, config.frames, done=frame_count(manifest)) as progress:
            try:
                _record_splits(config, folder, manifest, progress)
            except KeyboardInterrupt:
                console.print(f"Stopped. {folder} is intact: the same command goes on from there.", highlight=False)
                raise
            rate = progress.rate
        finish(config, folder, manifest)
    return summary(folder, manifest, rate)


def summary(folder: Path, manifest: DataManifest, rate: float = 0.0) -> RecordSummary:
    """Return what a data folder holds, and how many frames a second filled it."""
    shards = manifest["shards"]
    episodes = sum(split["episodes"] for split in manifest["splits"].values())
    size = sum(shard["bytes"] for shard in shards)
    return RecordSummary(str(folder), frame_count(manifest), episodes, len(shards), size, rate)


def begin(config: RecordConfig, folder: Path) -> DataManifest:
    """Return the folder's manifest, fresh or from the run that was interrupted."""
    manifest = _fresh_manifest(config)
    if (folder / MANIFEST_NAME).exists():
        found = read_manifest(folder)
        _check_same(folder, found, manifest)
        with locked(folder):
            for leftover in folder.glob(f"*{UNFINISHED}"):
                leftover.unlink()
        return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty and not a data folder: choose another one")
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder, manifest)
    return manifest


def _fresh_manifest(config: RecordConfig) -> DataManifest:
    with closing(open_game(config.env, config.options)) as env:
        game = describe_game(env)
        recording = {name: value for name, value in to_dict(config).items() if name not in _NOT_RECORDED}
        # An unfit player is found before anything is written.
        if is_trained(players_of(config)):
            import worldlet.data.agents.ppo  # noqa: F401 (names the extra where it is missing)

            recording["agent_steps"] = config.agent_steps
        if config.held_out == "auto":
            recording["held_out"] = "levels" if has_levels(env) else "frames"
        check_players(players_of(config), env, game.action_names)
    return {
        "format": FORMAT,
        "env_id": config.env,
        "options": config.options,
        "frame_size": list(game.frame_size),
        "fps": game.fps,
        "action_names": list(game.action_names),
        "key_bindings": game.key_bindings,
        "seed": config.seed,
        "recording": {**recording, "players": players_of(config)},
        "complete": False,
        "splits": {
            split: {"level_seeds": [seeds.start, seeds.stop], "episodes": 0, "frames": 0}
            for split, seeds in SPLITS.items()
        },
        "coverage": summarise(merge([])),
        "shards": [],
    }


def _check_same(folder: Path, found: DataManifest, wanted: DataManifest) -> None:
    theirs = {"held_out": "levels", **found["recording"]} | {
        "frame_size": found["frame_size"],
        "action_names": found["action_names"],
    }
    ours = wanted["recording"] | {"frame_size": wanted["frame_size"], "action_names": wanted["action_names"]}
    other = [name for name in ours if theirs.get(name) != ours[name]]
    if "env" in other:
        other = ["env"]  # all else follows from it
    if other:
        was = ", ".join(f"{name} {_short(theirs.get(name))} (now {_short(ours[name])})" for name in other[:3])
        more = f" and {len(other) - 3} more" if len(other) > 3 else ""
        raise ValueError(f"{folder} was begun with {was}{more}: use the same settings to go on, or another folder")


def _short(value: Any) -> str:
    """Return a setting as a message has room for it."""
    told = repr(value)
    return told if len(told) <= 40 else f"{told[:37]}..."


def players_of(config: RecordConfig) -> str:
    """Return the mixture of players that records."""
    return config.agent or config.players or default_players(config.env)


def frame_count(manifest: DataManifest) -> int:
    """Return how many frames a data folder holds, over all splits."""
    return sum(split["frames"] for split in manifest["splits"].values())


def _agents(config: RecordConfig) -> Path:
    return Path(config.agent_folder) if config.agent_folder else Path(config.out) / "agents"


def _train_agent(config: RecordConfig, folder: Path, manifest: DataManifest, console: Console) -> None:
    """Train the agent if one plays and is not ready, on levels of the training split alone."""
    if not is_trained(players_of(config)):
        return
    from worldlet.data.agents.player import AGENT_NAME
    from worldlet.data.agents.ppo import AgentConfig, train_agent

    game = f"{config.env} {json.dumps(config.options, sort_keys=True)}" if config.options else config.env
    steps = max(config.episode_steps, AgentConfig.episode_frames)
    agent = AgentConfig(game, manifest["fps"], SPLITS["train"], config.agent_steps, config.seed, episode_frames=steps)
    train_agent(lambda: open_game(config.env, config.options), agent, _agents(config), console)
    trained = hash_file(_agents(config) / AGENT_NAME).sha256
    if manifest["recording"].setdefault("agent_sha256", trained) != trained:
        raise ValueError(f"{folder} was begun by another agent than {_agents(config)} holds: use another folder")


def _targets(config: RecordConfig) -> dict[str, int]:
    val, test = (round(config.frames * part) for part in (config.val_fraction, config.test_fraction))
    # However few frames are asked for, a split that is wanted at all gets an episode.
    val, test = max(val, config.val_fraction > 0), max(test, config.test_fraction > 0)
    return {"val": val, "test": test, "train": max(1, config.frames - val - test)}


def _record_splits(config: RecordConfig, folder: Path, manifest: DataManifest, progress: FrameProgress) -> None:
    by_frames = manifest["recording"].get("held_out") == "frames"
    sitting = Sitting(
        config.env, players_of(config), config.seed, config.episode_steps, _agents(config), config.options, by_frames
    )
    targets = _targets(config)
    with locked(folder), Team(sitting, config.workers or os.cpu_count() or 1).gathered() as team:
        # What must not be shown again can be told only after it was shown: then training comes first.
        for split in ("train", "val", "test") if by_frames else SPLITS:
            if manifest["splits"][split]["frames"] >= targets[split]:
                continue
            seen = prints_of_others(folder, manifest, split) if by_frames else None
            keeper = Keeper(config.env, folder, config.skip_crashes, seen)
            plays = _plays(manifest)
            with closing(team.episodes(split, plays[split])) as samples:  # type: ignore[type-var]
                while manifest["splits"][split]["frames"] < targets[split]:
                    _record_shard(config, folder, manifest, split, targets[split], samples, keeper, progress)


def _plays(manifest: DataManifest) -> dict[str, int]:
    """Return how many episodes of each split were played so far, kept or not."""
    kept = {split: entry["episodes"] for split, entry in manifest["splits"].items()}
    plays: dict[str, int] = manifest["recording"].setdefault("plays", kept)
    return plays


def _record_shard(
    config: RecordConfig,
    folder: Path,
    manifest: DataManifest,
    split: str,
    target: int,
    samples: Iterator[Sample],
    keeper: Keeper,
    progress: FrameProgress,
) -> None:
    """Write the next shard of a split and enter it into the manifest."""
    entry = manifest["splits"][split]
    number = sum(shard["split"] == split for shard in manifest["shards"])
    writer = ShardWriter(folder / f"{split}-{number:06d}.tar")
    plays, frames, coverages = 0, 0, list[dict[str, Any]]()
    try:
        while (
            entry["frames"] + frames < target and len(coverages) < config.shard_episodes and writer.bytes < SHARD_BYTES
        ):
            for sample in keeper.kept(next(samples)):
                writer.write(sample.key, sample.members)
                frames += sample.frames
                coverages.append(sample.coverage)
                progress.advance(sample.frames, split)
            plays += 1
        file = writer.close()
    except BaseException:
        writer.discard()
        raise
    _plays(manifest)[split] += plays
    enter_shard(folder, manifest, split, writer.path.name, file, frames, coverages)


def enter_shard(
    folder: Path,
    manifest: DataManifest,
    split: str,
    name: str,
    file: FileEntry,
    frames: int,
    coverages: Sequence[Mapping[str, Any]],
) -> None:
    """Enter a finished shard, of so many frames and with one coverage for each episode, and write the manifest."""
    entry = manifest["splits"][split]
    entry["episodes"] += len(coverages)
    entry["frames"] += frames
    manifest["shards"].append(
        {
            "file": name,
            "split": split,
            "sha256": file.sha256,
            "bytes": file.bytes,
            "episodes": len(coverages),
            "frames": frames,
            "coverage": merge(coverages),
        }
    )
    manifest["coverage"] = summarise(merge(shard["coverage"] for shard in manifest["shards"]))
    write_manifest(folder, manifest)


def finish(config: RecordConfig, folder: Path, manifest: DataManifest) -> None:
    """Draw what the folder has seen and call it complete."""
    coverage = merge(shard["coverage"] for shard in manifest["shards"])
    title = f"{config.env}: {frame_count(manifest):,} frames by {players_of(config)}, seed {config.seed}"
    write_atomic(folder / COVERAGE_NAME, draw_coverage(coverage, title))
    manifest["complete"] = True
    write_manifest(folder, manifest)
