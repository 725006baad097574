"""Action logs: every form is read, aligned by the time convention, and what does not align is refused."""

import json
from collections import Counter

import numpy as np
import pytest

from worldlet.data.actionlog import UNKNOWN, align, read_log
from worldlet.data.survey import _rate, pick, repeat_period
from worldlet.data.vocabulary import key_bindings, mirror_name, number_actions

TIMES = np.arange(10) / 10
ALL = np.arange(10)


def log(tmp_path, text, name="log.csv"):
    path = tmp_path / name
    path.write_text(text)
    return read_log(path)


def test_a_row_holds_from_its_frame_until_the_next_row(tmp_path):
    sparse = log(tmp_path, "frame,action\n0,left\n3,noop\n4,jump\n9,noop\n")
    assert align(sparse, TIMES, ALL) == ["left"] * 3 + ["noop"] + ["jump"] * 5
    assert align(sparse, TIMES, ALL[::2]) == ["left", "left", "jump", "jump"]


def test_a_clock_of_two_paces_has_a_rate():
    times = np.cumsum([0.0, 0.02, 0.02, 1.0, 1.0])  # between its gaps lies none of them
    assert _rate(times) == (pytest.approx(50.0), False)
    assert pick(times, 50.0)[:4].tolist() == [0, 1, 2, 2] and len(pick(times, 50.0)) == 103


def test_times_and_frame_numbers_say_the_same(tmp_path):
    by_frame = log(tmp_path, "frame,keys\n0,\n2,ArrowRight\n5,ArrowRight+Space\n6,ArrowRight Space\n7,\n")
    by_time = log(tmp_path, "time_ms,keys\n0,\n200,ArrowRight\n500,Space+ArrowRight\n700,\n900,\n")
    expected = ["noop"] * 2 + ["ArrowRight"] * 3 + ["ArrowRight+Space"] * 2 + ["noop"] * 2
    assert align(by_frame, TIMES, ALL) == align(by_time, TIMES, ALL) == expected
    late = log(tmp_path, "time,keys\n1.0,\n1.2,ArrowRight\n1.5,ArrowRight;Space\n1.7,\n1.9,\n")
    assert align(late, TIMES, ALL, delay=-1.0) == expected


def test_jsonl_and_key_events(tmp_path):
    events = [(0.2, "d", "down"), (0.4, "w", "down"), (0.6, "d", "up"), (0.6, "w", "up"), (0.72, "w", "down")]
    events += [(0.78, "w", "up")]
    lines = [json.dumps({"time": t, "key": key, "event": event}) for t, key, event in events]
    found = align(log(tmp_path, "\n".join(lines), "log.jsonl"), TIMES, ALL)
    assert found == ["noop"] * 2 + ["d"] * 2 + ["d+w"] * 2 + ["noop", "w", "noop"]


def test_frames_outside_the_log_are_unknown(tmp_path):
    middle = log(tmp_path, "frame,action\n2,a\n3,b\n4,a\n5,b\n")
    assert align(middle, TIMES, ALL) == [UNKNOWN] * 2 + ["a", "b", "a", "b"] + [UNKNOWN] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,action\n0,a\n10,b\n", "names frame 10, but the video has frames 0 to 9"),
        ("time,action\n0,a\n300,b\n600,a\n", "milliseconds"),
        ("time,action\n5,a\n6,b\n", "--log_delay"),
        ("frame,action\n3,a\n2,b\n", "line 3: frame goes back"),
        ("frame,action\n-1,a\n", "line 2: frame must be a whole number"),
        ("time,action\nnow,a\n", "line 2: time must be a number, not 'now'"),
        ("when,action\n0,a\n", "it needs frame or time"),
        ("frame,button\n0,a\n", "it needs action, or keys"),
        ("time,key,event\n0,a,hold\n", "event that is down or up"),
        ("frame,action\n", "holds no actions"),
    ],
)
def test_a_log_that_does_not_fit_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        align(log(tmp_path, text), TIMES, ALL)


def test_no_log_at_all(tmp_path):
    with pytest.raises(ValueError, match="must end in .csv or .jsonl"):
        read_log(tmp_path / "log.txt")
    with pytest.raises(ValueError, match="not valid JSON"):
        log(tmp_path, "{]\n", "log.jsonl")


def test_one_log_for_several_videos(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("video,frame,action\na.mp4,0,left\nb.mp4,0,right\nb.mp4,1,jump\n")
    assert read_log(path, "sub/b.mp4", shared=True).names == ("right", "jump")
    with pytest.raises(ValueError, match="no row for the video 'c.mp4'"):
        read_log(path, "c.mp4", shared=True)
    path.write_text("frame,action\n0,left\n")
    with pytest.raises(ValueError, match="needs a column video"):
        read_log(path, "a.mp4", shared=True)


def test_actions_are_numbered():
    assert number_actions(Counter(right=3, noop=1, left=9))[0] == ["noop", "left", "right"]
    assert number_actions(Counter({"2": 1, "0": 4})) == (["0", "1", "2"], {"2": 2, "0": 0})
    assert number_actions(Counter({"2": 1, "left": 4}), ["none", "left", "up"])[1] == {"2": 2, "left": 1}
    with pytest.raises(ValueError, match="did you mean 'left'"):
        number_actions(Counter(lefft=1), ["left", "right"])


def test_rare_combinations_become_what_they_contain():
    counts = Counter({"noop": 50, "a": 40, "d": 30, "d+w": 20, "a+d+w": 1, "a+x": 1})
    names, numbers = number_actions(counts, most=4)
    assert names == ["noop", "a", "d", "d+w"]
    assert (numbers["a+d+w"], numbers["a+x"]) == (3, 1)
    with pytest.raises(ValueError, match="different actions"):
        number_actions(Counter({f"deed{n}": 1 for n in range(9)}), most=4)


def test_keys_and_mirror_images():
    bindings = key_bindings(["noop", "left_up", "KeyA+Space", "d", "cartwheel"])
    assert bindings == {"left_up": [["ArrowLeft", "ArrowUp"]], "KeyA+Space": [["KeyA", "Space"]], "d": [["KeyD"]]}
    pairs = {"left_up": "right_up", "ArrowLeft+Space": "ArrowRight+Space", "a+w": "d+w", "jump": "jump"}
    for name, other in pairs.items():
        assert (mirror_name(name), mirror_name(other)) == (other, name)


def test_which_frames_are_taken():
    assert pick(np.arange(60) / 30, 30).tolist() == list(range(60))
    rounded = np.round(np.arange(60) / 30, 2)
    assert pick(rounded, 30).tolist() == list(range(60))
    assert pick(np.arange(60) / 60, 30).tolist() == list(range(0, 60, 2))
    assert pick(np.arange(6) / 10, 20).tolist()[:5] == [0, 0, 1, 1, 2]
    # A hole in the video: the frame before it stays, the one after it never comes early.
    assert pick(np.array([0, 1, 2, 8, 9]) / 10, 10).tolist() == [0, 1, 2, 2, 2, 2, 2, 2, 3, 4]
    assert np.abs(pick(np.arange(100) / 25, 10) / 25 - np.arange(40) / 10).max() <= 0.5 / 25 + 1e-9


def test_regular_repeats_are_seen():
    changes = np.zeros(119, bool)
    changes[1::3] = True
    assert repeat_period(changes) == 3
    assert repeat_period(np.ones(119, bool)) == 1
    assert repeat_period(np.random.default_rng(0).random(119) < 0.5) == 1
