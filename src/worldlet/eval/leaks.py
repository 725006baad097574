"""Do the suite's levels and a data set's splits meet? A world that has seen its examination proves nothing."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

from worldlet.data.codec import FRAME_MEMBERS, decode_episode
from worldlet.data.shards import check_shard, read_manifest, read_samples
from worldlet.eval.bench import figure
from worldlet.eval.gold import KINDS, Gold

SHOWN = 5
"""Leaks told in words."""


def find_leaks(folder: Path, gold: Gold | None) -> tuple[list[str], int]:
    """Return what must not be, in words, and how many episodes of a data set were looked at.

    A leak is an episode in a level of the suite, a level or the very same frames in two splits, an episode whose own
    split is not that of its shard, or ranges of level seeds that overlap. Raises ValueError for a damaged data set.
    """
    manifest = read_manifest(folder)
    asked = {entry.level_seed for kind in KINDS for entry in getattr(gold, kind)} if gold else set()
    own_game = gold is not None and manifest["env_id"] == gold.env_id
    encodings = {shard.get("encoding", "") for shard in manifest["shards"]}
    leaks = _overlaps({name: split["level_seeds"] for name, split in manifest["splits"].items()})
    levels: dict[int, str] = {}
    contents: dict[str, str] = {}
    episodes = 0
    for shard in manifest["shards"]:
        split = shard["split"]
        for key, members in read_samples(check_shard(Path(folder), shard)):
            episodes += 1
            meta = json.loads(members["meta.json"])
            level, name = meta.get("level_seed"), f"episode {meta.get('episode_id', key)} of {split}"
            if meta.get("split", split) != split:
                leaks.append(f"{name} says of itself that it belongs to {meta['split']}")
            if own_game and level in asked:
                leaks.append(f"{name} plays level {level}, which the suite asks")
            if level is not None and levels.setdefault(level, split) != split:
                leaks.append(f"{name} plays level {level}, which {levels[level]} plays too")
            digest = _digest(members, decoded=len(encodings) > 1)
            if contents.setdefault(digest, split) != split:
                leaks.append(f"{name} shows the same frames as an episode of {contents[digest]}")
    return leaks, episodes


def leaks_figure(folder: Path, gold: Gold | None) -> dict[str, Any]:
    """Return how many leaks a data set has as a figure: 0, or the first of them in words."""
    leaks, episodes = find_leaks(folder, gold)
    return figure(len(leaks), episodes, data=Path(folder).name, found=leaks[:SHOWN])


def _overlaps(ranges: dict[str, Any]) -> list[str]:
    """Return the pairs of splits whose half-open ranges of level seeds meet; empty ranges meet nothing."""
    known = {name: seeds for name, seeds in ranges.items() if len(seeds) == 2 and seeds[0] < seeds[1]}
    return [
        f"the level seeds of {one} and {other} overlap"
        for one, other in itertools.combinations(sorted(known), 2)
        if max(known[one][0], known[other][0]) < min(known[one][1], known[other][1])
    ]


def _digest(members: dict[str, bytes], decoded: bool) -> str:
    """Return a hash of an episode's frames, as they are stored; decoded, where not all are stored alike."""
    stored = (members.get(name, b"") for name in FRAME_MEMBERS.values())
    frames = decode_episode(members).frames_THWC.tobytes() if decoded else b"".join(stored)
    return hashlib.sha256(frames).hexdigest()
