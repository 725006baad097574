"""The 4356 actions: the seed's formula, its inverse, and the published camera bins."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldlet.data.vpt.actions import (
    ACTIONS,
    MOVES,
    VptAction,
    action_names,
    camera_bins,
    camera_degrees,
    encode_actions,
    key_bindings,
)


def test_the_formula_and_its_inverse_over_all_actions():
    parts = itertools.product(range(9), (0, 1), (0, 1), range(11), range(11))
    for expected, (move, jump, attack, my, mx) in enumerate(parts):
        action = VptAction(mx, my, bool(attack), bool(jump), move)
        assert action.index == mx + my * 11 + attack * 121 + jump * 242 + move * 484 == expected
        assert VptAction.from_index(expected) == action
    assert expected == ACTIONS - 1 == 4355


def test_resting_is_sixty_and_the_first_moves_are_in_the_seeds_order():
    assert VptAction().index == 60
    assert MOVES[:5] == ("stop", "w", "a", "s", "d")
    assert VptAction(move=1).index == 60 + 484


@pytest.mark.parametrize("index", [-1, 4356])
def test_a_number_that_is_no_action_is_refused(index):
    with pytest.raises(ValueError, match="from 0 to 4355"):
        VptAction.from_index(index)


def test_parts_out_of_range_are_refused():
    with pytest.raises(ValueError, match="mx must be 0 to 10, not 11"):
        VptAction(mx=11)


def test_every_action_has_a_name_of_its_own():
    names = action_names()
    assert len(set(names)) == len(names) == 4356
    assert names[60] == "stop"
    assert VptAction(8, 4, True, True, 5).name == "wa jump attack yaw+3 pitch-1"


def test_camera_bins_are_the_published_ones():
    # Centres of the bins for mu 10, 10 degrees at most and a width of 2, worked out by hand from the mu-law.
    centres = [-10.0, -5.8094, -3.2154, -1.6095, -0.6154, 0.0, 0.6154, 1.6095, 3.2154, 5.8094, 10.0]
    np.testing.assert_allclose(camera_degrees(np.arange(11)), centres, atol=2e-4)
    np.testing.assert_array_equal(camera_bins(centres), np.arange(11))
    assert camera_bins([-1000.0, 1000.0, 0.26, 0.28]).tolist() == [0, 10, 5, 6]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(-10, 10), st.floats(-10, 10))
def test_bins_rise_with_the_turn_and_are_symmetric(first, second):
    low, high = sorted((first, second))
    assert camera_bins(low) <= camera_bins(high)
    # Rounding halves goes to even bins, so the borders themselves are not symmetric.
    assert abs(int(camera_bins(-low)) + int(camera_bins(low)) - 10) <= 1


def test_columns_of_input_become_the_same_numbers_as_single_actions():
    rows = list(itertools.product((-40, 0, 3, 400), (0, 11), (0, 1), (0, 1), range(16)))
    dx, dy, attack, jump, keys = np.array(rows).T
    wasd = np.array([[bool(key & bit) for bit in (1, 2, 4, 8)] for key in keys])
    found = encode_actions(dx, dy, attack, jump, wasd)
    for row, number in zip(rows, found, strict=True):
        w, a, s, d = (bool(row[4] & bit) for bit in (1, 2, 4, 8))
        move = ("w" if w > s else "s" if s > w else "") + ("a" if a > d else "d" if d > a else "")
        mx, my = (int(camera_bins(count * 0.15)) for count in row[:2])
        assert VptAction.from_index(int(number)) == VptAction(
            mx, my, bool(row[2]), bool(row[3]), MOVES.index(move or "stop")
        )


def test_keys_reach_actions_that_exist_and_never_two_at_once():
    bindings = key_bindings()
    combinations = [frozenset(keys) for combos in bindings.values() for keys in combos]
    assert len(set(combinations)) == len(combinations) == 9 * 4 * 9 - 1
    assert set(bindings) <= set(action_names())
    assert bindings["wa jump"] == [["KeyW", "KeyA", "Space"]]
    assert bindings["stop yaw+3"] == [["ArrowRight"]]
