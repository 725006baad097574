"""What `info` says is what the frame shows: keys, masks, camera, captions, terrain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.games.playing import mixed_play
from tests.games.staging import game_of, look_on, place, stage
from worldlet.games import PlatformerEnv
from worldlet.games.platformer.art import COIN, KIND_OF_TILE, PIT, SPIKE, THEMES, TILE_ID, sprites, tileset
from worldlet.games.platformer.env import draw
from worldlet.games.platformer.level import BARE, COINS, ENEMY, FLAT, GAP, WIDE_GAP, Level
from worldlet.games.platformer.level import SPIKE as SPIKE_FURNISHING
from worldlet.games.platformer.rules import NOOP

POSES = {"idle", "run", "jump", "fall", "crouch", "swing", "dead"}
ARRAYS = {
    "hero_position": (np.int32, (2,)),
    "hero_velocity": (np.int32, (2,)),
    "hero_screen": (np.int32, (2,)),
    "contacts": (np.bool_, (4,)),
    "camera": (np.int32, (2,)),
    "hero_mask": (np.bool_, (128, 128)),
    "moving_mask": (np.bool_, (128, 128)),
}
PLAIN = {
    "hero_pose": str, "hero_facing": int, "theme": str, "caption": str, "distance": int, "coins": int, "deaths": int,
    "stomps": int, "events": tuple, "level_seed": int, "columns": int, "terrain": dict,
}  # fmt: skip
EVENTS = {"coin", "death", "respawn", "stomp", "knock", "jump", "land"}


def test_keys_types_and_shapes_are_as_the_contract_says() -> None:
    poses, events = set(), set()
    for moment in itertools.chain(mixed_play(1, 200), mixed_play(6, 400)):
        info = moment.info
        assert set(info) == set(ARRAYS) | set(PLAIN)
        for key, (dtype, shape) in ARRAYS.items():
            assert info[key].dtype == dtype and info[key].shape == shape, key
        for key, kind in PLAIN.items():
            assert type(info[key]) is kind, key
        assert info["hero_facing"] in (-1, 1)
        assert info["theme"] in THEMES
        assert info["level_seed"] in (1, 6)
        assert set(info["terrain"]) == {"gaps", "coins", "spikes", "enemies"}
        assert all(type(count) is int for count in info["terrain"].values())
        assert info["columns"] == info["camera"][0] // 8 + 16
        assert np.array_equal(info["hero_screen"], info["hero_position"] - info["camera"])
        poses.add(info["hero_pose"])
        events |= set(info["events"])
    assert poses == POSES
    assert events >= EVENTS - {"stomp", "knock"}
    assert events <= EVENTS


def test_masks_are_the_pixels_of_hero_and_enemies_and_nothing_else() -> None:
    enemies_seen = 0
    for moment in mixed_play(0, 260):
        game, info = game_of(moment.env), moment.info
        hero, moving = info["hero_mask"], info["moving_mask"]
        enemies, y = game.enemies, game.y
        game.y = 1000
        without_hero = draw(game)[0]
        game.enemies = []
        scene = draw(game)[0]
        game.enemies, game.y = enemies, y
        assert np.array_equal(moment.frame[~hero], without_hero[~hero])
        assert np.array_equal(moment.frame[~moving], scene[~moving])
        assert moving[hero].all()
        solid = {name: (picture[..., 3] > 0).sum() for name, picture in sprites(game.theme).items()}
        assert hero.sum() in solid.values()  # he is never partly off the screen here
        # Where a mask is set and nothing differs, a pixel of the hero has by chance the colour of what is behind him.
        assert (moment.frame[hero] != without_hero[hero]).any(1).mean() > 0.8
        enemies_seen += (moving & ~hero).any()
    assert enemies_seen > 50


def test_the_camera_moves_by_whole_16_pixel_steps_and_never_back() -> None:
    cameras = [moment.info["camera"].tolist() for moment in mixed_play(0, 400)]
    assert all(y == 0 for _, y in cameras)
    steps = {after[0] - before[0] for before, after in zip(cameras, cameras[1:], strict=False)}
    assert steps == {0, 16}


def test_what_is_still_in_the_world_moves_only_with_the_camera() -> None:
    before = None
    for moment in mixed_play(3, 200):
        if before is not None:
            shift = int(moment.info["camera"][0] - before.info["camera"][0])
            old, new = before.frame[32:, shift:], moment.frame[32:, : 128 - shift]  # below the sun
            hidden = before.info["moving_mask"][32:, shift:] | moment.info["moving_mask"][32:, : 128 - shift]
            changed = (old != new).any(2) & ~hidden
            assert not changed.any() or "coin" in moment.info["events"]
        before = moment


def test_every_theme_appears_and_has_its_own_tiles_and_sky() -> None:
    themes = [Level(seed).theme for seed in range(60)]
    assert set(themes) == set(THEMES)
    for name in tileset("grass"):
        pictures = {tileset(theme)[name].tobytes() for theme in THEMES}
        assert len(pictures) == len(THEMES), name
    for theme in THEMES:
        kinds: dict[bytes, int] = {}
        for name, tile in tileset(theme).items():  # what looks alike is of one kind
            kind = KIND_OF_TILE[TILE_ID[name]]
            assert kinds.setdefault(tile.tobytes(), kind) == kind
        assert len(kinds) >= len(tileset(theme)) - 1
        assert all(tile.shape == (8, 8, 3) and tile.dtype == np.uint8 for tile in tileset(theme).values())


def test_themes_limits_what_is_drawn() -> None:
    for seed in range(5):
        assert PlatformerEnv(themes=("night",)).reset(seed=seed)[1]["theme"] == "night"


@pytest.mark.parametrize("draw_theme", [tileset, sprites])
def test_an_unknown_theme_has_no_pictures(draw_theme) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="unknown theme 'moon': choose from grass"):
        draw_theme("moon")


def caption_of(*pairs: tuple[int, int], theme: str = "grass") -> str:
    env = stage(*pairs, themes=(theme,))
    look_on(env)
    return str(env.step(NOOP)[4]["caption"])


def test_captions_say_what_is_seen_in_plain_english() -> None:
    plain = caption_of((FLAT, BARE))
    assert plain == "2D platformer in a grassy land under a blue sky with clouds"
    assert caption_of((GAP, BARE)) == f"{plain} with a gap"
    assert caption_of((FLAT, COINS)) == f"{plain} with coins"
    assert caption_of((WIDE_GAP, COINS)) == f"{plain} with coins, a gap and platforms"
    assert len({caption_of((FLAT, BARE), theme=theme) for theme in THEMES}) == len(THEMES)


def test_captions_change_with_what_comes_into_view() -> None:
    said = set()
    for moment in mixed_play(0, 300):
        kinds = KIND_OF_TILE[game_of(moment.env).grid]
        caption = moment.info["caption"]
        for word, kind in (("coins", COIN), ("spikes", SPIKE), ("a gap", PIT)):
            assert (word in caption) == bool((kinds == kind).any())
        said.add(caption)
    assert len(said) > 4


def test_terrain_counts_what_the_level_placed_in_the_columns_revealed() -> None:
    total = dict.fromkeys(("gaps", "coins", "spikes", "enemies"), 0)
    for seed in range(4):
        for moment in mixed_play(seed, 200):
            last = moment.info
        level = Level(seed)
        tiles = level.columns(0, last["columns"])
        kinds = KIND_OF_TILE[tiles]
        pits = np.concatenate([[False], (kinds == PIT).any(0)])
        places = [place for chunk in level.chunks for place in chunk.enemies if place.right // 8 < last["columns"]]
        expected = {
            "gaps": int((pits[1:] & ~pits[:-1]).sum()),
            "coins": int((kinds == COIN).sum()),
            "spikes": int((kinds == SPIKE).sum()),
            "enemies": len(places),
        }
        assert last["terrain"] == expected
        total = {key: total[key] + expected[key] for key in total}
    assert all(total.values())


def test_furnishings_are_counted() -> None:
    env = stage((FLAT, COINS), (FLAT, SPIKE_FURNISHING), (FLAT, ENEMY), (GAP, BARE))
    game = place(env, 16)
    while game.camera < 48 * 8 - 128:
        game.x = game.camera + 72
        env.step(NOOP)
    assert game.terrain == {"coins": 3, "spikes": 1, "enemies": 1, "gaps": 1}
