"""Each planted fault makes the measure drop that exists to catch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import Fault, PatchTokens, RealGame
from worldlet.eval import control, drift, reconstruction, rollout
from worldlet.eval.bench import Bench
from worldlet.eval.real import RealSession
from worldlet.games.platformer.art import atlas
from worldlet.games.platformer.rules import ACTION_NAMES

NOOP = ACTION_NAMES.index("noop")
Make = Callable[..., Bench]


class Late(Fault):
    """Actions arrive one frame late."""

    waiting = NOOP

    def action(self, action: int) -> int:
        late, self.waiting = self.waiting, action
        return late


class Deaf(Fault):
    """Actions are ignored."""

    def action(self, action: int) -> int:
        return NOOP


class Frozen(Fault):
    """The picture never changes."""

    first: np.ndarray | None = None

    def frame(self, session: RealSession) -> np.ndarray:
        if self.first is None:
            self.first = session.frame
        return self.first


class HeroLost(Fault):
    """After ten frames the hero dissolves into the sky."""

    frames = 0

    def frame(self, session: RealSession) -> np.ndarray:
        self.frames += 1
        if self.frames <= 10:
            return session.frame
        without = session.frame.copy()
        without[session.info["hero_mask"]] = atlas(session.info["theme"])[2][0, 0]
        return without


class OtherTheme(Fault):
    """After forty frames the colours are those of another theme."""

    frames = 0

    def frame(self, session: RealSession) -> np.ndarray:
        self.frames += 1
        if self.frames <= 40:
            return session.frame
        theme = "lava" if session.info["theme"] != "lava" else "snow"
        grid = session.env.game.grid
        frame = np.ascontiguousarray(atlas(theme)[grid].swapaxes(1, 2)).reshape(128, 128, 3)
        frame[session.info["hero_mask"]] = session.frame[session.info["hero_mask"]]
        return frame


class NoSpikes(Fault):
    """Spikes are never drawn."""

    def frame(self, session: RealSession) -> np.ndarray:
        grid = session.env.game.grid
        frame, theme = session.frame.copy(), session.info["theme"]
        for row, column in np.argwhere(grid == SPIKE):
            frame[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = atlas(theme)[2]
        return frame


def spike_id() -> int:
    from worldlet.games.platformer.art import TILE_ID

    return int(TILE_ID["spike"])


SPIKE = spike_id()


class WideTokens(PatchTokens):
    """An encoder whose tokens depend on the whole picture, and a decoder that blurs the hero's colours away."""

    def encode(self, frames_BHWC: np.ndarray) -> np.ndarray:
        tokens = super().encode(frames_BHWC)
        return tokens * 1000 + (frames_BHWC.astype(int).sum(axis=(1, 2, 3)) % 1000)[:, None]

    def decode(self, tokens_BN: np.ndarray) -> np.ndarray:
        frames = super().decode(tokens_BN // 1000)
        hood = (np.abs(frames.astype(int) - (232, 40, 96)).sum(axis=-1) < 30)[..., None]
        return np.where(hood, np.uint8(128), frames)


def test_late_actions_ruin_the_hero_of_rollouts(bench: Make) -> None:
    figures = rollout.measure(bench(Late))
    assert figures["hero_psnr_db"]["1"]["value"] < 40
    assert figures["hero_psnr_db"]["5"]["value"] < 40


def test_a_frozen_picture_scores_as_the_copy_does(bench: Make) -> None:
    frozen = bench(Frozen)
    real = rollout.measure(bench())
    figures = rollout.measure(frozen)
    assert figures["psnr_db"]["30"]["value"] < real["psnr_db"]["30"]["value"]
    # The first dreamed frame is kept, one later than the last real frame that the copy repeats.
    assert figures["psnr_db"]["30"]["value"] == pytest.approx(figures["copy_psnr_db"]["30"]["value"], abs=3)
    assert drift.measure(frozen)["survived"]["value"] < 0.1


def test_ignored_actions_fail_control_and_survival(bench: Make) -> None:
    deaf = bench(Deaf)
    figures = control.measure(deaf)
    assert figures["accuracy"]["value"] <= 0.3
    assert figures["accuracy"]["by_action"]["right"] == 0.0
    assert figures["accuracy"]["value"] == pytest.approx(figures["shuffled_accuracy"]["value"], abs=0.15)
    assert drift.measure(deaf)["survived"]["value"] < 0.1


def test_a_lost_hero_ends_the_run_where_he_was_lost(bench: Make) -> None:
    survived = drift.measure(bench(HeroLost))["survived"]
    assert survived["value"] < 0.25


def test_a_hero_that_cannot_be_found_is_wrong(bench: Make) -> None:
    class NeverThere(HeroLost):
        frames = 100

    figures = control.measure(bench(NeverThere))
    assert figures["accuracy"]["value"] == 0.0
    assert figures["accuracy"]["lost"] > 0


def test_another_theme_ends_the_run(bench: Make) -> None:
    survived = drift.measure(bench(OtherTheme))["survived"]
    assert 0.1 < survived["value"] < 0.6


def test_missing_spikes_show_in_the_terrain(bench: Make) -> None:
    terrain = drift.measure(bench(NoSpikes))["terrain"]
    assert terrain["spikes"]["real"] > 0
    assert terrain["spikes"]["value"] == 0.0


def test_wide_tokens_and_a_blurred_hero_show_in_the_reconstruction(bench: Make) -> None:
    figures = reconstruction.measure(bench(backend=WideTokens()))
    assert figures["false_change"]["value"] > 0.2
    assert figures["hero_psnr_db"]["value"] < 20 < figures["psnr_db"]["value"] < 60
    assert figures["ssim"]["value"] < 1.0


def test_starts_in_which_all_actions_agree_are_excluded(bench: Make) -> None:
    """A reader who sees the same in every frame makes all outcomes agree."""
    whole = bench()

    class Blind:
        def __init__(self, eyes: Any) -> None:
            self.first: Any = None
            self.eyes = eyes

        def read(self, frame_HWC: np.ndarray) -> Any:
            self.first = self.first or self.eyes.read(frame_HWC)
            return self.first

        def player(self, seed: int) -> Any:
            raise AssertionError("nobody plays here")

    blind = Bench(whole.engine, whole.gold, Blind(whole.reader), whole.size, whole.pictures, None, whole.tick)
    figures = control.measure(blind)
    assert figures["excluded"] == {"value": 2, "n": 2}
    assert figures["accuracy"]["value"] is None and figures["accuracy"]["n"] == 0


def test_the_dream_is_opened_with_the_actions_between_its_frames(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time convention at this seam: action i of the context is the one done at frame i of the context."""
    whole = bench()
    given: dict[str, Any] = {}
    monkeypatch.setattr(RealGame, "open", lambda self, **options: given.update(options))
    entry = whole.suite.rollouts[0]
    whole.dream(whole.suite.replay(entry), entry.start, 5)
    session = RealSession(whole.suite.env_id, entry.level_seed)
    first = entry.start - len(given["actions"])
    for action in entry.actions[:first]:
        session.step(action)
    for frame, action in zip(given["frames"], given["actions"], strict=False):
        assert np.array_equal(frame, session.frame)
        session.step(action)
    assert np.array_equal(given["frames"][-1], session.frame)
    assert given["seed"] == 5


def test_tokens_that_depend_on_precision_are_counted(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Rough:
        """Agrees with the exported encoder but for one token of a frame, and for two more under bfloat16."""

        def __init__(self, exported: PatchTokens) -> None:
            self.exported = exported
            self.quantizer = self

        def encode(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return self.assign(self.latents(frames_BCHW)).reshape(-1, 16, 16)

        def latents(self, frames_BCHW: torch.Tensor) -> torch.Tensor:
            assert frames_BCHW.dtype == torch.float32 and frames_BCHW.min() >= 0 and frames_BCHW.max() <= 1
            pixels = (frames_BCHW * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            tokens_BN = torch.from_numpy(self.exported.encode(pixels))
            tokens_BN[:, 0] += 1
            if torch.is_autocast_enabled("cpu"):
                tokens_BN[:, 1:3] += 1
            # Two digits of one number each: bfloat16 keeps integers only up to 256.
            return torch.stack([tokens_BN // 100, tokens_BN % 100], dim=-1).float()

        def assign(self, latents_BNC: torch.Tensor) -> torch.Tensor:
            return (100 * latents_BNC[..., 0] + latents_BNC[..., 1]).long()

    exported = PatchTokens()
    monkeypatch.setattr(reconstruction, "_torch_tokenizer", lambda world: Rough(exported))
    whole = bench(backend=exported)
    figure = reconstruction.measure(replace(whole, world=whole.pictures))["precision_agreement"]
    assert figure["n"] == 12 * 256
    assert figure["onnx"] == pytest.approx(255 / 256, abs=1e-6)
    assert figure["bf16"] == pytest.approx(254 / 256, abs=1e-6)
    assert figure["value"] == pytest.approx(253 / 256, abs=1e-6)
    assert figure["called_under_bf16"] == 1.0
