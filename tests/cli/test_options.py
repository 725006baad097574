"""Options from config dataclasses: what is given, where it may stand, what wins, and what a mistake says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from worldlet.options import Parser, UsageError, parse_config


@dataclass(frozen=True)
class Model:
    width: int = 64
    """How many channels."""
    kind: Literal["mobile", "resnet"] = "mobile"
    rate: float = 0.5


@dataclass(frozen=True)
class Run:
    data: Path
    """Folder to read."""
    out: Path
    small: Model = field(default_factory=Model)
    large: Model = field(default_factory=lambda: Model(width=256, rate=0.25))
    minutes: float | None = None
    name: str = "1"
    themes: tuple[str, ...] = ()
    resume: bool = False
    ema: bool = True
    seed: int = 0


def parse(*arguments: str) -> Run:
    return parse_config(Parser(prog="worldlet try", allow_abbrev=False), Run, list(arguments))


def test_first_field_is_positional_and_the_rest_are_options() -> None:
    run = parse("here", "--out", "there", "--minutes", "1e1", "--name", "007", "--themes", "[snow, cave]", "--seed=3")
    assert run == Run(Path("here"), Path("there"), minutes=10.0, name="007", themes=("snow", "cave"), seed=3)


def test_bools_are_pairs_of_switches() -> None:
    run = parse("here", "--out", "there", "--resume", "--no-ema")
    assert (run.resume, run.ema) == (True, False)


def test_null_clears_an_optional_setting(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("minutes: 5\n")
    assert parse("here", "--out", "there", "--config", str(tmp_path / "c.yaml"), "--minutes", "null").minutes is None


def test_one_nested_option_keeps_the_parents_defaults_for_the_others() -> None:
    run = parse("here", "--out", "there", "--large.kind", "resnet")
    assert run.large == Model(width=256, kind="resnet", rate=0.25)
    assert run.small == Model()


def test_yaml_file_sets_the_same_names_and_the_command_line_wins(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: unread\nout: from_file\nminutes: 1e-3\nsmall:\n  width: 8\n  kind: resnet\n")
    run = parse("here", "--small.width", "16", "--config", str(config))
    assert run.out == Path("from_file")
    assert run.data == Path("here")
    assert run.minutes == 0.001
    assert run.small == Model(width=16, kind="resnet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["here", "--out", "o", "--small.widht", "3"], ["--small.widht", "did you mean --small.width?"]),
        (["here", "--out", "o", "--small.width", "wide"], ["small.width", "whole number", "'wide'"]),
        (["here", "--out", "o", "--small.kind", "vgg"], ["small.kind", "'mobile'", "'resnet'", "'vgg'"]),
        (["here", "--out", "o", "--min", "3"], ["--min "]),
        (["here"], ["out", "missing"]),
        (["--out", "o"], ["data", "missing"]),
        (["here", "there", "--out", "o"], ["unrecognized arguments: there"]),
        (["here", "--out"], ["--out", "expected one argument"]),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and "`worldlet try --help`" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("smal:\n  width: 3\n", ["'smal'", "'small'"]),
        ("small:\n  widht: 3\n", ["'small.widht'", "'small.width'"]),
        ("small: 3\n", ["small", "mapping"]),
        ("a: b: c\n", ["c.yaml", "not valid YAML"]),
        ("- 1\n", ["c.yaml", "name: value"]),
        ("\x80", ["c.yaml", "not valid YAML"]),
    ],
)
def test_mistakes_in_the_yaml_file_are_one_sentence(tmp_path: Path, text: str, words: list[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(text, encoding="latin-1")
    with pytest.raises(UsageError) as caught:
        parse("here", "--out", "o", "--small.rate", "1", "--config", str(config))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_help_tells_what_the_fields_mean_and_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        parse("--help")
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Folder to read." in text
    assert "How many channels. (default: 64)" in text
    assert "How many channels. (default: 256)" in text
    assert "{mobile,resnet}" in text
    assert "small: --small.width WIDTH" in text
