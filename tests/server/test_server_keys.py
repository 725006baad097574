import pytest

from worldlet.server.keys import HeldKeys

NAMES = ("up", "left", "right", "noop", "left_up", "right_up")
BINDINGS = {
    "up": [["KeyW"], ["Space"]],
    "left": [["KeyA"]],
    "right": [["KeyD"]],
    "noop": [[]],
    "left_up": [["KeyA", "KeyW"]],
    "right_up": [["KeyD", "KeyW"], ["KeyD", "Space"]],
}


@pytest.mark.parametrize(
    ("held", "action"),
    [
        ([], "noop"),
        (["KeyD"], "right"),
        (["Space"], "up"),
        (["KeyD", "KeyW"], "right_up"),
        (["Space", "KeyD"], "right_up"),
        (["KeyA", "KeyD"], "right"),  # of opposite keys the later one counts
        (["KeyD", "KeyA"], "left"),
        (["KeyD", "KeyA", "KeyW"], "left_up"),
        (["F13", "KeyD"], "right"),  # keys without a meaning change nothing
        (["F13"], "noop"),
    ],
)
def test_most_keys_win_then_the_latest(held, action):
    keys = HeldKeys(NAMES, BINDINGS)
    keys.replace(held, stamp=1)
    assert NAMES[keys.action()] == action


def test_a_new_state_replaces_the_old_one_whole():
    keys = HeldKeys(NAMES, BINDINGS)
    keys.replace(["KeyD"], stamp=1)
    keys.replace(["KeyW"], stamp=2)
    keys.replace([], stamp=3)
    assert (NAMES[keys.action()], keys.stamp) == ("noop", 3)


def test_a_world_without_noop_rests_on_its_first_action():
    assert HeldKeys(("stay", "go"), {"go": [["KeyG"]]}).action() == 0
