"""Strict configs: what is written is read back, and mistakes are named."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from worldlet.config import dump_yaml, from_dict, load_yaml, to_dict


@dataclass(frozen=True)
class Inner:
    """A nested config."""

    width: int = 8
    rate: float = 1e-3
    kind: Literal["film", "add"] = "film"

    def __post_init__(self) -> None:
        if self.width <= 0:
            raise ValueError("width must be positive")


@dataclass(frozen=True)
class Outer:
    """Every kind of field the project uses."""

    name: str
    grid: tuple[int, int] = (16, 16)
    channels: tuple[int, ...] = ()
    limit: float | None = None
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    seed: int | str = 0
    folder: Path = Path("runs")
    fast: bool = False


FULL = Outer(
    "a", (3, 4), (1, 2, 3), 2.5, Inner(4, 0.5, "add"), (Inner(1), Inner(2)), {"hero": 3.0}, "x", Path("runs/a"), True
)


@pytest.mark.parametrize("config", [Outer("a"), FULL])
def test_round_trips(config: Outer, tmp_path: Path) -> None:
    assert from_dict(Outer, to_dict(config)) == config
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config
    dump_yaml(config, tmp_path / "new" / "config.yaml")
    assert load_yaml(Outer, tmp_path / "new" / "config.yaml") == config
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["config.yaml"]


def test_yaml_keeps_the_declared_order(tmp_path: Path) -> None:
    dump_yaml(Outer("a"), tmp_path / "c.yaml")
    assert list(yaml.safe_load((tmp_path / "c.yaml").read_text()))[:3] == ["name", "grid", "channels"]


def test_numbers_people_write(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("name: a\nlimit: 3\ninner: {rate: 1e-4}\n")
    config = load_yaml(Outer, tmp_path / "c.yaml")
    assert config.limit == 3.0 and type(config.limit) is float
    assert config.inner.rate == 1e-4


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"name": "a", "chanels": [1]}, r"unknown setting 'chanels'; did you mean 'channels'\?"),
        ({"name": "a", "inner": {"widht": 1}}, r"unknown setting 'inner\.widht'; did you mean 'inner\.width'\?"),
        ({"name": "a", "zzz": 1}, "did you mean"),
        ({}, "name is missing"),
        ({"name": 3}, r"name must be a text, got 3 \(int\)"),
        ({"name": "a", "inner": {"width": 1.5}}, r"inner\.width must be a whole number"),
        ({"name": "a", "inner": {"width": True}}, r"inner\.width must be a whole number"),
        ({"name": "a", "inner": {"rate": "fast"}}, r"inner\.rate must be a number"),
        ({"name": "a", "inner": {"kind": "cross"}}, r"inner\.kind must be one of 'film', 'add'"),
        ({"name": "a", "inner": 3}, "inner must be a mapping"),
        ({"name": "a", "inner": {"width": 0}}, "inner: width must be positive"),
        ({"name": "a", "grid": [1, 2, 3]}, "grid must have 2 values, got 3"),
        ({"name": "a", "grid": "16x16"}, "grid must be a list"),
        ({"name": "a", "channels": [1, "b"]}, r"channels\[1\] must be a whole number"),
        ({"name": "a", "parts": [{"width": 1}, {"size": 1}]}, r"parts\[1\]\.size"),
        ({"name": "a", "weights": {"hero": "x"}}, r"weights\.hero must be a number"),
        ({"name": "a", "limit": "x"}, "limit must be a number"),
        ({"name": "a", "seed": 1.5}, "seed must be a whole number or a text"),
        ({"name": "a", "fast": 1}, "fast must be true or false"),
        ({"name": "a", "fast": None}, "fast must be true or false"),
    ],
)
def test_mistakes_are_named(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(Outer, mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [("name: [", "not valid YAML"), ("- 1\n", "must be a mapping"), ("name: a\nnam: b\n", "did you mean 'name'")],
)
def test_bad_files_name_the_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_yaml(Outer, path)
    assert "broken.yaml" in str(error.value)


def test_missing_file_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the config"):
        load_yaml(Outer, tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert load_yaml(Inner, tmp_path / "empty.yaml") == Inner()
