"""``worldlet record``: play episodes and write them as shards, deterministic per seed and resumable after a kill.

An episode is a pure function of (config, split, index), and shards take episodes in order, so neither the number of
workers nor an interruption can change a byte of the folder.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from rich.console import Console

from worldlet.config import to_dict
from worldlet.data.codec import encode_episode, require_av
from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.play import describe_game, make_episode, open_game, play_episode
from worldlet.data.policies import HUMAN, check_players, default_players, is_trained, make_policy, parse_players
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

SPLITS = {"val": range(10**6, 2 * 10**6), "test": range(2 * 10**6, 3 * 10**6), "train": range(0, 10**6)}
"""The level seeds of each split, in the order they are recorded: what training is measured on is there first."""
SHARD_BYTES = 50_000_000
"""A shard that has grown to this size takes no more episodes."""
COVERAGE_NAME = "coverage.png"
# Settings that do not change what is recorded, or that only some players have.
_NOT_RECORDED = ("out", "workers", "agent", "agent_steps", "agent_folder", "port")
_SEED_STRIDE = 10_007  # recordings with neighbouring seeds begin this many levels apart


@dataclass(frozen=True)
class RecordConfig:
    """What to record and where to; raises ValueError for values out of range."""

    env: str
    """Gymnasium id of the game, such as worldlet/Platformer-v0, or module:id."""
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


@dataclass(frozen=True)
class Sample:
    """One episode, played and encoded; ``frames`` counts them."""

    key: str
    members: dict[str, bytes]
    frames: int
    coverage: dict[str, Any]


def record(config: RecordConfig, console: Console | None = None) -> RecordSummary:
    """Record a data folder, or go on with one begun by the same config; a complete one is left as it is.

    Raises ValueError where the game cannot be recorded, the folder holds something else, or was begun with other
    settings. After Ctrl-C the folder can be resumed; the console says so and KeyboardInterrupt is raised again.
    """
    console = console or Console(stderr=True)
    folder = Path(config.out)
    if HUMAN in parse_players(players_of(config)):
        raise ValueError(f"a human records in a page: use `worldlet record {config.env} --agent {HUMAN} --out FOLDER`")
    require_av()  # before anything is written
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
    shards = manifest["shards"]
    episodes = sum(split["episodes"] for split in manifest["splits"].values())
    size = sum(shard["bytes"] for shard in shards)
    return RecordSummary(str(folder), frame_count(manifest), episodes, len(shards), size, rate)


def split_of(level_seed: int) -> str:
    """Return the split that an episode belongs to by its level seed; ValueError for a seed of no split."""
    for split, seeds in SPLITS.items():
        if level_seed in seeds:
            return split
    raise ValueError(f"the level seed {level_seed} belongs to no split: splits end at {3 * 10**6}")


def level_seed(seed: int, split: str, index: int) -> int:
    """Return the level seed of a split's episode number ``index``; none repeats within a split's million."""
    seeds = SPLITS[split]
    return seeds[(seed * _SEED_STRIDE + index) % len(seeds)]


def begin(config: RecordConfig, folder: Path) -> DataManifest:
    """Return the folder's manifest, fresh or from the run that was interrupted."""
    manifest = _fresh_manifest(config)
    if (folder / MANIFEST_NAME).exists():
        found = read_manifest(folder)
        _check_same(folder, found, manifest)
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
    theirs = found["recording"] | {"frame_size": found["frame_size"], "action_names": found["action_names"]}
    ours = wanted["recording"] | {"frame_size": wanted["frame_size"], "action_names": wanted["action_names"]}
    other = [name for name in ours if theirs.get(name) != ours[name]]
    if other:
        was = ", ".join(f"{name} {theirs.get(name)!r} (now {ours[name]!r})" for name in other)
        raise ValueError(f"{folder} was begun with {was}: use the same settings to go on, or another folder")


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
    workers = config.workers or os.cpu_count() or 1
    pool = None
    if workers > 1:
        pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(config,)
        )
    try:
        for split, target in _targets(config).items():
            samples = _samples(config, split, manifest["splits"][split]["episodes"], pool, workers)
            with closing(samples):  # type: ignore[type-var]
                while manifest["splits"][split]["frames"] < target:
                    _record_shard(config, folder, manifest, split, target, samples, progress)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _record_shard(
    config: RecordConfig,
    folder: Path,
    manifest: DataManifest,
    split: str,
    target: int,
    samples: Iterator[Sample],
    progress: FrameProgress,
) -> None:
    """Write the next shard of a split and enter it into the manifest."""
    entry = manifest["splits"][split]
    number = sum(shard["split"] == split for shard in manifest["shards"])
    writer = ShardWriter(folder / f"{split}-{number:06d}.tar")
    frames, coverages = 0, list[dict[str, Any]]()
    try:
        while (
            entry["frames"] + frames < target and len(coverages) < config.shard_episodes and writer.bytes < SHARD_BYTES
        ):
            sample = next(samples)
            writer.write(sample.key, sample.members)
            frames += sample.frames
            coverages.append(sample.coverage)
            progress.advance(sample.frames, split)
        file = writer.close()
    except BaseException:
        writer.discard()
        raise
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


def _samples(
    config: RecordConfig, split: str, index: int, pool: ProcessPoolExecutor | None, workers: int
) -> Iterator[Sample]:
    """Yield the episodes of a split in order from ``index`` on, without end, a few of them played ahead."""
    if pool is None:
        with closing(_Recorder(config)) as recorder:
            while True:
                yield recorder.episode(split, index)
                index += 1
    ahead: deque[Future[Sample]] = deque()
    try:
        while True:
            while len(ahead) < 2 * workers:
                ahead.append(pool.submit(_episode_in_worker, split, index))
                index += 1
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


class _Recorder:
    """Plays episodes of one recording, on one open game where that makes a fresh one at each reset."""

    def __init__(self, config: RecordConfig) -> None:
        self._config = config
        self._players = players_of(config)
        self._game: gymnasium.Env[Any, Any] | None = None

    def episode(self, split: str, index: int) -> Sample:
        """Play and encode a split's episode number ``index``."""
        seed = level_seed(self._config.seed, split, index)
        assert split_of(seed) == split
        key = f"{split}-{index:06d}"
        game = self._open()
        facts = describe_game(game)
        policy = make_policy(self._players, game, facts.action_names, _agents(self._config))
        policy.reset(int(np.random.SeedSequence([self._config.seed, seed]).generate_state(1)[0]))
        frames, actions, infos = play_episode(game, policy, seed, self._config.episode_steps)
        meta = {
            "episode_id": key,
            "env_id": self._config.env,
            "level_seed": seed,
            "split": split,
            "policy": self._players,
            "action_names": list(facts.action_names),
            "fps": facts.fps,
        }
        episode = make_episode(frames, actions, infos, meta)
        return Sample(key, encode_episode(episode), len(frames), episode_coverage(episode, infos[-1]))

    def close(self) -> None:
        """Close the game that is open."""
        if self._game is not None:
            self._game.close()
            self._game = None

    def _open(self) -> gymnasium.Env[Any, Any]:
        # Otherwise a game of its own for every episode: nothing that one keeps past reset can reach the next.
        if self._game is None or not self._game.metadata.get("fresh_reset"):
            self.close()
            self._game = open_game(self._config.env, self._config.options)
        return self._game


_worker_recorder: _Recorder | None = None
"""The recorder of this worker process."""


def _episode_in_worker(split: str, index: int) -> Sample:
    assert _worker_recorder is not None
    return _worker_recorder.episode(split, index)


def _start_worker(config: RecordConfig) -> None:
    """Be ready to play; leave Ctrl-C to the parent, and end when it is gone, even if it was killed."""
    global _worker_recorder
    _worker_recorder = _Recorder(config)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
