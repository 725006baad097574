"""Shared by every test: calm threads, so that two cores carry a whole suite, and the same examples in every run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Both must be set before torch or ONNX Runtime start their thread pools.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

from worldlet.eval import perceptual  # noqa: E402

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

try:
    import torch
except ModuleNotFoundError:  # the core's tests run without the training extra
    pass
else:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def nothing_was_set_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Dreams are judged by the stand-in of LPIPS, whatever this machine has."""
    empty: Path = tmp_path_factory.mktemp("nothing-was-set-up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual, "data_folder", lambda: empty)
        yield
