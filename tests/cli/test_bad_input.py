"""Bad input at the command line, through the real parts: one sentence, exit code 2, and nothing written or changed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_world import build_tiny_world
from worldlet import cli

FILES = ["world.json", "step.onnx", "encode.onnx", "decode.onnx", "weights.safetensors"]
FILES += ["starts/starts.json", "starts/000.png"]
VERBS = {
    "play": ["play", "{world}", "--headless", "--steps", "2", "--out", "{tmp}/out.gif"],
    "page": ["play", "{world}", "--port", "0"],
    "serve": ["serve", "{world}", "--port", "0"],
    "eval": ["eval", "{world}", "--quick", "--out", "{tmp}/card"],
}
WITHOUT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from worldlet.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return build_tiny_world(tmp_path / "tiny")


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused: exit code 2, no file in the folder new or changed; return the sentence."""

    def run(*arguments: str) -> str:
        before = contents(tmp_path)
        assert cli.main(list(arguments)) == 2
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.startswith("worldlet: ") and printed.err.count("\n") == 1, printed
        assert contents(tmp_path) == before
        return printed.err.removeprefix("worldlet: ").strip()

    return run


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def command(verb: str, world: str | Path, tmp: Path) -> list[str]:
    return [part.format(world=world, tmp=tmp) for part in VERBS[verb]]


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_world(verb: str, refused: Callable[..., str], tmp_path: Path) -> None:
    sentence = refused(*command(verb, "atlantis", tmp_path))
    assert "no world 'atlantis'" in sentence and "give a shipped name" in sentence


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_is_no_world(verb: str, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    sentence = refused(*command(verb, tmp_path / "empty", tmp_path))
    assert "world.json is missing" in sentence and "worldlet export" in sentence


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_of_the_world(name: str, world: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    data = (world / name).read_bytes()
    (world / name).write_bytes(data[: len(data) // 2])
    (tmp_path / "out.gif").write_bytes(b"an older film")
    for verb in VERBS:
        sentence = refused(*command(verb, world, tmp_path))
        assert str(world / name) in sentence and "export" in sentence


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_with_the_wrong_hash(name: str, world: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    data = bytearray((world / name).read_bytes())
    data[-1] ^= 1
    (world / name).write_bytes(data)
    for verb in VERBS:
        sentence = refused(*command(verb, world, tmp_path))
        assert str(world / name) in sentence and "SHA-256 differs" in sentence and "export" in sentence


@pytest.mark.parametrize("verb", VERBS)
def test_a_world_of_another_version(verb: str, world: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    values = json.loads((world / "world.json").read_text())
    (world / "world.json").write_text(json.dumps(values | {"format": 2}))
    sentence = refused(*command(verb, world, tmp_path))
    assert "format 2" in sentence and "reads format 1: export the world again" in sentence


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ([0, 8], ["action", "8"]),
        (["right", "rigth"], ["'rigth'", "'right'"]),
        ([0], ["lists 1 actions", "steps"]),
        ("{", ["JSON"]),
    ],
)
def test_a_list_of_actions_that_does_not_fit(
    actions: object, words: list[str], world: Path, refused: Callable[..., str], tmp_path: Path
) -> None:
    text = actions if isinstance(actions, str) else json.dumps(actions)
    (tmp_path / "actions.json").write_text(text)
    sentence = refused(*command("play", world, tmp_path), "--player", str(tmp_path / "actions.json"))
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("verb", ["page", "serve"])
def test_a_port_in_use(verb: str, world: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = refused(*command(verb, world, tmp_path), "--port", str(port))
    assert sentence == f"port {port} is in use: choose another with --port"


@pytest.mark.parametrize(
    ("missing", "arguments", "extra"),
    [
        ("torch", ["train", "{tmp}", "--out", "{tmp}/run", "--minutes", "1"], "worldlet[train]"),
        ("onnx", ["export", "{tmp}", "--out", "{tmp}/world"], "worldlet[train]"),
        ("av", ["record", "worldlet/Platformer-v0", "--frames", "9", "--out", "{tmp}/data"], "worldlet[train]"),
        ("av", ["play", "{tmp}/tiny", "--headless", "--out", "{tmp}/dream.mp4"], "worldlet[video]"),
    ],
)
def test_a_missing_extra(missing: str, arguments: list[str], extra: str, world: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing, *filled], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert f"pip install '{extra}'" in done.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("verb", ["record", "train", "export", "eval"])
def test_a_config_that_is_not_there(verb: str, refused: Callable[..., str], tmp_path: Path) -> None:
    if verb in ("train", "export"):
        pytest.importorskip("torch", reason="this verb needs the training extra")
    sentence = refused(verb, "any", "--out", str(tmp_path / "out"), "--config", str(tmp_path / "none.yaml"))
    assert f"cannot read the config {tmp_path / 'none.yaml'}" in sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["record", "worldlet/Platfromer-v0", "--out", "{tmp}/data"], ["Platfromer"]),
        (["record", "worldlet/Platformer-v0", "--out", "{tmp}/data", "--players", "sticki"], ["'sticky'"]),
        (["train", "{tmp}/none", "--out", "{tmp}/run", "--minutes", "1"], ["none", "worldlet record"]),
        (["train", "{tmp}/none", "--out", "{tmp}/run"], ["--minutes or --steps"]),
        (["export", "{tmp}/none", "--out", "{tmp}/world"], ["not a run folder", "worldlet train"]),
    ],
)
def test_what_is_not_there_or_does_not_fit(
    arguments: list[str], words: list[str], refused: Callable[..., str], tmp_path: Path
) -> None:
    if arguments[0] in ("train", "export"):
        pytest.importorskip("torch", reason="this verb needs the training extra")
    sentence = refused(*(argument.format(tmp=tmp_path) for argument in arguments))
    assert all(word in sentence for word in words), sentence
