"""`worldlet setup NAME`: a Python environment of their own for games that cannot share ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_BASE = ("gymnasium==1.4.0", "pillow>=10.3")
"""What the child's side needs, whatever the game."""
_NEXT = "record a game with `worldlet record {} --out data/{}` (docs/games.md lists them)"


@dataclass(frozen=True)
class Setup:
    """What `worldlet setup` installs under a name, why it cannot share our environment, and what to do then."""

    requirements: tuple[str, ...]
    reason: str
    next: str


SETUPS = {
    "procgen": Setup(
        ("procgen-mirror==0.10.7", "numpy==1.26.4"),
        "it needs numpy below 2",
        _NEXT.format("procgen/coinrun", "coinrun"),
    ),
    "flappy": Setup(
        ("flappy-bird-gymnasium==0.4.0",),
        "it needs another pygame than the rest",
        _NEXT.format("FlappyBird-v0", "flappy"),
    ),
}


def data_folder() -> Path:
    """Return where Worldlet keeps what it set up: WORLDLET_HOME, or a folder in the user's own for data."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("WORLDLET_HOME") or Path(data) / "worldlet")


def environment_folder(name: str) -> Path:
    """Return where the environment of a setup lies."""
    return data_folder() / "environments" / name


def environment_python(name: str) -> Path:
    """Return the interpreter of a setup; ValueError that names the command where it is not set up."""
    python = _python(environment_folder(name))
    if not (environment_folder(name) / _READY).exists():
        reason = SETUPS[name].reason
        raise ValueError(
            f"{name} games run in an environment of their own ({reason}): set it up with `worldlet setup {name}`"
        )
    return python


def set_up(name: str, say: Callable[[str], None] = lambda words: None) -> Path:
    """Create or complete the environment of a setup and return its folder; a ready one is left as it is.

    What takes long is said beforehand through `say`.

    Raises ValueError for an unknown name, or where pip cannot install what it needs.
    """
    if name not in SETUPS:
        raise ValueError(
            f"there is nothing called {name!r} to set up: `worldlet setup` knows {', '.join(SETUPS)} and lpips"
        )
    folder = environment_folder(name)
    ready = folder / _READY
    if ready.exists() and ready.read_text() == _wanted(name):
        return folder
    say(f"installing {', '.join(SETUPS[name].requirements)} into {folder}: this takes about a minute")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    command = [str(_python(folder)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, *_BASE, *SETUPS[name].requirements], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ValueError(f"setting up {name} failed under Python {version}: {why[0].removeprefix('ERROR: ')}")
    ready.write_text(_wanted(name))
    return folder


_READY = "ready.txt"


def _wanted(name: str) -> str:
    return "\n".join((*_BASE, *SETUPS[name].requirements))


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
