"""Gates pass, fail or were not judged, and what nobody measured is no success."""

from __future__ import annotations

from typing import Any

import pytest

from worldlet.eval.bench import figure
from worldlet.eval.milestones import GATES, compression_ratio, judge


def card(**changes: float | None) -> dict[str, Any]:
    """Return a card that passes every gate, but for ``changes`` by path with __ for dots; None removes a figure."""
    values = {
        "reconstruction__psnr_db": 31, "reconstruction__ssim": 0.95, "reconstruction__lpips": 0.1,
        "rollout__psnr_db__1": 30, "rollout__copy_psnr_db__1": 20, "rollout__hero_psnr_db__1": 20,
        "rollout__copy_hero_psnr_db__1": 8, "rollout__psnr_db__30": 25, "rollout__copy_psnr_db__30": 20,
        "rollout__fvd": 100, "rollout__temporal_lpips": 0.05, "control__accuracy": 0.96,
        "control__ignored_accuracy": 0.2, "physics__score": 0.9, "drift__survived": 0.95,
        "long_drift__horizon_s": 120,
        **changes,
    }  # fmt: skip
    made: dict[str, Any] = {"world": {"fps": 30}}
    for path, value in values.items():
        *groups, leaf = path.split("__")
        place = made
        for group in groups:
            place = place.setdefault(group, {})
        if value is not None:
            place[leaf] = figure(value, 24, interval=[value - 0.01, value + 0.01], frames=900)
    return made


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {gate["gate"]: gate["verdict"] for gate in found["gates"]}


def test_all_gates_pass_where_all_figures_do() -> None:
    found = judge(card())
    assert set(verdicts(found).values()) == {"pass"} and list(verdicts(found)) == list(GATES)
    assert found["capability"] == {"value": 100.0, "n": 8, "unit": "%", "shown": 8}


@pytest.mark.parametrize(
    ("path", "value", "gate"),
    [
        ("reconstruction__psnr_db", 29.9, "reconstruction"),
        ("reconstruction__lpips", 0.21, "reconstruction"),
        ("rollout__psnr_db__1", 19.9, "next frame"),
        ("rollout__fvd", 151.0, "sequence"),
        ("rollout__temporal_lpips", 0.11, "sequence"),
        ("control__accuracy", 0.94, "control"),
        ("physics__score", 0.79, "control"),
        ("drift__survived", 0.89, "long horizon"),
        ("long_drift__horizon_s", 29.0, "long horizon"),
    ],
)
def test_each_figure_can_fail_its_gate_and_no_other(path: str, value: float, gate: str) -> None:
    found = verdicts(judge(card(**{path: value})))
    assert [name for name, verdict in found.items() if verdict == "fail"] == [gate]


def test_what_was_not_measured_is_not_judged_and_a_failure_beside_it_still_fails() -> None:
    found = judge(card(rollout__fvd=None, physics__score=None, control__accuracy=0.5))
    assert verdicts(found)["sequence"] == "not judged"
    assert verdicts(found)["control"] == "fail"
    (line,) = [line for gate in found["gates"] for line in gate["criteria"] if line["what"] == "FVD"]
    assert line["verdict"] == "not judged" and "no feature network" in line["reached"] and line["goal"] == "≤ 150.00"


def test_short_runs_cannot_pass_thirty_seconds_but_can_fail() -> None:
    short = card()
    short["drift"]["survived"]["frames"] = 300
    assert verdicts(judge(short))["long horizon"] == "not judged"
    short["drift"]["survived"]["value"] = 0.5
    assert verdicts(judge(short))["long horizon"] == "fail"


def test_capabilities_count_only_what_was_shown() -> None:
    found = judge(card(control__accuracy=0.5, drift__survived=None))
    assert found["capabilities"]["control_accurate"] == "fail"
    assert found["capabilities"]["responds_to_actions"] == "pass"
    assert found["capabilities"]["maintains_coherence"] == "not judged"
    assert found["capability"]["value"] == 75.0
    deaf = judge(card(control__accuracy=0.2))
    assert deaf["capabilities"]["responds_to_actions"] == "fail"


def test_compression_ratio_by_hand() -> None:
    ratio = compression_ratio((128, 128), (16, 16), 2048)
    assert ratio["value"] == pytest.approx(128 * 128 * 24 / (256 * 11), abs=1e-5)
