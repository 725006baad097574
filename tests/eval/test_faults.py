"""Small faults, each caught by name, and no alarm for the real game in the place of a dream.

Each test says by how much its figure moves against the clean one. Faults of physics and memory: see their own tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import Fault, PatchTokens, RealGame
from tests.eval.test_planted_faults import Deaf, Frozen, HeroLost, Late
from worldlet.eval import control, drift, freeze, horizon, reconstruction, rollout
from worldlet.eval.alarms import alarms
from worldlet.eval.bench import Bench, Size
from worldlet.eval.gold import Gold
from worldlet.eval.horizon import Watched
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.real import Play, RealSession

SIZE = Size("faults", 2, 20, 2, 3, 2, 240, 5, 0, forced=1)
GRASS = (0, 6)
"""Entries of the first theme: two closed loops, and two plays to hold them against."""


class BlurredHero(Fault):
    """The hero is blurred by one pixel: each of his pixels is the mean of the nine around it."""

    def frame(self, session: RealSession) -> np.ndarray:
        wide = np.pad(session.frame.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
        mean = sum(wide[y : y + 128, x : x + 128] for y in range(3) for x in range(3)) / 9
        frame, mask = session.frame.copy(), session.info["hero_mask"]
        frame[mask] = mean[mask].round().astype(np.uint8)
        return frame


class Drifting(Fault):
    """Red grows by one level every second frame."""

    frames = 0

    def frame(self, session: RealSession) -> np.ndarray:
        self.frames += 1
        return np.clip(session.frame + np.array([self.frames // 2, 0, 0]), 0, 255).astype(np.uint8)


class Dim(Fault):
    """Pixels are shown on a scale of 0 to 243 instead of 0 to 255."""

    def frame(self, session: RealSession) -> np.ndarray:
        return np.round(session.frame * (243 / 255)).astype(np.uint8)


class DimTokens(PatchTokens):
    """A decoder that puts out pixels on that scale."""

    def decode(self, tokens_BN: np.ndarray) -> np.ndarray:
        return np.round(super().decode(tokens_BN) * (243 / 255)).astype(np.uint8)


@dataclass
class Clean:
    """The real game on the bench, the runs that every closed loop is held against, and the clean figures."""

    bench: Bench
    engine: RealGame
    starts: list[Play]
    real: list[Watched]
    copied: list[Watched]
    plays: list[Watched]
    card: dict[str, Any]

    def with_fault(self, fault: Callable[[], Fault]) -> Bench:
        """Return the bench with a fault in every dream."""
        self.engine._fault = fault
        return self.bench

    def drifted(self, fault: Callable[[], Fault]) -> dict[str, Any]:
        """Return the part of the card that says how long dreams with a fault stay the game."""
        bench = self.with_fault(fault)
        runs = [
            drift.run(bench, bench.dream(play, entry.start, seed), seed)
            for seed, (play, entry) in enumerate(zip(self.starts, bench.suite.drift, strict=True))
        ]
        dreamed = [Watched(play.theme, run.windows, 240) for play, run in zip(self.starts, runs, strict=True)]
        return {"drift": horizon.figures(bench, dreamed, self.real, self.copied, self.plays)}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    gold = Gold(
        freeze.ENV_ID,
        plays=tuple(freeze.play_entry(1, i, 180, 0, freeze.MISCHIEF) for i in GRASS),
        rollouts=tuple(freeze.rollout_entry(i) for i in (1, 2)),
        control=tuple(freeze.control_entry(i) for i in range(3)),
        drift=tuple(freeze.play_entry(4, i, 30, 30, freeze.RUNNING) for i in GRASS),
    )
    engine = RealGame(gold)
    bench = Bench(engine, gold, PlatformerReader(), SIZE, tmp_path_factory.mktemp("faults"), None, lambda n: None)
    starts = [gold.replay(entry) for entry in gold.drift]
    theme = starts[0].theme
    plays = [watched for _, watched in drift.seen_along(bench)]
    sessions = [drift.real_session(bench, entry) for entry in gold.drift]
    real = [Watched(theme, drift.run(bench, session, n).windows, 240) for n, session in enumerate(sessions)]
    still = [drift.FrozenPicture(play.frames_THWC[-1]) for play in starts]
    copied = [Watched(theme, drift.run(bench, picture, n).windows, 240) for n, picture in enumerate(still)]
    found = Clean(bench, engine, starts, real, copied, plays, {})
    found.card = {
        "reconstruction": reconstruction.measure(bench),
        "rollout": rollout.measure(bench),
        "control": control.measure(bench),
        **found.drifted(Fault),
    }
    return found


def names(card: dict[str, Any]) -> set[str]:
    return {alarm.name for alarm in alarms(card)}


def test_the_real_game_raises_no_alarm(clean: Clean) -> None:
    card = clean.card
    assert alarms(card) == []
    assert card["drift"]["horizon_s"]["value"] == 8.0 == card["drift"]["real_horizon_s"]["value"]
    assert card["control"]["delay_frames"]["value"] == 0.0 and card["control"]["delay_frames"]["n"] >= 15
    assert card["rollout"]["pixel_gain"]["value"] == card["reconstruction"]["pixel_gain"]["value"] == 1.0


def test_actions_shifted_by_one_frame(clean: Clean) -> None:
    figures = control.measure(clean.with_fault(Late))
    assert names({"control": figures}) == {"actions are shifted"}
    # Not quite 1: an action that waits for something, as a leap for the ground, shows when that comes.
    assert 0.8 <= figures["delay_frames"]["value"] <= 1.0, "clean: 0"
    assert figures["delay_frames"]["interval"][0] > 0.5
    assert figures["delay_frames"]["n"] == clean.card["control"]["delay_frames"]["n"]


def test_actions_ignored(clean: Clean) -> None:
    figures, before = control.measure(clean.with_fault(Deaf)), clean.card["control"]
    assert "actions are ignored" in names({"control": figures})
    assert before["accuracy"]["value"] == 1.0
    assert figures["accuracy"]["value"] == figures["ignored_accuracy"]["value"] < 0.4
    assert figures["accuracy"]["interval"][1] < before["accuracy"]["interval"][0]


def test_hero_blurred_by_one_pixel(clean: Clean) -> None:
    figures, before = rollout.measure(clean.with_fault(BlurredHero)), clean.card["rollout"]
    assert names({"rollout": figures}) == {"the hero is blurred"}
    assert figures["hero_sharpness"]["value"] < 0.5 < before["hero_sharpness"]["value"] == 1.0
    assert figures["hero_psnr_db"]["1"]["value"] < 25 < before["ceiling_hero_psnr_db"]["1"]["value"] == 100
    assert figures["psnr_db"]["1"]["value"] > 30, "the whole frame hides it"


def test_hero_dissolving_after_ten_frames(clean: Clean) -> None:
    card = clean.drifted(HeroLost)
    assert "the hero dissolves" in names(card)
    assert card["drift"]["horizon_s"]["value"] == 0.0, "clean: 8 s"
    assert card["drift"]["horizon_s"]["departed"]["hero"]["value"] == 1.0
    figures, before = rollout.measure(clean.with_fault(HeroLost)), clean.card["rollout"]
    assert figures["hero_psnr_db"]["10"] == before["hero_psnr_db"]["10"]
    later = figures["hero_psnr_db"]["30"]
    assert later["n"] and later["value"] < 15 < before["hero_psnr_db"]["30"]["value"] == 100


def test_frozen_picture(clean: Clean) -> None:
    card = clean.drifted(Frozen)
    assert "the picture freezes or flickers" in names(card)
    assert card["drift"]["horizon_s"]["value"] == 0.0 == card["drift"]["copy_horizon_s"]["value"], "clean: 8 s"


def test_drifting_colours(clean: Clean) -> None:
    card = clean.drifted(Drifting)
    assert "the colours drift" in names(card)
    assert card["drift"]["horizon_s"]["departed"]["colours"]["value"] == 1.0
    figures, before = rollout.measure(clean.with_fault(Drifting)), clean.card["rollout"]["psnr_db"]
    assert figures["psnr_db"]["1"]["value"] == 100 == before["1"]["value"], "nothing is wrong at first"
    values = [figures["psnr_db"][h]["value"] for h in ("5", "10", "30", "60")]
    assert values == sorted(values, reverse=True) and values[-1] < 30 < before["60"]["value"]
    assert figures["pixel_gain"]["value"] == 1.0, "a drift is no wrong scale"


def test_wrong_pixel_scale(clean: Clean) -> None:
    figures = rollout.measure(clean.with_fault(Dim))
    assert names({"rollout": figures}) == {"wrong pixel scale"}
    assert figures["pixel_gain"]["value"] == pytest.approx(243 / 255, abs=2e-3), "clean: 1"
    bench = clean.with_fault(Fault)
    engine: Any = clean.engine
    exact, engine.backend = engine.backend, DimTokens()
    try:
        decoded = reconstruction.measure(bench)
    finally:
        engine.backend = exact
    assert names({"reconstruction": decoded}) == {"wrong pixel scale"}
    assert decoded["pixel_gain"]["interval"][1] < 0.98
