"""The frozen suite holds still, and an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import MANIFEST, TINY, RealGame
from tests.tiny_world import build_tiny_world
from worldlet.engine import engine
from worldlet.engine.bundle import open_bundle
from worldlet.eval import speed, suite
from worldlet.eval.bench import FULL, QUICK, Bench
from worldlet.eval.gold import CONTEXT, FIRST_SEED, Gold, load_gold
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.rollout import HORIZONS


def test_the_frozen_suite_is_large_enough_and_its_seeds_are_its_own() -> None:
    gold = load_gold("worldlet/Platformer-v0")
    assert gold is not None
    for size in (QUICK, FULL):
        assert size.plays <= len(gold.plays) and size.rollouts <= len(gold.rollouts)
        assert size.control <= len(gold.control) and size.drift <= len(gold.drift)
    entries = [*gold.plays, *gold.rollouts, *gold.control, *gold.drift]
    assert min(entry.level_seed for entry in entries) >= FIRST_SEED
    assert len({entry.level_seed for entry in entries}) == len(entries)
    for entry in (*gold.rollouts, *gold.control, *gold.drift):
        assert entry.start >= CONTEXT - 1
    assert all(len(entry.actions) == entry.start + HORIZONS[-1] for entry in gold.rollouts)
    assert {action for entry in gold.plays for action in entry.actions} == set(range(8))
    assert load_gold("elsewhere/Pong-v0") is None


def test_the_game_still_draws_what_was_frozen() -> None:
    gold = load_gold("worldlet/Platformer-v0")
    assert gold is not None
    themes = {gold.replay(entry).theme for entry in (*gold.plays[:6], gold.rollouts[0], gold.control[0], gold.drift[0])}
    assert len(themes) == 6


def test_an_edited_suite_and_a_changed_game_are_noticed(gold: Gold) -> None:
    values = json.loads(gold.to_json())
    assert Gold.from_json(json.dumps(values)) == gold
    values["plays"][0]["level_seed"] += 1
    with pytest.raises(ValueError, match="edited"):
        Gold.from_json(json.dumps(values))
    with pytest.raises(ValueError, match="has changed since"):
        gold.replay(replace(gold.plays[0], fingerprint="0" * 16))


def test_an_interrupted_run_goes_on_where_it_stopped(
    gold: Gold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    stop_at = "control"

    def part(name: str) -> suite.Part:
        def measure(bench: Any) -> dict[str, Any]:
            if name == stop_at:
                raise KeyboardInterrupt
            measured.append(name)
            return {"marker": len(measured)}

        return suite.Part(lambda bench: 1, measure, False, False)

    monkeypatch.setattr(suite, "PARTS", {name: part(name) for name in ("reconstruction", "rollout", "control")})
    monkeypatch.setattr(suite, "write_card", lambda card, folder: None)
    engine, reader = RealGame(gold), PlatformerReader()
    with pytest.raises(KeyboardInterrupt):
        suite.measure_world(engine, gold, reader, TINY, tmp_path, None, "x")
    stop_at = ""
    card = suite.measure_world(engine, gold, reader, TINY, tmp_path, None, "x")
    assert measured == ["reconstruction", "rollout", "control"]
    assert [card[name]["marker"] for name in measured] == [1, 2, 3]

    stop_at = "control"
    with pytest.raises(KeyboardInterrupt):
        suite.measure_world(engine, gold, reader, TINY, tmp_path, None, "x")
    stop_at = ""
    other = replace(TINY, drift_frames=61)
    suite.measure_world(engine, gold, reader, other, tmp_path, None, "x")
    assert measured[5:] == ["reconstruction", "rollout", "control"], "another size must not reuse what is left"


def test_a_game_of_others_is_measured_where_nothing_must_be_read(gold: Gold, tmp_path: Path) -> None:
    class Elsewhere(RealGame):
        manifest = replace(MANIFEST, env_id="elsewhere/Pong-v0")

    card = suite.measure_world(Elsewhere(gold), None, None, TINY, tmp_path, None, "x")
    assert set(card["not_judged"]) == {"reconstruction", "rollout", "control", "drift", "game", "physics", "memory"}
    assert card["speed"]["fps"]["n"] == TINY.speed_frames
    assert card["snapshot"]["bytes"]["value"] == 1000
    page = (tmp_path / "card.md").read_text()
    assert "## Not judged" in page and "elsewhere/Pong-v0" in page


def test_memory_and_time_of_a_long_session(gold: Gold, tmp_path: Path) -> None:
    size = replace(TINY, long_session=260)
    bench = Bench(RealGame(gold), gold, PlatformerReader(), size, tmp_path, None, lambda n: None)
    figures = speed.measure(bench)
    assert figures["late_to_early"]["frame"] == 260 and figures["late_to_early"]["value"] > 0
    assert "memory_growth_mb" in figures


@pytest.mark.skipif(sys.platform not in speed._PEAK_MEMORY, reason="nothing tells the peak of memory here")
def test_the_peak_of_memory_is_that_of_the_player_alone(tmp_path: Path) -> None:
    ballast = np.ones(60_000_000)  # 480 MB, which a child must not be charged with
    world = build_tiny_world(tmp_path / "world")
    peak = speed._peak_memory_mb(world)
    assert peak is not None and 20 < peak < ballast.nbytes / 1e6


@pytest.mark.parametrize("aging, ratio", [(0.0, 1.0), (0.001, 1.236)])
def test_a_session_that_slows_down_shows_on_a_machine_that_does_too(
    gold: Gold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, aging: float, ratio: float
) -> None:
    clock = [0.0]

    class Aging:
        steps = 0

        def step(self, action: int) -> None:
            self.steps += 1
            clock[0] += (1 + aging * self.steps) * (1 + clock[0] / 1000)  # the machine gets slower and slower

    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(speed, "_session", lambda bench: Aging())
    size = replace(TINY, long_session=360)
    ticks: list[int] = []
    bench = Bench(RealGame(gold), gold, PlatformerReader(), size, tmp_path, None, ticks.append)
    figures = speed.measure(bench)
    assert figures["late_to_early"]["value"] == pytest.approx(ratio, abs=0.02)
    assert sum(ticks) == speed.work(bench)


def test_worldlet_eval_on_a_world_of_another_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "START_UPS", 1)
    opened: list[int] = []

    def load(world: Any, device: str = "auto", backend: str = "onnx", threads: int = 2) -> engine.Engine:
        opened.append(threads)
        return real_load(world, device, backend, threads)

    real_load = engine.load
    monkeypatch.setattr(engine, "load", load)
    world = build_tiny_world(tmp_path / "tiny")
    card = suite.evaluate(suite.EvalConfig(str(world), tmp_path / "out", quick=True))
    assert "24x16" in card["not_judged"]["reconstruction"]
    assert card["speed"]["fps"]["value"] > 0 and card["speed"]["start_up_s"]["value"] > 0
    assert card["snapshot"]["bytes"]["value"] > 10
    assert card["run"]["command"] == f"worldlet eval {world} --out {tmp_path / 'out'} --quick"
    assert opened == [1, 2], "runs side by side have one thread each, and speed is that of a world as players open it"
    assert (tmp_path / "out" / "card.json").is_file()
    assert (world / "card.json").read_bytes() != (tmp_path / "out" / "card.json").read_bytes()
    suite.evaluate(suite.EvalConfig(str(world), tmp_path / "again", quick=True, attach=True))
    for name in ("card.json", "card.md"):
        assert (world / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    open_bundle(world)  # cards are no part of what a world's hashes cover


def test_an_unknown_world_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no world"):
        suite.evaluate(suite.EvalConfig("platfrom-that-is-not", tmp_path / "out", quick=True))
    assert not (tmp_path / "out").exists()
