"""The sections of a card, as tables that `card.md` and `card.html` share."""

from __future__ import annotations

import re
from typing import Any

from worldlet.eval.goals import WANTED, find, goal_text, verdict
from worldlet.eval.tables import Table, bounds, emphasis, number

WHOSE = {
    "": "the dream, on its own",
    "forced_": "the dream, shown every real frame but the next",
    "ceiling_": "the real frames through the tokenizer",
    "copy_": "the last real frame, repeated",
    "ignored_": "the real game, no action done",
    "shuffled_": "the real game, another play's actions",
}
MEASURES = {
    "psnr_db": "PSNR by dreamed frames (dB): whole frame",
    "known_psnr_db": "PSNR by dreamed frames (dB): what had been in view at the start",
    "new_psnr_db": "PSNR by dreamed frames (dB): what is new, where a dream may differ and be right",
    "hero_psnr_db": "PSNR by dreamed frames (dB): the hero, while the past determines him",
}


def tables(card: dict[str, Any]) -> list[Table]:
    """Return every table of a card in order; tables of parts that were not measured have no rows."""
    return [goals(card), baselines(card), milestones(card), *horizons(card), terrain(card), game(card), unjudged(card)]


def goals(card: dict[str, Any]) -> Table:
    """Return what must and should be reached beside what is."""
    rows = []
    for wanted in WANTED:
        figure = find(card, wanted.path)
        value = figure["value"] if figure else None
        rows.append(
            (
                wanted.what,
                goal_text(wanted, wanted.must),
                goal_text(wanted, wanted.aim),
                number(value, wanted.digits, wanted.unit),
                bounds(figure, wanted.digits),
                f"{figure['n']:,}" if figure else "-",
                emphasis(verdict(wanted, value)),
            )  # fmt: skip
        )
    head = ("what", "must", "aim", "reached", "95 % interval", "n", "verdict")
    return Table("Goals", head, tuple(rows), "Intervals are of a bootstrap over runs; `n` counts observations.")


def baselines(card: dict[str, Any]) -> Table:
    """Return the trivial answers beside the figures that have to beat them."""
    rows = tuple(
        (
            pair["what"], number(pair["value"], 2, pair["unit"]), bounds(find(card, pair["path"])),
            number(pair["baseline_value"], 2, pair["unit"]), bounds(find(card, pair["baseline_path"])),
            pair["baseline"], emphasis(pair["verdict"]),
        )
        for pair in card.get("baselines", [])
    )  # fmt: skip
    head = ("what", "dream", "95 % interval", "baseline", "95 % interval", "whose", "verdict")
    note = "Unclear: better, but the intervals meet. The real game, played by the same code, scores 100 dB and 1.00."
    return Table("Beside trivial answers", head, rows, note)


def milestones(card: dict[str, Any]) -> Table:
    """Return the project's named gates."""
    rows = tuple(
        (gate["gate"] if not n else "", item["what"], item["goal"], item["reached"], emphasis(item["verdict"]))
        for gate in card.get("milestones", {}).get("gates", [])
        for n, item in enumerate([*gate["criteria"], {**_GATE, "verdict": gate["verdict"]}])
    )
    head = ("gate", "what", "goal", "reached", "verdict")
    share = card.get("milestones", {}).get("capability")
    note = "" if share is None else f"Capabilities shown: {share['value']:.1f} % ({share['shown']} of {share['n']})."
    return Table("Milestones", head, rows, note)


_GATE = {"what": "**the gate**", "goal": "", "reached": ""}


def horizons(card: dict[str, Any]) -> list[Table]:
    """Return one table for each measure of the rollouts: who answers down, dreamed frames across."""
    rollout = card.get("rollout", {})
    found = []
    for measure, title in MEASURES.items():
        at = list(rollout.get(measure, {}))
        rows = []
        for prefix, whose in WHOSE.items():
            figures = rollout.get(prefix + measure)
            if figures and any(figure["n"] for figure in figures.values()):
                rows.append((whose, *(_with_interval(figures.get(horizon)) for horizon in at)))
        head = ("who answers", *at)
        found.append(Table(title, head, tuple(rows), "In brackets: the 95 % interval, and n."))
    return found


def terrain(card: dict[str, Any]) -> Table:
    """Return what scrolls into the dream beside what scrolls into the real game."""
    rows = tuple(
        (
            name, number(figure["dreamed"]), number(figure["real"]), number(figure["value"]), bounds(figure),
            f"{figure['n']:,}",
        )
        for name, figure in card.get("drift", {}).get("terrain", {}).items()
    )  # fmt: skip
    head = ("per 100 new columns", "dream", "real game, by the same reader", "ratio", "95 % interval", "n")
    return Table("What scrolls into view", head, rows)


def game(card: dict[str, Any]) -> Table:
    """Return how much the real game leaves to dream."""
    figures = {name: figure for name, figure in card.get("game", {}).items() if "value" in figure}
    figures |= {f"copy_psnr_db.{lag}": f for lag, f in card.get("game", {}).get("copy_psnr_db", {}).items()}
    rows = tuple((f"`{name}`", number(f["value"]), bounds(f), f"{f['n']:,}") for name, f in figures.items())
    return Table("The real game", ("what", "value", "95 % interval", "n"), rows)


def unjudged(card: dict[str, Any]) -> Table:
    """Return which parts could not be judged, and why."""
    return Table("Not judged", ("part", "why"), tuple((f"**{part}**", why) for part, why in card["not_judged"].items()))


def facts(card: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the card was measured with, as (name, text)."""
    run, world, suite = card["run"], card["world"], card["suite"]
    lines = [(name, _text(value)) for name, value in run.items() if name != "command"]
    lines += [("suite", f"{suite['size']['name']}, {suite['sha256'][:16] or 'none'}")]
    lines += [("world", world["identity"][:16])]
    lines += [(name, _text(world[name])) for name in ("parameters", "training", "licence") if world.get(name)]
    return lines


def _with_interval(figure: dict[str, Any] | None) -> str:
    if not figure or figure["value"] is None:
        return "-"
    between = figure.get("interval")
    span = f"{between[0]:.1f} to {between[1]:.1f}, " if between else ""
    return f"{figure['value']:.2f} ({span}n {figure['n']})"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    return re.sub(r"\s+", " ", str(value))
