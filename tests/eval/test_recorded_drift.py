"""Drift of a game that nobody reads: dreams along recorded actions, held against the pictures of other plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import MANIFEST, TINY, PatchTokens
from worldlet.eval import recorded_drift
from worldlet.eval.alarms import alarms
from worldlet.eval.bench import Bench
from worldlet.eval.drift import FILM_FRAMES
from worldlet.eval.gold import CONTEXT
from worldlet.eval.horizon import SUSTAINED
from worldlet.eval.looks import WINDOW
from worldlet.eval.recorded import RecordedSuite
from worldlet.records import Episode, StepResult

MOVE = (-8, -4, 4, 8)
NAMES = ("far left", "left", "right", "far right")
FRAMES = (SUSTAINED + 2) * WINDOW
BLOCKS = np.random.default_rng(7).integers(0, 200, (16, 16, 3))

Fault = Callable[[np.ndarray, int], np.ndarray]


def turn(frame_HWC: np.ndarray, action: int) -> np.ndarray:
    return np.roll(frame_HWC, MOVE[action], axis=1)


def episode(seed: int, length: int = CONTEXT + FRAMES) -> Episode:
    actions = np.random.default_rng(seed).integers(0, 4, length)
    frames = [BLOCKS.repeat(8, 0).repeat(8, 1).astype(np.uint8)]
    for action in actions:
        frames.append(turn(frames[-1], int(action)))
    return Episode(np.stack(frames), actions, {}, {"episode_id": str(seed)})


class World:
    """The game itself, going on from any frame, with something done to what it shows after some frames."""

    manifest = replace(MANIFEST, env_id="elsewhere/Turning-v0", action_names=NAMES, key_bindings={})

    def __init__(self, fault: Fault) -> None:
        self.backend, self.fault, self.heard = PatchTokens(), fault, list[list[int]]()

    def open(self, *, frames: Any, actions: Any, seed: int = 0) -> Any:
        heard: list[int] = []
        self.heard.append(heard)
        return Dream(frames[-1], self.fault, heard)


class Dream:
    def __init__(self, frame: np.ndarray, fault: Fault, heard: list[int]) -> None:
        self.frame = self._true = frame
        self._fault, self._heard = fault, heard

    def step(self, action: int) -> StepResult:
        self._heard.append(action)
        self._true = turn(self._true, action)
        self.frame = self._fault(self._true, len(self._heard))
        return StepResult(self.frame)


def sound(frame: np.ndarray, t: int) -> np.ndarray:
    return frame


def frozen(frame: np.ndarray, t: int) -> np.ndarray:
    return frame if t <= WINDOW else episode(0, 1).frames_THWC[0]


def blank(frame: np.ndarray, t: int) -> np.ndarray:
    return frame if t <= WINDOW else np.full_like(frame, 90) + (frame % 2) * np.uint8(t % 2 * 40)


def reddening(frame: np.ndarray, t: int) -> np.ndarray:
    return np.clip(frame.astype(np.int64) + [t // 3, 0, 0], 0, 255).astype(np.uint8)


def blurred(frame: np.ndarray, t: int) -> np.ndarray:
    seen = frame.astype(np.int64)
    for _ in range(6):
        seen = (np.roll(seen, 3, 0) + np.roll(seen, -3, 0) + np.roll(seen, 3, 1) + np.roll(seen, -3, 1)) // 4
    return seen.astype(np.uint8)


def bench(fault: Fault, folder: Path, tick: Callable[[int], None] = lambda n: None) -> Bench:
    plays = [episode(seed) for seed in range(2)]
    further = [episode(2, CONTEXT + WINDOW), episode(3, CONTEXT + 2 * WINDOW)]
    suite = RecordedSuite(
        World.manifest.env_id, "test", plays, 2, plays[0].frames_THWC[0], NAMES, None, further
    )  # fmt: skip
    size = replace(TINY, drift=2, drift_frames=FRAMES)
    return Bench(World(fault), suite, None, size, folder, None, tick)


def named(figures: dict[str, Any]) -> set[str]:
    return {alarm.name for alarm in alarms({"drift": figures})}


def test_the_game_itself_does_not_drift(tmp_path: Path) -> None:
    ticks: list[int] = []
    here = bench(sound, tmp_path, ticks.append)
    figures = recorded_drift.measure(here)
    for prefix in ("", "real_"):
        assert figures[f"{prefix}horizon_s"]["value"] == FRAMES / 30 and figures[f"{prefix}horizon_s"]["n"] == 2
        assert figures[f"{prefix}horizon_s"]["departed"] == {}
    assert figures["copy_horizon_s"]["value"] == 0.0 and "moving" in figures["copy_horizon_s"]["departed"]
    assert named(figures) == set()
    assert sum(ticks) == recorded_drift.work(here)
    assert all((tmp_path / name).stat().st_size > 500 for name in ("drift_strip.png", "drift.gif"))


@pytest.mark.parametrize(
    ("fault", "name", "after"),
    [
        (frozen, "the picture freezes or flickers", WINDOW),
        (blank, "the tokens grow poorer or noisier", WINDOW),
        (reddening, "the colours drift", None),
        (blurred, "the picture blurs or grows noisy", 0),
    ],
)
def test_a_dream_that_leaves_the_game_is_caught_by_name(
    fault: Fault, name: str, after: int | None, tmp_path: Path
) -> None:
    figures = recorded_drift.measure(bench(fault, tmp_path))
    assert name in named(figures)
    assert figures["real_horizon_s"]["departed"] == {}
    if after is not None:
        assert figures["horizon_s"]["value"] == after / 30


def test_actions_go_on_with_those_of_other_plays(tmp_path: Path) -> None:
    """The first action is the one that was done at the frame which the dream has seen last."""
    here = bench(sound, tmp_path)
    suite = here.suite
    assert isinstance(suite, RecordedSuite)
    recorded_drift.measure(here)
    heard = sorted(here.engine.heard)  # type: ignore[attr-defined]
    plays = [list(play.actions) for play in suite.watched]
    assert heard == sorted(
        [(plays[0][CONTEXT:] + plays[1])[:FRAMES], (plays[1][CONTEXT:] + plays[2] + plays[3])[:FRAMES]]
    )
    assert recorded_drift.stream(suite, suite.watched[3], 4 * WINDOW) == (plays[3][CONTEXT:] + plays[0])[: 4 * WINDOW]
    assert len(plays[0]) == CONTEXT + FRAMES > len(suite.plays[0].actions) == 300, "looked at for longer than asked"
    assert recorded_drift.stream(suite, suite.watched[0], 7) == plays[0][CONTEXT : CONTEXT + 7]


def test_a_run_is_held_against_other_plays_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(recorded_drift.horizon, "figures", lambda bench, *args: asked.append(args) or {})
    here = bench(sound, tmp_path)
    recorded_drift.measure(replace(here, size=replace(here.size, drift=1)))
    ((dreamed, real, copied, others),) = asked
    assert [len(runs) for runs in (dreamed, real, copied)] == [1, 1, 1]
    assert real[0].frames == FRAMES and [watched.frames for watched in others] == [FRAMES, WINDOW, 2 * WINDOW]
    assert [len(watched.windows) for watched in others] == [FRAMES // WINDOW, 1, 2]


def test_the_film_shows_the_dream_beside_the_play_from_the_same_frame_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films: list[Any] = []
    monkeypatch.setattr(recorded_drift.pictures, "save_film", lambda pairs, path, fps: films.append(pairs))
    recorded_drift.measure(bench(sound, tmp_path))
    (pairs,) = films
    assert len(pairs) == min(FRAMES // 2 + 1, FILM_FRAMES)
    assert all(np.array_equal(real, dreamed) for real, dreamed in pairs), "the game itself was the dream"
    assert not np.array_equal(pairs[0][0], pairs[1][0])


def test_the_longest_plays_are_dreamed_from_and_not_held_against_themselves(tmp_path: Path) -> None:
    suite = bench(sound, tmp_path).suite
    assert isinstance(suite, RecordedSuite)
    assert [play.level_seed for play in recorded_drift._starts(suite, 3)] == [0, 1, 3]
    assert suite.watched[2].level_seed == 2 and len(suite.plays) == 2
    other = bench(sound, tmp_path).suite
    assert isinstance(other, RecordedSuite)
    other.watched.pop()
    assert suite.sha256 != other.sha256, "what the real game looks like is part of the suite"


def test_no_dream_goes_on_for_longer_than_a_real_play(tmp_path: Path) -> None:
    here = bench(sound, tmp_path)
    longer = replace(here, size=replace(here.size, drift_frames=3 * FRAMES))
    assert recorded_drift.measure(longer)["horizon_s"]["frames"] == FRAMES
    assert recorded_drift.work(longer) == recorded_drift.work(here) == 2 * (CONTEXT + FRAMES)


@pytest.mark.parametrize(
    ("lengths", "judged"),
    [((196, 76), True), ((195, 195), False), ((196, 75), False), ((400,), False)],
)
def test_plays_too_short_or_too_few_are_not_judged_and_raise_no_alarm(lengths: tuple[int, ...], judged: bool) -> None:
    plays = [episode(seed, length) for seed, length in enumerate(lengths)]
    suite = RecordedSuite(World.manifest.env_id, "test", plays, 1, None, NAMES)
    assert ("too few or too short" not in recorded_drift.why_not(suite)) is judged
    unheard = {"value": None, "n": 0, "departed": {}}
    heard = {"value": 1.0, "n": 2, "departed": {"moving": {"value": 1.0, "n": 2, "first_s": 0.0}}}
    assert alarms({"drift": {"horizon_s": heard, "real_horizon_s": unheard}}) == []
