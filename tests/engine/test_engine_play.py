import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from worldlet.engine.play import play_headless
from worldlet.engine.players import make_player


def test_the_same_seed_writes_the_same_file(engine, world, tmp_path):
    one = play_headless(engine, 60, 7, tmp_path / "one.gif")
    two = play_headless(world, 60, 7, tmp_path / "two.gif")
    other = play_headless(world, 60, 8, tmp_path / "other.gif")
    assert one.path.read_bytes() == two.path.read_bytes() != other.path.read_bytes()
    assert one.frames == 61 and one.fps > 0
    assert str(one.path) in str(one) and "61 frames" in str(one)


def test_it_films_what_the_session_shows(engine, tmp_path):
    (tmp_path / "actions.json").write_text(json.dumps(["right", 0, 7, "noop"]))
    played = play_headless(engine, 4, 3, tmp_path / "a.png", tmp_path / "actions.json", theme="snow", scale=1)
    session = engine.open(seed=3, theme="snow")
    expected = [session.frame, *(session.step(action).frame for action in (3, 0, 7, 4))]
    assert np.array_equal(np.asarray(Image.open(played.path)), np.concatenate(expected, axis=1))
    assert "snowy" in played.start


def test_random_player_holds_actions_and_prefers_right(engine):
    act = make_player("random", engine.manifest, seed=1)
    actions = np.array([act(None) for _ in range(4000)])
    assert set(actions) == set(range(8))
    right = np.isin(actions, [3, 7]).mean()
    assert 0.45 < right < 0.7  # 8 of 14 in the long run
    assert (np.diff(actions) == 0).mean() > 0.85


def test_scripted_player_is_refused_where_there_is_none(engine):
    with pytest.raises(ValueError, match="no scripted player"):
        make_player("scripted", engine.manifest, seed=0)


def test_scripted_player_plays_the_platformer_by_its_pixels(engine):
    """In the real game he gets on; his eyes are the pixels, so a dream is the same to him."""
    import gymnasium

    import worldlet.games  # noqa: F401

    env = gymnasium.make("worldlet/Platformer-v0")
    manifest = dataclasses.replace(
        engine.manifest, frame_size=(128, 128), action_names=tuple(env.unwrapped.metadata["action_names"])
    )
    frame, info = env.reset(seed=2_000_000)
    begin = info["distance"]
    act = make_player("auto", manifest, seed=0)
    for _ in range(120):
        frame, *_, info = env.step(act(frame))
    assert info["distance"] > begin + 60


def test_scripted_player_follows_the_ball_of_breakout_by_its_pixels(engine):
    names = ("noop", "fire", "right", "left")
    manifest = dataclasses.replace(
        engine.manifest, env_id="ALE/Breakout-v5", frame_size=(84, 64), action_names=names, key_bindings={}
    )
    done = {}
    for side, ball in (("right", 50), ("left", 12)):
        frame = np.zeros((84, 64, 3), np.uint8)
        frame[60:62, ball], frame[76, 28:36] = 200, 200
        act = make_player("auto", manifest, seed=0)
        done[side] = np.array([act(frame) for _ in range(60)])
        assert (done[side] == names.index(side)).mean() > 0.6, "but for his whims"
    empty = make_player("scripted", manifest, seed=0)
    assert names.index("fire") in [empty(np.zeros((84, 64, 3), np.uint8)) for _ in range(60)], "he serves"
    others = dataclasses.replace(manifest, action_names=("noop", "jump"))
    with pytest.raises(ValueError, match="no scripted player"):
        make_player("scripted", others, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"out": "a.bmp"}, "must end in"),
        ({"player": "clever"}, "'clever' is no player"),
        ({"theme": "moon"}, "theme"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_write_nothing(engine, tmp_path, change, message):
    options = {"steps": 3, "out": "a.gif"} | change
    options["out"] = tmp_path / options["out"]
    with pytest.raises(ValueError, match=message):
        play_headless(engine, **options)
    assert list(tmp_path.iterdir()) == []


def test_action_list_that_is_too_short_or_wrong(engine, tmp_path):
    listed = tmp_path / "actions.json"
    for text, message in (
        ("[1, 2]", "lists 2 actions"),
        ("[9]", "out of range"),
        ("{}", "JSON list"),
        ("[", "no player"),
    ):
        listed.write_text(text)
        with pytest.raises(ValueError, match=message):
            play_headless(engine, 3, 0, tmp_path / "a.gif", listed)
    assert list(tmp_path.iterdir()) == [listed]


def test_a_world_without_themes_has_none_to_pick(engine, monkeypatch):
    assert engine.themes == ("cave", "grass", "snow")
    plain = tuple(dataclasses.replace(start, theme="") for start in engine._bundle.starts)
    monkeypatch.setattr(engine, "_bundle", dataclasses.replace(engine._bundle, starts=plain))
    assert engine.themes == ()
