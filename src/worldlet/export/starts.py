"""Starting clips for a world: a few real frames each, from levels that training never saw."""

from pathlib import Path

import numpy as np
from PIL import Image

from worldlet.data.shards import read_episodes
from worldlet.games import make
from worldlet.manifest import STARTS_NAME, Start, StartList, write_atomic
from worldlet.records import Episode

FRAMES = 8
_EARLIEST = 12  # frames into an episode


def write_starts(data: str | Path, folder: Path, count: int, seed: int) -> StartList:
    """Write `starts/NNN.png` and `starts/starts.json`: `count` clips of 8 frames, spread over the themes.

    The hero, where there is one, stays alive in them.

    Raises:
        ValueError: if the test split has no episode long enough.
    """
    by_theme: dict[str, list[Episode]] = {}
    for episode in read_episodes(data, "test"):
        if len(episode.actions_T) > _EARLIEST + FRAMES:
            by_theme.setdefault(str(episode.meta["theme"]), []).append(episode)
    if not by_theme:
        raise ValueError(f"{data} has no test episode of {_EARLIEST + FRAMES} frames to start from: record more")
    rng = np.random.default_rng([seed, 3])
    (folder / "starts").mkdir(parents=True, exist_ok=True)
    starts = []
    for i in range(count):
        theme = sorted(by_theme)[i % len(by_theme)]
        episodes = by_theme[theme]
        episode = episodes[i // len(by_theme) % len(episodes)]
        last = _last_frame(episode, rng)
        starts.append(_write(folder / "starts", f"{i:03d}.png", episode, last))
    listed = StartList(tuple(starts))
    write_atomic(folder / STARTS_NAME, listed.to_json().encode())
    return listed


def _last_frame(episode: Episode, rng: np.random.Generator) -> int:
    """A frame with a quiet past: nothing died in the frames before it or in the next few, and the hero stands."""
    deaths, contacts = episode.facts.get("deaths"), episode.facts.get("contacts")
    frames = np.arange(_EARLIEST, len(episode.actions_T) - FRAMES)
    if deaths is not None:
        frames = frames[deaths[frames - _EARLIEST] == deaths[frames + FRAMES]]
    if contacts is not None and contacts[frames, 0].any():
        frames = frames[contacts[frames, 0]]
    return int(rng.choice(frames)) if len(frames) else _EARLIEST


def _write(folder: Path, name: str, episode: Episode, last: int) -> Start:
    frames = episode.frames_THWC[last - FRAMES + 1 : last + 1]
    Image.fromarray(np.concatenate(list(frames))).save(folder / name, optimize=True)
    actions = tuple(int(a) for a in episode.actions_T[last - FRAMES + 1 : last])
    return Start(
        name, FRAMES, actions, _caption(episode, last), str(episode.meta["theme"]), int(episode.meta["level_seed"])
    )


def _caption(episode: Episode, frame: int) -> str:
    """What the game itself says of a frame, by playing the episode again; else the episode's own caption."""
    own = str(episode.meta["caption"])
    if not own:  # a game that says nothing of its first frame says nothing of others
        return own
    try:
        env = make(str(episode.meta["env_id"]), **dict(episode.meta.get("options") or {}))
    except ValueError:  # a video or a captured window: nothing to play again
        return own
    try:
        env.reset(seed=int(episode.meta["level_seed"]))
        info: dict[str, object] = {}
        for action in episode.actions_T[:frame]:
            *_, info = env.step(int(action))
        return str(info.get("caption", own))
    finally:
        env.close()
