"""Recorded plays: tokens one frame ahead, control by a judge, Breakout's paddle and ball; each can fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.eval.real_game import MANIFEST, TINY, PatchTokens  # noqa: E402
from worldlet.data.outcomes import NotTheSameGameError  # noqa: E402
from worldlet.engine.backends.base import BackendStep  # noqa: E402
from worldlet.eval import judged, paddle  # noqa: E402
from worldlet.eval.bench import Bench  # noqa: E402
from worldlet.eval.game import _patches  # noqa: E402
from worldlet.eval.recorded import RecordedSuite, _play, _starts  # noqa: E402
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
    meta = {"episode_id": str(seed), "action_names": list(NAMES)}
    return Episode(np.stack([show(int(x)) for x in places]), actions, {}, meta)


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
        places = [int(np.flatnonzero(np.roll(f[66, :, 0], 1).astype(int) - f[66, :, 0] < 0)[0]) for f in frames_THWC]
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


def test_a_judge_who_always_says_the_same_proves_nothing(tmp_path: Path) -> None:
    """He is as often right on dreams as on real frames, whatever the dreams show."""

    class Stubborn(Judge):
        def predict_episode(self, frames_THWC: np.ndarray) -> np.ndarray:
            return np.tile(np.eye(4)[2], (len(frames_THWC) - 1, 1))

    figures = judged.measure(bench(obeys, tmp_path, Stubborn()))
    assert figures["accuracy"]["value"] == figures["real_accuracy"]["value"] > 0
    assert figures["constant_accuracy"]["value"] >= figures["real_accuracy"]["value"]
    assert figures["relative"]["value"] is None
    honest = judged.measure(bench(obeys, tmp_path, Judge()))
    assert honest["constant_accuracy"] == figures["constant_accuracy"] and honest["relative"]["value"] == 1.0


def test_a_dream_is_held_against_what_the_judge_can_tell_of_real_frames(tmp_path: Path) -> None:
    """A judge who takes left for right is as often right on a dream that obeys, and that is all one can ask."""

    class Dyslexic(Judge):
        def predict_episode(self, frames_THWC: np.ndarray) -> np.ndarray:
            told = super().predict_episode(frames_THWC)
            told[:, 1] += told[:, 0]
            told[:, 0] = 0
            return told

    figures = judged.measure(bench(obeys, tmp_path, Dyslexic()))
    assert figures["constant_accuracy"]["value"] < figures["real_accuracy"]["value"] < 1
    assert figures["relative"]["value"] == 1.0


def test_what_comes_to_the_same_in_the_real_game_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def classes(make: Any, plays: Any, moments: Any, horizon: int, steps: int) -> Any:
        asked.append((plays[0].meta["episode_id"], moments[0].tolist(), horizon, steps))
        rows = np.tile([0, 1, 2, 2], (3, 1))
        rows[0] = 0  # at the first moment of each start all comes to the same
        return [rows] * len(plays), [np.ones(3, bool)] * len(plays)

    monkeypatch.setattr(judged, "ask", classes)
    here = bench(obeys, tmp_path, Judge())
    films = judged._dream(here)
    figures = judged.control(here, films, Judge(), lambda: None)  # type: ignore[arg-type, return-value]
    assert figures["accuracy"]["value"] == 1.0 and figures["classes"] == "the real game's outcomes"
    assert figures["excluded"]["value"] == len(films) == 6 and figures["excluded"]["n"] == 18
    starts = judged._starts(here)
    assert asked == [("0", [starts[0].start + m for m in judged.MOMENTS], 2, 6 * judged.STEPS)]


def test_moments_that_nobody_could_ask_about_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(make: Any, plays: Any, moments: Any, horizon: int, steps: int) -> Any:
        known = [np.array([True, False, False])] + [np.zeros(3, bool)] * (len(plays) - 1)
        return [np.zeros((3, 4), np.int64) + [0, 1, 2, 2]] * len(plays), known

    monkeypatch.setattr(judged, "ask", ask)
    here = bench(obeys, tmp_path, Judge())
    figures = judged.control(here, judged._dream(here), Judge(), lambda: None)  # type: ignore[arg-type, return-value]
    assert figures["asked"] == {"value": 1, "n": 18} and figures["accuracy"]["n"] == figures["real_accuracy"]["n"] == 1


def test_a_game_that_stops_to_match_half_way_is_asked_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before must not be judged by other classes than what comes after."""
    here = bench(obeys, tmp_path, Judge())
    films = judged._dream(here)
    without = judged.control(here, films, Judge(), "no game")  # type: ignore[arg-type]
    calls: list[int] = []

    def classes(make: Any, play: Any, moments: Any, horizon: int) -> np.ndarray:
        calls.append(1)
        if len(calls) > 2:
            raise NotTheSameGameError("another frame")
        return np.zeros((len(moments), 4), np.int64)  # as if nothing mattered there

    monkeypatch.setattr("worldlet.data.outcomes.outcome_classes", classes)
    monkeypatch.setattr("worldlet.data.outcomes.can_copy", lambda make, play: True)
    figures = judged.control(here, films, Judge(), lambda: None)  # type: ignore[arg-type, return-value]
    assert len(calls) == 3 and "(another frame)" in figures.pop("classes")
    assert figures == {name: figure for name, figure in without.items() if name != "classes"}


def test_a_single_start_has_no_other_whose_actions_it_could_be_given(tmp_path: Path) -> None:
    here = replace(bench(obeys, tmp_path, Judge()), size=replace(TINY, plays=3, rollouts=1))
    figures = judged.measure(here)
    assert figures["accuracy"]["value"] == 1.0
    assert figures["shuffled_accuracy"]["value"] is None and figures["shuffled_accuracy"]["n"] == 0
    ticks: list[int] = []
    judged.measure(replace(here, tick=ticks.append))
    assert sum(ticks) == judged.work(here)


@pytest.mark.parametrize(("lengths", "wanted", "counts"), [
    ([160] * 3, 4, [2, 1, 1]), ([160] * 20, 24, None), ([17, 160, 20], 7, [1, 5, 1]), ([160] * 4, 2, [1, 0, 1, 0]),
    ([17, 17], 9, [1, 1]),
])  # fmt: skip
def test_starts_are_spread_over_all_plays(lengths: list[int], wanted: int, counts: list[int] | None) -> None:
    plays = [_play(number, episode(number, length)) for number, length in enumerate(lengths)]
    starts = _starts(plays, wanted)
    each = [[entry.start for entry in starts if entry.level_seed == number] for number in range(len(plays))]
    assert [len(one) for one in each] == counts if counts else {len(one) for one in each} == {1, 2}
    for play, places in zip(plays, each, strict=True):
        assert len(set(places)) == len(places)
        assert all(16 <= place <= max(16, len(play.actions) - 60) for place in places)
    if counts is None:
        assert len(starts) == wanted and max(one[0] for one in each) > 40, "not all at the beginning"


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
    [(2, (29, 49), 1.0, 1.0), (2, (34, 49), 1.0, 0.0), (2, None, 1.0, 0.0), (0, (30, 47), 0.0, 1.0)],
)
def test_paddle_and_ball_are_followed(speed: int, ball: Any, follows: float, near: float) -> None:
    figures = paddle.measure([film(speed, ball)] * 3)
    assert figures["paddle"]["value"] == pytest.approx(follows, abs=0.34) and figures["ball_near"]["value"] == near
    assert figures["copy_ball_near"]["value"] == 0.0 and figures["ball_near"]["n"] == 3


def test_the_ball_counts_in_the_tenth_frame_and_within_four_pixels_of_the_frame() -> None:
    def near(*places: tuple[int, int]) -> float | None:
        ours = np.stack([screen(places[min(t, len(places) - 1)], 10) for t in range(12)])
        real = np.stack([screen((20 + t, 40 + t), 10) for t in range(12)])
        value: float | None = paddle.measure([paddle.Films(real[:1], real, ours)])["ball_near"]["value"]
        return value

    elsewhere = (50, 45)
    assert near(*[elsewhere] * 9, (29, 49), elsewhere) == 1.0
    assert near(*[(29, 49)] * 9, elsewhere, (29, 49)) == 0.0
    assert [near((29 + dx, 49)) for dx in (-5, -4, 4, 5)] == [0.0, 1.0, 1.0, 0.0]
    assert [near((29, 49 + dy)) for dy in (-5, -4, 4, 5)] == [0.0, 1.0, 1.0, 0.0]


def test_the_paddle_is_followed_from_the_last_real_frame_on() -> None:
    """Spans begin at that frame: a paddle that only moved before it did not move."""
    past = np.stack([screen(None, x) for x in (4, 20, 20)])
    real = np.stack([screen(None, 20)] * 12)
    moves = np.stack([screen(None, 20 + t) for t in range(1, 13)])
    assert paddle.measure([paddle.Films(past, real, real)])["paddle"]["value"] == 1.0
    assert paddle.measure([paddle.Films(past, real, moves)])["paddle"]["value"] == 0.0
    assert paddle.measure([paddle.Films(past[:2], real, real)])["paddle"]["n"] == 4
    gone = real.copy()
    gone[5] = 0  # the frame between the second span and the third
    assert paddle.measure([paddle.Films(past[:2], gone, real)])["paddle"]["n"] == 2
    assert paddle.measure([paddle.Films(past[:2], real, gone)])["paddle"]["value"] == 0.5
    other = np.stack([screen(None, 20 - t) for t in range(1, 13)])
    assert paddle.measure([paddle.Films(past, moves, other)])["paddle"]["value"] == 0.0, "the other way"
    assert paddle.measure([paddle.Films(past, moves, moves)])["paddle"]["value"] == 1.0


def test_breakouts_paddle_and_ball_stand_beside_the_judges_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged, "PADDLE_GAME", "elsewhere/Square-v0")
    figures = judged.measure(bench(obeys, tmp_path, Judge()))
    assert {"accuracy", "changed", "paddle", "ball_near"} <= figures.keys()


def test_a_start_needs_as_many_frames_as_are_dreamed(tmp_path: Path) -> None:
    here = bench(obeys, tmp_path)
    entry = here.suite.rollouts[0]
    cut = [replace(entry, actions=entry.actions[: entry.start + judged.LENGTH + more]) for more in (-1, 0)]
    here = replace(here, gold=replace_rollouts(here.suite, cut))
    assert judged._starts(here) == cut[1:]


def replace_rollouts(suite: Any, rollouts: Any) -> Any:
    import copy

    other = copy.copy(suite)
    other.rollouts = tuple(rollouts)
    return other


def test_the_best_constant_answer_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(make: Any, plays: Any, moments: Any, horizon: int, steps: int) -> Any:
        return [np.tile([0, 1, 2, 3], (3, 1))] * len(plays), [np.ones(3, bool)] * len(plays)

    monkeypatch.setattr(judged, "ask", ask)
    here = bench(obeys, tmp_path, Judge())
    figures = judged.control(here, judged._dream(here), Judge(), lambda: None)  # type: ignore[arg-type, return-value]
    done = [entry.actions[entry.start + m] for entry in judged._starts(here) for m in judged.MOMENTS]
    most = max(done.count(action) for action in range(4))
    assert figures["constant_accuracy"] == {"value": pytest.approx(most / len(done), abs=1e-6), "n": len(done)}


def test_frames_that_patches_do_not_divide_are_counted_by_their_whole_patches() -> None:
    frames = np.zeros((2, 84, 64, 3), np.uint8)
    frames[1, 80:] = 9  # below the last whole patch
    frames[1, 8:16, :8] = 5
    assert len(_patches(frames)) == 2
