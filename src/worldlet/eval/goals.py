"""What a world must and should reach, and where in a card each figure lies."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Wanted(NamedTuple):
    """One line of the table of goals: where its figure lies in the card, and what it must and should reach.

    ``sense`` is ``least`` (more is better), ``most`` (less is better) or ``near`` (distance from 1 counts).
    """

    what: str
    path: str
    sense: str
    must: float
    aim: float | None
    unit: str = ""
    digits: int = 2


WANTED = (
    Wanted("reconstruction PSNR, held-out levels", "reconstruction.psnr_db", "least", 32, 38, "dB"),
    Wanted("reconstruction SSIM, held-out levels", "reconstruction.ssim", "least", 0.95, 0.98, digits=4),
    Wanted("still patches whose token changes", "reconstruction.false_change", "most", 0.01, 0.0, digits=5),
    Wanted("tokens equal in fp32, bf16 and ONNX", "reconstruction.precision_agreement", "least", 0.999, 1.0, digits=5),
    Wanted("hero PSNR of reconstructions", "reconstruction.hero_psnr_db", "least", 24, 30, "dB"),
    Wanted("hero PSNR after 10 dreamed frames", "rollout.hero_psnr_db.10", "least", 18, 24, "dB"),
    Wanted("action accuracy, dreamed", "control.accuracy", "least", 0.95, 0.99, digits=3),
    Wanted("survived", "drift.survived", "least", 0.9, 1.0, digits=3),
    Wanted("rules of the game kept", "physics.score", "least", 0.8, 0.95, digits=3),
    Wanted("places as they were left", "memory.score", "least", 0.9, 0.99, digits=3),
    Wanted("hero, enemies, coins found in real frames", "physics.detector", "least", 0.99, 1.0, digits=4),
    Wanted("gaps against the real game's", "drift.terrain.gaps", "near", 0.3, 0.1),
    Wanted("coins against the real game's", "drift.terrain.coins", "near", 0.3, 0.1),
    Wanted("spikes against the real game's", "drift.terrain.spikes", "near", 0.3, 0.1),
    Wanted("enemies against the real game's", "drift.terrain.enemies", "near", 0.3, 0.1),
    Wanted("`step` with decoding, batch 1", "speed.fps", "least", 45, 90, "FPS", 1),
    Wanted("frame 10,000 against frame 100: time", "speed.late_to_early", "most", 1.1, None),
    Wanted("snapshot", "snapshot.bytes", "most", 2_000_000, 500_000, "bytes", 0),
    Wanted("start-up to first dreamed frame", "speed.start_up_s", "most", 5, 2, "s"),
)

_PLAYING = WANTED[-4:]
WANTED_OF_GAME = {
    "procgen/coinrun": (
        Wanted("reconstruction PSNR, held-out levels", "reconstruction.psnr_db", "least", 34, 40, "dB"),
        Wanted("PSNR after 16 dreamed frames", "rollout.psnr_db.16", "least", 16, 25, "dB"),
        Wanted("that over the copied frame and the mean image", "rollout.margin_db.16", "least", 5, None, "dB"),
        Wanted("action outcomes read by a judge, against real frames", "judged.relative", "least", 0.9, 0.98),
        *_PLAYING,
    ),
    "ALE/Breakout-v5": (
        Wanted("reconstruction PSNR, held-out plays", "reconstruction.psnr_db", "least", 32, 38, "dB"),
        Wanted("tokens that change and are right", "judged.changed", "least", 0.7, 0.85, digits=3),
        Wanted("tokens wrongly changed", "judged.wrongly_changed", "most", 0.005, 0.002, digits=5),
        Wanted("paddle follows the key", "judged.paddle", "least", 0.95, 0.99, digits=3),
        Wanted("ball within 4 pixels after 10 frames", "judged.ball_near", "least", 0.8, 0.95, digits=3),
        *_PLAYING,
    ),
}


def wanted_of(card: dict[str, Any]) -> tuple[Wanted, ...]:
    """Return what the world of a card must and should reach: the goals of its game, or those of the platformer."""
    return WANTED_OF_GAME.get(card.get("world", {}).get("env_id", ""), WANTED)


def find(card: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the figure at a dotted path, or None where the card has none."""
    place: Any = card
    for key in path.split("."):
        if not isinstance(place, dict) or key not in place:
            return None
        place = place[key]
    return place if isinstance(place, dict) and "value" in place else None


def value_at(card: dict[str, Any], path: str) -> float | None:
    """Return the value of the figure at a dotted path, None where there is none."""
    figure = find(card, path)
    return None if figure is None else figure["value"]


def verdict(wanted: Wanted, value: float | None) -> str:
    """Return ``aim``, ``must``, ``missed``, or ``not measured``."""
    if value is None or not math.isfinite(value):
        return "not measured"
    reached = abs(value - 1) if wanted.sense == "near" else value

    def meets(goal: float) -> bool:
        return reached >= goal if wanted.sense == "least" else reached <= goal

    if wanted.aim is not None and meets(wanted.aim):
        return "aim"
    return "must" if meets(wanted.must) else "missed"


def goal_text(wanted: Wanted, goal: float | None) -> str:
    """Return a goal as people read it."""
    if goal is None:
        return "-"
    if wanted.sense == "near":
        return f"within {goal:.0%}"
    number = f"{goal:,.0f}" if goal >= 1000 else f"{goal:g}"
    return ("≥ " if wanted.sense == "least" else "≤ ") + f"{number} {wanted.unit}".strip()
