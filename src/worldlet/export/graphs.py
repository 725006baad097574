"""ONNX graphs of a world: `encode`, `decode` and `step`, whose weights lie in `weights.safetensors` alone."""

from __future__ import annotations

import json
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from worldlet.manifest import WEIGHTS_NAME, write_atomic
from worldlet.world import WorldModel

OPSET = 20


class _Encode(nn.Module):
    def __init__(self, world: WorldModel):
        super().__init__()
        self.world = world

    def forward(self, frames: Tensor) -> Tensor:
        return self.world.encode(frames)


class _Decode(nn.Module):
    def __init__(self, world: WorldModel):
        super().__init__()
        self.world = world

    def forward(self, tokens: Tensor) -> Tensor:
        return self.world.decode(tokens)


class _Step(nn.Module):
    def __init__(self, world: WorldModel, names: list[str]):
        super().__init__()
        self.world, self.names = world, names

    def forward(
        self, tokens: Tensor, action: Tensor, prompt: Tensor, noise: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, ...]:
        dreamed = self.world.dream(dict(zip(self.names, states, strict=True)), tokens, action, prompt, noise)
        return (dreamed.tokens_BN, dreamed.frames_BHWC, *(dreamed.state[name] for name in self.names))


def write_graphs(world: WorldModel, folder: Path) -> None:
    """Write the three graphs beside the weights that are already in `folder`, with a dynamic batch.

    `world` must be in eval mode and hold the weights as they are stored.
    """
    batch = 2  # so that the exporter does not take the batch for a constant
    height, width = world.tokenizer.config.frame_size
    count, prompt_width = world.dynamics.config.tokens, world.dynamics.config.prompt_width
    frames_BHWC = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    tokens_BN = torch.zeros(batch, count, dtype=torch.int64)
    action_B, prompt_BD = torch.zeros(batch, dtype=torch.int64), torch.zeros(batch, prompt_width)
    state = world.init_state(batch)
    names = list(state)
    step = tokens_BN, action_B, prompt_BD, torch.rand(batch, count), list(state.values())
    inputs = ["tokens", "action", "prompt", "noise", *(f"state.{name}" for name in names)]
    outputs = ["next_tokens", "frame", *(f"next_state.{name}" for name in names)]
    _write(_Encode(world), (frames_BHWC,), ["frames"], ["tokens"], folder / "encode.onnx")
    _write(_Decode(world), (tokens_BN,), ["tokens"], ["frame"], folder / "decode.onnx")
    _write(_Step(world, names), step, inputs, outputs, folder / "step.onnx")


def _write(module: nn.Module, example: tuple[Any, ...], inputs: list[str], outputs: list[str], path: Path) -> None:
    graph = _trace(module, example, inputs, outputs)
    _point_at_weights(graph, path.parent / WEIGHTS_NAME)
    for part in (
        graph,
        graph.graph,
        *graph.graph.node,
        *graph.graph.value_info,
        *graph.graph.input,
        *graph.graph.output,
    ):
        part.ClearField("metadata_props")  # where each node stood in the Python source
    write_atomic(path, graph.SerializeToString())
    onnx.checker.check_model(str(path))


def _trace(module: nn.Module, example: tuple[Any, ...], inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """Export a module with every input's first axis left open; the weights lie in the graph."""
    batch = {0: torch.export.Dim.DYNAMIC}
    with _quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=tuple([batch for _ in part] if isinstance(part, list) else batch for part in example),
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's warnings of its own deprecations, and of torchvision, which nothing here needs."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _point_at_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace every initializer that is a weight of the world by its tensor in `weights`, and a cast of half ones."""
    where = _offsets(weights)
    initializers, casts = [], []
    for initializer in model.graph.initializer:
        name = initializer.name.removeprefix("world.")
        if name not in where:
            initializers.append(initializer)
            continue
        shape, offset, length = where[name]
        is_half = initializer.data_type == TensorProto.FLOAT
        assert list(initializer.dims) == shape and (is_half or initializer.data_type == TensorProto.UINT8), name
        stored = TensorProto(
            name=f"{initializer.name}.half" if is_half else initializer.name,
            data_type=TensorProto.FLOAT16 if is_half else TensorProto.UINT8,
            dims=shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in {"location": weights.name, "offset": str(offset), "length": str(length)}.items():
            stored.external_data.add(key=key, value=value)
        initializers.append(stored)
        if not is_half:
            continue
        cast_name = f"{initializer.name}.cast"
        casts.append(helper.make_node("Cast", [stored.name], [initializer.name], name=cast_name, to=TensorProto.FLOAT))
    computed = {node.output[0] for node in casts}
    infos = [info for info in model.graph.value_info if info.name not in computed]
    for held, new in (
        (model.graph.initializer, initializers),
        (model.graph.node, [*casts, *model.graph.node]),
        (model.graph.value_info, infos),
    ):
        copies = [type(part).FromString(part.SerializeToString()) for part in new]
        del held[:]
        held.extend(copies)


def _offsets(path: Path) -> dict[str, tuple[list[int], int, int]]:
    """Shape, offset from the start of the file and length in bytes of every tensor of a safetensors file."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    first = 8 + size
    return {
        name: (entry["shape"], first + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }
