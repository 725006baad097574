"""`worldlet compare A B`: the cards of two worlds side by side, as Markdown and as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldlet.eval.card import picture_files, read_card
from worldlet.eval.goals import Wanted, find, goal_text, verdict, wanted_of
from worldlet.eval.page import page
from worldlet.eval.sections import MEASURES, facts
from worldlet.eval.tables import Table, bounds, emphasis, number
from worldlet.manifest import write_atomic

Card = dict[str, Any]


@dataclass(frozen=True)
class CompareConfig:
    """What ``worldlet compare`` is told."""

    first: str
    """world, or folder or file of its card"""
    second: str
    """the world to set beside it"""
    out: Path = Path("compare")
    """folder for compare.md and compare.html"""


def compare(config: CompareConfig) -> Path:
    """Set two cards side by side and write ``compare.md`` and ``compare.html``; return the page's path.

    Raises ValueError where either has no card, and WorldError where a name is neither a world nor a folder.
    """
    places = [_place(name) for name in (config.first, config.second)]
    cards = [read_card(place) for place in places]
    names = _names(cards)
    tables = compare_cards(cards[0], cards[1], names)
    title = f"{names[0]} beside {names[1]}"
    introduction, notes = _introduction(cards), _notes(cards)
    command = f"worldlet compare {config.first} {config.second} --out {config.out}"
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"# {title}", "", introduction, "", *(f"**{note}**\n" for note in notes)]
    lines += [line for table in tables for line in table.markdown()]
    write_atomic(out / "compare.md", ("\n".join([*lines, "```", command, "```"]) + "\n").encode())
    pictures = [(f"{name}: {path.stem.replace('_', ' ')}", path) for path, name in _pairs_of_pictures(places, names)]
    told = [(f"{name}: {key}", text) for name, card in zip(names, cards, strict=True) for key, text in facts(card)]
    html = page(title, introduction, notes, tables, pictures, command, told, warning="Read this first:")
    write_atomic(out / "compare.html", html.encode())
    return out / "compare.html"


def compare_cards(first: Card, second: Card, names: tuple[str, str]) -> list[Table]:
    """Return the goals and every rollout measure of two cards, their figures beside each other."""
    rows = tuple(_goal_row(wanted, first, second) for wanted in wanted_of(first))
    head = ("what", "must", names[0], "95 % interval", "verdict", names[1], "95 % interval", "verdict", "better")
    tables = [Table("Goals", head, rows, "Better: only where the two intervals do not meet.")]
    tables.append(_gates(first, second, names))
    for measure, title in MEASURES.items():
        at = [h for h in first.get("rollout", {}).get(measure, {}) if find(second, f"rollout.{measure}.{h}")]
        found = tuple(
            (name, *(f"{number(find(card, f'rollout.{measure}.{h}')['value'])}" for h in at))  # type: ignore[index]
            for name, card in zip(names, (first, second), strict=True)
        )
        tables.append(Table(title, ("whose", *at), found if at else ()))
    return tables


def _goal_row(wanted: Wanted, first: Card, second: Card) -> tuple[str, ...]:
    figures = [find(card, wanted.path) for card in (first, second)]
    cells = [
        cell
        for figure in figures
        for value in (figure["value"] if figure else None,)
        for cell in (
            number(value, wanted.digits, wanted.unit), bounds(figure, wanted.digits), emphasis(verdict(wanted, value)),
        )
    ]  # fmt: skip
    return (wanted.what, goal_text(wanted, wanted.must), *cells, _better(wanted, figures))


def _better(wanted: Wanted, figures: list[Card | None]) -> str:
    """Say which figure is better, where their intervals do not meet; ``?`` where no interval tells."""
    first, second = (_span(wanted, figure) for figure in figures)
    if first is None or second is None:
        return "-"
    (low, high), (other_low, other_high) = first, second
    if (low, high) == (other_low, other_high):
        return "equal"
    return "first" if low > other_high else "second" if other_low > high else "?"


def _span(wanted: Wanted, figure: Card | None) -> tuple[float, float] | None:
    """Return the interval of a figure, turned so that more is better."""
    if figure is None or figure["value"] is None:
        return None
    between = figure.get("interval") or [figure["value"]] * 2
    if wanted.sense == "near":
        off = [abs(bound - 1) for bound in between]
        nearest = 0.0 if between[0] <= 1 <= between[1] else min(off)
        return -max(off), -nearest
    sign = 1 if wanted.sense == "least" else -1
    ends = sorted(sign * bound for bound in between)
    return ends[0], ends[1]


def _gates(first: Card, second: Card, names: tuple[str, str]) -> Table:
    sides = [{gate["gate"]: gate["verdict"] for gate in card.get("milestones", {}).get("gates", [])}
             for card in (first, second)]  # fmt: skip
    gates = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = tuple((gate, *(emphasis(side.get(gate, "not judged")) for side in sides)) for gate in gates)
    return Table("Milestones", ("gate", *names), rows)


def _introduction(cards: list[Card]) -> str:
    dates = [card["run"].get("date", "") for card in cards]
    return f"Two cards, measured {dates[0]} and {dates[1]}."


def _notes(cards: list[Card]) -> list[str]:
    """Return what makes two cards hard to compare."""
    notes = []
    games = [card["world"]["env_id"] for card in cards]
    if games[0] != games[1]:
        notes.append(f"The two worlds dream different games: {games[0]} and {games[1]}.")
    asked = [(card["suite"].get("lists") or card["suite"]["sha256"], card["suite"]["size"]) for card in cards]
    if asked[0] != asked[1]:
        notes.append("The two were not asked the same: their suites or sizes differ.")
    cpus = [card["run"].get("hardware") for card in cards]
    if cpus[0] != cpus[1]:
        notes.append("They were measured on different hardware: speed is not comparable.")
    return notes


def _names(cards: list[Card]) -> tuple[str, str]:
    first, second = (str(card["world"]["title"]) for card in cards)
    if first != second:
        return first, second
    marks = [card["world"]["identity"][:8] for card in cards]
    if marks[0] != marks[1]:
        return f"{first} {marks[0]}", f"{second} {marks[1]}"
    return f"{first} (first)", f"{second} (second)"


def _place(name: str) -> Path:
    """Return where a card lies: the path itself where there is one, else the folder of the world so called."""
    path = Path(name)
    if path.is_file() or (path / "card.json").is_file():
        return path
    from worldlet.engine.bundle import find_world

    return find_world(name)


def _pairs_of_pictures(places: list[Path], names: tuple[str, str]) -> list[tuple[Path, str]]:
    """Return the pictures of both cards, those of one name beside each other."""
    folders = [place if place.is_dir() else place.parent for place in places]
    found = [(path, name) for folder, name in zip(folders, names, strict=True) for path in picture_files(folder)]
    return sorted(found, key=lambda pair: (pair[0].suffix, pair[0].name))
