"""The card: measured facts about a world as ``card.json``, and the same for people as ``card.md``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from worldlet.manifest import write_atomic

FORMAT = 1


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
    Wanted("gaps against the real game's", "drift.terrain.gaps", "near", 0.3, 0.1),
    Wanted("coins against the real game's", "drift.terrain.coins", "near", 0.3, 0.1),
    Wanted("spikes against the real game's", "drift.terrain.spikes", "near", 0.3, 0.1),
    Wanted("enemies against the real game's", "drift.terrain.enemies", "near", 0.3, 0.1),
    Wanted("`step` with decoding, batch 1", "speed.fps", "least", 45, 90, "FPS", 1),
    Wanted("frame 10,000 against frame 100: time", "speed.late_to_early", "most", 1.1, None),
    Wanted("snapshot", "snapshot.bytes", "most", 2_000_000, 500_000, "bytes", 0),
    Wanted("start-up to first dreamed frame", "speed.start_up_s", "most", 5, 2, "s"),
)


def write_card(card: dict[str, Any], folder: Path) -> None:
    """Write ``card.json`` and ``card.md`` into a folder, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "card.json", (json.dumps(card, indent=2, allow_nan=False) + "\n").encode())
    write_atomic(folder / "card.md", markdown(card, folder).encode())


def find(card: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the figure at a dotted path, or None where the card has none."""
    place: Any = card
    for key in path.split("."):
        if not isinstance(place, dict) or key not in place:
            return None
        place = place[key]
    return place if isinstance(place, dict) and "value" in place else None


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


def markdown(card: dict[str, Any], folder: Path) -> str:
    """Return the card as a page; pictures are shown where they lie beside it in ``pictures/``."""
    size = card["suite"]["size"]["name"]
    lines = [
        f"# Card of {card['world']['title']}",
        "",
        f"Measured against `{card['world']['env_id']}` with the {size} suite. Every figure stands beside how many "
        "observations it rests on; `docs/card.md` defines each.",
        "",
        *_goals(card),
        *_baselines(card),
        *_horizons(card),
        *_game(card),
        *_unjudged(card),
        *_pictures(folder),
        *_run(card),
    ]
    return "\n".join(lines) + "\n"


def _goals(card: dict[str, Any]) -> list[str]:
    lines = ["## Goals", "", "| what | must | aim | reached | n | verdict |", "|---|---|---|---|---|---|"]
    for wanted in WANTED:
        figure = find(card, wanted.path)
        value = figure["value"] if figure else None
        cells = [
            wanted.what, _goal(wanted, wanted.must), _goal(wanted, wanted.aim),
            _number(value, wanted.digits, wanted.unit),
            f"{figure['n']:,}" if figure else "-", _emphasis(verdict(wanted, value)),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _baselines(card: dict[str, Any]) -> list[str]:
    """Return the trivial answers beside the figures they judge."""
    copied = "the last real frame, repeated"
    rows = [
        ("hero PSNR after 10 frames", "rollout.hero_psnr_db.10", copied, "rollout.copy_hero_psnr_db.10", "dB"),
        ("frame PSNR after 10 frames", "rollout.psnr_db.10", copied, "rollout.copy_psnr_db.10", "dB"),
        ("action accuracy", "control.accuracy", "shuffled actions", "control.shuffled_accuracy", ""),
    ]
    lines = ["## Beside trivial answers", "", "| what | dream | baseline | |", "|---|---|---|---|"]
    for what, path, name, baseline, unit in rows:
        pair = [find(card, path), find(card, baseline)]
        values = [_number(figure["value"] if figure else None, 2, unit) for figure in pair]
        lines.append(f"| {what} | {values[0]} | {values[1]} | {name} |")
    for name, figure in card.get("drift", {}).get("terrain", {}).items():
        dreamed, real = (_number(figure[key], 2, "") for key in ("dreamed", "real"))
        lines.append(f"| {name} per 100 new columns | {dreamed} | {real} | the real game, by the same reader |")
    return [*lines, ""]


def _horizons(card: dict[str, Any]) -> list[str]:
    rollout = card.get("rollout")
    if not rollout:
        return []
    horizons = list(rollout["psnr_db"])
    lines = [
        "## PSNR by dreamed frames (dB)", "",
        "| measure | " + " | ".join(horizons) + " |", "|---" * (len(horizons) + 1) + "|",
    ]  # fmt: skip
    for name, figures in rollout.items():
        cells = [f"{_number(figures[h]['value'], 2, '')} (n {figures[h]['n']})" for h in horizons]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _game(card: dict[str, Any]) -> list[str]:
    game = card.get("game")
    if not game:
        return []
    lines = ["## The real game", "", "| what | value | n |", "|---|---|---|"]
    figures = {name: figure for name, figure in game.items() if name != "copy_psnr_db"}
    figures |= {f"copy_psnr_db.{lag}": figure for lag, figure in game["copy_psnr_db"].items()}
    lines += [f"| `{name}` | {_number(f['value'], 2, '')} | {f['n']:,} |" for name, f in figures.items()]
    return [*lines, ""]


def _unjudged(card: dict[str, Any]) -> list[str]:
    lines = [f"- **{part}**: {why}" for part, why in card["not_judged"].items()]
    return ["## Not judged", "", *lines, ""] if lines else []


def _pictures(folder: Path) -> list[str]:
    paths = sorted((folder / "pictures").glob("*.*")) if (folder / "pictures").is_dir() else []
    shown = [f"![{path.stem.replace('_', ' ')}](pictures/{path.name})" for path in paths]
    return ["## Pictures", "", *(line for picture in shown for line in (picture, ""))] if shown else []


def _run(card: dict[str, Any]) -> list[str]:
    run = card["run"]
    lines = ["## Run", "", "```", run["command"], "```", ""]
    for key, value in run.items():
        if key != "command":
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            lines.append(f"- {key}: {text}")
    lines.append(f"- suite: {card['suite']['sha256'][:16]}, world: {card['world']['identity'][:16]}")
    return lines


def _goal(wanted: Wanted, goal: float | None) -> str:
    if goal is None:
        return "-"
    if wanted.sense == "near":
        return f"within {goal:.0%}"
    number = f"{goal:,.0f}" if goal >= 1000 else f"{goal:g}"
    return ("≥ " if wanted.sense == "least" else "≤ ") + f"{number} {wanted.unit}".strip()


def _number(value: float | None, digits: int, unit: str) -> str:
    return "-" if value is None else f"{value:,.{digits}f} {unit}".strip()


def _emphasis(word: str) -> str:
    return f"**{word}**" if word in ("aim", "missed") else word
