"""Two cards side by side: who is better where intervals do not meet, and what makes two cards hard to compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from worldlet.eval.bench import figure
from worldlet.eval.compare import CompareConfig, compare, compare_cards


def card(title: str, accuracy: list[float], change: list[float], spikes: list[float], **run: Any) -> dict[str, Any]:
    def of(span: list[float]) -> dict[str, Any]:
        return figure(sum(span) / 2, 9, interval=span)

    return {
        "world": {"title": title, "env_id": "a/B-v0", "identity": title * 20, "licence": "MIT"},
        "suite": {"sha256": "s" * 64, "size": {"name": "quick"}},
        "reconstruction": {"false_change": of(change)},
        "rollout": {"psnr_db": {"10": of([20.0, 22.0])}},
        "control": {"accuracy": of(accuracy)},
        "drift": {"terrain": {"spikes": {**of(spikes), "dreamed": 1.0, "real": 1.0}}},
        "milestones": {"gates": [{"gate": "control", "verdict": "pass"}]},
        "not_judged": {},
        "run": {"command": "x", "date": "2026-11-20", "hardware": {"cpu": "C"}, **run},
    }


ONE = card("one", [0.8, 0.9], [0.1, 0.2], [0.2, 0.4])
TWO = card("two", [0.5, 0.7], [0.01, 0.02], [0.9, 1.3])


def better(first: dict[str, Any], second: dict[str, Any]) -> dict[str, str]:
    goals = compare_cards(first, second, ("A", "B"))[0]
    return {row[0]: row[-1] for row in goals.rows}


def test_better_follows_the_sense_of_each_figure() -> None:
    found = better(ONE, TWO)
    assert found["action accuracy, dreamed"] == "first"
    assert found["still patches whose token changes"] == "second"
    assert found["spikes against the real game's"] == "second"
    assert found["survived"] == "-"
    turned = better(TWO, ONE)
    assert turned["action accuracy, dreamed"] == "second"


def test_intervals_that_meet_decide_nothing() -> None:
    close = card("two", [0.85, 0.95], [0.1, 0.2], [0.3, 1.1])
    found = better(ONE, close)
    assert found["action accuracy, dreamed"] == "?"
    assert found["still patches whose token changes"] == "equal"
    assert found["spikes against the real game's"] == "?"


def test_the_page_shows_both_worlds_and_what_sets_them_apart(tmp_path: Path) -> None:
    other = {**TWO, "world": {**TWO["world"], "env_id": "other/Game-v0"}, "suite": {**TWO["suite"], "sha256": "t" * 64}}
    other["run"] = {**other["run"], "hardware": {"cpu": "D"}}
    for name, content in (("a", ONE), ("b", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(json.dumps(content))
    page = compare(CompareConfig(str(tmp_path / "a"), str(tmp_path / "b" / "card.json"), tmp_path / "out"))
    for path in (page, tmp_path / "out" / "compare.md"):
        text = path.read_text()
        assert "one beside two" in text and "0.800 to 0.900" in text and "0.500 to 0.700" in text
        for note in ("dream different games: a/B-v0 and other/Game-v0", "suites or sizes differ", "different hardware"):
            assert note in text
    alike = compare(CompareConfig(str(tmp_path / "a"), str(tmp_path / "a"), tmp_path / "same"))
    assert "differ" not in alike.read_text() and "one (first) beside one (second)" in alike.read_text()


def test_a_world_without_a_card_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no world"):
        compare(CompareConfig("nowhere-at-all", "platformer", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
