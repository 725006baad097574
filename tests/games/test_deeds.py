"""What happens to a hero: coins, spikes, pits, enemies, walls, death and coming back."""

from __future__ import annotations

import numpy as np
import pytest

from tests.games.playing import mixed_play
from tests.games.staging import game_of, look_on, place, stage
from worldlet.games import PlatformerEnv
from worldlet.games.platformer.art import COIN, KIND_OF_TILE
from worldlet.games.platformer.level import BARE, COINS, ENEMY, FLAT, GAP, PILLAR, SPIKE, STEP, TROUGH
from worldlet.games.platformer.rules import ACTION, DOWN, LEFT, NOOP, RIGHT, RIGHT_UP, UP, Enemy

COLUMN = 8  # pixels
CHUNK = 10 * COLUMN


def events_while(env: PlatformerEnv, action: int, frames: int) -> list[str]:
    return [event for _ in range(frames) for event in env.step(action)[4]["events"]]


def test_a_coin_is_taken_once_and_its_pixels_vanish() -> None:
    env = stage((FLAT, COINS))
    game = look_on(env)
    place(env, CHUNK + 3 * COLUMN)
    coins = np.argwhere(KIND_OF_TILE[game.grid] == COIN)
    assert len(coins) == 3
    row, column = coins[0]
    place(env, game.camera + int(column) * COLUMN, y=int(row) * COLUMN, air=8)
    assert events_while(env, NOOP, 1).count("coin") == game.coins > 0
    assert (KIND_OF_TILE[game.grid] == COIN).sum() == 3 - game.coins
    taken = game.coins
    place(env, game.camera)
    frame = env.step(NOOP)[0]
    sky = frame[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
    assert len(np.unique(sky.reshape(-1, 3), axis=0)) == 1
    place(env, game.camera + int(column) * COLUMN, y=int(row) * COLUMN, air=8)
    assert "coin" not in events_while(env, NOOP, 1)
    assert game.coins == taken


@pytest.mark.parametrize(("pair", "x"), [((FLAT, SPIKE), CHUNK + 4 * COLUMN), ((TROUGH, BARE), CHUNK + 1 * COLUMN)])
def test_spikes_kill(pair: tuple[int, int], x: int) -> None:
    env = stage(pair)
    place(env, x)
    assert "death" in events_while(env, RIGHT, 24)


def test_a_pit_kills() -> None:
    env = stage((GAP, BARE))
    place(env, CHUNK + COLUMN)
    assert "death" in events_while(env, RIGHT, 40)


def with_enemy(hero_x: int, enemy_x: int, **state: int) -> PlatformerEnv:
    env = stage((FLAT, BARE))
    game = place(env, hero_x, **state)
    game.enemies = [Enemy(enemy_x, 96, enemy_x - 1, enemy_x + 1)]
    return env


def test_an_enemy_met_on_the_ground_kills() -> None:
    assert "death" in events_while(with_enemy(32, 60), RIGHT, 12)


def test_a_stomp_knocks_an_enemy_out_and_throws_the_hero_up() -> None:
    env = with_enemy(40, 42, y=60, air=8)
    game = game_of(env)
    events, heights = [], []
    for _ in range(20):
        events += env.step(NOOP)[4]["events"]
        heights.append(game.y)
    assert "stomp" in events and "death" not in events
    assert game.stomps == 1 and game.enemies == []
    lowest = heights.index(max(heights[:10]))
    assert heights[lowest + 1] < heights[lowest]


def test_a_swing_knocks_out_the_enemy_in_front_and_not_the_one_behind() -> None:
    env = with_enemy(32, 48)
    assert "knock" in events_while(env, ACTION, 1)
    assert game_of(env).enemies[0].puff > 0
    assert "death" not in events_while(env, RIGHT, 10)
    assert game_of(env).enemies == []
    behind = with_enemy(32, 22)
    assert "knock" not in events_while(behind, ACTION, 1)


def test_an_enemy_walks_between_its_bounds_and_turns() -> None:
    env = stage((FLAT, ENEMY))
    game = look_on(env)
    (enemy,) = game.enemies
    place(env, game.camera)
    xs = []
    for _ in range(2 * (enemy.right - enemy.left) + 20):
        env.step(NOOP)
        xs.append(enemy.x)
    assert min(xs) == enemy.left and max(xs) == enemy.right
    assert {abs(b - a) for a, b in zip(xs, xs[1:], strict=False)} == {1}


def test_crouching_makes_the_hero_small() -> None:
    env = stage((FLAT, BARE))
    place(env, 32)
    tall = env.step(NOOP)[4]["hero_mask"]
    small = env.step(DOWN)[4]["hero_mask"]
    assert np.nonzero(small)[0].min() > np.nonzero(tall)[0].min()


def test_walls_and_the_left_edge_stop_the_hero() -> None:
    env = stage((PILLAR, BARE))
    game = place(env, CHUNK + 2 * COLUMN)
    events_while(env, RIGHT, 20)
    assert game.x == CHUNK + 5 * COLUMN - 12
    assert game.contacts == (True, False, False, True)
    place(env, game.camera + 4)
    events_while(env, LEFT, 6)
    assert game.x == game.camera
    assert game.contacts == (True, False, True, False)


def test_a_leap_rises_by_40_pixels_and_lands_where_it_began() -> None:
    env = stage((FLAT, BARE))
    game = place(env, 32)
    ground, heights = game.y, []
    env.step(UP)
    while game.air >= 0:
        heights.append(game.y)
        env.step(NOOP)
    assert ground - min(heights) == 40
    assert game.y == ground
    assert 14 <= len(heights) <= 24


def test_a_step_can_be_leapt_but_not_walked() -> None:
    env = stage((STEP, BARE))
    game = place(env, CHUNK)
    events_while(env, RIGHT, 40)
    assert game.x < CHUNK + 5 * COLUMN
    events_while(env, RIGHT_UP, 30)
    assert game.x > CHUNK + 5 * COLUMN


def test_dying_takes_eight_frames_and_the_hero_comes_back_on_safe_ground_without_a_jump_of_the_camera() -> None:
    deaths = 0
    for seed in (1, 6, 7):
        before, dead = None, 0
        for moment in mixed_play(seed, 400):
            info = moment.info
            dead += info["hero_pose"] == "dead"
            assert before is None or info["camera"][0] - before["camera"][0] in (0, 16)
            if "respawn" in info["events"]:
                assert before is not None and dead == 8
                assert info["hero_pose"] == "idle"
                assert info["hero_position"].tolist() != before["hero_position"].tolist()
                assert info["contacts"][0]
                x, y = info["hero_screen"]
                assert 0 <= x <= 116 and 0 <= y <= 112
                level = game_of(moment.env).level
                for column in {int(info["hero_position"][0] + dx) // COLUMN for dx in (0, 11)}:
                    assert level.safe(column)
                    assert level.surface(column) * COLUMN == info["hero_position"][1] + 16
                dead, deaths = 0, deaths + 1
            before = info
    assert deaths >= 5


def test_he_is_always_on_the_screen() -> None:
    for seed in (1, 9):
        for moment in mixed_play(seed, 300):
            assert moment.info["hero_mask"].sum() >= 40
