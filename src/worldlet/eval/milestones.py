"""The project's milestones as gates: reconstruction, next frame, sequence, control, long horizon.

Goals are those the project set itself before there was a world. A gate fails where one of its criteria fails, passes
where all of them pass, and is *not judged* otherwise: what nobody measured is no success.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from worldlet.eval.bench import figure
from worldlet.eval.goals import find, value_at
from worldlet.eval.tables import number

PASS, FAIL, NOT_JUDGED = "pass", "fail", "not judged"
DRIFT_SECONDS = 30
SURVIVED = 0.9
"""A run without drift covers nine tenths of what the real game's run does."""

Card = dict[str, Any]


class Criterion(NamedTuple):
    """One line of a gate: its figure's path, the goal, and in which direction; ``against`` is a figure to beat."""

    what: str
    path: str
    goal: float | None
    least: bool = True
    unit: str = ""
    against: str = ""


GATES: dict[str, tuple[Criterion, ...]] = {
    "reconstruction": (
        Criterion("PSNR", "reconstruction.psnr_db", 30, unit="dB"),
        Criterion("SSIM", "reconstruction.ssim", 0.9),
        Criterion("LPIPS", "reconstruction.lpips", 0.2, least=False),
    ),
    "next frame": (
        Criterion("PSNR beats the last frame", "rollout.psnr_db.1", None, unit="dB", against="rollout.copy_psnr_db.1"),
        Criterion(
            "hero PSNR beats the last frame", "rollout.hero_psnr_db.1", None, unit="dB",
            against="rollout.copy_hero_psnr_db.1",
        ),
    ),
    "sequence": (
        Criterion("PSNR after a second beats the last frame", "rollout.psnr_db.30", None, unit="dB",
                  against="rollout.copy_psnr_db.30"),
        Criterion("FVD", "rollout.fvd", 150, least=False),
        Criterion("temporal LPIPS", "rollout.temporal_lpips", 0.1, least=False),
    ),
    "control": (
        Criterion("action accuracy", "control.accuracy", 0.95),
        Criterion("physics", "physics.score", 0.8),
    ),
    "long horizon": (
        Criterion(f"survived, {DRIFT_SECONDS} seconds", "drift.survived", SURVIVED),
        Criterion("until a lasting departure", "long_drift.horizon_s", DRIFT_SECONDS, unit="s"),
    ),
}  # fmt: skip

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "static_reconstruction": ("reconstruction/SSIM",),
    "quality_psnr_30": ("reconstruction/PSNR",),
    "next_frame_prediction": ("next frame/PSNR beats the last frame",),
    "temporal_understanding": ("next frame/hero PSNR beats the last frame",),
    "sequence_generation": ("sequence/PSNR after a second beats the last frame",),
    "maintains_coherence": ("long horizon/survived, 30 seconds",),
    "responds_to_actions": ("control/responds",),
    "control_accurate": ("control/action accuracy",),
}
"""The project's list of capabilities, and the criteria that show each."""


def judge(card: Card) -> Card:
    """Return the gates of a card with their criteria, the capabilities, and the share of them that is shown.

    The figures of all parts must be in the card, and ``world`` with its fps. The share counts what is shown over all
    capabilities: what was not judged is not shown.
    """
    gates = []
    verdicts: dict[str, str] = {"control/responds": _responds(card)}
    for name, criteria in GATES.items():
        lines = [_line(card, criterion) for criterion in criteria]
        verdicts |= {f"{name}/{line['what']}": line["verdict"] for line in lines}
        gates.append({"gate": name, "criteria": lines, "verdict": _all(line["verdict"] for line in lines)})
    capabilities = {name: _all(verdicts[needed] for needed in wanted) for name, wanted in CAPABILITIES.items()}
    shown = sum(verdict == PASS for verdict in capabilities.values())
    share = 100 * shown / len(capabilities)
    return {
        "gates": gates,
        "capabilities": capabilities,
        "capability": figure(share, len(capabilities), unit="%", shown=shown),
    }


def compression_ratio(frame_size: tuple[int, int], grid: tuple[int, int], codebook_size: int) -> Card:
    """Return how many times smaller a frame's tokens are than its pixels, both without entropy coding."""
    bits = grid[0] * grid[1] * math.log2(codebook_size)
    return figure(24 * frame_size[0] * frame_size[1] / bits, grid[0] * grid[1], token_bits=math.log2(codebook_size))


def _line(card: Card, criterion: Criterion) -> Card:
    value = value_at(card, criterion.path)
    goal = value_at(card, criterion.against) if criterion.against else criterion.goal
    value, why = _long_enough(card, criterion.path, value)
    if value is None or goal is None:
        verdict, why = NOT_JUDGED, why or _why(criterion.path)
    else:
        meets: Callable[[float], bool] = (lambda v: v > goal) if criterion.against else (lambda v: v >= goal)
        verdict = PASS if (meets(value) if criterion.least else value <= goal) else FAIL
    sign = ">" if criterion.against else "≥" if criterion.least else "≤"
    shown = "-" if goal is None else f"{sign} {number(goal, 2, criterion.unit)}"
    reached = number(value, 3 if criterion.unit == "" else 2, criterion.unit) if not why else f"- ({why})"
    return {
        "what": criterion.what, "path": criterion.path, "goal": shown, "goal_value": goal,
        "value": value, "n": (find(card, criterion.path) or {"n": 0})["n"], "reached": reached, "verdict": verdict,
    }  # fmt: skip


def _long_enough(card: Card, path: str, value: float | None) -> tuple[float | None, str]:
    """Return the survival only where runs lasted 30 seconds; a shorter one can fail, never pass."""
    if path != "drift.survived" or value is None:
        return value, ""
    frames = find(card, path)["frames"]  # type: ignore[index]
    seconds = frames / card["world"]["fps"]
    if seconds < DRIFT_SECONDS and value >= SURVIVED:
        return None, f"runs of {seconds:.0f} s only: the full suite decides"
    return value, ""


def _why(path: str) -> str:
    if path.endswith("lpips"):
        return "its network's weights are not installed"
    return "no feature network was given" if path.endswith("fvd") else "not measured"


def _responds(card: Card) -> str:
    """Return whether actions matter at all: clearly better than with the actions ignored."""
    ours, ignored = (find(card, f"control.{name}") for name in ("accuracy", "ignored_accuracy"))
    if ours is None or ignored is None or ours["value"] is None:
        return NOT_JUDGED
    lowest, highest = (ours["interval"] or [ours["value"]])[0], (ignored["interval"] or [ignored["value"]])[-1]
    return PASS if lowest > highest else FAIL


def _all(verdicts: Any) -> str:
    found = list(verdicts)
    if FAIL in found:
        return FAIL
    return PASS if set(found) == {PASS} else NOT_JUDGED
