"""Playing and serving need no training extra: everything runs where torch and its company cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import worldlet
from tests.tiny_world import build_tiny_world
from worldlet.cli import TRAINING_MODULES

PACKAGE = Path(worldlet.__file__).parent
CORE = ("records", "manifest", "config", "metrics", "games", "engine", "server", "zoo", "recipes", "options", "cli")
TORCH_BACKEND = "worldlet.engine.backends.torch"

BLOCK = f"""
import importlib, json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {TRAINING_MODULES!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def without_training_extra(code: str, *arguments: str) -> str:
    """Run code in an interpreter where the training extra cannot be imported, and return what it printed."""
    done = subprocess.run([sys.executable, "-c", BLOCK + code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def core_modules() -> list[str]:
    paths = [PACKAGE / f"{part}.py" for part in CORE] + [p for part in CORE for p in (PACKAGE / part).rglob("*.py")]
    names = [
        ".".join(("worldlet", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths if path.exists()
    ]
    return sorted({name.removesuffix(".__init__") for name in names} - {TORCH_BACKEND})


def test_the_block_works() -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        without_training_extra("import torch")


def test_every_core_module_imports() -> None:
    modules = core_modules()
    assert {"worldlet.records", "worldlet.engine.session", "worldlet.server.app", "worldlet.games"} <= set(modules)
    without_training_extra("for name in json.loads(sys.argv[1]): importlib.import_module(name)", json.dumps(modules))


def test_the_game_plays() -> None:
    code = """
import gymnasium, worldlet.games
env = gymnasium.make("worldlet/Platformer-v0")
env.reset(seed=1)
frame, *_ = env.step(3)
print(frame.shape)
"""
    assert without_training_extra(code).strip() == "(128, 128, 3)"


def test_a_world_plays(tmp_path: Path) -> None:
    code = """
import worldlet
session = worldlet.load(sys.argv[1]).open(seed=7)
result = session.step("right")
copy = session.fork()
assert (copy.step("left").frame == session.step("left").frame).all()
print(result.frame.shape, len(session.snapshot()) > 0)
"""
    world = build_tiny_world(tmp_path / "tiny")
    assert without_training_extra(code, str(world)).strip() == "(16, 24, 3) True"


def test_headless_play_writes_a_film(tmp_path: Path) -> None:
    world, film = build_tiny_world(tmp_path / "tiny"), tmp_path / "dream.gif"
    code = "from worldlet.cli import main\nsys.exit(main(sys.argv[1:]))"
    without_training_extra(code, "play", str(world), "--headless", "--steps", "5", "--seed", "7", "--out", str(film))
    assert film.read_bytes().startswith(b"GIF8")
