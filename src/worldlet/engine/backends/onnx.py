"""The world's ONNX graphs on ONNX Runtime: the backend that playing uses."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from worldlet.engine.backends.base import BackendStep, State
from worldlet.manifest import WorldError, WorldManifest

DEVICES = ("auto", "cpu", "cuda")
CUDA = "CUDAExecutionProvider"
ERRORS_ONLY = 3

Signature = dict[str, tuple[str, tuple[int, ...]]]
"""By input name: ONNX Runtime's name of the type, and the shape without the batch axis."""


class OnnxBackend:
    """Runs ``encode.onnx``, ``decode.onnx`` and ``step.onnx`` of one world folder.

    ``device`` is ``cpu``, ``cuda`` or ``auto`` (CUDA where this ONNX Runtime has it); ``threads`` is the number of
    CPU threads of one call. Raises WorldError where a graph does not load or does not fit ``world.json``.
    """

    name = "onnx"

    def __init__(self, folder: Path, manifest: WorldManifest, device: str = "auto", threads: int = 2) -> None:
        self._folder = folder
        self._manifest = manifest
        self._threads = threads
        self._providers = _providers(device)
        self._state_names = [spec.name for spec in manifest.state]
        self._step_outputs = ["next_tokens", "frame", *(f"next_state.{name}" for name in self._state_names)]
        self._step = self._load("step", _step_inputs(manifest), self._step_outputs)
        self.device = "cuda" if self._step.get_providers()[0] == CUDA else "cpu"

    def encode(self, frames_BHWC: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Turn frames uint8 (B, H, W, 3) into tokens int64 (B, N)."""
        return np.asarray(self._encode.run(["tokens"], {"frames": frames_BHWC})[0], dtype=np.int64)

    def decode(self, tokens_BN: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Turn tokens int64 (B, N) into frames uint8 (B, H, W, 3)."""
        return np.asarray(self._decode.run(["frame"], {"tokens": tokens_BN})[0], dtype=np.uint8)

    def step(
        self,
        state: State,
        tokens_BN: NDArray[np.int64],
        action_B: NDArray[np.int64],
        prompt_BD: NDArray[np.float32],
        noise_BN: NDArray[np.float32],
    ) -> BackendStep:
        """Take the current tokens and the action done at them, and give the next frame."""
        feed = {"tokens": tokens_BN, "action": action_B, "prompt": prompt_BD, "noise": noise_BN}
        feed |= {f"state.{name}": state[name] for name in self._state_names}
        tokens, frames, *states = self._step.run(self._step_outputs, feed)
        return BackendStep(tokens, frames, dict(zip(self._state_names, states, strict=True)))

    @cached_property
    def _encode(self) -> onnxruntime.InferenceSession:
        return self._load("encode", {"frames": ("tensor(uint8)", (*self._manifest.frame_size, 3))}, ["tokens"])

    @cached_property
    def _decode(self) -> onnxruntime.InferenceSession:
        return self._load("decode", {"tokens": ("tensor(int64)", (self._manifest.tokens,))}, ["frame"])

    def _load(self, graph: str, inputs: Signature, outputs: list[str]) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        # Waiting threads that spin take the processor from everything else that runs on a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        path = self._folder / f"{graph}.onnx"
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=self._providers)
        except Exception as error:  # ONNX Runtime's own exception types share no public base class
            raise WorldError(f"{path} does not load in ONNX Runtime: {str(error).splitlines()[0]}") from error
        _check_signature(path, session, inputs, outputs)
        return session


def _step_inputs(manifest: WorldManifest) -> Signature:
    tokens = (manifest.tokens,)
    inputs: Signature = {
        "tokens": ("tensor(int64)", tokens),
        "action": ("tensor(int64)", ()),
        "prompt": ("tensor(float)", (manifest.prompt_width,)),
        "noise": ("tensor(float)", tokens),
    }
    kinds = {"float16": "tensor(float16)", "float32": "tensor(float)"}
    return inputs | {f"state.{spec.name}": (kinds[spec.dtype], spec.shape) for spec in manifest.state}


def _check_signature(path: Path, session: onnxruntime.InferenceSession, inputs: Signature, outputs: list[str]) -> None:
    found = {node.name: (node.type, tuple(node.shape[1:])) for node in session.get_inputs()}
    if found != inputs:
        wrong = sorted(name for name in found.keys() | inputs.keys() if found.get(name) != inputs.get(name))[0]
        raise WorldError(
            f"{path} does not fit world.json: its input {wrong!r} is {found.get(wrong, 'missing')}, "
            f"expected {inputs.get(wrong, 'no such input')}: export the world again"
        )
    missing = set(outputs) - {node.name for node in session.get_outputs()}
    if missing:
        raise WorldError(f"{path} has no output {sorted(missing)[0]!r}: export the world again")


def _providers(device: str) -> list[str]:
    if device not in DEVICES:
        raise ValueError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
    present = CUDA in onnxruntime.get_available_providers()
    if device == "cuda" and not present:
        raise ValueError("device 'cuda' needs ONNX Runtime for CUDA: pip install onnxruntime-gpu, or use device='cpu'")
    return [CUDA, "CPUExecutionProvider"] if present and device != "cpu" else ["CPUExecutionProvider"]
