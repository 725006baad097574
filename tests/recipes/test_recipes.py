"""Recipes: each is a whole training config by name, and the one called platformer made the world that ships."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worldlet import cli
from worldlet.config import read_yaml
from worldlet.manifest import read_world_json
from worldlet.recipes import find_recipe, recipes
from worldlet.zoo import shipped_worlds

DONE = SimpleNamespace(finished=True)
WHAT_DATA_DECIDES = {"frame_size", "grid", "codebook_size", "actions"}


def trained_with(monkeypatch: pytest.MonkeyPatch, *options: str) -> Any:
    """Return the config that `worldlet train` starts with."""
    pytest.importorskip("torch", reason="training needs the training extra")
    configs: list[Any] = []
    monkeypatch.setattr("worldlet.train.run.train", lambda config: configs.append(config) or [DONE])
    monkeypatch.setattr("worldlet.recipes.complete.complete", lambda config: None)
    assert cli.main(["train", "data", "--out", "run", *options]) == 0
    return configs[0]


def test_the_recipes_are_pinned() -> None:
    assert list(recipes()) == ["breakout", "coinrun", "platformer", "quick"]
    assert find_recipe("quick").name == "quick.yaml"


@pytest.mark.parametrize(
    ("name", "hint"), [("platfrom", "did you mean 'platformer'?"), ("moon", "breakout, coinrun, platformer, quick")]
)
def test_an_unknown_recipe_names_the_nearest(name: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="training needs the training extra")
    assert cli.main(["train", "data", "--out", "run", "--recipe", name]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and repr(name) in error and hint in error


@pytest.mark.parametrize("name", recipes())
def test_training_takes_every_recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_yaml(find_recipe(name))
    config = trained_with(monkeypatch, "--recipe", name)
    assert (config.data, config.out, config.steps) == ("data", "run", None)
    assert (config.minutes, config.precision) == (settings["minutes"], "bf16")
    assert config.tokenizer.codebook_size == settings["tokenizer"]["codebook_size"]
    assert config.dynamics.width == settings["dynamics"]["width"]
    assert config.dynamics_learning_rate == settings["dynamics_learning_rate"]


def test_the_command_line_wins_over_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    config = trained_with(monkeypatch, "--recipe", "platformer", "--minutes", "5", "--dynamics.depth", "2")
    assert (config.minutes, config.dynamics.depth, config.dynamics_stage.rollout_from) == (5, 2, 0.5)


def test_steps_on_the_command_line_take_the_place_of_a_recipes_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    config = trained_with(monkeypatch, "--recipe", "platformer", "--steps", "10")
    assert (config.minutes, config.steps) == (None, 10)


def test_a_recipe_and_a_file_at_once_are_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="training needs the training extra")
    (tmp_path / "c.yaml").write_text("minutes: 1\n")
    arguments = ["train", "data", "--out", "run", "--recipe", "quick", "--config", str(tmp_path / "c.yaml")]
    assert cli.main(arguments) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_the_shipped_platformer_has_the_sizes_of_its_recipe() -> None:
    world = shipped_worlds().get("platformer")
    if world is None:
        pytest.skip("no platformer ships with this version")
    shipped, recipe = read_world_json(world).config, read_yaml(find_recipe("platformer"))
    for network in ("tokenizer", "dynamics"):
        assert {name: shipped[network][name] for name in recipe[network]} == recipe[network]
        assert recipe[network].keys() <= shipped[network].keys()
    assert WHAT_DATA_DECIDES.isdisjoint(recipe["dynamics"])
