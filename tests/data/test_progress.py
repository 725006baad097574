"""How long a job will take is told from what was done, not from the time that it took to begin."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from worldlet.data import progress
from worldlet.data.progress import FrameProgress


def test_the_time_before_the_first_frame_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    text = io.StringIO()
    with FrameProgress(Console(file=text, width=200), total=1000) as job:
        for seconds, frames in ((20, 100), (40, 100), (60, 100)):
            now[0] = seconds
            job.advance(frames, "train")
    first, second, third = text.getvalue().splitlines()
    assert first == "train: 100 of 1,000 frames", "nothing is known yet of how fast it goes"
    assert second == "train: 200 of 1,000 frames, 5/s, 2.7 min left"
    assert third == "train: 300 of 1,000 frames, 5/s, 2.3 min left"
    assert (job.rate, job.seconds) == (5.0, 60.0)
