"""Find a world folder and make sure of it: format, schema, and the size and hash of every file, before any use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worldlet.manifest import (
    GRAPH_NAMES,
    MANIFEST_NAME,
    STARTS_NAME,
    WEIGHTS_NAME,
    FileEntry,
    Start,
    StartList,
    WorldError,
    WorldManifest,
    hash_file,
    read_world_json,
    suggestion,
)
from worldlet.zoo import shipped_worlds

REMEDY = "export or download the world again"


@dataclass(frozen=True)
class Bundle:
    """A verified world folder: where it is, what it is, and how its sessions may start."""

    folder: Path
    manifest: WorldManifest
    starts: tuple[Start, ...]

    def start_frames(self, start: Start) -> NDArray[np.uint8]:
        """Read the frames of a start, uint8 (K, H, W, 3)."""
        height, width = self.manifest.frame_size
        path = self.folder / "starts" / start.file
        try:
            with Image.open(path) as image:
                found, wanted = image.size, (width, height * start.frames)
                if found != wanted:
                    raise WorldError(f"{path} is {found[0]}x{found[1]} pixels, not {wanted[0]}x{wanted[1]}: {REMEDY}")
                strip = np.asarray(image.convert("RGB"))
        except OSError as error:
            raise WorldError(f"{path} is not a readable picture: {REMEDY}") from error
        return strip.reshape(start.frames, height, width, 3)


def open_bundle(world: str | Path) -> Bundle:
    """Find a world by shipped name, world folder or RUN folder and verify all of it; WorldError says what is wrong."""
    folder = find_world(world)
    manifest = read_world_json(folder)
    for path, entry in manifest.files.items():
        _verify_file(folder / path, entry)
    starts = StartList.from_json(_listed(folder, manifest, STARTS_NAME).read_bytes()).starts
    for name in (*GRAPH_NAMES, WEIGHTS_NAME, *(f"starts/{start.file}" for start in starts)):
        _listed(folder, manifest, name)
    for start in starts:
        if any(not 0 <= action < len(manifest.action_names) for action in start.actions):
            raise WorldError(f"{folder / STARTS_NAME}: the start {start.file} has an action out of range: {REMEDY}")
    return Bundle(folder, manifest, starts)


def find_world(world: str | Path) -> Path:
    """Return the world folder meant by a shipped name, a world folder, or a RUN folder (its ``world/``).

    A shipped name wins over a folder of the same name: write ``./platformer`` for the folder.
    """
    if not isinstance(world, (str, Path)) or not str(world):
        raise WorldError(f"a world is named by a shipped name, a world folder or a run folder, not {world!r}")
    shipped = shipped_worlds()
    if str(world) in shipped:
        return shipped[str(world)]
    folder = Path(world)
    for candidate in (folder, folder / "world"):
        if (candidate / MANIFEST_NAME).is_file():
            return candidate
    if folder.is_dir():
        raise WorldError(
            f"{folder} is neither a world folder ({MANIFEST_NAME} is missing) nor a run with an exported world: "
            f"run `worldlet export {folder} --out WORLD`, or name a world folder"
        )
    names = ", ".join(shipped) or "none"
    raise WorldError(
        f"there is no world {str(world)!r}{suggestion(str(world), shipped)}: "
        f"give a shipped name ({names}), a world folder or a run folder"
    )


def _verify_file(path: Path, entry: FileEntry) -> None:
    try:
        found = hash_file(path)
    except OSError as error:
        raise WorldError(f"{path} is missing or cannot be read ({error.strerror}): {REMEDY}") from error
    if found.bytes != entry.bytes:
        raise WorldError(f"{path} has {found.bytes} bytes where {MANIFEST_NAME} says {entry.bytes}: {REMEDY}")
    if found.sha256 != entry.sha256:
        raise WorldError(f"{path} is not the file that {MANIFEST_NAME} describes (its SHA-256 differs): {REMEDY}")


def _listed(folder: Path, manifest: WorldManifest, name: str) -> Path:
    if name not in manifest.files:
        raise WorldError(f"{folder / MANIFEST_NAME}: files does not list {name}: {REMEDY}")
    return folder / name
