"""What settling costs: `step` of a recipe's world with and without it, in ONNX Runtime, timed in turns.

    python benchmarks/settling_speed.py coinrun breakout platformer --actions 15 4 8 --sizes 64x64 84x64 128x128

The weights are random: what a step costs does not depend on them. Medians of turns on the CPU, batch 1; prints JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch

from worldlet.config import from_dict, read_yaml
from worldlet.dynamics import DynamicsConfig
from worldlet.export.folder import write_weights
from worldlet.export.graphs import write_graphs
from worldlet.recipes import find_recipe
from worldlet.tokenizer import TokenizerConfig
from worldlet.world import WorldModel


class Step:
    """The exported `step` of a recipe's sizes, ready to be run."""

    def __init__(self, recipe: str, size: tuple[int, int], actions: int, settle: bool, threads: int) -> None:
        settings = read_yaml(find_recipe(recipe))
        tokenizer = dataclasses.replace(from_dict(TokenizerConfig, settings["tokenizer"]), frame_size=size)
        dynamics = from_dict(DynamicsConfig, {**settings["dynamics"], "grid": list(tokenizer.grid)})
        dynamics = dataclasses.replace(
            dynamics, codebook_size=tokenizer.codebook_size, actions=actions, settle=settle
        )  # fmt: skip
        torch.manual_seed(0)
        model = WorldModel.build(tokenizer, dynamics).eval().requires_grad_(False)
        with tempfile.TemporaryDirectory() as folder:
            self._session = _session(model, Path(folder), threads)
        rng = np.random.default_rng(0)
        self._feed = {
            "tokens": rng.integers(0, dynamics.codebook_size, (1, dynamics.tokens)),
            "action": np.zeros(1, np.int64),
            "prompt": np.zeros((1, dynamics.prompt_width), np.float32),
            "noise": rng.random((1, dynamics.tokens), dtype=np.float32),
            **{f"state.{name}": value.numpy() for name, value in model.init_state(1).items()},
        }

    def seconds(self) -> float:
        """Run once and return how long it took."""
        begun = time.perf_counter()
        self._session.run(None, self._feed)
        return time.perf_counter() - begun


def _session(model: WorldModel, folder: Path, threads: int) -> onnxruntime.InferenceSession:
    write_weights(model, folder)
    write_graphs(model, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(folder / "step.onnx"), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Time every recipe that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--sizes", nargs="+", required=True, help="frame size of each, height x width")
    parser.add_argument("--actions", nargs="+", type=int, required=True, help="number of actions of each")
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for recipe, size, actions in zip(options.recipes, options.sizes, options.actions, strict=True):
        height, width = map(int, size.split("x"))
        steps = {settle: Step(recipe, (height, width), actions, settle, options.threads) for settle in (True, False)}
        times: dict[bool, list[float]] = {settle: [] for settle in steps}
        for _ in range(options.turns):
            for settle, step in steps.items():
                times[settle].append(step.seconds())
        with_it, without = (1000 * statistics.median(times[settle]) for settle in (True, False))
        row = {"recipe": recipe, "settling_ms": round(with_it, 2), "alone_ms": round(without, 2)}
        print(json.dumps({**row, "ratio": round(with_it / without, 2)}), flush=True)


if __name__ == "__main__":
    main()
