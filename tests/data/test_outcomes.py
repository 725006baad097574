from __future__ import annotations

import numpy as np
import pytest

from tests.train.square_game import NAMES, WIDTH, SharingGame, SquareGame, UncopiableGame, play
from worldlet.data.outcomes import EARLY, NotTheSameGameError, ask, game_of, outcome_classes, within_reach

STAY, LEFT, RIGHT, DOWN = range(len(NAMES))


def column(episode, t):
    return int(np.flatnonzero((episode.frames_THWC[t] == (255, 220, 40)).all(-1).any(0))[0])


@pytest.mark.parametrize("game", [SquareGame, UncopiableGame, SharingGame])
def test_what_comes_to_the_same_at_a_wall(game):
    episode = play(3, 60)
    classes = outcome_classes(game, episode, np.arange(60), horizon=2)
    walls = 0
    for t in range(60):
        wanted = [STAY, LEFT, RIGHT, DOWN]
        if column(episode, t) == 0:
            wanted[LEFT] = STAY
        if column(episode, t) == WIDTH - 4:
            wanted[RIGHT] = STAY
        walls += wanted != [STAY, LEFT, RIGHT, DOWN]
        assert classes[t].tolist() == wanted
    assert 0 < walls < 60


def test_moments_come_in_the_order_asked_for():
    episode = play(3, 20)
    every = outcome_classes(SquareGame, episode, range(20))
    assert (outcome_classes(SquareGame, episode, [19, 0, 7, 7]) == every[[19, 0, 7, 7]]).all()
    assert outcome_classes(SquareGame, episode, []).shape[0] == 0


def test_actions_that_differ_only_later_are_one_class_for_the_near_sighted():
    class Late(SquareGame):
        """Right takes a frame to show."""

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.column, self.owed = 4, 0
            return self.draw(), {}

        def step(self, action):
            self.column, self.owed = min(self.column + self.owed, WIDTH - 4), 2 * (action == RIGHT)
            return self.draw(), 0.0, False, False, {}

    game, seed = Late(), 4
    episode = play(seed, 6)
    frames = [game.reset(seed=seed)[0]] + [game.step(int(action))[0] for action in episode.actions_T]
    episode = type(episode)(np.stack(frames), episode.actions_T, {}, episode.meta)
    assert outcome_classes(Late, episode, [0], horizon=1).tolist() == [[STAY, STAY, STAY, STAY]]
    assert outcome_classes(Late, episode, [0], horizon=2).tolist() == [[STAY, STAY, RIGHT, STAY]]


@pytest.mark.parametrize("game", [SquareGame, UncopiableGame])
def test_another_game_is_noticed(game):
    episode = play(3, 20)
    episode.frames_THWC[6, 0, 0] ^= 1
    with pytest.raises(NotTheSameGameError, match="another frame 6"):
        outcome_classes(game, episode, [10])


def test_bad_moments_and_unknown_games():
    with pytest.raises(ValueError, match="moments lie within the 5 actions"):
        outcome_classes(SquareGame, play(3, 5), [5])
    with pytest.raises(ValueError):
        game_of(play(3, 5), {})


def counting(kind, **more):
    """A kind of game that counts how often it was opened and stepped."""

    class Counting(kind):
        opened = steps = 0
        metadata = {**SquareGame.metadata, **more}

        def __init__(self):
            Counting.opened += 1

        def step(self, action):
            Counting.steps += 1
            return super().step(action)

    return Counting


def test_a_game_without_copies_is_asked_about_early_moments_within_its_steps_and_stays_open():
    plays, moments = [play(seed, 80) for seed in range(6)], [np.arange(0, 80, 4)] * 6
    game = counting(UncopiableGame, fresh_reset=True)
    classes, asked = ask(game, plays, moments, horizon=2, steps=2000)
    assert game.opened == 1 and 400 < game.steps <= 2000
    total = sum(int(one.sum()) for one in asked)
    assert 8 <= total < 40 and all(one.any() and not one[moments[0] >= EARLY].any() for one in asked)
    truth, all_asked = ask(SquareGame, plays, moments, horizon=2, steps=0)
    assert all(one.all() for one in all_asked), "copies cost nothing"
    for ours, theirs, one in zip(classes, truth, asked, strict=True):
        assert (ours[one] == theirs[one]).all() and (ours[~one] == np.arange(4)).all()
    assert any((theirs != np.arange(4)).any() for theirs in truth)


def test_a_game_that_keeps_something_over_a_reset_is_opened_anew():
    game = counting(SquareGame)
    ask(game, [play(seed, 10) for seed in range(3)], [np.array([4])] * 3, horizon=1, steps=0)
    assert game.opened == 4  # one to see whether it can be copied


def test_how_many_moments_are_within_reach():
    moments = np.array([50, 3, 40, 3, 3, 60])
    assert within_reach(moments, actions=2, horizon=2, steps=10**6).tolist() == [False, True, True, True, True, False]
    assert within_reach(moments, actions=2, horizon=2, steps=2 * (3 + 2 + 10)).tolist() == [False, True] + [False] * 4
    assert not within_reach(moments, actions=2, horizon=2, steps=29).any()
    late = np.array([90, 170, 190])
    assert within_reach(late, actions=2, horizon=2, steps=10**6).tolist() == [True, True, False]
