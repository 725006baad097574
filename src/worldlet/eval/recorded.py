"""A suite made of recorded episodes, for games that have no frozen one: what was recorded is what really happened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.data.outcomes import Game, game_of
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.eval.gold import CONTEXT, GoldPlay
from worldlet.eval.real import Play
from worldlet.records import Episode

SPLITS = ("test", "val")
"""Splits that no training has seen, the best first."""
AHEAD, LONG_AHEAD = 60, 150
"""Dreamed frames of a rollout, and of a long one."""
LONGEST = 300
"""Actions of an episode that are looked at; the rest is cut."""
FURTHER, WATCHED = 32, CONTEXT + 900
"""Held-out episodes beyond those of the plays, that only say what the real game looks like over time; and the actions
of any episode up to which that is looked at."""
MEAN_EPISODES, MEAN_EVERY = 20, 10
"""The mean image is that of every tenth frame of so many episodes of the training split."""


class RecordedSuite:
    """The face of a `Gold` suite over the held-out episodes of a data set; there is no game beside it.

    ``plays`` are episodes, ``rollouts`` starts within them, spread evenly, ``long`` starts early in those that are long
    enough for a long rollout; nothing that needs a game has entries. A
    ``level_seed`` here is the number of an episode. Hero and camera are known where the recorder knew them.
    ``mean_HWC`` uint8 is the mean image of the training split: what one who knows nothing of the moment would show;
    None while that split is empty, since nobody may learn from the episodes that are asked. ``watched``: the same
    plays, cut later, and those of ``further`` episodes.
    """

    version = 0
    control: tuple[GoldPlay, ...] = ()
    drift: tuple[GoldPlay, ...] = ()

    def __init__(
        self, env_id: str, split: str, episodes: list[Episode], rollouts: int, mean_HWC: NDArray[np.uint8] | None,
        action_names: Sequence[str], options: dict[str, Any] | None = None, further: Sequence[Episode] = (),
    ) -> None:  # fmt: skip
        self.env_id, self.split, self.mean_HWC = env_id, split, mean_HWC
        self.episodes, self.action_names, self.options = episodes, tuple(action_names), options or {}
        self._plays = [_play(number, episode) for number, episode in enumerate(episodes)]
        self.watched = [_play(number, episode, WATCHED) for number, episode in enumerate([*episodes, *further])]
        self.plays = tuple(_entry(play, len(play.actions), 0) for play in self._plays)
        self.rollouts = tuple(_starts(self._plays, rollouts))
        enough = CONTEXT + LONG_AHEAD
        self.long = tuple(_entry(play, enough, CONTEXT) for play in self._plays if len(play.actions) >= enough)

    @cached_property
    def sha256(self) -> str:
        """The hash over all pixels and actions that are looked at."""
        everything = [(play.fingerprint, play.actions) for play in (*self._plays, *self.watched)]
        return hashlib.sha256(repr(everything).encode()).hexdigest()

    def game(self) -> Callable[[], Game] | str:
        """Return what makes the real game, or why it cannot be asked."""
        try:
            return game_of(self.episodes[0], self.options)
        except (ValueError, ImportError, KeyError) as error:
            return f"the game cannot be asked here: {error}"

    @property
    def lists(self) -> dict[str, str]:
        """The hash of the suite under the name of its only list."""
        return {f"recorded {self.split}": self.sha256}

    def replay(self, play: GoldPlay) -> Play:
        """Return the recorded episode, cut where the entry ends."""
        whole, end = self._plays[play.level_seed], len(play.actions)
        return Play(
            whole.level_seed, whole.frames_THWC[: end + 1], whole.actions[:end], whole.hero_mask_THW[: end + 1],
            whole.camera_x[: end + 1], whole.events[: end + 1], whole.theme,
        )  # fmt: skip


def load_recorded(folder: Path, episodes: int, rollouts: int) -> RecordedSuite:
    """Read the first held-out episodes of a data set as a suite; ValueError where it has none that is long enough."""
    manifest = read_manifest(folder)
    written = {shard["split"] for shard in manifest["shards"]}
    held_out = [name for name in SPLITS if name in written]
    if not held_out:
        raise ValueError(f"{folder} has neither a test nor a val split yet: record more before measuring with it")
    long_enough = (episode for episode in read_episodes(folder, held_out[0]) if len(episode) > CONTEXT)
    found = list(islice(long_enough, episodes))
    further = [_cut(episode) for episode in islice(long_enough, FURTHER)]
    if not found:
        raise ValueError(
            f"no episode of {held_out[0]} in {folder} is longer than {CONTEXT} actions: record longer ones"
        )
    mean_HWC = _mean(list(islice(read_episodes(folder, "train"), MEAN_EPISODES))) if "train" in written else None
    names, options = manifest["action_names"], manifest["options"]
    return RecordedSuite(manifest["env_id"], held_out[0], found, rollouts, mean_HWC, names, options, further)


def _cut(episode: Episode) -> Episode:
    """Return a copy of what is looked at, so that the rest can be forgotten."""
    return Episode(episode.frames_THWC[: WATCHED + 1].copy(), episode.actions_T[:WATCHED], {}, episode.meta)


def _mean(episodes: list[Episode]) -> NDArray[np.uint8]:
    """Return the mean of every tenth frame of some episodes, uint8 (H, W, 3)."""
    frames_THWC = np.concatenate([episode.frames_THWC[::MEAN_EVERY] for episode in episodes])
    return np.asarray(frames_THWC.mean(axis=0).round(), dtype=np.uint8)


def _play(number: int, episode: Episode, longest: int = LONGEST) -> Play:
    """Return an episode as a play, cut, with whatever truth was recorded."""
    frames_THWC = episode.frames_THWC[: longest + 1]
    nowhere = np.broadcast_to(np.zeros(1, dtype=bool), frames_THWC.shape[:3])  # takes no memory
    masks = np.asarray(episode.facts.get("hero_mask", nowhere))
    camera = episode.facts.get("camera", np.zeros((len(frames_THWC), 2), dtype=np.int64))
    actions = tuple(int(action) for action in episode.actions_T[:longest])
    events: tuple[tuple[str, ...], ...] = ((),) * len(frames_THWC)
    return Play(
        number, frames_THWC, actions, masks[: len(frames_THWC)].astype(bool, copy=False),
        camera[: len(frames_THWC), 0].astype(np.int64), events, str(episode.meta.get("theme") or ""),
    )  # fmt: skip


def _entry(play: Play, end: int, start: int) -> GoldPlay:
    return GoldPlay(play.level_seed, play.actions[:end], start, play.fingerprint)


def _starts(plays: list[Play], wanted: int) -> list[GoldPlay]:
    """Return up to ``wanted`` starts, between the context of each play and 60 frames before its end.

    Every play gives its share, the shorter ones as many as they can; each play's own are spread evenly over it, a
    little later from play to play.
    """
    rooms = [max(0, len(play.actions) - AHEAD - CONTEXT) + 1 for play in plays]
    counts = _shares(rooms, wanted)
    found = []
    for number, (play, room, count) in enumerate(zip(plays, rooms, counts, strict=True)):
        for k in range(count):
            start = CONTEXT + int(room * (k + (number + 0.5) / len(plays)) / count)
            found.append(_entry(play, min(len(play.actions), start + AHEAD), start))
    return found


def _shares(rooms: list[int], wanted: int) -> list[int]:
    """Return how many of ``wanted`` fall to each room, as evenly as the rooms allow and spread over them."""
    shares, left = [0] * len(rooms), min(wanted, sum(rooms))
    while left:
        open_ones = [number for number, room in enumerate(rooms) if shares[number] < room]
        turns = min(left, len(open_ones))
        for turn in range(turns):
            shares[open_ones[turn * len(open_ones) // turns]] += 1
        left -= turns
    return shares
