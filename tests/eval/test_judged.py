"""Recorded plays: tokens one frame ahead, control by a judge, Breakout's paddle and ball; each can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.eval.real_game import MANIFEST, TINY, PatchTokens  # noqa: E402
from worldlet.engine.backends.base import BackendStep  # noqa: E402
from worldlet.eval import judged, paddle  # noqa: E402
from worldlet.eval.bench import Bench  # noqa: E402
from worldlet.eval.game import _patches  # noqa: E402
from worldlet.eval.recorded import RecordedSuite  # noqa: E402
from worldlet.records import Episode, StepResult  # noqa: E402

NAMES = ("left", "right", "noop", "fire")
MOVE = (-4, 4, 0, 0)  # pixels: the last two come to the same


def show(x: int) -> np.ndarray:
    """A square at x, which wraps around, on rows 64 to 72."""
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[64:72, np.arange(x, x + 8) % 128] = 255
    return frame


def episode(seed: int, length: int = 160) -> Episode:
    actions = np.random.default_rng(seed).integers(0, 4, length)
    places = 64 + np.concatenate([[0], np.cumsum(np.take(MOVE, actions))])
    return Episode(np.stack([show(int(x)) for x in places]), actions, {}, {"episode_id": str(seed)})


class Tokens(PatchTokens):
    """Knows what the square's next place looks like, for actions as `does` turns them."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.does = does

    def step(self, state: Any, tokens_BN: Any, action_B: Any, prompt_BD: Any, noise_BN: Any) -> BackendStep:
        frame = moved(self.decode(tokens_BN)[0], self.does(int(action_B[0])))
        return BackendStep(self.encode(frame[None]), frame[None], state)


def moved(frame_HWC: np.ndarray, action: int) -> np.ndarray:
    return np.roll(frame_HWC, MOVE[action], axis=1)


class World:
    """A dream that shows what `does` makes of each action."""

    manifest = replace(MANIFEST, env_id="elsewhere/Square-v0", action_names=NAMES, key_bindings={})

    def __init__(self, does: Any) -> None:
        self.does, self.backend = does, Tokens(does)

    def open(self, *, frames: Any, actions: Any, seed: int = 0) -> Any:
        world, frame = self, frames[-1]

        class Dream:
            def step(self, action: int) -> StepResult:
                nonlocal frame
                frame = moved(frame, world.does(action))
                return StepResult(frame)

        return Dream()


class Judge:
    """Reads the square's move; takes noop and fire for each other, and says noop."""

    class config:  # noqa: N801
        after = 0
        action_names = NAMES

    about = {"held_out": {"confused": [["left"], ["right"], ["noop", "fire"]]}}  # noqa: RUF012

    def predict_episode(self, frames_THWC: np.ndarray) -> np.ndarray:
        places = [int(np.flatnonzero(np.roll(f[66, :, 0], 8).astype(int) - f[66, :, 0] < 0)[0]) for f in frames_THWC]
        moves = (np.diff(places) + 64) % 128 - 64
        return np.eye(4)[[{-4: 0, 4: 1, 0: 2}[int(move)] for move in moves]]


def bench(does: Any, tmp_path: Path, judge: Any = None) -> Bench:
    episodes = [episode(seed) for seed in range(3)]
    suite = RecordedSuite("elsewhere/Square-v0", "test", episodes, 6, show(0), NAMES)
    size = replace(TINY, plays=3, rollouts=6)
    return Bench(World(does), suite, None, size, tmp_path, None, lambda n: None, judge=judge)  # type: ignore[arg-type]


def obeys(action: int) -> int:
    return action


def mirrored(action: int) -> int:
    return (1, 0, 2, 3)[action]


def test_tokens_one_frame_ahead_tell_a_world_from_a_copier(tmp_path: Path) -> None:
    perfect = judged.tokens_ahead(bench(obeys, tmp_path))
    assert perfect["changed"]["value"] == 1.0 and perfect["wrongly_changed"]["value"] == 0.0
    copier = judged.tokens_ahead(bench(lambda action: 2, tmp_path))
    assert copier["changed"]["value"] == 0.0 and copier["wrongly_changed"]["value"] == 0.0
    restless = judged.tokens_ahead(bench(lambda action: 1, tmp_path))
    assert 0 < restless["changed"]["value"] < 1 and restless["wrongly_changed"]["value"] > 0.001
    assert perfect["changed"]["n"] > 50 and perfect["changed"]["units"] == 3


def test_the_judge_tells_who_obeys(tmp_path: Path) -> None:
    figures = judged.measure(bench(obeys, tmp_path, Judge()))
    assert figures["accuracy"]["value"] == figures["real_accuracy"]["value"] == figures["relative"]["value"] == 1.0
    assert figures["shuffled_accuracy"]["value"] < 0.8 and "confuses on real frames" in figures["classes"]
    wrong = judged.measure(bench(mirrored, tmp_path, Judge()))
    assert wrong["accuracy"]["value"] < 0.8 and wrong["real_accuracy"]["value"] == 1.0
    late = judged.measure(bench(lambda action: 2, tmp_path, Judge()))
    assert late["relative"]["value"] < 0.8
    assert judged.measure(bench(obeys, tmp_path)).keys() == {"changed", "wrongly_changed"}, "nobody to judge"


def test_what_comes_to_the_same_in_the_real_game_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def classes(make: Any, play: Any, moments: Any, horizon: int) -> np.ndarray:
        asked.append((play.meta["episode_id"], moments.tolist(), horizon))
        rows = np.tile([0, 1, 2, 2], (len(moments), 1))
        rows[0] = 0  # at the first moment of each start all comes to the same
        return rows

    monkeypatch.setattr(judged, "outcome_classes", classes)
    here = bench(obeys, tmp_path, Judge())
    films = judged._dream(here)
    figures = judged.control(here, films, Judge(), lambda: None)  # type: ignore[arg-type, return-value]
    assert figures["accuracy"]["value"] == 1.0 and figures["classes"] == "the real game's outcomes"
    assert figures["excluded"]["value"] == len(films) == 6 and figures["excluded"]["n"] == 18
    starts = judged._starts(here)
    assert asked[0] == ("0", [starts[0].start + m for m in judged.MOMENTS], 2)


# --- Breakout ------------------------------------------------------------------------------------------------------


def screen(ball: tuple[int, int] | None, paddle_x: int) -> np.ndarray:
    frame = np.zeros((84, 64, 3), np.uint8)
    frame[:13], frame[:, :3], frame[:, 61:] = 142, 142, 142
    if ball is not None:
        frame[ball[1] : ball[1] + 2, ball[0]] = 200
    frame[76, paddle_x : paddle_x + 6] = 200
    return frame


def film(paddle_speed: int, ball: tuple[int, int] | None) -> paddle.Films:
    real = np.stack([screen((20 + t, 40 + t), 10 + 2 * t) for t in range(12)])
    ours = np.stack([screen(ball, 10 + paddle_speed * t) for t in range(12)])
    return paddle.Films(np.stack([screen((19, 39), 8)] * 8), real, ours, ours[::-1])


@pytest.mark.parametrize(
    ("speed", "ball", "follows", "near"),
    [(2, (29, 49), 1.0, 1.0), (2, (33, 49), 1.0, 0.0), (2, None, 1.0, 0.0), (0, (30, 47), 0.0, 1.0)],
)
def test_paddle_and_ball_are_followed(speed: int, ball: Any, follows: float, near: float) -> None:
    figures = paddle.measure([film(speed, ball)] * 3)
    assert figures["paddle"]["value"] == pytest.approx(follows, abs=0.34) and figures["ball_near"]["value"] == near
    assert figures["copy_ball_near"]["value"] == 0.0 and figures["ball_near"]["n"] == 3


def test_frames_that_patches_do_not_divide_are_counted_by_their_whole_patches() -> None:
    frames = np.zeros((2, 84, 64, 3), np.uint8)
    frames[1, 80:] = 9  # below the last whole patch
    frames[1, 8:16, :8] = 5
    assert len(_patches(frames)) == 2
