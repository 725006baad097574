"""`worldlet eval --rollouts DIR`: another system's dreamed frames, scored by the code that scores our own.

DIR holds one folder for each rollout, in order of their names, and may hold a ``rollouts.json``::

    DIR/rollouts.json     {"name": ..., "env_id": ..., "fps": 30}, each optional
    DIR/000/real          T+1 frames: the last one that the system was shown, then what the game showed
    DIR/000/dreamed       T frames: dreamed[t] is the answer to actions[t], to be compared with real[t+1]
    DIR/000/actions       T numbers, optional: their count is checked
    DIR/000/hero          T+1 masks of what the player controls, optional

Frames are a folder of PNG files in the order of their names, an ``.npz`` of one uint8 array (T, H, W, 3), or an
``.mp4`` (lossless RGB: chroma subsampling alone ruins pixel art). Actions are ``.npy``, or ``.json`` with one list;
masks are ``.npz`` with one bool array (T+1, H, W).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.eval import pictures
from worldlet.eval.likeness import Likeness
from worldlet.eval.real import Play
from worldlet.eval.rollout import HORIZONS, LONG_HORIZONS, SHOWN, Scores
from worldlet.eval.visual import Networks

Frames = NDArray[np.uint8]
NAMES_NAME = "rollouts.json"


def describe(folder: Path) -> dict[str, Any]:
    """Return who made the rollouts of a folder: title, env_id, fps, and a hash over all files."""
    path = folder / NAMES_NAME
    try:
        told = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): write name, env_id and fps into it, or remove it") from error
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(str(file.relative_to(folder)).encode() + hashlib.sha256(file.read_bytes()).digest())
    title, env_id = str(told.get("name", folder.name)), str(told.get("env_id", "a game nobody named"))
    return {"name": title, "title": title, "env_id": env_id, "identity": digest.hexdigest(), "fps": told.get("fps", 30)}


def rollout_folders(folder: Path) -> list[Path]:
    """Return the folders of the rollouts in order; ValueError where there is none."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}: give --rollouts one folder for each rollout (docs/card.md)")
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise ValueError(f"{folder} holds no rollouts: each is a folder with 'real' and 'dreamed' (docs/card.md)")
    return found


def measure_rollouts(
    folder: Path, networks: Networks, picture_folder: Path, tick: Callable[[int], None]
) -> dict[str, Any]:
    """Return the figures of a card's ``rollout`` that can be known without the game, by the same code and names."""
    folders = rollout_folders(folder)
    lengths = [len(read_frames(place, "dreamed")) for place in folders]
    horizons = [horizon for horizon in (*HORIZONS, *LONG_HORIZONS) if horizon <= max(lengths)]
    scores = {name: {horizon: Scores() for horizon in horizons} for name in ("dream", "copy")}
    likeness = Likeness(networks, horizons)
    films: list[list[Frames]] = []
    with_hero = False
    for place in folders:
        dreamed_THWC, play = read_rollout(place)
        with_hero = with_hero or bool(play.hero_mask_THW.any())
        asked = [horizon for horizon in horizons if horizon <= len(dreamed_THWC)]
        truth_BHWC = play.frames_THWC[asked]
        answers = {"dream": dreamed_THWC[np.array(asked) - 1], "copy": np.repeat(play.frames_THWC[:1], len(asked), 0)}
        for name, seen_BHWC in answers.items():
            for horizon, seen_HWC in zip(asked, seen_BHWC, strict=True):
                scores[name][horizon].add(seen_HWC, play, 0, horizon, determined=True)
            likeness.add("" if name == "dream" else "copy_", seen_BHWC, truth_BHWC, asked)
        likeness.add_run(dreamed_THWC, play.frames_THWC[1:], play.frames_THWC[0])
        if len(films) < 2 * SHOWN:
            films += [list(truth_BHWC), list(answers["dream"])]
        tick(len(dreamed_THWC))
    pictures.save(pictures.strips(films, ["real", "dreamed"] * (len(films) // 2)), picture_folder / "rollout.png")
    figures: dict[str, Any] = {}
    for measure in ("psnr_db", *(("hero_psnr_db",) if with_hero else ())):
        for name, by in scores.items():
            key = measure if name == "dream" else f"copy_{measure}"
            figures[key] = {str(horizon): score.figure(measure) for horizon, score in by.items()}
    lines = {name: [figures[key][str(h)]["value"] for h in horizons] for name, key in _DRAWN}
    drawn = pictures.curves(horizons, lines, "PSNR of the frame (dB) by dreamed frames")
    pictures.save(drawn, picture_folder / "rollout_psnr.png")
    return figures | likeness.figures(f"{len(folders)} rollouts of {folder.name}")


_DRAWN = (("dream", "psnr_db"), ("copy", "copy_psnr_db"))


def read_rollout(place: Path) -> tuple[Frames, Play]:
    """Read one rollout: its dreamed frames (T, H, W, 3), and the real ones as a play; ValueError says what is wrong."""
    dreamed_THWC, real_THWC = read_frames(place, "dreamed"), read_frames(place, "real")
    if len(real_THWC) != len(dreamed_THWC) + 1 or not len(dreamed_THWC):
        raise ValueError(
            f"{place} holds {len(real_THWC)} real and {len(dreamed_THWC)} dreamed frames: give one real frame more, "
            "the last one that the system was shown"
        )
    if real_THWC.shape[1:] != dreamed_THWC.shape[1:]:
        sizes = [f"{shape[2]}x{shape[1]}" for shape in (real_THWC.shape, dreamed_THWC.shape)]
        raise ValueError(f"{place}: real frames are {sizes[0]} pixels and dreamed ones {sizes[1]}: give both one size")
    actions = _read_actions(place)
    if actions is not None and len(actions) != len(dreamed_THWC):
        raise ValueError(f"{place} holds {len(actions)} actions for {len(dreamed_THWC)} dreamed frames: give as many")
    masks_THW = np.zeros(real_THWC.shape[:3], dtype=bool)
    if (place / "hero.npz").is_file():
        masks_THW = _only_array(place / "hero.npz").astype(bool)
        if masks_THW.shape != real_THWC.shape[:3]:
            raise ValueError(f"{place / 'hero.npz'} has shape {masks_THW.shape}, not {real_THWC.shape[:3]}")
    still = np.zeros(len(real_THWC), dtype=np.int64)
    return dreamed_THWC, Play(0, real_THWC, tuple(actions or ()), masks_THW, still, ((),) * len(real_THWC), "")


def read_frames(place: Path, name: str) -> Frames:
    """Read the frames (T, H, W, 3) called ``name`` in a rollout's folder, whichever of the three forms they have."""
    if (place / name).is_dir():
        paths = sorted((place / name).glob("*.png"))
        frames = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    elif (place / f"{name}.npz").is_file():
        frames = list(_only_array(place / f"{name}.npz"))
    elif (place / f"{name}.mp4").is_file():
        frames = list(_film(place / f"{name}.mp4"))
    else:
        raise ValueError(f"{place} has no {name} frames: a folder {name}/ of PNG files, {name}.npz or {name}.mp4")
    if not frames or len({frame.shape for frame in frames}) != 1:
        raise ValueError(f"the {name} frames of {place} are none, or not of one size")
    stacked = np.stack(frames)
    if stacked.dtype != np.uint8 or stacked.ndim != 4 or stacked.shape[-1] != 3:
        raise ValueError(f"the {name} frames of {place} are {stacked.dtype} {stacked.shape}, not uint8 (T, H, W, 3)")
    return stacked


def _film(path: Path) -> Iterator[Frames]:
    try:
        import av
    except ImportError as error:
        raise ImportError("reading .mp4 needs the video extra: pip install 'worldlet[video]'", name="av") from error
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def _only_array(path: Path) -> NDArray[Any]:
    with np.load(path) as arrays:
        if len(arrays.files) != 1:
            raise ValueError(f"{path} holds {len(arrays.files)} arrays, not one: save one array into it")
        return np.asarray(arrays[arrays.files[0]])


def _read_actions(place: Path) -> list[int] | None:
    if (place / "actions.npy").is_file():
        return [int(action) for action in np.load(place / "actions.npy")]
    if (place / "actions.json").is_file():
        return [int(action) for action in json.loads((place / "actions.json").read_text())]
    return None
