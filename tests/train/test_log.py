"""What a run shows and draws."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from worldlet.train import log
from worldlet.train.log import ProgressLine, draw_curve


def shown(now: list[float], monkeypatch: pytest.MonkeyPatch, terminal: bool) -> str:
    clock = iter(now)
    monkeypatch.setattr(log.time, "monotonic", lambda: next(clock))
    output = io.StringIO()
    line = ProgressLine("tokenizer", Console(file=output, force_terminal=terminal, width=160))
    for step in range(len(now)):
        line.show(1000 + step, 0.25, 0.125, 3e-4, 1234.5, 3723.0)
    line.close()
    return output.getvalue()


def test_lines_without_a_terminal_come_every_twenty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown([0, 1, 19, 20, 21, 41], monkeypatch, terminal=False).splitlines()
    expected = "loss 0.1250  lr 3.0e-04  1,234.5 items/s  25%  1:02:03 left"
    assert lines == [f"tokenizer: step {step}  {expected}" for step in ("1,000", "1,003", "1,005")]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = shown([0.0, 0.1, 0.6], monkeypatch, terminal=True)
    assert "step 1,000" in text and "step 1,001" not in text and "step 1,002" in text and "━" in text


def test_curve_draws_both_losses() -> None:
    losses = [(step, 1.0 / step) for step in range(1, 5001)]
    picture_HWC = draw_curve(losses, [(1000, 0.5), (5000, 0.1)])
    assert picture_HWC.shape == (360, 640, 3)
    red = (picture_HWC == (204, 34, 34)).all(axis=2)
    grey = (picture_HWC == (119, 119, 119)).all(axis=2)
    assert red.sum() > 50 and grey.sum() > 200
    rows, columns = red.nonzero()
    assert rows[columns.argmin()] < rows[columns.argmax()], "a falling loss falls"


@pytest.mark.parametrize("losses", [[], [(1, 0.0)], [(1, -2.0), (2, 3.0)], [(1, 1.0), (2, 1.0)]])
def test_curve_of_odd_losses(losses: list[tuple[int, float]]) -> None:
    assert draw_curve(losses, [(2, float("nan"))]).shape == (360, 640, 3)
