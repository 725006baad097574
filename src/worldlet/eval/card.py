"""The card: measured facts about a world as ``card.json``, and the same for people as ``card.md`` and ``card.html``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from worldlet.eval import baselines
from worldlet.eval.page import page
from worldlet.eval.sections import facts, tables
from worldlet.manifest import write_atomic

FORMAT = 1
PAGE_NAME = "card.html"
WARNING = "This card proves less than it should:"


def write_card(card: dict[str, Any], folder: Path) -> None:
    """Write ``card.json``, ``card.md`` and the self-contained ``card.html`` into a folder, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "card.json", (json.dumps(card, indent=2, allow_nan=False) + "\n").encode())
    write_atomic(folder / "card.md", markdown(card, folder).encode())
    write_atomic(folder / PAGE_NAME, html(card, folder).encode())


def read_card(place: Path | str) -> dict[str, Any]:
    """Read a card from its file, or from the folder it lies in; ValueError where there is none."""
    path = Path(place)
    path = path / "card.json" if path.is_dir() else path
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{place} holds no card.json: measure the world there with 'worldlet eval'") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): measure the world again with 'worldlet eval'") from error
    if not isinstance(card, dict) or not {"world", "suite", "run", "not_judged"} <= card.keys():
        raise ValueError(f"{path} is no card: measure the world with 'worldlet eval'")
    return card


def introduction(card: dict[str, Any]) -> str:
    """Return the sentence under the title."""
    return (
        f"Measured against `{card['world']['env_id']}` with the {card['suite']['size']['name']} suite. Every figure "
        "stands beside how many observations it rests on; `docs/card.md` defines each."
    )


def markdown(card: dict[str, Any], folder: Path) -> str:
    """Return the card as a page; pictures are shown where they lie beside it in ``pictures/``."""
    lines = [f"# Card of {card['world']['title']}", "", introduction(card), ""]
    lost = baselines.warnings(card)
    if lost:
        lines += [f"**{WARNING}**", "", *(f"- {line}" for line in lost), ""]
    for table in tables(card):
        lines += table.markdown()
    shown = [f"![{path.stem.replace('_', ' ')}](pictures/{path.name})" for path in picture_files(folder)]
    if shown:
        lines += ["## Pictures", "", *(line for picture in shown for line in (picture, ""))]
    lines += ["## Run", "", "```", card["run"]["command"], "```", ""]
    lines += [f"- {name}: {text}" for name, text in facts(card)]
    return "\n".join(lines) + "\n"


def html(card: dict[str, Any], folder: Path) -> str:
    """Return the card as one page that needs no other file."""
    return page(
        title=f"Card of {card['world']['title']}",
        introduction=introduction(card),
        warnings=baselines.warnings(card),
        tables=tables(card),
        pictures=[(path.stem.replace("_", " "), path) for path in picture_files(folder)],
        command=card["run"]["command"],
        facts=facts(card),
        warning=WARNING,
    )


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a card, those that move first."""
    paths = (folder / "pictures").glob("*.*") if (folder / "pictures").is_dir() else ()
    return sorted((path for path in paths if path.suffix in (".png", ".gif")), key=lambda p: (p.suffix, p.name))
