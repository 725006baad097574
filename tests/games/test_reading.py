"""A frame read back from its pixels is what the game says it shows."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from tests.games.playing import mixed_play
from tests.games.staging import game_of
from worldlet.games import PlatformerEnv
from worldlet.games.platformer.art import THEMES
from worldlet.games.platformer.env import draw
from worldlet.games.platformer.reading import Reading, read_frame, truth

LEVELS = dict(zip(THEMES, (0, 1, 2, 3, 6, 7), strict=True))  # seeds of levels with enemies early on


def enemies_in_full_view(reading: Reading, true: Reading) -> set[tuple[int, int]]:
    """Those with all of their box on the screen and none of it behind the hero or his staff."""
    hero = true.hero
    assert hero is not None
    return {
        (x, y)
        for x, y in reading.enemies
        if 0 <= x <= 120 and not (hero.x - 16 < x < hero.x + 20 and hero.y - 8 < y < hero.y + 16)
    }


@pytest.mark.parametrize("theme", THEMES)
def test_reading_equals_truth(theme: str) -> None:
    frames = enemies = behind = misread = 0
    for moment in mixed_play(LEVELS[theme], 340, themes=(theme,)):
        read, true = read_frame(moment.frame), truth(moment.env)
        assert read.theme == true.theme == theme
        covered = moment.info["moving_mask"].reshape(16, 8, 16, 8).any((1, 3))
        assert np.array_equal(read.kinds[~covered], true.kinds[~covered])
        behind += int(covered.sum())
        misread += int((read.kinds != true.kinds)[covered].sum())
        assert read.hero is not None and true.hero is not None
        for name in ("x", "y", "pose", "facing"):
            assert getattr(read.hero, name) == getattr(true.hero, name), name
        assert read.hero.error < 1
        assert enemies_in_full_view(read, true) == enemies_in_full_view(true, true)
        frames += 1
        enemies += len(true.enemies)
    assert frames == 341
    assert enemies > 20
    assert misread <= 0.05 * behind, f"{misread} of {behind}"  # spikes and pits under a dead hero are hidden for good


@pytest.mark.parametrize("theme", THEMES)
def test_no_hero_is_found_where_there_is_none(theme: str) -> None:
    for i, moment in enumerate(mixed_play(LEVELS[theme], 150, themes=(theme,))):
        if i % 10 == 0:
            game = game_of(moment.env)
            y, game.y = game.y, 1000
            assert read_frame(draw(game)[0]).hero is None
            game.y = y


def test_wrong_input_is_told_in_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"uint8 \(128, 128, 3\), this is float64"):
        read_frame(np.zeros((128, 128, 3)))
    with pytest.raises(ValueError, match=r"this is uint8 \(64, 128, 3\)"):
        read_frame(np.zeros((64, 128, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="call reset before"):
        truth(PlatformerEnv())
    with pytest.raises(ValueError, match="only worldlet/Platformer-v0"):
        truth(gymnasium.make("CartPole-v1"))
