"""A table that is written as Markdown and as HTML from the same cells."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {
    "aim": "good", "must": "fair", "missed": "bad", "pass": "good", "fail": "bad", "beaten": "good",
    "not beaten": "bad", "unclear": "fair", "not judged": "dim", "not measured": "dim",
}  # fmt: skip
"""Cells that are one of these words are coloured on the page."""


@dataclass(frozen=True)
class Table:
    """A title, a line that explains, the heads of the columns, rows of cells; texts may hold `code` and **bold**."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> list[str]:
        """Return the lines of a section with this table; none where it has no rows."""
        if not self.rows:
            return []
        lines = [f"## {self.title}", ""] + ([self.note, ""] if self.note else [])
        lines += [_row(self.head), "|---" * len(self.head) + "|", *(_row(row) for row in self.rows)]
        return [*lines, ""]

    def html(self) -> str:
        """Return the section as HTML; ``""`` where it has no rows."""
        if not self.rows:
            return ""
        head = "".join(f"<th>{inline(cell)}</th>" for cell in self.head)
        rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>\n" for row in self.rows)
        note = f"<p>{inline(self.note)}</p>\n" if self.note else ""
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table>"
        return f'<section><h2>{inline(self.title)}</h2>\n{note}<div class="wide">{table}</div></section>\n'


def inline(text: str) -> str:
    """Return a line of text as HTML: escaped, with `code` and **bold**."""
    safe = html.escape(text, quote=True)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", safe)


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """Return a value as people read it, ``-`` where there is none."""
    return "-" if value is None else f"{value:,.{digits}f} {unit}".strip()


def bounds(figure: Mapping[str, Any] | None, digits: int = 2) -> str:
    """Return the interval of a figure as people read it, ``-`` where it has none."""
    between = (figure or {}).get("interval")
    return "-" if not between else f"{between[0]:,.{digits}f} to {between[1]:,.{digits}f}"


def emphasis(word: str) -> str:
    """Return the best and the worst verdicts in bold."""
    return f"**{word}**" if word in ("aim", "missed", "pass", "fail", "not beaten") else word


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(cell: str) -> str:
    tone = _WORDS.get(cell.strip("*"))
    if tone:
        return f'<td><span class="badge {tone}">{inline(cell.strip("*"))}</span></td>'
    if spread := re.fullmatch(r"([-\d,.]+) \((.+)\)", cell):
        return f'<td class="number">{inline(spread[1])}<small>{inline(spread[2])}</small></td>'
    numeric = bool(re.fullmatch(r"[-≥≤<> ]*[-\d,.%]*( to [-\d,.]+)?( ?(dB|FPS|ms|s|MB|bytes|%))?", cell))
    return f'<td class="number">{inline(cell)}</td>' if numeric else f"<td>{inline(cell)}</td>"
