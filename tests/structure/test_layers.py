"""Import direction: a module imports only from earlier layers, and layers side by side never import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worldlet

PACKAGE = Path(worldlet.__file__).parent

# The line in CONTRIBUTING.md and docs: `<-` separates levels, `|` parts that never import each other. Parts of one
# level in the same set may (records and manifest; the command line and its options).
LEVELS: list[list[set[str]]] = [
    [{"records", "manifest", "config", "metrics"}],
    [{"nn"}, {"games"}],
    [{"data"}, {"tokenizer"}, {"dynamics"}],
    [{"world"}],
    [{"train"}, {"engine"}],
    [{"eval"}, {"export"}, {"server"}],
    [{"recipes"}],
    [{"cli", "options", "__main__"}],
]
FREE = {"__init__", "__version__", "zoo"}  # `worldlet/__init__.py` hands out names lazily; `zoo` is data


def part_of(path: Path) -> str:
    """Return the part a file belongs to: the first name below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place_of(part: str) -> tuple[int, set[str]]:
    for level, groups in enumerate(LEVELS):
        for group in groups:
            if part in group:
                return level, group
    raise AssertionError(f"{part} has no layer: add it to LEVELS here and to the line in CONTRIBUTING.md")


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and part of every import of our own, wherever it stands in the file."""
    package = ["worldlet", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "worldlet" else [module]
        for name in names:
            root, _, rest = name.partition(".")
            if root == "worldlet" and rest:
                yield node.lineno, rest.partition(".")[0]


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if part_of(path) not in FREE]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_to_earlier_layers(path: Path) -> None:
    part = part_of(path)
    level, group = place_of(part)
    for line, name in imported_parts(path):
        other = worldlet._HOMES.get(name, f"worldlet.{name}").split(".")[1]  # a public name counts as its home
        if other in FREE:
            continue
        other_level, _ = place_of(other)
        assert other_level < level or other in group, f"{path.relative_to(PACKAGE)}:{line} imports {other}"


def test_the_checker_itself_sees_every_way_to_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    (tmp_path / "games").mkdir()
    module = tmp_path / "games" / "x.py"
    module.write_text(
        "import worldlet.train.loop\nfrom worldlet import engine\nfrom worldlet.eval.x import y\n"
        "from ..server import app\nfrom . import art\ndef f():\n    import worldlet.cli\n"
    )
    assert [part for _, part in imported_parts(module)] == ["train", "engine", "eval", "server", "games", "cli"]


def test_the_documented_line_is_this_table() -> None:
    line = " <- ".join(" | ".join(", ".join(sorted(g)) for g in level) for level in LEVELS)
    text = (PACKAGE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (documented,) = [row for row in text.splitlines() if row.startswith("records, ")]
    written = [[set(group.split(", ")) for group in level.split(" | ")] for level in documented.split(" <- ")]
    assert written[:-1] == LEVELS[:-1], line
    assert written[-1] == [{"cli"}]
