"""How fast a world dreams in torch, by device, precision and batch; with CUDA, launch by launch and as one CUDA graph.

    python benchmarks/torch_speed.py src/worldlet/zoo/platformer --out speed.json

Every variant dreams on from the same state; ways of running are timed in turns, so that a busy machine slows all alike,
and medians are told. On CUDA, float32 is TensorFloat-32 in matrix products, as in training (`tf32`). A graph's tokens
are compared with those of the plain run: `same` says how many agree.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldlet.world import WorldModel

Run = Callable[[], Tensor]
"""One dreamed frame for the whole batch; gives its tokens (B, N)."""


class Variant:
    """A world on a device, dreaming a batch; the state goes on from frame to frame."""

    def __init__(self, model: WorldModel, device: torch.device, precision: str, batch: int) -> None:
        torch.manual_seed(0)
        self.model, self.device, self.precision = model, device, precision
        config = model.dynamics.config
        self.state = {name: value.to(device) for name, value in model.init_state(batch).items()}
        self.tokens = torch.randint(config.codebook_size, (batch, config.tokens), device=device)
        self.action = torch.randint(config.actions, (batch,), device=device)
        self.prompt = torch.zeros(batch, config.prompt_width, device=device)
        self.noise = torch.rand(batch, config.tokens, device=device)
        self.frames = torch.empty(0)

    @torch.no_grad()
    def frame(self) -> Tensor:
        """Dream one frame in place, so that a captured graph goes on from its own last frame."""
        bf16 = self.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            dreamed = self.model.dream(self.state, self.tokens, self.action, self.prompt, self.noise)
        self.tokens.copy_(dreamed.tokens_BN)
        for name, value in dreamed.state.items():
            self.state[name].copy_(value)
        self.frames = dreamed.frames_BHWC
        return self.tokens

    def graphed(self) -> Run:
        """Capture a frame as a CUDA graph; what runs it dreams on from wherever this variant is."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.frame()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.frame()

        def run() -> Tensor:
            graph.replay()
            return self.tokens

        return run


def main() -> None:
    """Time what this machine has and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("world", type=Path)
    parser.add_argument("--out", type=Path, default=Path("speed.json"))
    parser.add_argument("--frames", type=int, default=40, help="frames of each measurement (default: 40)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256])
    options = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = WorldModel.load(options.world, str(device))
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "world": options.world.name, "rows": []}
    for batch in options.batches:
        for row in measure(model, device, batch, options.frames):
            report["rows"].append(row)
            print(json.dumps(row), flush=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def measure(model: WorldModel, device: torch.device, batch: int, frames: int) -> list[dict[str, Any]]:
    """Milliseconds of a frame of the batch, by precision and way of running, timed in turns."""
    runs: dict[tuple[str, str], Run] = {}
    agreement: dict[tuple[str, str], float] = {}
    for precision in ("tf32" if device.type == "cuda" else "fp32", "bf16"):
        plain = Variant(model, device, precision, batch)
        runs[precision, "plain"] = plain.frame
        if device.type == "cuda":
            other = Variant(model, device, precision, batch)
            replay = other.graphed()
            for _ in range(3):
                plain.frame()
            agreement[precision, "graph"] = float(
                torch.stack([plain.frame() == replay() for _ in range(frames)]).float().mean()
            )
            runs[precision, "graph"] = replay
    for run in runs.values():
        for _ in range(3):
            run()
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for _ in range(frames):
        for key, run in runs.items():
            begun = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[key].append(1000 * (time.perf_counter() - begun))
    rows = []
    for (precision, how), measured in times.items():
        median = statistics.median(measured)
        row = {"batch": batch, "precision": precision, "how": how, "ms": round(median, 3)}
        row["frames_per_s"] = round(1000 * batch / median, 1)
        if (precision, how) in agreement:
            row["same"] = round(agreement[precision, how], 6)
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
