import dataclasses
import json

import gymnasium
import numpy as np
import pytest
from PIL import Image
from tiny_game import TinyGame

import worldlet
from worldlet.engine.beside import CONTEXT, Beside, open_real_game, rest_action
from worldlet.engine.beside_film import BAR, GAP, HEADING, HERO_COLOUR, PSNR_COLOUR, Sheet, film_beside
from worldlet.engine.places import hero_finder
from worldlet.metrics import psnr

NOOP = 4


def beside(engine, **options):
    games = []

    def open_game(theme):
        games.append(TinyGame(theme=theme, **options))
        return games[-1]

    return Beside(engine, open_game), games


def real_frames(seed, actions):
    """The frames of the real game, played apart."""
    game = TinyGame()
    frames = [game.reset(seed=seed)[0].copy()]
    return np.stack(frames + [game.step(action)[0].copy() for action in actions])


def test_the_dream_is_opened_on_exactly_the_real_frames_and_sees_only_actions_afterwards(engine):
    both, _ = beside(engine)
    actions = [3, 0, 7, 4, 1]
    frames = real_frames(11, [NOOP] * (CONTEXT - 1) + actions)
    session = engine.open(frames=frames[:CONTEXT], actions=[NOOP] * (CONTEXT - 1), seed=11)
    pair = both.restart(11)
    assert (pair.event, pair.index, pair.age) == ("start", 0, 0)
    assert np.array_equal(pair.real, frames[CONTEXT - 1]) and np.array_equal(pair.dream, session.frame)
    for index, action in enumerate(actions):
        pair = both.step(action)
        expected = session.step(action).frame
        assert np.array_equal(pair.real, frames[CONTEXT + index])  # both show what follows the same action
        assert np.array_equal(pair.dream, expected)
        assert pair.psnr_db == psnr(expected, pair.real)
        assert (pair.event, pair.index, pair.age) == ("", index + 1, index + 1)
    assert pair.hero_pixels is None and not pair.hero_lost  # this game knows of no hero


def test_sync_warms_the_dream_up_on_the_last_real_frames_and_actions(engine):
    both, (game,) = beside(engine)
    both.restart(2)
    actions = [int(a) for a in np.random.default_rng(0).integers(0, 8, 13)]
    for action in actions:
        before = both.step(action)
    pair = both.sync()
    frames = real_frames(2, [NOOP] * (CONTEXT - 1) + actions)
    session = engine.open(frames=frames[-CONTEXT:], actions=actions[-(CONTEXT - 1) :], seed=2)
    assert (pair.event, pair.index, pair.age) == ("sync", 13, 0)
    assert np.array_equal(pair.real, before.real) and np.array_equal(pair.dream, session.frame)
    assert len(game.taken) == CONTEXT - 1 + 13  # the real game did not move
    assert np.array_equal(both.step(5).dream, session.step(5).frame)


def test_a_level_that_ends_is_shown_to_its_end_and_the_next_one_begins(engine):
    both, (game,) = beside(engine, ends_after=CONTEXT + 1)
    both.restart(5)
    assert [both.step(0).event for _ in range(2)] == ["", "end"]
    assert both.look().event == "end"
    pair = both.step(0)
    assert (pair.event, pair.index, pair.age, game.level_seed, both.level_seed) == ("start", 0, 0, 6, 6)


def test_where_a_game_draws_no_last_frame_nothing_is_compared_with_it(engine):
    both, _ = beside(engine, ends_after=CONTEXT + 1, draws_end=False)
    both.restart(5)
    before = both.step(0)
    pair = both.step(3)
    assert (pair.event, pair.index, pair.age) == ("end", 1, 1)
    assert np.array_equal(pair.real, before.real) and np.array_equal(pair.dream, before.dream)
    assert both.step(0).event == "start" and both.level_seed == 6


def test_a_game_that_ends_before_the_dream_can_begin(engine):
    both, _ = beside(engine, ends_after=CONTEXT - 1)
    for _ in range(2):
        with pytest.raises(ValueError, match="ends within 8 frames from seed 3"):
            both.restart(3)


def test_after_an_error_of_the_game_both_begin_anew(engine):
    both, games = beside(engine)
    both.restart(5)
    both.step(0)
    step = games[0].step

    def stumble(action):
        step(action)
        games[0].step = step
        raise RuntimeError("once")

    games[0].step = stumble
    with pytest.raises(RuntimeError, match="once"):
        both.step(3)
    pair = both.step(3)
    assert (pair.event, pair.index, pair.age, both.level_seed) == ("start", 0, 0, 5)
    assert games[0].closed and not games[1].closed


def test_themes_are_those_of_the_game(engine):
    both, games = beside(engine, themes=("snow", "lava"))
    assert both.themes == ("snow", "lava")
    both.restart(1, "lava")
    assert [game.theme for game in games] == [None, "lava"] and [game.closed for game in games] == [True, False]
    with pytest.raises(ValueError, match="no theme 'sea': it has snow, lava"):
        both.restart(1, "sea")
    assert both.step(0).index == 1  # the mistake changed nothing
    both.close()
    assert games[-1].closed
    plain, _ = beside(engine)
    with pytest.raises(ValueError, match="no theme 'lava': it has none"):
        plain.restart(1, "lava")


def test_a_game_of_another_size_or_with_other_actions_is_refused_and_closed(engine):
    other = TinyGame()
    other.observation_space = gymnasium.spaces.Box(0, 255, (24, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="16x24 pixels"):
        Beside(engine, lambda theme: other)
    assert other.closed
    other = TinyGame()
    other.action_space = gymnasium.spaces.Discrete(5)
    with pytest.raises(ValueError, match="knows 8 actions, but .* has 5"):
        Beside(engine, lambda theme: other)


def test_a_game_that_is_not_installed_is_named(engine):
    manifest = dataclasses.replace(engine.manifest, env_id="worldlet/Nowhere-v0")
    with pytest.raises(ValueError, match="worldlet/Nowhere-v0"):
        open_real_game(manifest)


def test_the_real_game_is_opened_as_it_was_recorded(engine):
    config = {**engine.manifest.config, "game": {"scale": 2}}
    game = open_real_game(dataclasses.replace(engine.manifest, config=config), "cave")
    assert game.observation_space.shape == (256, 256, 3)
    assert game.reset(seed=1)[1]["theme"] == "cave"
    game.close()


def test_rest_action():
    assert rest_action(("left", "noop")) == 1 and rest_action(("fire", "left")) == 0


def test_the_hero_is_found_where_the_real_game_has_him():
    """Read from real pixels, the platformer's hero is where the ground truth says: the measure itself is exact."""
    engine = worldlet.load("platformer", threads=1)
    finder = hero_finder(engine.manifest)
    game = open_real_game(engine.manifest)
    frame, info = game.reset(seed=2_000_003)
    for action in [3] * 12 + [7] * 8:
        frame, *_, info = game.step(action)
        assert finder.read(frame) == finder.truth(info)
    moved = np.roll(frame, 6, axis=1)
    assert finder.read(moved)[0] == finder.truth(info)[0] + 6
    assert finder.truth({"hero_screen": np.array([40, 140])}) is None
    assert finder.read(np.full_like(frame, 90)) is None


def test_the_platformer_beside_its_dream_tells_how_far_the_hero_is_off():
    both = Beside(worldlet.load("platformer", threads=1))
    assert both.knows_hero and "snow" in both.themes
    pair = both.restart(2_000_003, "snow")
    assert pair.psnr_db > 35 and pair.hero_pixels is not None and pair.hero_pixels < 4
    both.close()


def test_film(engine, tmp_path):
    (tmp_path / "actions.json").write_text(json.dumps([3, 0, 7, 4] * 3))
    games = []

    def open_game(theme):
        games.append(TinyGame(ends_after=CONTEXT + 4))
        return games[-1]

    def film(name, steps=12):
        return film_beside(engine, steps, 9, tmp_path / name, tmp_path / "actions.json", scale=8, open_game=open_game)

    one, two = film("one.gif"), film("two.gif")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert (one.frames, one.levels, one.hero_pixels) == (13, 3, None)
    assert "13 frames of 3 levels" in str(one) and "hero" not in str(one)
    assert all(game.closed for game in games)
    with Image.open(one.path) as picture:
        assert picture.n_frames == 13 and picture.width == 2 * 24 * 8 + GAP
    with pytest.raises(ValueError, match="steps must be at least 1"):
        film("three.gif", steps=0)
    with pytest.raises(ValueError, match="more steps were asked for"):
        film("four.gif", steps=13)
    assert not (tmp_path / "three.gif").exists() and not (tmp_path / "four.gif").exists()
    assert games[-1].closed


def test_a_film_shows_both_frames_and_a_curve_that_falls_with_the_dream(engine):
    both, _ = beside(engine)
    pair = dataclasses.replace(both.restart(0), psnr_db=45.0, hero_pixels=1.0)
    sheet = Sheet((16, 24), steps=10, scale=8, with_hero=True)
    first = sheet.add(pair)
    panel = first[BAR : BAR + 128]
    assert np.array_equal(panel[::8, : 24 * 8 : 8], pair.real)
    assert np.array_equal(panel[::8, 24 * 8 + GAP :: 8], pair.dream)
    far = sheet.add(dataclasses.replace(pair, psnr_db=12.0, hero_pixels=30.0))
    lost = sheet.add(dataclasses.replace(pair, psnr_db=12.0, hero_pixels=None, hero_lost=True))
    assert drawn(PSNR_COLOUR, far, first).max() > drawn(PSNR_COLOUR, first).min() + 40  # 12 dB lies far below 45
    hero_foot = first.shape[0] - 5
    assert drawn(HERO_COLOUR, first).max() > hero_foot - 4 and drawn(HERO_COLOUR, far, first).min() < hero_foot - 25
    assert drawn(PSNR_COLOUR, lost, far).size and not drawn(HERO_COLOUR, lost, far).size  # this curve is interrupted


def drawn(colour, picture, before=None):
    """Rows below the pictures where a colour is (new)."""
    there = (picture == colour).all(-1)
    if before is not None:
        there &= (before != colour).any(-1)
    there[: BAR + 128 + HEADING] = False
    return np.nonzero(there)[0]
