"""A picture of how an agent learned."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from worldlet.data.agents.network import AgentFacts

_PAPER, _INK, _GRID, _LINE = (250, 249, 245), (40, 44, 52), (222, 219, 210), (74, 122, 188)
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 320, 70, 40, 20, 40


def draw_returns(facts: AgentFacts) -> bytes:
    """Return a PNG of the mean return over the decisions that the agent had made."""
    image = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((_LEFT, 12), f"{facts.game}: mean return of the episodes that ended", fill=_INK)
    values = [row[1] for row in facts.returns] or [0.0]
    low, high = min(*values, 0.0), max(*values, 0.0)
    high = high if high > low else low + 1.0
    last = max(facts.steps, 1)

    def place(steps: float, value: float) -> tuple[float, float]:
        across = _LEFT + (_WIDTH - _LEFT - _RIGHT) * steps / last
        return across, _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    for part in range(5):
        value = low + (high - low) * part / 4
        draw.line([place(0, value), place(last, value)], fill=_GRID)
        draw.text((8, place(0, value)[1] - 6), f"{value:9.2f}", fill=_INK)
        steps = last * part / 4
        draw.text((place(steps, low)[0] - 20 * (part > 0), _HEIGHT - 28), f"{steps:,.0f}", fill=_INK)
    points = [place(row[0], row[1]) for row in facts.returns]
    if len(points) > 1:
        draw.line(points, fill=_LINE, width=2)
    for x, y in points:
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_LINE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
