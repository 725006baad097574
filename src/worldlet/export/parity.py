"""The gate of an export: torch and ONNX Runtime, each on its own, must dream the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldlet.engine.backends.onnx import OnnxBackend
from worldlet.engine.bundle import open_bundle
from worldlet.world import WorldModel

_HOLD = 7  # frames that an action is held
_ROUNDING = 1  # pixel levels by which two correct decoders may differ


class ParityError(ValueError):
    """Torch and ONNX Runtime dreamed different things."""


@torch.no_grad()
def check_parity(
    model: WorldModel, folder: Path, frames: int, seed: int, tick: Callable[[int], None] = lambda frame: None
) -> None:
    """Dream `frames` frames with both, each on its own tokens and state, under the same actions and noise.

    The graphs are those of the world in `folder`, which begins at one of its starts. `tick` is told each frame done.

    Raises:
        ParityError: naming the first frame at which their tokens differ, or their pixels by more than rounding.
    """
    bundle = open_bundle(folder)
    backend = OnnxBackend(folder, bundle.manifest, device="cpu")
    first_BHWC = bundle.start_frames(bundle.starts[seed % len(bundle.starts)])[-1:].copy()
    rng = np.random.default_rng(seed)
    theirs_BN = backend.encode(first_BHWC)
    ours_BN = model.encode(torch.from_numpy(first_BHWC))
    _compare_tokens(ours_BN, theirs_BN, "the first frame")
    their_state = {spec.name: np.zeros((1, *spec.shape), dtype=spec.dtype) for spec in bundle.manifest.state}
    our_state = model.init_state(1)
    prompt_BD = np.zeros((1, bundle.manifest.prompt_width), dtype=np.float32)
    action_B = np.zeros(1, dtype=np.int64)
    for t in range(frames):
        if t % _HOLD == 0:
            action_B = rng.integers(0, len(bundle.manifest.action_names), 1)
        noise_BN = rng.random((1, bundle.manifest.tokens), dtype=np.float32)
        theirs = backend.step(their_state, theirs_BN, action_B, prompt_BD, noise_BN)
        ours = model.dream(our_state, ours_BN, *map(torch.from_numpy, (action_B, prompt_BD, noise_BN)))
        where = f"dreamed frame {t + 1} of {frames}"
        _compare_tokens(ours.tokens_BN, theirs.tokens_BN, where)
        _compare_pixels(ours.frames_BHWC, theirs.frames_BHWC, where)
        theirs_BN, their_state, ours_BN, our_state = theirs.tokens_BN, theirs.state, ours.tokens_BN, ours.state
        tick(t + 1)


def _compare_tokens(ours_BN: Tensor, theirs_BN: NDArray[np.int64], where: str) -> None:
    wrong = int((ours_BN.numpy() != theirs_BN).sum())
    if wrong:
        raise ParityError(f"torch and ONNX Runtime differ in {wrong} tokens at {where}: the world was not exported")


def _compare_pixels(ours_BHWC: Tensor, theirs_BHWC: NDArray[np.uint8], where: str) -> None:
    apart = int(np.abs(ours_BHWC.numpy().astype(np.int16) - theirs_BHWC).max())
    if apart > _ROUNDING:
        raise ParityError(f"torch and ONNX Runtime differ by {apart} levels at {where}: the world was not exported")
