"""The README tells the truth: its file map, links, commands and code are tried, not trusted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import worldlet
from tests.tiny_world import build_tiny_world
from worldlet import cli

PACKAGE = Path(worldlet.__file__).parent
ROOT = PACKAGE.parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/card.md", "docs/contracts.md", "docs/log.md"]


def blocks(language: str) -> list[str]:
    """Return the fenced code blocks of one language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def file_map() -> dict[str, str]:
    """Return path -> description of every line of the README's map; folders end with a slash."""
    (text,) = [block for block in blocks("") if block.startswith("src/worldlet/\n")]
    folders: list[str] = []
    entries: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        indent, name, description = re.fullmatch(r"((?:  )+)(\S+)\s+(\S.*)", line).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 - 1 :]
        path = "".join([*folders, name])
        assert path not in entries, f"{path} stands twice in the map"
        entries[path] = description
        if name.endswith("/"):
            folders.append(name)
    return entries


def test_the_file_map_names_every_file_and_nothing_else() -> None:
    modules = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE} | {PACKAGE / "server" / "static"}
    there = {str(path.relative_to(PACKAGE)) for path in modules}
    there |= {f"{path.relative_to(PACKAGE)}/" for path in folders}
    mapped = set(file_map())
    assert sorted(there - mapped) == [], "missing in the README's file map"
    assert sorted(mapped - there) == [], "in the README's file map, but not there"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert not missing


def commands() -> list[str]:
    """Return every `worldlet ...` command line of the README and of the story."""
    story = (ROOT / "scripts" / "story.sh").read_text(encoding="utf-8")
    story = story.replace('"$frames"', "1000").replace("$name", "quick")
    lines = [*"\n".join(blocks("")).splitlines(), *story.splitlines(), *re.findall(r"`(worldlet [^`]*)`", README)]
    found = [line.rpartition("&& ")[2].partition("#")[0].strip() for line in lines]
    whole = re.compile(r"worldlet (\S+ [^-]|play|serve|capture --)")
    return sorted({line for line in found if whole.match(line) and "FILE" not in line})


def test_the_story_is_told_in_full() -> None:
    assert {line.split()[1] for line in commands()} >= set(cli.VERBS)


@pytest.mark.parametrize("command", commands())
def test_every_command_is_accepted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verb, *arguments = shlex.split(command)[1:]
    if verb in ("label", "train", "export"):
        pytest.importorskip("torch", reason="this verb needs the training extra")
    entry = {
        "setup": "worldlet.games.remote.setup.set_up",
        "record": "worldlet.data.record.record",
        "capture": "worldlet.data.capture.run.capture",
        "prepare": "worldlet.data.prepare.prepare",
        "filter": "worldlet.data.filter.clean",
        "label": "worldlet.train.label.label",
        "train": "worldlet.train.run.train",
        "export": "worldlet.export.export",
        "eval": "worldlet.eval.suite.evaluate",
        "compare": "worldlet.eval.compare.compare",
        "serve": "worldlet.server.run",
        "play": "worldlet.engine.play.play_headless" if "--headless" in arguments else "worldlet.server.run",
    }[verb]
    if command == "worldlet setup lpips":
        entry = "worldlet.eval.perceptual.set_up_lpips"
    if {"--beside", "--headless"} <= set(arguments):
        entry = "worldlet.engine.beside_film.film_beside"
    if verb == "train":
        monkeypatch.setattr("worldlet.recipes.complete.complete", lambda config: None)
    done = SimpleNamespace(
        folder="data",
        frames=0,
        episodes=0,
        bytes=0,
        finished=True,
        words="",
        skipped={},
        dropped={},
        frames_per_second=0.0,
        late=0,
        lost=0,
    )
    calls: list[Any] = []

    def note(*given: Any, **options: Any) -> Any:
        calls.append((given, options))
        return [done] if verb == "train" else done

    monkeypatch.setattr(entry, note)
    assert cli.main([verb, *arguments]) == 0
    assert len(calls) == 1


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = build_tiny_world(tmp_path / "tiny")
    monkeypatch.setattr("worldlet.engine.bundle.shipped_worlds", lambda: {"platformer": tiny})
    library, environment, _ = blocks("python")
    names: dict[str, Any] = {}
    exec(library, names)
    assert names["result"].frame.shape == (16, 24, 3)
    assert [len(result.frame) for result in names["results"]] == [16, 16]
    exec(environment, names)
    assert names["env"].observation_space.contains(names["frame"])


def test_the_rest_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    httpx = pytest.importorskip("httpx")
    from fastapi.testclient import TestClient

    from worldlet.server import create_app

    app = create_app({"tiny": worldlet.load(build_tiny_world(tmp_path / "tiny"))})
    with TestClient(app) as client:
        monkeypatch.setattr(
            httpx, "post", lambda url, json: client.post(url.removeprefix("http://localhost:8000"), json=json)
        )
        names: dict[str, Any] = {}
        exec(blocks("python")[2], names)
    assert names["frame_png_base64"].startswith("iVBORw0KGgo")
