"""ONNX graphs of a world: `encode`, `decode` and `step`, whose weights lie in `weights.safetensors` and nowhere else."""

import json
import struct
import warnings
from pathlib import Path

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
    """Write the three graphs beside the weights that are already in `folder`, with a dynamic batch."""
    batch = 2  # so that the exporter does not take the batch for a constant
    height, width = world.tokenizer.config.frame_size
    count = world.dynamics.config.tokens
    frames = torch.zeros(batch, height, width, 3, dtype=torch.uint8)
    tokens = torch.zeros(batch, count, dtype=torch.int64)
    state = world.init_state(batch)
    action, prompt, noise = (
        torch.zeros(batch, dtype=torch.int64),
        torch.zeros(batch, world.dynamics.config.prompt_width),
        torch.rand(batch, count),
    )
    names = list(state)
    _write(_Encode(world), (frames,), ["frames"], ["tokens"], folder, "encode")
    _write(_Decode(world), (tokens,), ["tokens"], ["frame"], folder, "decode")
    inputs = ["tokens", "action", "prompt", "noise", *(f"state.{name}" for name in names)]
    outputs = ["next_tokens", "frame", *(f"next_state.{name}" for name in names)]
    _write(
        _Step(world, names),
        (tokens, action, prompt, noise, [state[name].clone() for name in names]),
        inputs,
        outputs,
        folder,
        "step",
    )


def _write(
    module: nn.Module, example: tuple[object, ...], inputs: list[str], outputs: list[str], folder: Path, name: str
) -> None:
    dynamic = tuple(
        [{0: torch.export.Dim.DYNAMIC} for _ in part] if isinstance(part, list) else {0: torch.export.Dim.DYNAMIC}
        for part in example
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            module.eval(),
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    _point_at_weights(graph, folder / WEIGHTS_NAME)
    for part in (
        graph,
        graph.graph,
        *graph.graph.node,
        *graph.graph.value_info,
        *graph.graph.input,
        *graph.graph.output,
    ):
        part.ClearField("metadata_props")  # where each node stood in the Python source
    path = folder / f"{name}.onnx"
    write_atomic(path, graph.SerializeToString())
    onnx.checker.check_model(str(path))


def _point_at_weights(model: onnx.ModelProto, weights: Path) -> None:
    """Replace every initializer that is a weight of the world by a half-precision one that lies in the safetensors file, and a cast."""
    where = _offsets(weights)
    casts = []
    for initializer in list(model.graph.initializer):
        name = initializer.name.removeprefix("world.")
        if name not in where:
            continue
        shape, offset, length = where[name]
        assert list(initializer.dims) == shape and initializer.data_type == TensorProto.FLOAT, name
        stored = TensorProto(
            name=f"{initializer.name}.half",
            data_type=TensorProto.FLOAT16,
            dims=shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in {"location": weights.name, "offset": str(offset), "length": str(length)}.items():
            stored.external_data.add(key=key, value=value)
        casts.append(
            helper.make_node(
                "Cast", [stored.name], [initializer.name], name=f"{initializer.name}.cast", to=TensorProto.FLOAT
            )
        )
        model.graph.initializer.remove(initializer)
        model.graph.initializer.append(stored)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for info in [v for v in model.graph.value_info if v.name in {c.output[0] for c in casts}]:
        model.graph.value_info.remove(info)


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
