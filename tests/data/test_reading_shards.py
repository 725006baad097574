"""Shards that are missing or damaged are refused with the file's name; the manifest is checked too."""

import json
import shutil

import pytest
from rich.console import Console

from worldlet.data.record import RecordConfig, record
from worldlet.data.shards import ShardWriter, read_episodes, read_manifest, read_samples, write_manifest


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "fake"
    record(
        RecordConfig("tests.data.fake_games:Fake-v0", str(folder), frames=60, episode_steps=9, workers=1),
        Console(quiet=True),
    )
    return folder


@pytest.fixture
def folder(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "copy")


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_a_damaged_shard_is_named(folder, damage):
    shard = folder / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-600]), "empty": b""}[damage])
    with pytest.raises(ValueError, match=r"train-000000\.tar is damaged"):
        list(read_episodes(folder, "train"))
    assert list(read_episodes(folder, "val"))


def test_a_damaged_sample_with_the_right_hash_is_named(folder):
    writer = ShardWriter(folder / "train-000000.tar")
    writer.write("train-000000", {"mp4": b"no video", "actions.npy": b"", "facts.npz": b"", "meta.json": b"{}"})
    entry = writer.close()
    manifest = read_manifest(folder)
    manifest["shards"][-1]["sha256"] = entry.sha256
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"sample 'train-000000' of the shard .*train-000000\.tar is damaged"):
        list(read_episodes(folder, "train"))


def test_a_missing_shard_is_named(folder):
    (folder / "train-000000.tar").unlink()
    with pytest.raises(ValueError, match=r"train-000000\.tar is missing"):
        list(read_episodes(folder, "train"))


def test_a_manifest_cannot_point_out_of_its_folder(folder):
    manifest = read_manifest(folder)
    shutil.move(folder / "train-000000.tar", folder.parent / "train-000000.tar")
    manifest["shards"][-1]["file"] = "../train-000000.tar"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="is missing"):
        list(read_episodes(folder, "train"))


def test_an_unknown_or_empty_split_is_refused_at_once(folder):
    with pytest.raises(ValueError, match="did you mean 'train'"):
        read_episodes(folder, "trian")
    manifest = read_manifest(folder)
    manifest["shards"] = []
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="still empty"):
        read_episodes(folder, "train")


def test_a_bad_manifest_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="holds no manifest"):
        read_manifest(tmp_path / "nothing")
    text = (folder / "manifest.json").read_text()
    for broken, message in [
        (text[:-40], "is damaged"),
        ("[]", "not a data manifest"),
        (text.replace('"format": 1', '"format": 9'), "not a data manifest of format 1"),
        (text.replace('"splits"', '"slits"'), "lacks splits"),
    ]:
        (folder / "manifest.json").write_text(broken)
        with pytest.raises(ValueError, match=message):
            read_manifest(folder)


@pytest.mark.parametrize(
    "members, encoding",
    [(["mp4"], "h264"), (["frames.npy.xz"], "xz"), (["mp4", "frames.npy.zst"], "h264+zstd")],
)
def test_the_manifest_says_how_frames_are_encoded(folder, members, encoding):
    writer = ShardWriter(folder / "train-000000.tar")
    for key, member in enumerate(members):
        writer.write(f"train-{key:06d}", {member: b"", "actions.npy": b""})
    writer.close()
    manifest = read_manifest(folder)
    assert all(shard["encoding"] in ("zstd", "h264") for shard in manifest["shards"])  # as recorded
    del manifest["shards"][-1]["encoding"]
    write_manifest(folder, manifest)
    assert read_manifest(folder)["shards"][-1]["encoding"] == encoding


def test_a_shard_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "train-000000.tar"
    writer = ShardWriter(path)
    writer.write("a", {"b.c": b"1", "a": b"2"})
    assert not path.exists()
    entry = writer.close()
    assert entry.bytes == path.stat().st_size
    assert list(read_samples(path)) == [("a", {"a": b"2", "b.c": b"1"})]
    ShardWriter(tmp_path / "other.tar").discard()
    assert [file.name for file in tmp_path.iterdir()] == ["train-000000.tar"]
