"""The same world in torch, for comparison with the exported graphs. Needs the training extra."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldlet.engine.backends.base import BackendStep, State
from worldlet.world import WorldModel

DEVICES = ("auto", "cpu", "cuda")


class TorchBackend:
    """Runs a world model in float32, with the state in half precision between steps, as the exported graph does.

    ``device`` is ``cpu``, ``cuda`` or ``auto``; ``threads`` sets torch's own number of CPU threads, which is one for
    the whole process.
    """

    name = "torch"

    def __init__(self, model: WorldModel, device: str = "auto", threads: int = 2) -> None:
        self.device = _device(device)
        self._model = model.to(self.device).eval()
        if self.device == "cpu":
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn frames uint8 (B, H, W, 3) into tokens int64 (B, N)."""
        return _array(self._model.encode(self._tensor(frames_BHWC)))

    @torch.inference_mode()
    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn tokens int64 (B, N) into frames uint8 (B, H, W, 3)."""
        return _array(self._model.decode(self._tensor(tokens_BN)))

    @torch.inference_mode()
    def step(
        self,
        state: State,
        tokens_BN: NDArray[np.int64],
        action_B: NDArray[np.int64],
        prompt_BD: NDArray[np.float32],
        noise_BN: NDArray[np.float32],
    ) -> BackendStep:
        """Take the current tokens and the action done at them, and give the next frame."""
        before = {name: self._tensor(tensor) for name, tensor in state.items()}
        inputs = [self._tensor(array) for array in (tokens_BN, action_B, prompt_BD, noise_BN)]
        dreamed = self._model.dream(before, *inputs)
        after = {name: _array(tensor) for name, tensor in dreamed.state.items()}
        return BackendStep(_array(dreamed.tokens_BN), _array(dreamed.frames_BHWC), after)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        # Sessions hand out read-only arrays, which torch does not take: a copy is small beside the step.
        return torch.from_numpy(array.copy()).to(self.device)


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.contiguous().cpu().numpy()


def _device(device: str) -> str:
    if device not in DEVICES:
        raise ValueError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not available to torch here: use device='cpu'")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
