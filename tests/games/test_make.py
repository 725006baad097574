"""Every odd environment becomes a game: RGB frames of one size, actions 0 to n-1, names, keys, levels by seed."""

import gymnasium
import numpy as np
import pytest

from worldlet.games import make
from worldlet.games.picture import Resizer, choose_size, rgb

ODD = "tests.games.odd_games:"


def opened(name, **options):
    return make(ODD + name, **options)


@pytest.mark.parametrize(
    ("name", "count", "told"),
    [
        ("Offset", 3, [5, 6, 7]),
        ("Parts", 6, [10, 20, 30, 11, 21, 31]),
        ("Buttons", 8, [0, 100, 10, 110, 1, 101, 11, 111]),
    ],
)
def test_every_number_is_one_action_of_the_games_own(name, count, told):
    game = opened(name)
    assert game.action_space.n == count and len(set(game.metadata["action_names"])) == count
    game.reset(seed=1)
    assert [int(game.step(index)[0][0, 0, 2]) for index in range(count)] == told
    with pytest.raises(ValueError, match=f"use 0 to {count - 1}"):
        game.step(count)


@pytest.mark.parametrize("name", ["Offset", "Parts", "Buttons"])
def test_flattening_has_an_inverse(name):
    from tests.games import odd_games
    from worldlet.games.actions import Actions

    env = getattr(odd_games, name)()
    actions = Actions(env)
    for index in range(actions.count):
        assert env.action_space.contains(actions.native(index))
        assert actions.index(actions.native(index)) == index
    with pytest.raises(ValueError, match="no action of this game"):
        actions.index(np.full(len(actions._sizes), 9))


def test_names_and_keys_come_from_the_game_where_it_has_them():
    offset, buttons = opened("Offset").metadata, opened("Buttons").metadata
    assert offset["action_names"] == ("noop", "uprightfire", "left")
    assert offset["key_bindings"] == {
        "noop": [[]],
        "uprightfire": [["KeyW", "KeyD", "Space"], ["ArrowUp", "ArrowRight", "Space"]],
        "left": [["KeyA"], ["ArrowLeft"]],
    }
    assert buttons["action_names"][:4] == ("noop", "a", "right", "right+a")
    assert buttons["key_bindings"]["right+a"] == [["KeyD", "KeyJ"], ["ArrowRight", "KeyJ"]]
    assert opened("Leaky").metadata["key_bindings"] == {"stay": [[]], "move_right": [["KeyD"], ["ArrowRight"]]}


@pytest.mark.parametrize("name", ["Shows", "Offset", "Parts", "Buttons", "Leaky"])
def test_every_action_has_keys_and_no_keys_mean_two(name):
    bindings = opened(name).metadata["key_bindings"]
    combinations = [frozenset(keys) for combos in bindings.values() for keys in combos]
    assert all(bindings.values()) and len(combinations) == len(set(combinations))


def test_a_picture_may_be_one_entry_of_the_observation_or_be_drawn():
    within, drawn = opened("InDict"), opened("Drawn")
    assert within.observation_space.shape == (16, 24, 3)
    frame, _ = within.reset(seed=77)
    assert frame[0, 0].tolist() == [77, 77, 77]
    assert drawn.observation_space.shape == (84, 64, 3)
    frame, _ = drawn.reset(seed=77)
    assert frame.dtype == np.uint8 and frame[40, 30].tolist() == [77, 0, 7]
    assert drawn.step(0)[0][40, 30].tolist() == [77, 1, 7]


def test_an_old_package_answers_as_a_new_one_and_every_reset_is_fresh():
    game = opened("Leaky")
    assert game.metadata["render_fps"] == 12
    first, info = game.reset(seed=8)
    assert info == {} and first[0, 0, 0] == 8
    ends = [game.step(1)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(True, False)]
    again, _ = game.reset(seed=8)
    np.testing.assert_array_equal(first, again)  # its count of plays and its noise began anew
    game.reset(seed=9)
    assert [game.step(1)[2:4] for _ in range(5)][-1] == (False, True)


def test_frame_skip_holds_an_action_adds_rewards_and_stops_at_the_end():
    game = opened("Shows", frame_skip=16)
    assert game.metadata["render_fps"] == 1.5
    game.reset(seed=1)
    frame, reward, terminated, _, _ = game.step(2)
    assert frame[0, 0].tolist() == [1, 16, 2] and reward == 8 and not terminated
    game.step(2)
    frame, reward, terminated, _, _ = game.step(2)
    assert frame[0, 0, 1] == 40 and reward == 4 and terminated


def test_flicker_is_evened_out():
    from tests.games.odd_games import Flickering
    from worldlet.games.adapt import AdaptedGame

    for flicker, left in ((True, [200] * 4), (False, [0, 200, 0, 200])):
        game = AdaptedGame(lambda drawn: Flickering(), "flickering", frame_skip=3, flicker=flicker)
        game.reset(seed=0)
        shown = [game.step(0)[0] for _ in range(4)]
        assert [int(frame[0, 0, 0]) for frame in shown] == left
        assert {int(frame[0, 23, 0]) for frame in shown} == {10}


@pytest.mark.parametrize(
    ("native", "wanted", "size"),
    [
        ((210, 160), "", (84, 64)),  # Atari
        ((64, 64), "", (64, 64)),
        ((96, 128), "", (96, 128)),
        ((240, 320), "", (64, 84)),
        ((512, 288), "", (112, 64)),
        ((97, 130), "", (64, 88)),
        ((210, 160), "128", (168, 128)),
        ((210, 160), "96x128", (96, 128)),
    ],
)
def test_the_size_keeps_the_aspect_ratio_and_divides_into_patches(native, wanted, size):
    assert choose_size(native, wanted) == size


@pytest.mark.parametrize("wanted", ["big", "63", "84x", "8x8", "84x62", "-64"])
def test_a_wrong_size_is_refused(wanted):
    with pytest.raises(ValueError, match="height x width in pixels, such as 84x64"):
        choose_size((210, 160), wanted)


def test_resizing_averages_and_sets_bars_where_the_shape_differs():
    frame = np.zeros((40, 80, 3), np.uint8)
    frame[:, ::2] = 200
    small = Resizer((40, 80), (20, 40))(frame)
    assert small.shape == (20, 40, 3) and (small == 100).all()
    barred = Resizer((40, 80), (40, 40))(frame)
    assert (barred[:10] == 0).all() and (barred[30:] == 0).all() and (barred[10:30] == 100).all()
    with pytest.raises(ValueError, match="fixed size"):
        Resizer((40, 80), (20, 40))(frame[:, :70])


def test_grey_transparent_and_channels_first_pictures_become_rgb():
    grey = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24).astype(np.uint8)
    assert rgb(grey)[3, 4].tolist() == [int(grey[3, 4])] * 3
    colours = np.stack([grey, grey // 2, grey // 3, grey // 4], 2)
    np.testing.assert_array_equal(rgb(colours), colours[..., :3])
    np.testing.assert_array_equal(rgb(colours[..., :3].transpose(2, 0, 1)), colours[..., :3])
    np.testing.assert_array_equal(rgb(colours[..., :3] / np.float32(255)), colours[..., :3])
    np.testing.assert_array_equal(rgb(colours[..., :3].astype(np.float32)), colours[..., :3])
    np.testing.assert_array_equal(rgb(colours[..., :3].astype(np.int64)), colours[..., :3])


@pytest.mark.parametrize(
    ("values", "white", "message"),
    [
        ([0.0, 1.5], None, r"floats up to 1\.5"),
        ([0.0, 256.5], None, "256.5"),
        ([-0.5, 0.5], None, "float64 from -0.5 to 0.5 where 0 is black and 1 white"),
        ([0.0, 200.0], 1.0, "from 0 to 200 where 0 is black and 1 white"),
        ([0.0, np.nan], None, "nan"),
        ([0, 300], None, "int64 from 0 to 300"),
        ([-1, 5], None, "int64 from -1 to 5"),
    ],
)
def test_pixels_of_another_range_are_refused(values, white, message):
    with pytest.raises(ValueError, match=message):
        rgb(np.resize(values, (16, 16, 3)), white)


def test_dark_frames_of_a_known_white_stay_dark():
    assert rgb(np.full((16, 16, 3), 0.9), 255.0).max() == 1
    assert rgb(np.full((16, 16, 3), 0.5)).max() == 128 and rgb(np.zeros((16, 16, 3))).max() == 0


class FloatGame(gymnasium.Env):
    """Shows floats whose brightest pixel is what its list says, in turn."""

    metadata = {"render_modes": ["rgb_array"]}
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, brightest, high=0, render_mode=None):
        shape = (32, 32, 3) if high else (4,)
        self.observation_space = gymnasium.spaces.Box(0, high or 9, shape, np.float32)
        self._brightest, self._high = brightest, high

    def reset(self, *, seed=None, options=None):
        self._left = list(self._brightest)
        return self.step(0)[0], {}

    def step(self, action):
        self._frame = np.full((32, 32, 3), self._left.pop(0) if self._left else 0, np.float32)
        return (self._frame if self._high else np.zeros(4, np.float32)), 0.0, False, False, {}

    def render(self):
        return self._frame


gymnasium.register("Float-v0", entry_point=FloatGame)


@pytest.mark.parametrize(
    ("brightest", "high", "shown"),
    [
        ([0.5, 0.5, 1.0], 1, [128, 128, 255]),
        ([0.9, 3.0, 200.0], 255, [1, 3, 200]),
        ([0.0, 0.0, 255.0, 0.6], 0, [0, 0, 255, 1]),
        ([0.0, 0.5, 1.0], 0, [0, 128, 255]),
    ],
)
def test_a_game_of_floats_is_shown_in_its_own_range(brightest, high, shown):
    env = make("Float-v0", brightest=brightest, high=high)
    frames = [env.reset(seed=0)[0]] + [env.step(0)[0] for _ in brightest[1:]]
    assert [int(frame.max()) for frame in frames] == shown
    env.close()


def test_a_game_whose_floats_change_their_range_is_refused():
    env = make("Float-v0", brightest=[0.5, 200.0])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="to 200 where 0 is black and 1 white"):
        env.step(0)
    env.close()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Continuous", {}, "only Discrete, MultiDiscrete and MultiBinary"),
        ("Crowded", {}, "4096 actions: at most 512"),
        ("Shows", {"colour": 1}, "cannot be made"),
        ("Shows", {"frame_skip": -2}, "frame_skip is -2"),
        ("Nothing", {}, "cannot be made"),
    ],
)
def test_what_cannot_be_a_game_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        opened(name, **options)


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("worldlet/Platfrmer-v0", "did you mean 'worldlet/Platformer-v0'"),
        ("platformer", "did you mean 'worldlet/Platformer-v0'"),
        ("coinrun", r"did you mean 'procgen/coinrun'\? \(install it with: worldlet setup procgen\)"),
        ("Breakout-v5", r"did you mean 'ALE/Breakout-v5'\? \(install it with: pip install 'worldlet\[atari\]'\)"),
        ("CartPol-v1", "did you mean 'CartPole-v1'"),
        ("zzzzzzzz", "known games are worldlet/Platformer-v0"),
    ],
)
def test_an_unknown_game_suggests_the_nearest_and_what_brings_it(env_id, message):
    with pytest.raises(ValueError, match=message):
        make(env_id)


@pytest.mark.parametrize(
    ("env_id", "module", "command"),
    [
        ("ALE/Pong-v5", "ale_py", r"pip install 'worldlet\[atari\]'"),
        ("MiniGrid-Empty-8x8-v0", "minigrid", r"pip install 'worldlet\[minigrid\]'"),
        ("crafter/Crafter-v1", "crafter", r"pip install 'worldlet\[crafter\]'"),
    ],
)
def test_a_game_that_is_not_installed_says_how_to_install_it(env_id, module, command, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ValueError, match=command):
        make(env_id)


def test_a_game_with_an_environment_of_its_own_says_how_to_set_it_up(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDLET_HOME", str(tmp_path))
    monkeypatch.setattr("worldlet.games.making._installed", lambda module: False)
    with pytest.raises(ValueError, match="`worldlet setup procgen`"):
        make("procgen/coinrun")


def test_our_own_game_is_opened_as_it_is_or_adapted_when_asked():
    from worldlet.games import PlatformerEnv

    game = make("worldlet/Platformer-v0", themes=("snow",))
    assert isinstance(game.unwrapped, PlatformerEnv)
    small = make("worldlet/Platformer-v0", size="64", frame_skip=2)
    frame, info = small.reset(seed=3)
    assert frame.shape == (64, 64, 3) and small.metadata["render_fps"] == 15
    assert "hero_mask" not in info and "hero_position" in info  # a mask of another size is no mask
    assert small.metadata["action_names"] == game.metadata["action_names"]
