"""The action file: every published field is read, damage is contained, and the published rules are applied."""

import json

import numpy as np
import pytest

from tests.data.vpt_recording import PUBLISHED, line
from worldlet.data.vpt.log import Tick, mend, parse_tick, read_log
from worldlet.data.vpt.segment import camera_lag


def tick(**what) -> Tick:
    parsed = parse_tick(json.dumps(line(**what)))
    assert parsed is not None
    return parsed


def test_every_published_field_is_read():
    values = line(7, ("w", "left.shift"), (0, 1), (1,), 12.0, -3.0)
    values["keyboard"].update(newKeys=["key.keyboard.w"], chars="w")
    values["mouse"]["dwheel"] = -1.0
    read = parse_tick(json.dumps({**values, "isGuiOpen": True, "isGuiInventory": True}))
    assert read == Tick(
        dx=12.0, dy=-3.0, buttons=frozenset({0, 1}), new_buttons=(1,),
        keys=frozenset({"key.keyboard.w", "key.keyboard.left.shift"}), new_keys=frozenset({"key.keyboard.w"}),
        chars="w", mouse=(274.0, 338.0), scaled=(-366.0, -22.0), wheel=-1.0, gui=True, gui_inventory=True, hotbar=4,
        yaw=-112.35006, pitch=8.099996, position=(841.364694513396, 63.0, 24.956354839537802), tick=7,
        milli=1649575088356, inventory=(("oak_door", 3), ("oak_planks", 59)), server_tick=6001,
        server_tick_ms=36.3466, stats={"minecraft.custom:minecraft.jump": 4},
    )  # fmt: skip
    assert read.pressed == {"forward", "sneak", "attack", "use"}


@pytest.mark.parametrize("field", sorted(set(PUBLISHED) - {"mouse", "keyboard"}))
def test_older_recorders_may_lack_any_field_but_the_input(field):
    assert parse_tick(json.dumps({name: value for name, value in line().items() if name != field})) is not None


@pytest.mark.parametrize("field", ["mouse", "keyboard"])
def test_a_line_without_input_is_none(field):
    assert parse_tick(json.dumps({**line(), field: None})) is None
    assert parse_tick(json.dumps({name: value for name, value in line().items() if name != field})) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"mouse": {"dx": "left"}}'])
def test_a_damaged_line_is_none(text):
    assert parse_tick(text) is None


def test_a_file_keeps_the_place_of_damaged_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(line(0)), '{"mouse": nul', json.dumps(line(2)), ""]))
    assert [entry and entry.tick for entry in read_log(path)] == [0, None, 2]
    path.write_text("not a log\n")
    with pytest.raises(ValueError, match="holds no line"):
        read_log(path)


def test_an_attack_button_stuck_at_the_start_is_released_until_it_is_pressed():
    held = [tick(tick=0, buttons=(0,), new=(0,)), tick(tick=1, buttons=(0, 1), new=(1,)), tick(tick=2, buttons=(0,))]
    pressed = [tick(tick=3, buttons=(0,), new=(0,)), tick(tick=4, buttons=(0,)), tick(tick=5)]
    names = [entry.pressed for entry in mend([*held, *pressed], "7.6")]
    assert names == [set(), {"use"}, set(), {"attack"}, {"attack"}, set()]


def test_an_attack_that_began_later_or_with_another_button_is_not_stuck():
    later = mend([tick(tick=0), tick(tick=1, buttons=(0,), new=(0,)), tick(tick=2, buttons=(0,))], "7.6")
    assert [entry.pressed for entry in later] == [set(), {"attack"}, {"attack"}]
    both = mend([tick(tick=0, buttons=(0, 1), new=(0, 1)), tick(tick=1, buttons=(0,))], "7.6")
    assert [entry.pressed for entry in both] == [{"attack", "use"}, {"attack"}]


def test_a_slot_chosen_with_the_wheel_counts_as_its_key():
    slots = [tick(tick=index, hotbar=slot) for index, slot in enumerate((4, 4, 8, 8, 0))]
    names = [entry.pressed for entry in mend(slots, "7.6")]
    assert names == [set(), set(), {"hotbar.9"}, set(), {"hotbar.1"}]


def test_escape_is_the_inventory_key_in_menus_and_nothing_outside():
    inside, outside = tick(keys=("escape",), isGuiOpen=True), tick(keys=("escape",))
    assert [entry.pressed for entry in mend([inside, outside], "7.6")] == [{"inventory"}, set()]


@pytest.mark.parametrize("version, scale", [("5.7", 0.5), ("6.9", 2.0), ("6.10", 1.0), ("7.6", 1.0)])
def test_menus_scale_the_mouse_of_some_recorders(version, scale):
    inside, outside = tick(dx=8.0, dy=-6.0, isGuiOpen=True), tick(dx=8.0)
    found = mend([inside, outside], version)
    assert [(entry.dx, entry.dy) for entry in found] == [(8 * scale, -6 * scale), (8.0, 0.0)]


def test_null_means_no_button_that_counts_and_a_mouse_at_rest():
    assert tick().null and tick(keys=("f3",)).null
    assert not tick(dx=1.0).null and not tick(dy=-1.0).null and not tick(keys=("w",)).null
    assert not tick(buttons=(2,)).null


@pytest.mark.parametrize("lag", [-1, 0, 1])
def test_the_lag_between_mouse_and_yaw_is_measured(lag):
    mouse = np.random.default_rng(3).integers(-80, 80, 40)
    turns = np.roll(mouse * 0.15, lag)
    yaw = (np.concatenate([[170.0], 170 + np.cumsum(turns[:-1])]) + 180) % 360 - 180
    ticks = [
        tick(tick=index, dx=float(dx), yaw=float(at)) for index, (dx, at) in enumerate(zip(mouse, yaw, strict=True))
    ]
    assert camera_lag(ticks) == lag


def test_a_log_that_does_not_tell_its_lag_says_so():
    assert camera_lag([tick(tick=index) for index in range(40)]) is None
    assert camera_lag([]) is None
    rng = np.random.default_rng(0)
    noise = [tick(tick=index, dx=float(rng.integers(-9, 9)), yaw=float(rng.integers(-9, 9))) for index in range(90)]
    assert camera_lag(noise) is None
