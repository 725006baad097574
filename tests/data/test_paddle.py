"""The scripted player of Breakout, on pictures drawn like the game's, at its own size and at the recorder's."""

import numpy as np
import pytest

from worldlet.data.paddle import Paddle, find_ball, find_paddle
from worldlet.data.policies import default_players

NAMES = ("noop", "fire", "right", "left")


def screen(ball, paddle, size=(210, 160)):
    """Black, walls and bricks as in the game; the ball 2x4 and the paddle 16x4 pixels of 210x160."""
    frame = np.zeros((210, 160, 3), np.uint8)
    frame[17:32] = frame[17:, :8] = frame[17:, 152:] = 142
    frame[57:93, 8:152] = (200, 72, 72)
    if ball is not None:
        frame[ball[1] : ball[1] + 4, ball[0] : ball[0] + 2] = (200, 72, 72)
    frame[189:193, paddle : paddle + 16] = (200, 72, 72)
    rows, columns = (np.arange(n) * whole // n for n, whole in zip(size, (210, 160), strict=True))
    return frame[rows][:, columns]


@pytest.mark.parametrize("size", [(210, 160), (105, 80)])
def test_ball_and_paddle_are_found(size):
    x, y = find_ball(screen((80, 140), 40, size))
    assert x == pytest.approx((81 - 9) / 142, abs=0.02) and y == pytest.approx(142 / 210, abs=0.02)
    assert find_paddle(screen(None, 40, size)) == pytest.approx((48 - 9) / 142, abs=0.02)
    assert find_ball(screen(None, 40, size)) is None


def test_it_follows_the_ball_and_serves():
    player = Paddle(NAMES, mischief=0.0)
    for ball, wish in (((120, 150), "right"), ((20, 150), "left")):
        player.reset(1)
        player.watch(screen(ball, 70))
        assert NAMES[player.act({})] == wish
    player.watch(screen(None, 70))
    assert "fire" in {NAMES[player.act({})] for _ in range(20)}


def test_the_same_seed_plays_the_same_and_whims_occur():
    games = []
    for seed in (5, 5, 6):
        player = Paddle(NAMES, mischief=0.2)
        player.reset(seed)
        actions = []
        for t in range(60):
            player.watch(screen((60, 100 + t), 60))
            actions.append(player.act({}))
        games.append(actions)
    assert games[0] == games[1] != games[2] and len(set(games[0])) > 2


def test_other_games_are_refused():
    assert default_players("ALE/Breakout-v5") == "paddle:0.8,sticky:0.2"
    with pytest.raises(ValueError, match="Breakout-v5 alone"):
        Paddle(("noop", "jump"))
