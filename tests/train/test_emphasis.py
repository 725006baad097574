"""Rare actions and moving pictures are drawn oftener; what a clip holds stays as it was recorded."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from worldlet.data.clips import NO_ACTION, TokenTable  # noqa: E402
from worldlet.train.emphasis import balance_actions, encounters, reveals  # noqa: E402

N = 20


def table_of(actions, moves, starts=(0,)):
    """Frames that count up in the cells of `moves` (frame -> cells that change on the way to it)."""
    tokens = np.zeros((len(actions), N), np.uint16)
    for frame, cells in moves.items():
        tokens[frame:, :cells] += 1
    nothing = np.zeros((len(actions), N), np.bool_)
    return TokenTable(tokens, np.array(actions), np.array(starts), nothing, nothing)


def test_balancing_makes_rare_actions_common():
    rng = np.random.default_rng(0)
    actions = np.where(rng.random(4000) < 0.05, 2, 0)
    actions[-1] = NO_ACTION
    table = table_of(actions, {})

    def share(power, length):
        return (balance_actions(table, length, power).batch(0, 20_000, length, 0).actions_BT == 2).mean()

    assert share(0.0, 1) == pytest.approx(0.05, abs=0.01)
    assert share(1.0, 1) == pytest.approx(0.5, abs=0.03)
    assert 0.07 < share(1.0, 6) < 0.5, "a clip is weighed by all of its actions"
    assert (balance_actions(table, 6, 1.0).batch(0, 50, 6, 0).actions_BT >= 0).all()


def test_balancing_keeps_the_weights_there_were():
    actions = [0, 0, 1, 1, 0, 0, 1, NO_ACTION]
    table = table_of(actions, {})
    weighted = TokenTable(
        table.tokens_FN, table.actions_F, table.starts, table.hero_FN, table.moving_FN,
        weights_F=np.array([0, 0, 1.0, 0, 3.0, 0, 0, 0]),
    )  # fmt: skip
    actions = balance_actions(weighted, 1, 0.0).batch(0, 20_000, 1, 0).actions_BT
    assert (actions == 0).mean() == pytest.approx(0.75, abs=0.02)


def test_reveals_hold_a_frame_in_which_the_picture_moves_after_the_lead():
    table = table_of([0] * 39 + [NO_ACTION], {12: N, 13: N, 30: 1})  # one of twenty cells is no moving picture
    short = reveals(table, length=5, lead=2)
    tokens = short.batch(0, 2000, 5, 0).tokens_BTN.astype(int)
    changed = (np.diff(tokens, axis=1) != 0).mean(-1) > 0.06
    assert changed[:, 2:].any(1).all(), "the last three transitions of each clip hold one"
    assert set(changed.sum(1)) == {1, 2}
    assert (changed[:, 2:].sum(1) == 2).mean() > 0.6, "clips that see more of it come oftener"


def test_where_one_episode_follows_another_nothing_is_revealed():
    actions = [0] * 9 + [NO_ACTION] + [0] * 9 + [NO_ACTION]
    assert reveals(table_of(actions, {10: N}, starts=(0, 10)), 4) is None
    assert reveals(table_of(actions, {}, starts=(0, 10)), 4) is None
    assert reveals(table_of(actions, {15: N}, starts=(0, 10)), 4) is not None


def meeting(frames, meets, hero_at=lambda frame: 21):
    """A hero on an 8x8 grid, and something that moves: beside him in the frames of `meets`, else far away."""
    tokens = np.zeros((frames, 64), np.uint16)
    hero, moving = np.zeros((2, frames, 64), np.bool_)
    for frame in range(frames):
        if hero_at(frame) is not None:
            hero[frame, hero_at(frame)] = True
        moving[frame, 22 if frame in meets else 63] = True
    actions = np.zeros(frames, np.int64)
    actions[-1] = NO_ACTION
    return TokenTable(tokens, actions, np.array([0]), hero, moving | hero)


def begins(table, length):
    """The frames at which clips begin."""
    numbered = dataclasses.replace(table, tokens_FN=np.repeat(np.arange(len(table), dtype=np.uint16)[:, None], 64, 1))
    return set(numbered.batch(0, 500, length, 0).tokens_BTN[:, 0, 0].tolist())


def test_encounters_hold_a_frame_in_which_the_hero_meets_something():
    clips = encounters(meeting(40, meets=(20,)), 5, (8, 8))
    assert begins(clips, 5) == {15, 16, 17, 18, 19}, "the meeting is one of the frames that a clip predicts"
    assert encounters(meeting(40, meets=()), 5, (8, 8)) is None


def test_encounters_hold_leaps_but_not_a_walk_nor_a_sliding_picture():
    leap = encounters(meeting(40, (), lambda frame: 21 if frame < 20 else 24), 5, (8, 8))
    assert begins(leap, 5) == {15, 16, 17, 18, 19}
    gone = encounters(meeting(40, (), lambda frame: 21 if frame < 20 else None), 5, (8, 8))
    assert begins(gone, 5) == {15, 16, 17, 18, 19}
    assert encounters(meeting(40, (), lambda frame: 21 + (frame >= 20)), 5, (8, 8)) is None, "one cell is a walk"
    slides = meeting(40, (), lambda frame: 21 if frame < 20 else 24)
    slides.tokens_FN[20:] += 1
    assert encounters(slides, 5, (8, 8)) is None, "the hero leaps on the screen when the camera does"


def test_what_lies_between_two_episodes_is_no_leap():
    table = meeting(40, (), lambda frame: 21 if frame < 20 else 24)
    actions = table.actions_F.copy()
    actions[19] = NO_ACTION
    assert encounters(dataclasses.replace(table, starts=np.array([0, 20]), actions_F=actions), 5, (8, 8)) is None
