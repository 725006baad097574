"""What is measured of the game itself, counted again by other means; and the snapshot that counts is the largest."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.eval.real_game import RealDream
from worldlet.data.codec import decode_frames, encode_frames
from worldlet.eval import game, snapshot
from worldlet.eval.bench import Bench
from worldlet.eval.gold import Gold


def test_the_games_figures_are_those_of_its_plays(bench: Callable[..., Bench], gold: Gold) -> None:
    measured = game.measure(bench())
    plays = [gold.replay(entry).frames_THWC for entry in gold.plays]
    frames = sum(map(len, plays))
    for lag in (1, 10):
        pairs = [(float(((p[lag:].astype(float) - p[:-lag]) ** 2).sum()), p[lag:].size) for p in plays]
        squared, pixels = map(sum, zip(*pairs, strict=True))
        copy = measured["copy_psnr_db"][str(lag)]
        assert copy["value"] == pytest.approx(10 * np.log10(255**2 * pixels / squared), abs=1e-3)
        assert copy["n"] == frames - lag * len(plays)
    assert measured["copy_psnr_db"]["1"]["value"] > measured["copy_psnr_db"]["10"]["value"]

    patches = {
        frame[y : y + 8, x : x + 8].tobytes()
        for play in plays for frame in play for y in range(0, 128, 8) for x in range(0, 128, 8)
    }  # fmt: skip
    assert measured["distinct_patches"] == {"value": len(patches), "n": frames}

    videos = [encode_frames(play, 30.0) for play in plays]
    assert np.array_equal(decode_frames(videos[0]), plays[0]), "the bytes that are counted lose nothing"
    assert measured["bytes_per_frame"]["value"] == pytest.approx(sum(map(len, videos)) / frames, rel=1e-3)
    assert measured["bytes_per_frame"]["value"] < measured["png_bytes_per_frame"]["value"] < 128 * 128 * 3
    assert measured["png_bytes_per_frame"]["n"] == sum(len(play[::10]) for play in plays)
    buffer = io.BytesIO()
    Image.fromarray(plays[0][0]).save(buffer, format="PNG", optimize=True)
    assert measured["png_bytes_per_frame"]["value"] == pytest.approx(len(buffer.getvalue()), rel=0.5)


def test_the_largest_snapshot_counts(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([10, 40, 30, 20])
    monkeypatch.setattr(RealDream, "snapshot", lambda self: b"x" * next(sizes))
    assert snapshot.measure(bench()) == {"bytes": {"value": 40, "n": 4}}
