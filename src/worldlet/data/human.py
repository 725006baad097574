"""A person's play of a real game, recorded step by step into the same data folder that `worldlet record` fills.

Nobody can be asked to play the same again, so every piece of play is a shard of its own, safe on the disk soon after
it was played: a kill loses no more than the piece under way.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from worldlet.data.codec import encode_episode, require_encoders
from worldlet.data.coverage import episode_coverage
from worldlet.data.duplicates import cut, fingerprints, unseen_spans
from worldlet.data.keeping import locked
from worldlet.data.play import describe_game, keep_info, make_episode, open_game
from worldlet.data.policies import HUMAN
from worldlet.data.record import (
    SPLITS,
    RecordConfig,
    RecordSummary,
    begin,
    enter_shard,
    finish,
    level_seed,
    summary,
)
from worldlet.data.shards import DataManifest, ShardWriter, read_episodes
from worldlet.records import Episode


class LiveRecording:
    """One open game, the play that is under way, and the folder that it goes to.

    ``frame`` is the newest frame; ``ended`` says that the level is over and the next ``step`` begins another;
    ``frames`` and ``pieces`` count what was handed over for writing, earlier sessions included. One thread calls all
    of it. Raises ValueError as `worldlet record` does.
    """

    def __init__(self, config: RecordConfig) -> None:
        require_encoders()
        self._config = config
        self.env_id, self.folder = config.env, Path(config.out)
        self._manifest = begin(config, self.folder)
        with ExitStack() as held:
            held.enter_context(locked(self.folder))
            self._open(held.enter_context(closing(open_game(config.env, config.options))))
            self._held = held.pop_all()  # all went well: the folder and the game are ours until `close`

    def _open(self, env: gymnasium.Env[Any, Any]) -> None:
        """Begin the first level, with what the folder holds in mind."""
        self._numbers = {split: _next_number(self._manifest, split) for split in SPLITS}
        self._frames_of = {split: entry["frames"] for split, entry in self._manifest["splits"].items()}
        self._prints_of: dict[str, set[int]] = {}
        if self._manifest["recording"].get("held_out") == "frames":
            self._prints_of = {split: _fingerprints_of(self.folder, self._manifest, split) for split in SPLITS}
        self._env = env
        self.game = describe_game(self._env)
        bindings = self.game.key_bindings
        self.key_bindings = bindings if any(bindings.values()) else number_keys(self.game.action_names)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._writing: list[Future[None]] = []
        self._failure: OSError | None = None
        self._pieces = sum(entry["episodes"] for entry in self._manifest["splits"].values())
        self._frames: list[NDArray[np.uint8]] = []
        self._actions: list[int] = []
        self._infos: list[dict[str, Any]] = []
        self.next_level()

    @property
    def frames(self) -> int:
        """Frames handed over for writing."""
        return sum(self._frames_of.values())

    @property
    def pieces(self) -> int:
        """Pieces of play handed over for writing."""
        return self._pieces

    @property
    def goal(self) -> int:
        """Frames that were asked for; one may stop before and go on after."""
        return self._config.frames

    @property
    def pending(self) -> int:
        """Actions played since the last piece was handed over."""
        return len(self._actions)

    def next_level(self) -> NDArray[np.uint8]:
        """Hand over what was played and begin another level; return its first frame."""
        self.save()
        self.ended = True  # until the next one has begun: where that fails, nothing more of this one is recorded
        self.split = self._next_split()
        # The number of a level's first piece: later levels have later pieces, so none comes twice.
        self.level_seed = level_seed(self._config.seed, self.split, self._numbers[self.split])
        frame, info = self._env.reset(seed=self.level_seed)
        self._begin_piece(np.array(frame), keep_info(info))
        self.index, self.ended = 0, False
        return self.frame

    def step(self, action: int) -> NDArray[np.uint8]:
        """Do an action and return the frame that follows, or the first one of a new level where the last is over.

        An error of the game's hands over what was played before it is raised again; the next step begins a new level.
        """
        if self.ended:
            return self.next_level()
        try:
            frame, _, terminated, truncated, info = self._env.step(action)
        except Exception:
            self.ended = True  # nobody knows whether the action was done, so no frame may follow it
            self.save()
            raise
        self.ended = bool(terminated or truncated)
        if not info.get("frame_missing"):
            self.frame = np.array(frame)
            self._frames.append(self.frame)
            self._actions.append(action)
            self._infos.append(keep_info(info))
            self.index += 1
        if self.ended or len(self._actions) >= self._config.episode_steps:
            self.save()
        return self.frame

    def discard(self) -> int:
        """Throw away what was played since the last piece, begin another level, return how many actions are gone."""
        gone = len(self._actions)
        self._actions = []
        self._numbers[self.split] += 1
        self.next_level()
        return gone

    def save(self) -> None:
        """Hand over what was played as a piece; the game goes on where it is.

        Raises ValueError once a piece could not be written: nothing is recorded after that.
        """
        self._check_writing()
        if not self._actions:
            return
        key = f"{self.split}-{self._numbers[self.split]:06d}"
        piece = (self._frames, self._actions, self._infos, self._meta(key))
        self._numbers[self.split] += 1
        self._pieces += 1
        self._frames_of[self.split] += len(self._frames)
        self._writing.append(self._writer.submit(self._write, self.split, key, piece))
        self._begin_piece(self._frames[-1], self._infos[-1])

    def close(self) -> RecordSummary:
        """Hand over what is left, wait until all is written, draw the coverage, close the game."""
        try:
            self.save()
        finally:
            self._writer.shutdown()
            self._held.close()
        self._check_writing()
        if self._manifest["shards"]:
            finish(self._config, self.folder, self._manifest)
        return summary(self.folder, self._manifest)

    def _begin_piece(self, frame: NDArray[np.uint8], info: dict[str, Any]) -> None:
        self.frame = frame
        self._frames, self._actions, self._infos = [frame], [], [info]

    def _next_split(self) -> str:
        """Return the split that is furthest behind its share of the frames, so that three levels fill all three."""
        val, test = self._config.val_fraction, self._config.test_fraction
        shares = {"train": 1 - val - test, "val": val, "test": test}
        wanted = [split for split, share in shares.items() if share > 0]
        return min(wanted, key=lambda split: self._frames_of[split] / shares[split])

    def _meta(self, key: str) -> dict[str, Any]:
        return {
            "episode_id": key,
            "env_id": self._config.env,
            "level_seed": self.level_seed,
            "split": self.split,
            "policy": HUMAN,
            "action_names": list(self.game.action_names),
            "fps": self.game.fps,
            "first_frame": self.index - len(self._actions),
        }

    def _write(self, split: str, key: str, piece: tuple[Any, Any, Any, dict[str, Any]]) -> None:
        if self._failure:  # no gaps: what is numbered later must not take this piece's place
            return
        frames, actions, infos, meta = piece
        episodes = self._unseen(split, make_episode(frames, actions, infos, meta))
        if not episodes:
            return
        samples = [(episode.meta["episode_id"], encode_episode(episode)) for episode in episodes]
        writer = ShardWriter(self.folder / f"{key}.tar")
        try:
            for name, members in samples:
                writer.write(name, members)
            file = writer.close()
            self._manifest["complete"] = False
            coverages = [episode_coverage(episode, infos[-1]) for episode in episodes]
            count = sum(len(episode.frames_THWC) for episode in episodes)
            enter_shard(self.folder, self._manifest, split, writer.path.name, file, count, coverages)
        except OSError as error:
            writer.discard()
            self._failure = error

    def _unseen(self, split: str, episode: Episode) -> list[Episode]:
        """Return what of an episode no other split holds, where near-duplicates must not cross the splits."""
        if not self._prints_of:
            return [episode]
        prints_T = fingerprints(episode.frames_THWC)
        others = set().union(*(prints for name, prints in self._prints_of.items() if name != split))
        spans = unseen_spans(prints_T, others)
        kept = [episode] if spans == [(0, len(prints_T))] else list(cut(episode, spans))
        self._prints_of[split].update(int(print) for start, stop in spans for print in prints_T[start:stop])
        return kept

    def _check_writing(self) -> None:
        if self._failure:
            raise ValueError(
                f"{self.folder} cannot be written ({self._failure.strerror}): make room and start again; "
                f"what was saved before is safe"
            ) from self._failure
        for done in [future for future in self._writing if future.done()]:
            self._writing.remove(done)
            done.result()


def _next_number(manifest: DataManifest, split: str) -> int:
    """Return a number that no piece of a split has; there are gaps where a piece held nothing new."""
    return max((int(shard["file"][-10:-4]) + 1 for shard in manifest["shards"] if shard["split"] == split), default=0)


def _fingerprints_of(folder: Path, manifest: DataManifest, split: str) -> set[int]:
    if not manifest["splits"][split]["episodes"]:
        return set()
    return {int(value) for episode in read_episodes(folder, split) for value in fingerprints(episode.frames_THWC)}


def number_keys(action_names: tuple[str, ...]) -> dict[str, list[list[str]]]:
    """Return keys for a game that names none: the digits 1 to 9 and 0 for its first ten actions."""
    digits = [f"Digit{(place + 1) % 10}" for place in range(10)]
    return {name: [[digit]] for name, digit in zip(action_names, digits, strict=False)}
