"""Settings for a game that has no recipe: what a sample of the recording decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the training extra")
pytest.importorskip("av", reason="training needs the training extra")

from tests.train.square_game import HEIGHT, WIDTH, play, write_data  # noqa: E402
from worldlet import cli  # noqa: E402
from worldlet.config import dump_yaml, read_yaml  # noqa: E402
from worldlet.recipes import find_recipe  # noqa: E402
from worldlet.recipes.fitting import fitting_settings, moving_weight, positions_patch  # noqa: E402
from worldlet.records import Episode  # noqa: E402
from worldlet.train.run import TrainConfig  # noqa: E402

Draw = Callable[[np.random.Generator, int], np.ndarray]


def blocks(rng: np.random.Generator, length: int, side: int, colours: int) -> np.ndarray:
    """Frames of square blocks, each of one of some colours, all drawn anew for every frame."""
    palette = np.random.default_rng(1).integers(0, 256, (colours, 3), dtype=np.uint8)
    small = rng.integers(0, colours, (length, HEIGHT // side, WIDTH // side))
    return palette[small].repeat(side, 1).repeat(side, 2)


def blinking(rng: np.random.Generator, length: int) -> np.ndarray:
    """A still picture of large tiles, of which one blinks."""
    frames = blocks(rng, 1, 8, 4).repeat(length, 0)
    frames[::2, :8, :8] = 255
    return frames


def data_of(folder: Path, draw: Draw, hero: bool = False) -> Path:
    def one(seed: int, split: str) -> Episode:
        episode = play(seed, 24, split)
        frames = draw(np.random.default_rng(seed), 25)
        facts = {"hero_mask": frames[..., 0] > 200, "moving_mask": frames[..., 0] > 200} if hero else {}
        return replace(episode, frames_THWC=frames, facts=facts)

    plays = {"train": [one(seed, "train") for seed in range(20)], "val": [one(seed, "val") for seed in (30, 31)]}
    return write_data(folder, plays)


@pytest.mark.parametrize(
    ("side", "colours", "codes", "patch"), [(8, 4, 64, 8), (4, 2, 64, 8), (4, 12, 64, 4), (2, 8, 64, 2)]
)
def test_tokens_are_as_large_as_the_picture_lets_them_be(
    side: int, colours: int, codes: int, patch: int, tmp_path: Path
) -> None:
    data = data_of(tmp_path / "data", lambda rng, length: blocks(rng, length, side, colours))
    settings, why = fitting_settings(data, {"tokenizer.codebook_size": codes})
    assert settings["tokenizer"]["patch_size"] == patch
    assert settings["dynamics"]["grid"] == [HEIGHT // patch, WIDTH // patch]
    assert f"{patch}x{patch} pixels" in why and "coinrun" in why and "\n" not in why


def test_a_still_picture_is_trained_where_it_changes(tmp_path: Path) -> None:
    settings, why = fitting_settings(data_of(tmp_path / "data", blinking), {})
    weights = settings["dynamics_stage"]["weights"]
    assert "breakout" in why and "16.7% of the picture" in why
    assert weights["moving"] == moving_weight(1 / 6) == 2 and weights["hero"] == 0
    assert settings["dynamics_stage"]["window_share"] == 0, "there is no hero to look at"


def test_a_game_that_tells_of_its_hero_is_trained_around_him(tmp_path: Path) -> None:
    settings, why = fitting_settings(data_of(tmp_path / "data", blinking, hero=True), {})
    assert "platformer" in why and settings["dynamics_stage"]["window_share"] > 0.5


def test_what_the_user_says_of_tokens_holds(tmp_path: Path) -> None:
    data = data_of(tmp_path / "data", blinking)
    settings, _ = fitting_settings(data, {"tokenizer.patch_size": 2})
    assert (settings["tokenizer"]["patch_size"], settings["dynamics"]["grid"]) == (2, [8, 12])


@pytest.mark.parametrize(("name", "grid"), [("platformer", (16, 16)), ("breakout", (21, 16)), ("coinrun", (32, 32))])
def test_the_rule_for_positions_is_that_of_the_recipes(name: str, grid: tuple[int, int]) -> None:
    assert list(positions_patch(grid)) == read_yaml(find_recipe(name))["dynamics"]["patch"]


@pytest.mark.parametrize("grid", [(1, 1), (7, 13), (2, 3), (60, 80)])
def test_positions_divide_any_grid(grid: tuple[int, int]) -> None:
    down, across = positions_patch(grid)
    assert grid[0] % down == 0 and grid[1] % across == 0


def test_what_changes_counts_for_a_third_of_the_loss() -> None:
    for share in (0.01, 0.05, 0.2):
        weight = 1 + moving_weight(share)
        assert weight == 51 or share * weight / (share * weight + 1 - share) == pytest.approx(1 / 3, abs=0.02)
    assert moving_weight(0.0) == 50 and moving_weight(1.0) == 0


def trained_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> TrainConfig:
    configs: list[TrainConfig] = []
    done = SimpleNamespace(finished=True)
    monkeypatch.setattr("worldlet.train.run.train", lambda config: configs.append(config) or [done])
    monkeypatch.setattr("worldlet.recipes.complete.complete", lambda config: None)
    assert cli.main(["train", *arguments]) == 0
    return configs[0]


def test_train_without_a_recipe_says_what_it_chose_and_the_command_line_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments: Any = [str(data_of(tmp_path / "data", blinking)), "--out", str(tmp_path / "run"), "--minutes", "3"]
    config = trained_with(monkeypatch, *arguments, "--dynamics.depth", "1")
    assert (config.minutes, config.tokenizer.patch_size, config.dynamics.depth) == (3, 8, 1)
    assert capsys.readouterr().out.startswith("no --recipe given: ")
    trained_with(monkeypatch, *arguments, "--recipe", "quick")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "without one, what fits DATA" in " ".join(capsys.readouterr().out.split())


def test_a_run_goes_on_with_what_it_was_begun_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = str(data_of(tmp_path / "data", blinking)), tmp_path / "run"
    begun = trained_with(monkeypatch, data, "--out", str(run), "--minutes", "7", "--tokenizer.patch_size", "4")
    dump_yaml(begun, run / "config.yaml")
    again = trained_with(monkeypatch, data, "--out", str(run), "--resume")
    assert again == replace(begun, resume=True)
    longer = trained_with(monkeypatch, data, "--out", str(run), "--resume", "--steps", "9")
    assert (longer.minutes, longer.steps, longer.tokenizer) == (None, 9, begun.tokenizer)
    other = trained_with(monkeypatch, data, "--out", str(run), "--stage", "dynamics", "--steps", "5")
    assert other.tokenizer == begun.tokenizer and (other.minutes, other.steps) == (None, 5)
