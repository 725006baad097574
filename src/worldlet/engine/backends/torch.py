"""The same world in torch, for comparison with the exported graphs. Needs the training extra."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldlet.dynamics import Dynamics
from worldlet.dynamics.sampling import next_frame
from worldlet.engine.backends.base import BackendStep, State
from worldlet.manifest import WorldManifest
from worldlet.tokenizer import Tokenizer

DEVICES = ("auto", "cpu", "cuda")


class TorchBackend:
    """Runs a tokenizer and a dynamics network in float32; between steps the state has the manifest's dtypes.

    ``device`` is ``cpu``, ``cuda`` or ``auto``; ``threads`` sets torch's own number of CPU threads, which is one for
    the whole process.
    """

    name = "torch"

    def __init__(
        self, tokenizer: Tokenizer, dynamics: Dynamics, manifest: WorldManifest, device: str = "auto", threads: int = 2
    ) -> None:
        self.device = _device(device)
        self._manifest = manifest
        self._tokenizer = tokenizer.to(self.device).eval()
        assert isinstance(dynamics, nn.Module)
        self._dynamics: Any = dynamics.to(self.device).eval()
        if self.device == "cpu":
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn frames uint8 (B, H, W, 3) into tokens int64 (B, N)."""
        frames_BCHW = self._tensor(frames_BHWC).permute(0, 3, 1, 2).float() / 255
        return self._tokenizer.encode(frames_BCHW).flatten(1).cpu().numpy()

    @torch.inference_mode()
    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn tokens int64 (B, N) into frames uint8 (B, H, W, 3)."""
        return self._frames(self._tensor(tokens_BN))

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
        before = {name: self._tensor(tensor).float() for name, tensor in state.items()}
        inputs = [self._tensor(array) for array in (tokens_BN, action_B, prompt_BD, noise_BN)]
        next_BN, after = next_frame(self._dynamics, before, *inputs)
        kept = {spec.name: after[spec.name].cpu().numpy().astype(spec.dtype) for spec in self._manifest.state}
        return BackendStep(next_BN.cpu().numpy(), self._frames(next_BN), kept)

    def _frames(self, tokens_BN: Tensor) -> NDArray[np.uint8]:
        frames_BCHW = self._tokenizer.decode(tokens_BN.unflatten(1, self._manifest.grid))
        pixels_BHWC = (frames_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return pixels_BHWC.contiguous().cpu().numpy()

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        # Sessions hand out read-only arrays, which torch does not take: a copy is small beside the step.
        return torch.from_numpy(array.copy()).to(self.device)


def _device(device: str) -> str:
    if device not in DEVICES:
        raise ValueError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' is not available to torch here: use device='cpu'")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
