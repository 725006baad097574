import dataclasses
import json

import pytest
from tiny_world import build_tiny_world

from worldlet.manifest import (
    Start,
    StartList,
    StateSpec,
    WorldError,
    WorldManifest,
    atomic_path,
    file_table,
    hash_file,
    read_world_json,
    write_atomic,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_world(tmp_path_factory.mktemp("manifest") / "tiny")


@pytest.fixture
def values(folder):
    return json.loads((folder / "world.json").read_text())


def _read(values):
    return WorldManifest.from_json(json.dumps(values))


def test_round_trip(folder):
    manifest = read_world_json(folder)
    assert WorldManifest.from_json(manifest.to_json()) == manifest
    assert manifest.frame_size == (16, 24) and manifest.tokens == 6
    assert manifest.state[0] == StateSpec("memory", (6,), "float16")


def test_every_file_is_hashed_but_the_cards(folder):
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(read_world_json(folder).files) == present - {"world.json", "card.json", "card.md"}
    assert file_table(folder) == read_world_json(folder).files


def test_hash_of_known_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    entry = hash_file(tmp_path / "a")
    assert entry.bytes == 3
    assert entry.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_identity_follows_the_files_and_nothing_else(folder):
    manifest = read_world_json(folder)
    assert dataclasses.replace(manifest, title="Another").identity == manifest.identity
    changed = manifest.files | {"step.onnx": manifest.files["decode.onnx"]}
    assert dataclasses.replace(manifest, files=changed).identity != manifest.identity


def test_unknown_key_names_the_nearest(values):
    values["codebook_sise"] = values["codebook_size"]
    with pytest.raises(WorldError, match="unknown key 'codebook_sise'.*'codebook_size'"):
        _read(values)


def test_unknown_nested_key(values):
    values["state"][0]["shapes"] = [1]
    with pytest.raises(WorldError, match=r"state\[0\].*unknown key 'shapes'.*'shape'"):
        _read(values)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(WorldManifest) if field.name != "format"])
def test_missing_key(values, key):
    del values[key]
    with pytest.raises(WorldError, match=f"missing key '{key}'"):
        _read(values)


@pytest.mark.parametrize("found", [0, 2, "1", None, True])
def test_wrong_version(values, found):
    values["format"] = found
    with pytest.raises(WorldError, match="format"):
        _read(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fps", "30"),
        ("fps", True),
        ("fps", 0),
        ("grid", [2]),
        ("grid", [2, 3, 4]),
        ("grid", [2, 0]),
        ("frame_size", 16),
        ("action_names", []),
        ("action_names", ["up", "up"]),
        ("key_bindings", {"upp": [["KeyW"]]}),
        ("state", [{"name": "a", "shape": [0], "dtype": "float16"}]),
        ("state", [{"name": "a", "shape": [1], "dtype": "int8"}]),
        ("state", [{"name": "a", "shape": [1], "dtype": "float16"}] * 2),
        ("files", {"../secret": {"sha256": "", "bytes": 0}}),
        ("files", {"/etc/passwd": {"sha256": "", "bytes": 0}}),
        ("files", ["step.onnx"]),
        ("config", None),
    ],
)
def test_wrong_value(values, key, value):
    values[key] = value
    with pytest.raises(WorldError):
        _read(values)


def test_not_json():
    with pytest.raises(WorldError, match="not valid JSON"):
        WorldManifest.from_json(b'{"format": 1')
    with pytest.raises(WorldError):
        WorldManifest.from_json(b"\xff\xfe\x00")


def test_actions_by_name_and_number(folder):
    manifest = read_world_json(folder)
    assert manifest.action_index("right") == 3 and manifest.action_index(7) == 7
    for wrong in (8, -1, 2.0, True, None):
        with pytest.raises(ValueError, match="action"):
            manifest.action_index(wrong)
    with pytest.raises(ValueError, match="did you mean 'right'"):
        manifest.action_index("rigt")


def test_start_list():
    start = Start("000.png", 2, (3,), "a caption", "grass", 5)
    assert StartList.from_json(StartList((start,)).to_json()).starts == (start,)
    with pytest.raises(WorldError, match="2 frames and 2 actions"):
        dataclasses.replace(start, actions=(1, 2))
    with pytest.raises(WorldError, match="inside"):
        dataclasses.replace(start, file="../000.png")
    with pytest.raises(WorldError, match="no start"):
        StartList.from_json('{"starts": []}')


def test_atomic_writing_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "card.json"
    write_atomic(path, b"old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == tmp_path
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
