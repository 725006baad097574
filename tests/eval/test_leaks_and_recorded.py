"""Suite and training never meet, planted leaks are found, and recorded episodes stand in where there is no game."""

from __future__ import annotations

import io
import json
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import MANIFEST, TINY, PatchTokens
from worldlet.data.codec import encode_episode
from worldlet.data.record import split_of
from worldlet.data.shards import FORMAT, DataManifest, ShardWriter, write_manifest
from worldlet.engine.backends.base import BackendStep
from worldlet.eval.bench import Bench
from worldlet.eval.gold import KINDS, Gold, load_gold
from worldlet.eval.leaks import find_leaks, leaks_figure
from worldlet.eval.recorded import LONGEST, WATCHED, load_recorded
from worldlet.eval.suite import EvalConfig, _judge, _key, measure_world
from worldlet.records import Episode, StepResult

RANGES = {"train": [0, 10**6], "val": [10**6, 2 * 10**6], "test": [2 * 10**6, 3 * 10**6]}


def episode(level_seed: int | None, split: str, length: int = 80, look: int | None = None) -> Episode:
    """Return an episode in which a square moves; levels of different seeds look different."""
    rng = np.random.default_rng(level_seed if look is None else look)
    ground = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    frames = np.repeat(ground[None], length + 1, axis=0)
    for t in range(length + 1):
        frames[t, 40:56, t % 112 : t % 112 + 16] = (255, 0, 90)
    meta = {"episode_id": f"{split}-{level_seed}", "level_seed": level_seed, "split": split, "fps": 30}
    return Episode(frames, rng.integers(0, 8, length), {}, meta)


def data_set(
    folder: Path, recorded: dict[str, list[Episode]], encode: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """Write a data set folder with one shard for each split, whose episodes are encoded as said."""
    folder.mkdir(parents=True)
    shards = []
    for split, episodes in recorded.items():
        writer = ShardWriter(folder / f"{split}-000000.tar")
        for number, one in enumerate(episodes):
            writer.write(f"{split}{number:03d}", (encode or {}).get(split, encode_episode)(one))
        entry = writer.close()
        shards.append({"file": writer.path.name, "split": split, "sha256": entry.sha256, "bytes": entry.bytes,
                       "episodes": len(episodes), "frames": 1, "coverage": {}})  # fmt: skip
    values: dict[str, Any] = {
        "format": FORMAT, "env_id": MANIFEST.env_id, "options": {}, "frame_size": [128, 128], "fps": 30.0,
        "action_names": list(MANIFEST.action_names), "key_bindings": {}, "seed": 0, "recording": {}, "complete": True,
        "splits": {name: {"level_seeds": seeds, "episodes": 1, "frames": 1} for name, seeds in RANGES.items()},
        "coverage": {}, "shards": shards,
    }  # fmt: skip
    values |= {name: value for name, value in changes.items() if value is not None}
    missing = {name: values.get(name) for name in DataManifest.__required_keys__}
    write_manifest(folder, {**missing, **values})  # type: ignore[typeddict-item]
    return folder


def clean(**more: list[Episode]) -> dict[str, list[Episode]]:
    splits = {"train": [episode(5, "train"), episode(6, "train")], "test": [episode(2 * 10**6, "test")]}
    return {name: splits.get(name, []) + more.get(name, []) for name in {**splits, **more}}


def test_no_level_of_the_frozen_suite_can_be_recorded() -> None:
    gold = load_gold(MANIFEST.env_id)
    assert gold is not None
    for seed in {entry.level_seed for kind in KINDS for entry in getattr(gold, kind)}:
        with pytest.raises(ValueError):
            split_of(seed)


def as_earlier_versions_did(one: Episode) -> dict[str, bytes]:
    members, array = encode_episode(one, "zstd"), io.BytesIO()
    np.save(array, one.frames_THWC)
    del members["frames.npy.zst"]
    return {"frames.npy.xz": lzma.compress(array.getvalue()), **members}


def test_the_same_frames_are_found_where_versions_stored_them_differently(tmp_path: Path, gold: Gold) -> None:
    twins = clean(test=[episode(2_000_001, "test", look=6)])
    encode = {"train": as_earlier_versions_did, "test": encode_episode}
    leaks, _ = find_leaks(data_set(tmp_path / "mixed", twins, encode), gold)
    assert len(leaks) == 1 and "the same frames" in leaks[0]


def test_a_clean_data_set_has_no_leak(tmp_path: Path, gold: Gold) -> None:
    assert find_leaks(data_set(tmp_path / "a", clean()), gold) == ([], 3)
    assert leaks_figure(tmp_path / "a", gold) == {"value": 0, "n": 3, "data": "a", "found": []}


def test_planted_leaks_are_found(tmp_path: Path, gold: Gold) -> None:
    asked = gold.rollouts[0].level_seed
    planted = {
        "plays level": clean(train=[episode(asked, "train")]),
        "which train plays too": clean(test=[episode(5, "test", look=77)]),
        "the same frames": clean(test=[episode(2_000_001, "test", look=6)]),
        "says of itself": clean(test=[episode(2_000_001, "train")]),
    }
    for number, (message, splits) in enumerate(planted.items()):
        leaks, _ = find_leaks(data_set(tmp_path / str(number), splits), gold)
        assert len(leaks) == 1 and message in leaks[0], (message, leaks)
    ranges = {name: {"level_seeds": [0, 9], "episodes": 1, "frames": 1} for name in ("train", "test")}
    leaks, _ = find_leaks(data_set(tmp_path / "ranges", clean(), splits=ranges), gold)
    assert leaks == ["the level seeds of test and train overlap"]
    ranges["train"] = {"level_seeds": [4, 4], "episodes": 0, "frames": 0}
    assert find_leaks(data_set(tmp_path / "empty", clean(), splits=ranges), gold)[0] == [], "it holds no level"


def test_a_long_leak_stands_at_the_top_of_the_card(tmp_path: Path, gold: Gold) -> None:
    from worldlet.eval.baselines import warnings

    folder = data_set(tmp_path / "a", clean(train=[episode(gold.plays[0].level_seed, "train")]))
    (line,) = warnings({"leaks": leaks_figure(folder, gold)})
    assert line.startswith("train/test leak: episode train-") and "which the suite asks" in line


class EchoTokens(PatchTokens):
    """Nothing ever changes."""

    def step(self, state: Any, tokens_BN: Any, *others: Any) -> BackendStep:
        return BackendStep(tokens_BN, self.decode(tokens_BN), state)


class Echo:
    """An engine of a game without a suite, whose dreams stand still."""

    manifest = replace(MANIFEST, env_id="elsewhere/Square-v0")

    def __init__(self) -> None:
        self.backend = EchoTokens()

    def open(self, *, frames: Any = None, actions: Any = None, seed: int = 0) -> Any:
        last = np.zeros((128, 128, 3), np.uint8) if frames is None else frames[-1]

        class Still:
            frame = last

            def step(self, action: int) -> StepResult:
                return StepResult(last)

            def snapshot(self) -> bytes:
                return b"x"

        return Still()


def test_recorded_episodes_are_a_suite_where_no_game_is_at_hand(tmp_path: Path) -> None:
    tests = [episode(2_000_000 + n, "test", length=100) for n in range(3)] + [episode(2_000_009, "test", length=9)]
    folder = data_set(tmp_path / "data", {"train": [episode(5, "train")], "test": tests}, env_id="elsewhere/Square-v0")
    suite = load_recorded(folder, episodes=8, rollouts=5)
    assert len(suite.plays) == 3 and len(suite.rollouts) == 5
    entry = suite.rollouts[1]
    real = suite.replay(entry)
    assert len(real.actions) == len(entry.actions) == len(real.frames_THWC) - 1
    assert np.array_equal(real.frames_THWC[7], tests[entry.level_seed].frames_THWC[7])
    assert real.actions == tuple(tests[entry.level_seed].actions_T[: len(real.actions)])
    card = measure_world(Echo(), suite, None, replace(TINY, rollouts=5), tmp_path / "out", None, "x")
    assert card["not_judged"].keys() == {"control", "drift", "physics", "memory"}
    assert "too few or too short" in card["not_judged"]["drift"]
    assert card["rollout"]["psnr_db"] == card["rollout"]["copy_psnr_db"]
    assert card["rollout"]["hero_psnr_db"]["1"]["n"] == 0
    assert card["judged"]["changed"]["value"] == card["judged"]["wrongly_changed"]["value"] == 0.0
    assert "16" in card["rollout"]["psnr_db"] and "ignored_psnr_db" not in card["rollout"]
    mean = card["rollout"]["mean_psnr_db"]["16"]
    assert 5 < mean["value"] < card["rollout"]["psnr_db"]["16"]["value"] and mean["n"] == 5
    assert {pair["verdict"] for pair in card["baselines"] if pair["baseline"] == "copied frame"} >= {"not beaten"}
    assert card["suite"]["lists"] == {"recorded test": suite.sha256}
    assert "does not beat copied frame" in (tmp_path / "out" / "card.md").read_text()


def test_further_episodes_only_show_what_the_game_looks_like(tmp_path: Path) -> None:
    tests = [episode(2_000_000 + n, "test", length=length) for n, length in enumerate((400, 40, 1_000, 9))]
    folder = data_set(tmp_path / "data", {"train": [episode(5, "train")], "test": tests}, env_id="elsewhere/Square-v0")
    suite = load_recorded(folder, episodes=1, rollouts=2)
    assert [len(play.actions) for play in suite.watched] == [400, 40, WATCHED] and len(suite.plays) == 1
    assert len(suite.plays[0].actions) == LONGEST
    assert [play.level_seed for play in suite.watched] == [0, 1, 2]
    assert np.array_equal(suite.watched[2].frames_THWC, tests[2].frames_THWC[: WATCHED + 1])
    assert suite.watched[1].actions == tuple(tests[1].actions_T)


def test_long_rollouts_begin_early_in_long_plays(tmp_path: Path) -> None:
    tests = [episode(2_000_000 + n, "test", length=length) for n, length in enumerate((165, 166, 400))]
    folder = data_set(tmp_path / "data", {"train": [episode(5, "train")], "test": tests}, env_id="elsewhere/Square-v0")
    suite = load_recorded(folder, episodes=3, rollouts=2)
    assert [(e.level_seed, e.start, len(e.actions) - e.start) for e in suite.long] == [(1, 16, 150), (2, 16, 150)]
    size = replace(TINY, rollouts=2, drift=1)
    assert "horizon_s" in measure_world(Echo(), suite, None, size, tmp_path / "drift", None, "x")["drift"]
    by_long = [
        measure_world(Echo(), suite, None, replace(size, long=long), tmp_path / f"out{long}", None, "x")["rollout"]
        for long in (0, 2)
    ]
    assert "150" not in by_long[0]["psnr_db"] and by_long[1]["psnr_db"]["150"]["n"] == 2
    assert [figures["psnr_db"]["60"]["n"] for figures in by_long] == [2, 4]


def test_a_data_set_without_held_out_episodes_is_refused(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "a", {"train": [episode(5, "train")]})
    with pytest.raises(ValueError, match="neither a test nor a val split"):
        load_recorded(folder, 1, 1)
    short = data_set(tmp_path / "b", {"val": [episode(10**6, "val", length=9)]})
    with pytest.raises(ValueError, match="longer than 16 actions"):
        load_recorded(short, 1, 1)


def test_nobody_learns_from_the_episodes_that_are_asked(tmp_path: Path) -> None:
    """val and test are recorded before train: until then there is no mean image, and no judge."""
    held_out = {split: [episode(first, split, length=40)] for split, first in (("val", 10**6), ("test", 2 * 10**6))}
    folder = data_set(tmp_path / "data", held_out, env_id="elsewhere/Square-v0", complete=False)
    suite = load_recorded(folder, episodes=1, rollouts=2)
    assert suite.mean_HWC is None
    assert _judge(EvalConfig("x", tmp_path / "out", data=folder), suite) is None
    assert not (tmp_path / "out").exists()
    card = measure_world(Echo(), suite, None, replace(TINY, rollouts=2), tmp_path / "out", None, "x")
    assert not {"mean_psnr_db", "margin_db"} & card["rollout"].keys()
    assert card["not_judged"].keys() >= {"rollout: mean image", "judged: action outcomes"}
    assert "training split is still empty" in (tmp_path / "out" / "card.md").read_text()


def test_a_world_of_other_actions_is_not_asked(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "data", clean(), env_id="elsewhere/Square-v0", action_names=[*"abcdefgh"])
    suite = load_recorded(folder, episodes=1, rollouts=1)
    card = measure_world(Echo(), suite, None, TINY, tmp_path / "out", None, "x")
    assert card["not_judged"]["rollout"].startswith("the recorded actions are a, b, c, d, e, f, g, h and the world's")
    assert "rollout" not in card and "judged" not in card and card["speed"]


def test_what_an_interrupted_run_left_is_kept_for_the_same_judge_and_data_only(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from worldlet.dynamics.inverse import InverseConfig, InverseDynamics

    suite = load_recorded(data_set(tmp_path / "data", clean(), env_id="elsewhere/Square-v0"), 1, 1)
    judge = InverseDynamics(InverseConfig((8, 8), MANIFEST.action_names, width=2))
    bench = Bench(Echo(), suite, None, TINY, tmp_path, None, lambda n: None, judge=judge)
    before = _key(bench)
    assert before == _key(bench) != _key(replace(bench, judge=None))
    suite.mean_HWC = 255 - suite.mean_HWC  # type: ignore[operator]
    other_data = _key(bench)
    judge.requires_grad_(False).head[-1].bias += 1
    assert len({before, other_data, _key(bench)}) == 3


def test_the_command_on_the_card_says_how_long_the_judge_was_trained(tmp_path: Path, monkeypatch: Any) -> None:
    from worldlet.eval import suite

    commands: list[str] = []
    engine = Echo()
    engine.folder = None  # type: ignore[attr-defined]
    monkeypatch.setattr("worldlet.engine.engine.load", lambda *args, **options: engine)
    monkeypatch.setattr(suite, "measure_world", lambda *args: commands.append(args[6]) or {})
    folder = data_set(tmp_path / "data", clean(), env_id="elsewhere/Square-v0", action_names=["only"])
    for minutes, ending in ((0.5, " --judge_minutes 0.5"), (None, f"--data {folder}")):
        suite.evaluate(EvalConfig("x", tmp_path / "out", data=folder, judge_minutes=minutes))
        assert commands[-1].endswith(ending)
    suite.evaluate(EvalConfig("x", tmp_path / "out", data=folder, judge_minutes=0.5, judge_steps=40))
    assert commands[-1].endswith(" --judge_minutes 0.5"), "the time counts"
    suite.evaluate(EvalConfig("x", tmp_path / "out", data=folder, judge_steps=40))
    assert commands[-1].endswith(" --judge_steps 40")


def test_a_judge_trained_by_steps_makes_the_same_card_twice(tmp_path: Path, monkeypatch: Any) -> None:
    from worldlet.eval import suite

    engine = Echo()
    engine.folder = None  # type: ignore[attr-defined]
    monkeypatch.setattr("worldlet.engine.engine.load", lambda *args, **options: engine)
    monkeypatch.setattr(suite, "QUICK", replace(TINY, plays=1, rollouts=2))
    folder = data_set(tmp_path / "data", clean(val=[episode(10**6, "val")]), env_id="elsewhere/Square-v0")
    cards = []
    for name in ("first", "second"):
        card = suite.evaluate(EvalConfig("x", tmp_path / name, quick=True, data=folder, judge_steps=12))
        assert card["judged"]["accuracy"]["n"] > 0
        cards.append(json.dumps({part: figures for part, figures in card.items() if part not in ("speed", "run")}))
    assert cards[0] == cards[1]
    weights = [(tmp_path / name / "judge").rglob("tensors-*.safetensors") for name in ("first", "second")]
    first, second = ({path.read_bytes() for path in found} for found in weights)
    assert first & second, "the same weights, bit for bit"
