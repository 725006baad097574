"""Rare actions and moving pictures are drawn oftener; what a clip holds stays as it was recorded."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from worldlet.data.clips import NO_ACTION, TokenTable  # noqa: E402
from worldlet.train.emphasis import balance_actions, reveals  # noqa: E402

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
    table = table_of([0] * 39 + [NO_ACTION], {12: N, 13: N, 30: 2})  # two of twenty cells are no moving picture
    short = reveals(table, length=5, lead=2)
    tokens = short.batch(0, 2000, 5, 0).tokens_BTN.astype(int)
    changed = (np.diff(tokens, axis=1) != 0).mean(-1) > 0.1
    assert changed[:, 2:].any(1).all(), "the last three transitions of each clip hold one"
    assert set(changed.sum(1)) == {1, 2}
    assert (changed[:, 2:].sum(1) == 2).mean() > 0.6, "clips that see more of it come oftener"


def test_where_one_episode_follows_another_nothing_is_revealed():
    actions = [0] * 9 + [NO_ACTION] + [0] * 9 + [NO_ACTION]
    assert reveals(table_of(actions, {10: N}, starts=(0, 10)), 4) is None
    assert reveals(table_of(actions, {}, starts=(0, 10)), 4) is None
    assert reveals(table_of(actions, {15: N}, starts=(0, 10)), 4) is not None
