"""The card for people: Markdown and one HTML page that needs nothing else, with its warnings at the top."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from worldlet.eval import baselines
from worldlet.eval.bench import figure
from worldlet.eval.card import markdown, read_card, write_card
from worldlet.eval.sections import tables


def card_of(**parts: Any) -> dict[str, Any]:
    """Return a card with the given parts, its baselines compared."""
    world = {"title": "Tom & Jerry", "env_id": "a/B-v0", "identity": "f" * 64, "training": {"steps": 7}}
    suite = {"sha256": "e" * 64, "size": {"name": "quick"}}
    run = {"command": "worldlet eval <x>", "date": "2026-11-20T00:00:00Z", "hardware": {"cpu": "C", "cores": 2}}
    card = {"world": {**world, "licence": "MIT"}, "suite": suite, "run": run, "not_judged": {"drift": "no reader"}}
    return {**card, **parts, "baselines": baselines.compare(parts)}


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.full((4, 4, 3), 200, np.uint8)).save(tmp_path / "pictures" / "strip.png")
    write_card(card_of(control={"accuracy": figure(0.97, 80, interval=[0.9, 0.99])}), tmp_path)
    page = (tmp_path / "card.html").read_text()
    HTMLParser().feed(page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "url(" not in page and "<script" not in page
    for text in (
        "Tom &amp; Jerry",
        "worldlet eval &lt;x&gt;",
        "0.900 to 0.990",
        "2026-11-20",
        "steps 7",
        "MIT",
        "cores 2",
    ):
        assert text in page
    assert "no reader" in page


def test_markdown_and_page_hold_the_same_cells(tmp_path: Path) -> None:
    card = card_of(control={"accuracy": figure(0.5, 80), "shuffled_accuracy": figure(0.1, 80)})
    write_card(card, tmp_path)
    page, text = (tmp_path / "card.html").read_text(), (tmp_path / "card.md").read_text()
    rows = [row for table in tables(card) for row in table.rows]
    assert len(rows) > 10
    assert page.count("<tr>") - page.count("<thead>") == len(rows)
    assert sum(line.startswith("| ") for line in text.splitlines()) - page.count("<thead>") == len(rows)


@pytest.mark.parametrize("reached", [0.1, 0.2])
def test_a_world_that_does_not_beat_the_baselines_says_so_at_the_top(tmp_path: Path, reached: float) -> None:
    figures = {"accuracy": figure(reached, 80), "shuffled_accuracy": figure(0.2, 80)}
    write_card(card_of(control=figures), tmp_path)
    for name in ("card.md", "card.html"):
        page = (tmp_path / name).read_text()
        place = page.find("proves less than it should")
        assert 0 < place < page.find("Goals")
        assert f"action accuracy: {reached:.2f} does not beat shuffled actions (0.20)" in page


def test_beaten_unclear_and_not_beaten() -> None:
    def verdict(ours: list[float], theirs: list[float]) -> str:
        sides = [figure(low + (high - low) / 2, 9, interval=[low, high]) for low, high in (ours, theirs)]
        (pair,) = baselines.compare({"control": {"accuracy": sides[0], "shuffled_accuracy": sides[1]}})
        return str(pair["verdict"])

    assert verdict([0.8, 0.9], [0.1, 0.2]) == "beaten"
    assert verdict([0.5, 0.9], [0.4, 0.6]) == "unclear"
    assert verdict([0.1, 0.2], [0.4, 0.6]) == "not beaten"
    assert verdict([0.6, 0.9], [0.4, 0.6]) == "unclear", "intervals that touch"
    fine = card_of(control={"accuracy": figure(0.9, 9), "shuffled_accuracy": figure(0.1, 9)})
    assert "does not beat" not in markdown(fine, Path("nowhere"))


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no card.json"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text('{"world": "tiny"}')
    with pytest.raises(ValueError, match="is no card"):
        read_card(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        read_card(tmp_path / "card.json")
