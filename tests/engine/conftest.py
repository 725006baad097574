from pathlib import Path

import pytest
from tiny_world import build_tiny_world

import worldlet
from worldlet.engine import Engine


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world folder that all tests of the engine share: copy it before changing it."""
    return build_tiny_world(tmp_path_factory.mktemp("worlds") / "tiny")


@pytest.fixture(scope="session")
def engine(world: Path) -> Engine:
    return worldlet.load(world)
