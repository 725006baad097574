"""Trivial answers beside the figures that have to beat them, and whether they do."""

from __future__ import annotations

from typing import Any, NamedTuple

from worldlet.eval.alarms import alarms
from worldlet.eval.goals import find


class Rival(NamedTuple):
    """A figure of the world, and the figure of somebody who understands nothing of the game; more is better."""

    what: str
    path: str
    name: str
    rival: str
    unit: str = ""


COPY, MEAN, IGNORED, SHUFFLED = "copied frame", "mean image", "ignored actions", "shuffled actions"
VERDICTS = ("beaten", "unclear", "not beaten")
RIVALS = (
    Rival("reconstruction PSNR", "reconstruction.psnr_db", COPY, "reconstruction.copy_psnr_db", "dB"),
    *(
        Rival(
            f"{what} PSNR after {horizon} frame{'s' * (horizon > 1)}", f"rollout.{key}.{horizon}",
            name, f"rollout.{prefix}_{key}.{horizon}", "dB",
        )
        for what, key in (("frame", "psnr_db"), ("in view before", "known_psnr_db"), ("hero", "hero_psnr_db"))
        for horizon in (1, 10, 60)
        for name, prefix in ((COPY, "copy"), (MEAN, "mean"), (IGNORED, "ignored"), (SHUFFLED, "shuffled"))
    ),
    Rival("action accuracy", "control.accuracy", SHUFFLED, "control.shuffled_accuracy"),
    Rival("action accuracy", "control.accuracy", IGNORED, "control.ignored_accuracy"),
    Rival("action outcomes, judged", "judged.accuracy", SHUFFLED, "judged.shuffled_accuracy"),
    Rival("paddle", "judged.paddle", SHUFFLED, "judged.paddle_shuffled"),
    Rival("ball", "judged.ball_near", COPY, "judged.copy_ball_near"),
    Rival("survived", "drift.survived", COPY, "drift.copy_survived"),
    Rival("seconds without drift", "drift.horizon_s", COPY, "drift.copy_horizon_s", "s"),
    Rival("seconds without drift, of ten minutes", "long_drift.horizon_s", COPY, "long_drift.copy_horizon_s", "s"),
    Rival("physics", "physics.score", COPY, "physics.copy_score"),
    Rival("memory of places", "memory.score", COPY, "memory.copy_score"),
)  # fmt: skip


def compare(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each pair that was measured with its verdict.

    ``beaten``: better, and the intervals do not meet. ``unclear``: better, but they meet. ``not beaten``: not better.
    """
    pairs = []
    for rival in RIVALS:
        ours, theirs = find(card, rival.path), find(card, rival.rival)
        if ours is None or theirs is None or ours["value"] is None or theirs["value"] is None:
            continue
        pairs.append(
            {
                "what": rival.what,
                "path": rival.path,
                "value": ours["value"],
                "baseline": rival.name,
                "baseline_path": rival.rival,
                "baseline_value": theirs["value"],
                "unit": rival.unit,
                "verdict": _verdict(ours, theirs),
            }  # fmt: skip
        )
    return pairs


def _verdict(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    if ours["value"] <= theirs["value"]:
        return "not beaten"
    lowest = (ours.get("interval") or [ours["value"]])[0]
    highest = (theirs.get("interval") or [theirs["value"]])[-1]
    return "beaten" if lowest > highest else "unclear"


def warnings(card: dict[str, Any]) -> list[str]:
    """Return what stands at the top of a card: what is wrong by name, and trivial answers that are not beaten."""
    lost = [pair for pair in card.get("baselines", []) if pair["verdict"] == "not beaten"]
    return [f"{alarm.name}: {alarm.text}" for alarm in alarms(card)] + [
        f"{pair['what']}: {pair['value']:.2f} {pair['unit']}".rstrip()
        + f" does not beat {pair['baseline']} ({pair['baseline_value']:.2f})"
        for pair in lost
    ]
