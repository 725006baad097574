"""Alarms by hand: which figure beside which ceiling raises which, and which does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.eval.test_card_page import card_of
from worldlet.eval.alarms import DEPARTURES, LAWS, alarms
from worldlet.eval.card import html, markdown
from worldlet.eval.horizon import FLOORS


def value(number: float) -> dict[str, Any]:
    return {"value": number, "n": 9, "interval": None}


def names(card: dict[str, Any]) -> set[str]:
    return {alarm.name for alarm in alarms(card)}


def test_nothing_measured_is_nothing_wrong() -> None:
    assert alarms({}) == []
    assert alarms({"control": {"accuracy": value(0.1)}, "drift": {"horizon_s": value(0.0)}}) == []


def test_all_measures_of_drift_have_a_name() -> None:
    assert set(DEPARTURES) == set(FLOORS)
    assert len(set(DEPARTURES.values()) | set(LAWS.values())) == len(DEPARTURES) + len(LAWS)


@pytest.mark.parametrize(
    ("gain", "wrong"), [(1.0, False), (1.019, False), (1.021, True), (0.981, False), (0.979, True)]
)
def test_pixel_scale(gain: float, wrong: bool) -> None:
    for part in ("rollout", "reconstruction"):
        found = alarms({part: {"pixel_gain": value(gain)}})
        assert [(alarm.name, alarm.path) for alarm in found] == wrong * [("wrong pixel scale", f"{part}.pixel_gain")]


@pytest.mark.parametrize(("late", "wrong"), [(0.0, False), (0.49, False), (0.51, True), (-0.51, True), (-0.49, False)])
def test_shifted_actions(late: float, wrong: bool) -> None:
    assert ("actions are shifted" in names({"control": {"delay_frames": value(late)}})) is wrong


@pytest.mark.parametrize(("ours", "wrong"), [(0.2, True), (0.59, True), (0.61, False), (1.0, False)])
def test_ignored_actions_against_both_ends(ours: float, wrong: bool) -> None:
    control = {"accuracy": value(ours), "ignored_accuracy": value(0.2), "real_accuracy": value(1.0)}
    assert ("actions are ignored" in names({"control": control})) is wrong
    assert names({"control": {**control, "real_accuracy": value(0.2)}}) == set(), "nothing to tell apart"


@pytest.mark.parametrize(("sharp", "wrong"), [(1.0, False), (0.76, False), (0.74, True)])
def test_blurred_hero(sharp: float, wrong: bool) -> None:
    assert ("the hero is blurred" in names({"rollout": {"hero_sharpness": value(sharp)}})) is wrong


@pytest.mark.parametrize("law", list(LAWS))
def test_each_law_against_the_real_game(law: str) -> None:
    def card(ours: float) -> dict[str, Any]:
        return {"physics": {law: value(ours), f"real_{law}": value(0.95)}}

    assert names(card(0.84)) == {LAWS[law]}
    assert names(card(0.86)) == names(card(1.0)) == set()
    (alarm,) = alarms(card(0.5))
    assert alarm.path == f"physics.{law}" and "0.50" in alarm.text and "0.95" in alarm.text


@pytest.mark.parametrize("part", ["drift", "long_drift"])
@pytest.mark.parametrize("measure", list(DEPARTURES))
def test_each_departure_has_its_name(part: str, measure: str) -> None:
    left = {"value": 0.25, "n": 8, "first_s": 4.0}
    card = {part: {"horizon_s": {**value(5.0), "departed": {measure: left}}}}
    card[part]["real_horizon_s"] = {**value(10.0), "departed": {}}
    (alarm,) = alarms(card)
    assert (alarm.name, alarm.path) == (DEPARTURES[measure], f"{part}.horizon_s")
    assert "25% of 8 runs" in alarm.text and "after 4.0 s" in alarm.text and "the real game: 0%" in alarm.text


def test_places_that_come_back_changed() -> None:
    def card(changed: dict[str, Any], real: dict[str, Any]) -> dict[str, Any]:
        return {"memory": {"same": {"16": value(0.99), "32": changed}, "real_same": {"16": value(0.99), "32": real}}}

    (alarm,) = alarms(card({**value(0.7), "interval": [0.5, 0.9]}, value(0.99)))
    assert (alarm.name, alarm.path) == ("places come back changed", "memory.same.32")
    assert names(card({**value(0.7), "interval": None}, value(0.99))) == {"places come back changed"}
    assert names(card({**value(0.7), "interval": [0.5, 1.0]}, value(0.99))) == set(), "perhaps by chance"
    assert names(card({**value(0.7), "value": None, "interval": None}, value(0.99))) == set()
    assert names(card({**value(0.7), "interval": [0.5, 0.9]}, {**value(0.0), "value": None})) == set()


def test_leaks_are_told_one_by_one() -> None:
    found = alarms({"leaks": {"found": ["episode 3 of train plays level 9", "another"]}})
    assert [alarm.name for alarm in found] == ["train/test leak"] * 2 and found[1].text == "another"


def test_a_departure_of_few_runs_or_one_that_the_real_game_shows_too_raises_none() -> None:
    def card(ours: float, real: float) -> dict[str, Any]:
        def left(share: float) -> dict[str, Any]:
            return {"value": 5.0, "n": 10, "departed": {"coin": {"value": share, "n": 10, "first_s": 2.0}}}

        return {"drift": {"horizon_s": left(ours), "real_horizon_s": left(real)}}

    assert names(card(0.2, 0.1)) == {"too many or too few coins"}
    assert names(card(0.1, 0.0)) == set()
    assert names(card(0.3, 0.3)) == set()


def test_alarms_stand_at_the_top_of_the_card(tmp_path: Path) -> None:
    def of_gain(gain: float) -> dict[str, Any]:
        return card_of(rollout={"pixel_gain": {"value": gain, "n": 2}})

    for page in (markdown(of_gain(0.9), tmp_path), html(of_gain(0.9), tmp_path)):
        assert "wrong pixel scale: dreamed pixels are 0.900 times as bright as the real ones" in page
    assert "wrong pixel scale" not in markdown(of_gain(1.0), tmp_path)
