"""Keys become actions: mappings given and found, and the interval to which each key belongs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldlet.data.capture.demo import DemoPlayer
from worldlet.data.capture.keys import MOST_ACTIONS, ActionBook, parse_keys
from worldlet.data.capture.source import KeyEvent
from worldlet.data.capture.timeline import KeyLog

MAPPING = "right=ArrowRight|KeyD, left=ArrowLeft,jump=Space,right_jump=ArrowRight+Space|KeyD+Space"


def test_a_mapping_names_its_actions_in_order():
    book = ActionBook(parse_keys(MAPPING), learning=False)
    assert book.names == ["noop", "right", "left", "jump", "right_jump"]
    assert book.bindings["right"] == [["ArrowRight"], ["KeyD"]]
    assert book.bindings["right_jump"] == [["ArrowRight", "Space"], ["KeyD", "Space"]]
    assert book.bindings["noop"] == []


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ((), "noop"),
        (("KeyQ",), "noop"),
        (("KeyD",), "right"),
        (("KeyD", "KeyQ"), "right"),
        (("Space", "ArrowRight"), "right_jump"),
        (("ArrowLeft", "Space"), "jump"),
        (("Space", "ArrowLeft"), "left"),
    ],
)
def test_the_longest_combination_wins_then_the_last_key(held, name):
    book = ActionBook(parse_keys(MAPPING), learning=False)
    assert book.names[book.action(held)] == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("right", "keys are given as"),
        ("right=", "keys are given as"),
        ("right=Arrow Right", "is no key"),
        ("right=KeyD+", "is no key"),
        ("right=KeyD,right=KeyE", "named twice"),
        ("right=KeyD,east=KeyD", "belongs to 'right' already"),
        ("noop=KeyD", "what no key does"),
    ],
)
def test_a_mapping_that_cannot_be_read_is_explained(text, says):
    with pytest.raises(ValueError, match=says):
        parse_keys(text)


def test_without_a_mapping_every_combination_becomes_an_action():
    book = ActionBook({}, learning=True)
    held = [(), ("ArrowRight",), ("ArrowRight", "Space"), ("Space", "ArrowRight"), ("KeyZ",), ("ArrowRight",)]
    assert [book.action(keys) for keys in held] == [0, 1, 2, 2, 3, 1]
    assert book.names == ["noop", "right", "right_space", "z"]
    again = ActionBook({name: keys for name, keys in book.bindings.items() if keys}, learning=True)
    assert [again.action(keys) for keys in held] == [0, 1, 2, 2, 3, 1]  # numbers survive being written and read


def test_found_actions_are_bounded_and_the_rest_count_as_the_nearest():
    book = ActionBook({}, learning=True)
    for number in range(50):
        book.action((f"F{number}",))
    assert len(book.names) == MOST_ACTIONS
    assert book.names[book.action(("F3", "F49"))] == "f3"


def held(events, times):
    log = KeyLog()
    for code, down, time in events:
        log.add(KeyEvent(code, down, time))
    return log.held(times)


def test_a_key_counts_where_it_was_held_for_half_the_interval():
    times = [0, 1, 2, 3, 4]
    assert held([("A", True, 0.4), ("A", False, 2.6)], times) == [("A",), ("A",), ("A",), ()]
    assert held([("A", True, 0.6), ("A", False, 2.4)], times) == [(), ("A",), (), ()]
    assert held([("A", True, -5)], times) == [("A",)] * 4


def test_a_tap_counts_once_where_most_of_it_was():
    assert held([("A", True, 1.3), ("A", False, 1.4)], [0, 1, 2, 3]) == [(), ("A",), ()]
    assert held([("A", True, 0.8), ("A", False, 1.1)], [0, 1, 2, 3]) == [("A",), (), ()]
    assert held([("A", True, 2.9), ("A", False, 3.3)], [0, 1, 2, 3]) == [(), (), ()]  # most of it comes later


def test_keys_stand_in_the_order_in_which_they_went_down():
    events = [("B", True, 0.1), ("A", True, 0.2), ("B", False, 2)]
    assert held(events, [0, 1, 2, 3]) == [("B", "A"), ("B", "A"), ("A",)]


def test_repeats_of_a_held_key_change_nothing():
    events = [("A", True, 0)]
    for repeat in range(1, 30):  # as X11 tells of them: up and down again at the same time
        events += [("A", False, repeat / 10), ("A", True, repeat / 10 + 0.001)]
    events += [("A", True, 2.95), ("A", False, 3.0), ("A", False, 3.5)]
    assert held(events, [0, 1, 2, 3, 4]) == [("A",), ("A",), ("A",), ()]


def test_leaving_the_window_releases_every_key():
    events = [("A", True, 0), ("B", True, 0.1), ("", False, 1)]
    assert held(events, [0, 1, 2]) == [("A", "B"), ()]


def test_what_is_forgotten_was_over():
    log = KeyLog()
    for event in [KeyEvent("A", True, 0), KeyEvent("A", False, 1), KeyEvent("B", True, 0.5)]:
        log.add(event)
    log.forget(2)
    assert log.held([2, 3]) == [("B",)]
    log.add(KeyEvent("B", False, 3.5))
    assert log.held([3, 4, 5]) == [("B",), ()]


@given(st.lists(st.floats(0.02, 3), min_size=1, max_size=20), st.floats(0.05, 1))
def test_no_press_is_lost_whatever_the_rate(lengths, step):
    """Keys pressed one after another, each of its own: every one of them stands in some interval."""
    events, time = [], 0.1
    for number, length in enumerate(lengths):
        events += [(f"F{number}", True, time), (f"F{number}", False, time + length)]
        time += length + 0.01
    times = [index * step for index in range(int(time / step) + 3)]
    intervals = held(events, times)
    for number, length in enumerate(lengths):
        count = sum(f"F{number}" in keys for keys in intervals)
        assert count >= 1 and abs(count * step - length) <= step + 1e-6


def test_a_script_holds_its_actions_for_their_seconds(tmp_path):
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"start": [["Enter", 0.2]], "then": [["right", 0.15], ["noop", 0.1]]}))
    player = DemoPlayer(str(script), ActionBook(parse_keys(MAPPING), learning=False), fps=20, seed=0)
    keys = [set(player.keys()) for _ in range(14)]
    assert keys == [{"Enter"}] * 4 + ([{"ArrowRight"}] * 3 + [set()] * 2) * 2


def test_random_players_press_what_the_mapping_allows():
    book = ActionBook(parse_keys(MAPPING), learning=False)
    player, twin = (DemoPlayer("sticky", book, 30, seed=3) for _ in range(2))
    pressed = [player.keys() for _ in range(300)]
    assert pressed == [twin.keys() for _ in range(300)]
    assert {book.names[book.action(sorted(keys))] for keys in pressed} == set(book.names)
    changes = sum(a != b for a, b in zip(pressed, pressed[1:], strict=False))
    restless = DemoPlayer("random", book, 30, seed=3)
    pressed = [restless.keys() for _ in range(300)]
    assert sum(a != b for a, b in zip(pressed, pressed[1:], strict=False)) > 3 * changes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "presses nothing"),
        ('[["right", 0.001]]', "presses nothing"),
        ('[["right"]]', "no action and seconds"),
        ('[["right", -1]]', "no action and seconds"),
        ('[["go east", 1]]', "is no key"),
        ('{"then": "sticky"}', "must be a list"),
        ('{"start": [], "then": "nobody"}', "a player's name"),
    ],
)
def test_a_script_that_cannot_be_played_is_explained(text, says, tmp_path):
    script = tmp_path / "script.json"
    script.write_text(text)
    with pytest.raises(ValueError, match=says):
        DemoPlayer(str(script), ActionBook(parse_keys(MAPPING), learning=False), fps=30, seed=0)


def test_an_unknown_player_is_named():
    with pytest.raises(ValueError, match="there is no player 'stiky'.*sticky, random"):
        DemoPlayer("stiky", ActionBook({}, learning=False), fps=30, seed=0)
