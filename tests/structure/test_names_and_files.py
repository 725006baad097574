"""Small surface, plain names: the public names are pinned, and no file or line gives the habits away."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import worldlet

ROOT = Path(__file__).parents[2]
FORBIDDEN_STEMS = re.compile(r"(^|_)(utils?|helpers?|misc|common|improved|v\d+|new|old|tmp|stub)(_|$)")
# Assembled here so that this file does not contain what it forbids.
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "Not" + "ImplementedError"]))
UNSAFE = re.compile(
    "|".join(
        [
            r"\bpick" + r"le\b",
            r"(?<!\.)\beval\(",
            r"(?<!\.)\bexec\(",
            "allow_pick" + "le=True",
            "weights_only=" + "False",
        ]
    )
)
MACHINE_PATH = re.compile("|".join([r"/ro" + "ot/", r"/wo" + "rk/", r"/ho" + "me/", r"/o" + "pt/"]))


def tracked(*suffixes: str) -> list[Path]:
    """Return the repository's own text files: what git tracks, or everything outside output folders without git."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        names = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        names = [path for folder in ("src", "tests", "scripts", "docs") for path in (ROOT / folder).rglob("*")]
    return [path for path in names if path.is_file() and (not suffixes or path.suffix in suffixes)]


def find(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    assert paths
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def test_public_names_are_pinned() -> None:
    assert worldlet.__all__ == ["Clip", "Episode", "StepResult", "WorldError", "__version__", "load"]


@pytest.mark.parametrize("name", worldlet.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(worldlet, name) is not None
    assert name in dir(worldlet)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        worldlet.lode  # noqa: B018


def test_files_are_named_for_what_they_hold() -> None:
    bad = [path.relative_to(ROOT) for path in tracked(".py") if FORBIDDEN_STEMS.search(path.stem)]
    assert not bad


def test_nothing_is_left_unfinished() -> None:
    assert not find(UNFINISHED, tracked(".py", ".js", ".css", ".html", ".sh", ".md", ".toml"))


def test_nothing_is_unpickled_or_evaluated() -> None:
    assert not find(UNSAFE, [path for path in tracked(".py") if "src" in path.parts])


def test_no_paths_of_one_machine() -> None:
    assert not find(MACHINE_PATH, tracked(".py", ".js", ".html", ".sh", ".md", ".toml", ".yaml", ".txt"))


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in tracked(".py") if "src" in path.parts and path.stat().st_size]
    assert not [path.relative_to(ROOT) for path in modules if not path.read_text(encoding="utf-8").startswith('"""')]
