"""The games of the catalogue, each tried for real where it is installed: pictures, names, keys, levels by seed."""

import numpy as np
import pytest

from worldlet.games import make
from worldlet.games.catalog import FAMILIES, find_family

TRIED = [
    "worldlet/Platformer-v0",
    "procgen/coinrun",
    "procgen/ninja",
    "ALE/Breakout-v5",
    "ALE/Pong-v5",
    "MiniGrid-FourRooms-v0",
    "crafter/Crafter-v1",
    "FlappyBird-v0",
    "VizdoomMyWayHome-v1",
]


@pytest.fixture(params=TRIED)
def opener(request):
    """What opens the game; skipped where its package is not installed."""
    try:
        make(request.param).close()
    except ValueError as error:
        if "install" in str(error) or "worldlet setup" in str(error):
            pytest.skip(str(error))
        raise
    return lambda: make(request.param)


def play(game, seed, steps=30):
    rng = np.random.default_rng(seed)
    frames = [game.reset(seed=seed)[0].copy()]
    for _ in range(steps):
        frame, _, terminated, truncated, _ = game.step(int(rng.integers(game.action_space.n)))
        frames.append(frame.copy())
        if terminated or truncated:
            break
    return np.stack(frames)


def test_a_known_game_keeps_the_contract(opener):
    game = opener()
    height, width, colours = game.observation_space.shape
    assert colours == 3 and height % 4 == 0 and width % 4 == 0 and min(height, width) >= 64
    names, bindings = game.metadata["action_names"], game.metadata["key_bindings"]
    assert len(names) == len(set(names)) == game.action_space.n
    assert not any(name.isdigit() for name in names)
    combinations = [frozenset(keys) for combos in bindings.values() for keys in combos]
    assert all(bindings[name] for name in names) and len(combinations) == len(set(combinations))
    # A reset leaves nothing over: after other plays, and in a game opened anew, a level is what it was.
    first, other = play(game, 11), play(game, 12)
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 2 and (first[0] != first[-1]).any()
    np.testing.assert_array_equal(play(game, 11), first)
    game.close()
    again = opener()
    np.testing.assert_array_equal(play(again, 11), first)
    again.close()
    assert other.shape != first.shape or (other != first).any()
    if game.metadata["levels"] is not None:
        assert (other[0] != first[0]).any() == game.metadata["levels"]


def test_every_example_of_the_catalogue_belongs_to_its_family():
    for family in FAMILIES:
        assert all(find_family(example) is family for example in family.examples)
    assert find_family("CartPole-v1") is None


@pytest.mark.parametrize("name, idle", [("procgen/chaser", True), ("procgen/starpilot", False)])
def test_buttons_that_do_nothing_are_seldom_pressed_at_random(name, idle):
    try:
        game = make(name)
    except ValueError as error:
        pytest.skip(str(error))
    names, weights = game.metadata["action_names"], game.metadata["action_weights"]

    def seen(button):
        frames = [game.reset(seed=5)[0]]
        for action in [*[names.index("left")] * 5, *[names.index(button)] * 3, *[names.index("noop")] * 3]:
            frames.append(game.step(action)[0])
        return np.stack(frames)

    nothing = seen("noop")
    for button in (name for name in names if name.startswith("fire")):
        assert (weights[names.index(button)] < 0.5) == idle
        assert (seen(button) == nothing).all() == idle
    game.close()
