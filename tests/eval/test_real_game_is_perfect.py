"""The real game, measured as if it were a dream, reaches the best value of every figure, twice the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.eval.real_game import TINY, RealGame
from worldlet.eval.bench import Bench
from worldlet.eval.goals import WANTED, find, verdict
from worldlet.eval.gold import Gold
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.suite import PARTS, measure_world


def measure(gold: Gold, out: Path) -> dict[str, Any]:
    return measure_world(RealGame(gold), gold, PlatformerReader(), TINY, out, None, f"worldlet eval real --out {out}")


@pytest.fixture(scope="module")
def first(gold: Gold, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("card")
    return out, measure(gold, out)


def test_every_figure_is_perfect(first: tuple[Path, dict[str, Any]]) -> None:
    _, card = first
    assert card["reconstruction"]["psnr_db"] == {"value": 100.0, "n": 12, "interval": [100.0, 100.0], "units": 2}
    assert card["reconstruction"]["ssim"]["value"] == 1.0
    assert card["reconstruction"]["hero_psnr_db"]["value"] == 100.0
    assert card["reconstruction"]["false_change"]["value"] == 0.0
    assert {card["rollout"]["psnr_db"][h]["value"] for h in ("1", "5", "10", "30", "60")} == {100.0}
    assert {card["rollout"]["hero_psnr_db"][h]["value"] for h in ("1", "5", "10")} == {100.0}
    assert card["rollout"]["copy_psnr_db"]["60"]["value"] < 40
    assert card["control"]["accuracy"]["value"] == 1.0
    assert card["control"]["shuffled_accuracy"]["value"] < 0.5
    assert card["drift"]["survived"]["value"] == 1.0
    for name in ("score", "gravity", "contact", "conservation", "hero", "coins", "enemies", "detector"):
        assert card["physics"][name]["value"] in (1.0, None), name  # there may be nothing of a kind to see
    assert card["physics"]["score"]["n"] > 200 and card["physics"]["detector"]["n"] > 10
    assert card["memory"]["same"]["16"]["value"] == card["memory"]["real_score"]["value"] == 1.0
    assert card["drift"]["survived"]["pixels"][0][0] > 100


def test_figures_have_one_shape(first: tuple[Path, dict[str, Any]]) -> None:
    _, card = first
    for wanted in WANTED:
        figure = find(card, wanted.path)
        if figure is not None:
            assert {"value", "n"} <= figure.keys(), wanted.path
            assert isinstance(figure["n"], int)
    measured = [w.path for w in WANTED if find(card, w.path)]
    assert {"control.accuracy", "drift.terrain.gaps", "snapshot.bytes", "speed.fps"} <= set(measured)
    assert card["not_judged"] == {}


def test_the_files_tell_the_same(first: tuple[Path, dict[str, Any]]) -> None:
    out, card = first
    assert json.loads((out / "card.json").read_text()) == json.loads(json.dumps(card))
    page = (out / "card.md").read_text()
    assert "| action accuracy, dreamed | ≥ 0.95 | ≥ 0.99 | 1.000 |" in page
    for name in ("reconstruction.png", "rollout.png", "rollout_psnr.png", "control.png", "terrain.png", "drift.gif"):
        assert (out / "pictures" / name).stat().st_size > 500
        assert f"pictures/{name}" in page
    assert not (out / "parts").exists()


@pytest.mark.parametrize("name", ["reconstruction", "rollout", "control", "drift", "memory", "game", "snapshot"])
def test_the_work_that_a_part_announces_is_the_work_it_does(name: str, gold: Gold, tmp_path: Path) -> None:
    """Or the time that is left would be wrong."""
    ticks: list[int] = []
    bench = Bench(RealGame(gold), gold, PlatformerReader(), TINY, tmp_path, None, ticks.append)
    part = PARTS[name]
    part.measure(bench)
    assert sum(ticks) == part.work(bench)


def test_two_runs_differ_only_in_speed_and_run(first: tuple[Path, dict[str, Any]], gold: Gold, tmp_path: Path) -> None:
    _, card = first
    again = measure(gold, tmp_path)
    for run in (card := copy.deepcopy(card), again):
        del run["speed"], run["run"]
    assert json.dumps(card) == json.dumps(again)


def test_verdicts() -> None:
    by_path = {wanted.path: wanted for wanted in WANTED}
    survived, change = by_path["drift.survived"], by_path["reconstruction.false_change"]
    gaps = by_path["drift.terrain.gaps"]
    assert [verdict(survived, v) for v in (1.0, 0.95, 0.5, None)] == ["aim", "must", "missed", "not measured"]
    assert [verdict(change, v) for v in (0.0, 0.005, 0.02)] == ["aim", "must", "missed"]
    assert [verdict(gaps, v) for v in (1.05, 0.75, 1.4, 0.5)] == ["aim", "must", "missed", "missed"]
