"""A tiny but real world folder, built with onnx.helper in milliseconds: 16x24 frames, 2x3 tokens, 8 codes, no torch.

Every input matters: the state is a fading sum of tokens and actions, and the next tokens follow from the state, the
current tokens, the action, the prompt and the noise. Code k is a patch of brightness about 32 k, so a decoded frame
encodes to the tokens it came from.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save_file

from worldlet.manifest import (
    STARTS_NAME,
    WEIGHTS_NAME,
    ParameterCounts,
    Start,
    StartList,
    StateSpec,
    WorldManifest,
    write_world_json,
)

H, W, GRID_H, GRID_W, PATCH, V, D = 16, 24, 2, 3, 8, 8, 4
N = GRID_H * GRID_W
ACTIONS = ("up", "down", "left", "right", "noop", "action", "left_up", "right_up")
KEY_BINDINGS = {
    "up": (("KeyW",), ("ArrowUp",)),
    "down": (("KeyS",), ("ArrowDown",)),
    "left": (("KeyA",), ("ArrowLeft",)),
    "right": (("KeyD",), ("ArrowRight",)),
    "noop": (),
    "action": (("KeyX",),),
    "left_up": (("KeyA", "KeyW"), ("ArrowLeft", "ArrowUp")),
    "right_up": (("KeyD", "KeyW"), ("ArrowRight", "ArrowUp")),
}
STARTS = (
    ("grass", "a green meadow under a blue sky"),
    ("snow", "a snowy hill with a frozen lake"),
    ("cave", "a dark cave with a green crystal"),
    ("grass", "a wide gap in the meadow"),
)
START_FRAMES = 4


def build_tiny_world(folder: Path, name: str = "tiny", weight_seed: int = 0) -> Path:
    """Write the world into ``folder`` (made if need be) and return it; another ``weight_seed`` is another world."""
    folder = Path(folder)
    (folder / "starts").mkdir(parents=True, exist_ok=True)
    weights = _weights(weight_seed)
    save_file(weights, folder / WEIGHTS_NAME)
    for graph in (_encode_graph(), _decode_graph(), _step_graph()):
        _save_graph(graph, folder)
    _write_starts(folder, weights["codebook"])
    manifest = WorldManifest(
        name=name,
        title="Tiny",
        env_id="worldlet/Platformer-v0",
        frame_size=(H, W),
        grid=(GRID_H, GRID_W),
        fps=30,
        action_names=ACTIONS,
        key_bindings=KEY_BINDINGS,
        codebook_size=V,
        prompt_width=D,
        state=(StateSpec("memory", (N,), "float16"), StateSpec("pulse", (1,), "float16")),
        parameters=ParameterCounts(tokenizer=weights["codebook"].size, dynamics=weights["pull"].size),
        config={"tokenizer": {}, "dynamics": {}},
        licence="MIT",
    )
    write_world_json(folder, manifest)
    (folder / "card.json").write_text(json.dumps({"world": name}))
    (folder / "card.md").write_text(f"# {name}\n")
    return folder


def _weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    texture = rng.integers(0, 16, (V, PATCH, PATCH, 3))
    brightness = 8 + 32 * np.arange(V).reshape(V, 1, 1, 1)
    return {
        "codebook": (brightness + texture).astype(np.float16),
        "pull": np.linspace(0.25, 4.0, len(ACTIONS)).astype(np.float16),
        "darkness": np.array([1 / 32], np.float16),
    }


def _write_starts(folder: Path, codebook: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    starts = []
    for index, (theme, caption) in enumerate(STARTS):
        grids = rng.integers(0, V, (START_FRAMES, GRID_H, GRID_W))
        strip = codebook[grids].astype(np.uint8).transpose(0, 1, 3, 2, 4, 5).reshape(START_FRAMES * H, W, 3)
        Image.fromarray(strip).save(folder / "starts" / f"{index:03d}.png")
        actions = tuple(int(action) for action in rng.integers(0, len(ACTIONS), START_FRAMES - 1))
        starts.append(Start(f"{index:03d}.png", START_FRAMES, actions, caption, theme, 2_000_000 + index))
    (folder / STARTS_NAME).write_text(StartList(tuple(starts)).to_json())


def _encode_graph() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Cast", ["darkness"], ["darkness32"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["frames"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "patch_shape"], ["patches"]),
        helper.make_node("ReduceMean", ["patches", "patch_axes"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "token_shape"], ["means_BN"]),
        helper.make_node("Mul", ["means_BN", "darkness32"], ["codes"]),
        helper.make_node("Floor", ["codes"], ["floored"]),
        helper.make_node("Cast", ["floored"], ["tokens"], to=TensorProto.INT64),
    ]
    constants = [
        _constant("patch_shape", [-1, GRID_H, PATCH, GRID_W, PATCH, 3]),
        _constant("patch_axes", [2, 4, 5]),
        _constant("token_shape", [-1, N]),
    ]
    inputs = [_tensor("frames", TensorProto.UINT8, "B", H, W, 3)]
    outputs = [_tensor("tokens", TensorProto.INT64, "B", N)]
    return helper.make_graph(nodes, "encode", inputs, outputs, [*constants, _external("darkness", [1])])


def _decode_graph() -> onnx.GraphProto:
    nodes, constants = _decoding("tokens", "frame")
    inputs = [_tensor("tokens", TensorProto.INT64, "B", N)]
    outputs = [_tensor("frame", TensorProto.UINT8, "B", H, W, 3)]
    return helper.make_graph(nodes, "decode", inputs, outputs, constants)


def _step_graph() -> onnx.GraphProto:
    """Build memory' = memory / 2 + (tokens + pull[action]) / 4 and the next tokens from it, prompt and noise."""
    nodes = [
        helper.make_node("Cast", ["tokens"], ["tokens16"], to=TensorProto.FLOAT16),
        helper.make_node("Gather", ["pull", "action"], ["pull_B"]),
        helper.make_node("Reshape", ["pull_B", "column"], ["pull_B1"]),
        helper.make_node("Add", ["tokens16", "pull_B1"], ["heard"]),
        helper.make_node("Mul", ["heard", "quarter"], ["heard_quarter"]),
        helper.make_node("Mul", ["state.memory", "half"], ["faded"]),
        helper.make_node("Add", ["faded", "heard_quarter"], ["next_state.memory"]),
        helper.make_node("Mul", ["state.pulse", "half"], ["pulse_faded"]),
        helper.make_node("Add", ["pulse_faded", "pull_B1"], ["next_state.pulse"]),
        helper.make_node("ReduceSum", ["prompt", "last_axis"], ["prompt_B1"], keepdims=1),
        helper.make_node("Add", ["noise", "noise"], ["luck"]),
        helper.make_node("Add", ["luck", "prompt_B1"], ["luck_prompt"]),
        helper.make_node("Add", ["next_state.memory", "next_state.pulse"], ["drive16"]),
        helper.make_node("Cast", ["drive16"], ["drive"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["drive", "luck_prompt"], ["value"]),
        helper.make_node("Floor", ["value"], ["value_floor"]),
        helper.make_node("Cast", ["value_floor"], ["value_int"], to=TensorProto.INT64),
        helper.make_node("Mod", ["value_int", "codes"], ["next_tokens"]),
    ]
    decoding, constants = _decoding("next_tokens", "frame")
    constants += [
        _constant("column", [-1, 1]),
        _constant("last_axis", [1]),
        _constant("codes", [V]),
        helper.make_tensor("half", TensorProto.FLOAT16, [1], np.array([0.5], np.float16)),
        helper.make_tensor("quarter", TensorProto.FLOAT16, [1], np.array([0.25], np.float16)),
        _external("pull", [len(ACTIONS)]),
    ]
    state = [("memory", N), ("pulse", 1)]
    inputs = [
        _tensor("tokens", TensorProto.INT64, "B", N),
        _tensor("action", TensorProto.INT64, "B"),
        _tensor("prompt", TensorProto.FLOAT, "B", D),
        _tensor("noise", TensorProto.FLOAT, "B", N),
        *(_tensor(f"state.{name}", TensorProto.FLOAT16, "B", size) for name, size in state),
    ]
    outputs = [
        _tensor("next_tokens", TensorProto.INT64, "B", N),
        _tensor("frame", TensorProto.UINT8, "B", H, W, 3),
        *(_tensor(f"next_state.{name}", TensorProto.FLOAT16, "B", size) for name, size in state),
    ]
    return helper.make_graph([*nodes, *decoding], "step", inputs, outputs, constants)


def _decoding(tokens: str, frame: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    nodes = [
        helper.make_node("Gather", ["codebook", tokens], ["patches16"]),
        helper.make_node("Reshape", ["patches16", "grid_shape"], ["grid"]),
        helper.make_node("Transpose", ["grid"], ["rows"], perm=[0, 1, 3, 2, 4, 5]),
        helper.make_node("Reshape", ["rows", "frame_shape"], ["frame16"]),
        helper.make_node("Cast", ["frame16"], [frame], to=TensorProto.UINT8),
    ]
    constants = [
        _external("codebook", [V, PATCH, PATCH, 3]),
        _constant("grid_shape", [-1, GRID_H, GRID_W, PATCH, PATCH, 3]),
        _constant("frame_shape", [-1, H, W, 3]),
    ]
    return nodes, constants


def _save_graph(graph: onnx.GraphProto, folder: Path) -> None:
    """Point the external initializers into the safetensors file and write ``NAME.onnx``."""
    raw = (folder / WEIGHTS_NAME).read_bytes()
    base = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:base])
    for tensor in graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            begin, end = header[tensor.name]["data_offsets"]
            for key, value in (("location", WEIGHTS_NAME), ("offset", base + begin), ("length", end - begin)):
                tensor.external_data.add(key=key, value=str(value))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    (folder / f"{graph.name}.onnx").write_bytes(model.SerializeToString())


def _external(name: str, shape: list[int]) -> onnx.TensorProto:
    return TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT16, data_location=TensorProto.EXTERNAL)


def _constant(name: str, values: list[int]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.INT64, [len(values)], values)


def _tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))
