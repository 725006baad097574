import json
import shutil

import pytest
from PIL import Image

import worldlet
from worldlet import WorldError
from worldlet.engine.backends.onnx import OnnxBackend
from worldlet.engine.bundle import find_world, open_bundle
from worldlet.manifest import file_table, read_world_json, write_world_json

FILES = (
    "step.onnx",
    "encode.onnx",
    "decode.onnx",
    "weights.safetensors",
    "starts/starts.json",
    "starts/000.png",
    "starts/003.png",
)


@pytest.fixture
def copy(world, tmp_path):
    return shutil.copytree(world, tmp_path / "copy")


def test_the_whole_folder_is_accepted(world):
    bundle = open_bundle(world)
    assert bundle.folder == world and len(bundle.starts) == 4
    assert bundle.start_frames(bundle.starts[0]).shape == (4, 16, 24, 3)
    assert set(FILES) <= set(bundle.manifest.files)


def test_a_card_may_change(copy):
    (copy / "card.md").write_text("measured again")
    (copy / "card.json").unlink()
    assert open_bundle(copy).manifest.name == "tiny"


@pytest.mark.parametrize("name", FILES)
def test_truncated(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(WorldError, match=f"{name} has {len(data) // 2} bytes where .* {len(data)}: export"):
        worldlet.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_one_bit_flipped(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(WorldError, match=f"{name} is not the file"):
        worldlet.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_removed(copy, name):
    (copy / name).unlink()
    with pytest.raises(WorldError, match=f"{name} is missing"):
        worldlet.load(copy)


@pytest.mark.parametrize("name", FILES)
def test_not_listed(copy, name):
    manifest = json.loads((copy / "world.json").read_text())
    del manifest["files"][name]
    (copy / "world.json").write_text(json.dumps(manifest))
    with pytest.raises(WorldError, match=f"does not list {name}"):
        worldlet.load(copy)


def test_world_json_truncated(copy):
    text = (copy / "world.json").read_text()
    (copy / "world.json").write_text(text[: len(text) // 2])
    with pytest.raises(WorldError, match="world.json.*not valid JSON"):
        worldlet.load(copy)


def test_wrong_version(copy):
    text = (copy / "world.json").read_text()
    (copy / "world.json").write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(WorldError, match="format 2 .* reads format 1"):
        worldlet.load(copy)


def test_unknown_key(copy):
    text = (copy / "world.json").read_text()
    (copy / "world.json").write_text(text.replace('"fps"', '"fpps"'))
    with pytest.raises(WorldError, match="unknown key 'fpps'.*'fps'"):
        worldlet.load(copy)


def test_start_of_the_wrong_size(copy):
    Image.new("RGB", (24, 16)).save(copy / "starts" / "000.png")
    write_world_json(copy, read_world_json(copy))
    bundle = open_bundle(copy)
    with pytest.raises(WorldError, match="24x16 pixels, not 24x64"):
        bundle.start_frames(bundle.starts[0])


def test_start_that_is_no_picture(copy):
    (copy / "starts" / "000.png").write_bytes(b"not a picture")
    write_world_json(copy, read_world_json(copy))
    bundle = open_bundle(copy)
    with pytest.raises(WorldError, match="000.png is not a readable picture"):
        bundle.start_frames(bundle.starts[0])


def test_start_with_an_action_out_of_range(copy):
    starts = json.loads((copy / "starts" / "starts.json").read_text())
    starts["starts"][1]["actions"][0] = 8
    (copy / "starts" / "starts.json").write_text(json.dumps(starts))
    write_world_json(copy, read_world_json(copy))
    with pytest.raises(WorldError, match=r"001\.png has an action out of range"):
        open_bundle(copy)


def test_graph_that_does_not_fit_the_manifest(copy):
    text = (copy / "world.json").read_text()
    (copy / "world.json").write_text(text.replace('"prompt_width": 4', '"prompt_width": 5'))
    with pytest.raises(WorldError, match="step.onnx does not fit world.json: its input 'prompt'"):
        worldlet.load(copy)


def test_graph_that_is_none(copy):
    (copy / "step.onnx").write_bytes(b"not a graph")
    write_world_json(copy, read_world_json(copy))
    with pytest.raises(WorldError, match="step.onnx does not load"):
        worldlet.load(copy)


def test_nothing_is_written_into_the_folder(copy):
    before = file_table(copy)
    worldlet.load(copy).open().step(0)
    assert file_table(copy) == before


def test_run_folder(world, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(world, run / "world")
    assert find_world(run) == run / "world"


def test_unknown_world_names_the_nearest(monkeypatch, tmp_path):
    monkeypatch.setattr("worldlet.engine.bundle.shipped_worlds", lambda: {"platformer": tmp_path})
    with pytest.raises(WorldError, match="no world 'platfromer' .did you mean 'platformer'"):
        find_world("platfromer")
    assert find_world("platformer") == tmp_path


def test_folder_without_a_world(tmp_path):
    with pytest.raises(WorldError, match="worldlet export"):
        find_world(tmp_path)


def test_unknown_device_and_backend(world):
    with pytest.raises(ValueError, match="device is one of auto, cpu, cuda"):
        worldlet.load(world, device="tpu")
    with pytest.raises(ValueError, match="did you mean 'onnx'"):
        worldlet.load(world, backend="onx")
    with pytest.raises(ValueError, match="threads"):
        worldlet.load(world, threads=0)


def test_cuda_that_is_not_there(world, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match="onnxruntime-gpu"):
        worldlet.load(world, device="cuda")


def test_waiting_threads_do_not_spin(world):
    options = OnnxBackend(world, read_world_json(world))._step.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == "0"
    assert options.intra_op_num_threads == 2
