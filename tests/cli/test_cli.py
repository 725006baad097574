"""The command line as a user meets it: contents, verbs, mistakes, interruption, missing extras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import worldlet
from tests.tiny_world import build_tiny_world
from worldlet import cli

PIPELINE = [
    *("setup", "record", "capture", "prepare", "filter", "label"),
    *("train", "export", "eval", "compare", "play", "serve"),
]
BLOCK_TRAINING = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {cli.TRAINING_MODULES!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, from a fresh import state."""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)


def replace_verb(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def run(arguments: list[str]) -> None:
        raise error

    monkeypatch.setitem(cli.VERBS, name, cli.VERBS[name]._replace(run=run))


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_is_a_table_of_contents_in_pipeline_order(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    verbs = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("  worldlet")]
    assert verbs == PIPELINE == list(cli.VERBS)
    examples = [line.split()[1] for line in lines if line.startswith("  worldlet")]
    assert examples == PIPELINE
    assert max(len(line) for line in lines) <= 120


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"worldlet {worldlet.__version__}\n"


@pytest.mark.parametrize(
    ("verb", "hint"), [("trian", "did you mean `worldlet train`?"), ("zzz", "`worldlet --help` lists them.")]
)
def test_unknown_verb_suggests_the_nearest(verb: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"worldlet: there is no verb {verb!r}; {hint}\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("the world is damaged"), "the world is damaged"),
        (FileNotFoundError(2, "No such file or directory", "x.yaml"), "No such file or directory: x.yaml"),
        (OSError("the disk is full"), "the disk is full"),
        (ImportError("MP4 needs PyAV: pip install 'worldlet[video]'"), "MP4 needs PyAV: pip install 'worldlet[video]'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_verb(monkeypatch, "play", error)
    assert cli.main(["play"]) == 2
    assert capsys.readouterr().err == f"worldlet: {sentence}\n"


@pytest.mark.parametrize("by_environment", [False, True])
def test_debug_shows_the_traceback_too(
    by_environment: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_verb(monkeypatch, "play", ValueError("the world is damaged"))
    if by_environment:
        monkeypatch.setenv("WORLDLET_DEBUG", "1")
    assert cli.main(["play"] if by_environment else ["play", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("bug", [KeyError("x"), ImportError("cannot import name 'x'", name="worldlet.nn")])
def test_a_bug_of_ours_is_not_dressed_up_as_a_mistake(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_verb(monkeypatch, "play", bug)
    with pytest.raises(type(bug)):
        cli.main(["play"])


def test_ctrl_c_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    replace_verb(monkeypatch, "train", KeyboardInterrupt())
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "\nworldlet: stopped by Ctrl-C.\n"


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 130)])
def test_interrupted_training_is_not_taken_for_finished(
    finished: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="this verb needs the training extra")
    completed: list[str] = []
    monkeypatch.setattr("worldlet.train.run.train", lambda config: [SimpleNamespace(finished=finished)])
    monkeypatch.setattr("worldlet.recipes.complete.complete", lambda config: completed.append(config.out))
    assert cli.main(["train", "data", "--out", "run", "--minutes", "1"]) == code
    assert completed == ["run"] * finished, "a world and its card follow once all is trained"
    assert cli.main(["train", "data", "--out", "run", "--minutes", "1", "--stage", "dynamics"]) == code
    assert completed == ["run"] * finished


def test_a_starting_world_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="this verb needs the training extra")
    from worldlet.zoo import shipped_worlds

    asked: list[str] = []
    finished = [SimpleNamespace(finished=True)]
    monkeypatch.setattr("worldlet.train.run.train", lambda config: asked.append(config.start_from) or finished)
    arguments = ["train", "data", "--out", "run", "--minutes", "1", "--stage", "dynamics", "--start_from"]
    assert cli.main([*arguments, "platformer"]) == 0
    assert asked == [str(shipped_worlds()["platformer"])]
    assert cli.main([*arguments, "platfromer"]) == 2
    assert "platformer" in capsys.readouterr().err and len(asked) == 1


@pytest.mark.parametrize(("option", "nearest"), [("--pots", "--port"), ("--headles", "--headless")])
def test_unknown_option_names_the_nearest(option: str, nearest: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", option, "1"]) == 2
    assert f"there is no option {option} (did you mean {nearest}?)" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--steps", "--seed", "--out", "--player", "--prompt", "--theme", "--scale"])
def test_an_option_of_films_without_headless_is_a_mistake(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["play", option, "1"]) == 2
    assert capsys.readouterr().err == f"worldlet: {option} needs --headless; see `worldlet play --help`.\n"


def test_headless_play_films_the_same_dream_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = build_tiny_world(tmp_path / "tiny")
    films = [tmp_path / "a.gif", tmp_path / "b.gif", tmp_path / "other.gif"]
    for film, seed in zip(films, ["7", "7", "8"], strict=True):
        arguments = ["play", str(world), "--headless", "--steps", "20", "--seed", seed, "--out", str(film)]
        assert cli.main(arguments) == 0
        assert f"{film}: 21 frames" in capsys.readouterr().out
    same, again, other = (film.read_bytes() for film in films)
    assert same == again != other


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["nowhere"]),
        (["{tiny}", "--steps", "0"], ["steps", "0"]),
        (["{tiny}", "--out", "{tmp}/dream.avi"], [".avi", ".gif"]),
        (["{tiny}", "--theme", "moon"], ["moon"]),
    ],
)
def test_headless_play_explains_mistakes_and_writes_nothing(
    arguments: list[str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = build_tiny_world(tmp_path / "tiny")
    filled = [argument.format(tiny=world, tmp=tmp_path) for argument in arguments]
    out = [] if "--out" in filled else ["--out", str(tmp_path / "dream.gif")]
    assert cli.main(["play", "--headless", *filled, *out]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny"]


def test_record_fills_a_folder_and_says_what_is_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    arguments = ["record", "worldlet/Platformer-v0", "--out", str(out), "--frames", "60", "--episode_steps", "20"]
    assert cli.main([*arguments, "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: ") and f"`worldlet train {out} --minutes" in said, "what comes next"
    assert (out / "manifest.json").exists()


def test_play_and_serve_hand_their_options_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr("worldlet.server.run", lambda worlds, **options: calls.append((worlds, options)))
    assert cli.main(["play"]) == 0
    assert cli.main(["play", "my/world", "--port", "1234"]) == 0
    assert cli.main(["serve", "a", "b", "--host", "0.0.0.0"]) == 0
    assert cli.main(["serve"]) == 0
    everything = ["platformer", "breakout", "coinrun"]
    assert calls == [
        (everything, {"host": "127.0.0.1", "port": 8000, "open_browser": True}),
        (["my/world"], {"host": "127.0.0.1", "port": 1234, "open_browser": True}),
        (["a", "b"], {"host": "0.0.0.0", "port": 8000, "open_browser": False}),
        (everything, {"host": "127.0.0.1", "port": 8000, "open_browser": False}),
    ]


@pytest.mark.parametrize("verb", ["label", "train", "export"])
def test_without_the_training_extra_the_message_names_it(verb: str, tmp_path: Path) -> None:
    code = BLOCK_TRAINING + "from worldlet.cli import main\nsys.exit(main(sys.argv[1:]))"
    done = run_python(code, verb, str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "needs the training extra: pip install 'worldlet[train]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["label", "train", "export"])
def test_without_the_training_extra_help_still_says_what_a_verb_does(verb: str) -> None:
    code = BLOCK_TRAINING + "from worldlet.cli import main\nsys.exit(main(sys.argv[1:]))"
    done = run_python(code, verb, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: worldlet {verb} " in done.stdout and cli.VERBS[verb].summary in done.stdout
    assert "pip install 'worldlet[train]'" in done.stdout


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom worldlet.cli import main\nmain(['--help'])\nprint(*sys.modules)"
    loaded = set(run_python(code).stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "torch", "onnxruntime", "fastapi", "gymnasium", "PIL"}


def test_threads_wait_passively_before_anything_heavy_is_imported() -> None:
    code = "import os, sys\nfrom worldlet.cli import main\nmain(['--help'])\nprint(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.splitlines()[-1] == "PASSIVE"


def test_python_dash_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "worldlet", "zzz"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("worldlet: there is no verb 'zzz'")
