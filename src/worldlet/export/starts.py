"""Starting clips for a world: a few frames each, real or dreamed on from real ones, of levels unseen in training."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from worldlet.data.shards import read_episodes
from worldlet.engine.noise import frame_noise
from worldlet.games import make
from worldlet.manifest import STARTS_NAME, Start, StartList, write_atomic
from worldlet.records import Episode
from worldlet.world import WorldModel

FRAMES = 8
_EARLIEST = 12  # frames into an episode


def write_starts(
    data: str | Path, folder: Path, count: int, seed: int, model: WorldModel | None = None, dreamed: int = 0
) -> StartList:
    """Write `starts/NNN.png` and `starts/starts.json`: `count` clips of 8 frames, spread over the themes.

    The hero, where there is one, stays alive in the recording. With `dreamed` frames, `model` goes on from each clip
    for so long, under the actions recorded next, and its own last 8 frames are the clip: no recorded picture is kept.

    Raises:
        ValueError: if the test split has no episode long enough, or less than a clip would be dreamed.
    """
    if dreamed and dreamed < FRAMES:
        raise ValueError(f"a start holds {FRAMES} frames: dream at least as many, or none, not {dreamed}")
    needed = _EARLIEST + FRAMES + dreamed
    by_theme: dict[str, list[Episode]] = {}
    for episode in read_episodes(data, "test"):
        if len(episode.actions_T) > needed:
            by_theme.setdefault(str(episode.meta["theme"]), []).append(episode)
    if not by_theme:
        raise ValueError(f"{data} has no test episode of {needed} frames to start from: record more")
    rng = np.random.default_rng([seed, 3])
    (folder / "starts").mkdir(parents=True, exist_ok=True)
    starts = []
    for i in range(count):
        theme = sorted(by_theme)[i % len(by_theme)]
        episodes = by_theme[theme]
        episode = episodes[i // len(by_theme) % len(episodes)]
        last = _last_frame(episode, rng, dreamed)
        frames_KHWC = episode.frames_THWC[last - FRAMES + 1 : last + 1]
        if dreamed:
            assert model is not None
            frames_KHWC = _dream_on(model, episode, last, dreamed, i)
        starts.append(_write(folder / "starts", f"{i:03d}.png", frames_KHWC, episode, last, dreamed))
    listed = StartList(tuple(starts))
    write_atomic(folder / STARTS_NAME, listed.to_json().encode())
    return listed


def _last_frame(episode: Episode, rng: np.random.Generator, dreamed: int) -> int:
    """A frame with a quiet past: nothing died in the frames before it or in the next few, and the hero stands."""
    deaths, contacts = episode.facts.get("deaths"), episode.facts.get("contacts")
    frames = np.arange(_EARLIEST, len(episode.actions_T) - FRAMES - dreamed)
    if deaths is not None:
        frames = frames[deaths[frames - _EARLIEST] == deaths[frames + dreamed + FRAMES]]
    if contacts is not None and contacts[frames + dreamed, 0].any():
        frames = frames[contacts[frames + dreamed, 0]]
    return int(rng.choice(frames)) if len(frames) else _EARLIEST


@torch.no_grad()
def _dream_on(model: WorldModel, episode: Episode, last: int, count: int, seed: int) -> NDArray[np.uint8]:
    """The last 8 of `count` frames that the model dreams after frame `last`, uint8 (8, H, W, 3)."""
    first = last - FRAMES + 1
    tokens_KN = model.encode(torch.from_numpy(np.ascontiguousarray(episode.frames_THWC[first : last + 1])))
    state, tokens_BN = model.init_state(1), tokens_KN[:1]
    prompt_BD = torch.zeros(1, model.dynamics.config.prompt_width)
    frames = []
    for t in range(FRAMES - 1 + count):
        noise_BN = torch.from_numpy(frame_noise(seed, t + 1, tokens_BN.shape[1])[None])
        action_B = torch.from_numpy(episode.actions_T[first + t : first + t + 1])
        dreamed = model.dream(state, tokens_BN, action_B, prompt_BD, noise_BN)
        state = dreamed.state
        tokens_BN = tokens_KN[t + 1 : t + 2] if t < FRAMES - 1 else dreamed.tokens_BN
        frames.append(dreamed.frames_BHWC[0].numpy())
    return np.stack(frames[-FRAMES:])


def _write(folder: Path, name: str, frames_KHWC: NDArray[np.uint8], episode: Episode, last: int, dreamed: int) -> Start:
    """Write one start; its clip ends `dreamed` frames after frame `last` of the episode."""
    Image.fromarray(np.concatenate(list(frames_KHWC))).save(folder / name, optimize=True)
    end = last + dreamed
    actions = tuple(int(a) for a in episode.actions_T[end - FRAMES + 1 : end])
    return Start(
        name, FRAMES, actions, _caption(episode, end), str(episode.meta["theme"]), int(episode.meta["level_seed"])
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
