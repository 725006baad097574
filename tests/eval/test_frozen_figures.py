"""The suite is frozen, and so is what it says of a known, imperfect world: no figure changes unnoticed.

``python -m tests.eval.test_frozen_figures`` writes ``frozen_figures.json`` anew. Look at what changes before you commit
it: cards that were measured before are then no longer comparable, where it is not a mistake that was mended.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.eval.real_game import TINY, Fault, PatchTokens, RealGame, tiny_gold
from worldlet.eval import freeze
from worldlet.eval.reading import PlatformerReader
from worldlet.eval.real import RealSession
from worldlet.eval.suite import measure_world
from worldlet.games.platformer.rules import ACTION_NAMES

FROZEN = Path(__file__).with_name("frozen_figures.json")
LEFT_OUT = ("speed", "run", "format")
"""Parts of a card that are another every time, or not measured."""


class Worn(Fault):
    """A world that does most things nearly right: some actions are lost, the hero flickers and blurs, colours drift."""

    steps = 0

    def action(self, action: int) -> int:
        self.steps += 1
        return ACTION_NAMES.index("noop") if self.steps % 6 == 0 else action

    def frame(self, session: RealSession) -> np.ndarray:
        frame, hero_HW = session.frame.astype(np.int64), session.info["hero_mask"]
        if self.steps % 11 == 0:
            frame[hero_HW] = frame[0, 0]
        elif self.steps % 7 == 0:
            frame[hero_HW] = (frame + np.roll(frame, 1, axis=1))[hero_HW] // 2
        frame[::9, ::7] += 6
        frame[..., 0] += self.steps // 8
        return np.clip(frame, 0, 255).astype(np.uint8)


class CoarseTokens(PatchTokens):
    """A tokenizer of coarse colours, one token of which hangs on the whole picture."""

    def encode(self, frames_BHWC: np.ndarray) -> np.ndarray:
        coarse = frames_BHWC // 12 * 12 + 3
        coarse[:, 0, 0, 0] += (frames_BHWC.sum(axis=(1, 2, 3)) % 2).astype(np.uint8)
        return super().encode(coarse)


def measure(folder: Path) -> dict[str, Any]:
    gold = tiny_gold()
    # Two runs, so that errors over runs are known.
    gold = replace(gold, drift=(*gold.drift, freeze.play_entry(4, 7, 30, 30, freeze.RUNNING)))
    world = RealGame(gold, Worn, CoarseTokens())
    size = replace(TINY, drift=2)
    return measure_world(world, gold, PlatformerReader(), size, folder, None, "worldlet eval worn --out card")


def figures(card: dict[str, Any]) -> dict[str, Any]:
    """Return every number, word and flag of a card by its path."""
    return dict(flatten({name: part for name, part in card.items() if name not in LEFT_OUT}, ""))


def flatten(thing: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs = thing.items() if isinstance(thing, dict) else enumerate(thing) if isinstance(thing, list | tuple) else None
    if pairs is None:
        yield path, thing
    for name, part in pairs or ():
        yield from flatten(part, f"{path}.{name}" if path else str(name))


def test_every_figure_of_a_worn_world_is_what_it_was(tmp_path: Path) -> None:
    frozen, found = json.loads(FROZEN.read_text()), figures(json.loads(json.dumps(measure(tmp_path))))
    assert found.keys() == frozen.keys()
    numbers = {path for path, value in frozen.items() if isinstance(value, float)}
    assert {path: found[path] for path in frozen.keys() - numbers} == {
        path: frozen[path] for path in frozen.keys() - numbers
    }
    assert {path: found[path] for path in numbers} == pytest.approx(
        {path: frozen[path] for path in numbers}, rel=1e-4, abs=1e-6
    )


def test_the_frozen_world_is_neither_perfect_nor_hopeless() -> None:
    frozen = json.loads(FROZEN.read_text())
    assert len(frozen) > 800
    for path in ("control.accuracy.value", "drift.survived.value", "reconstruction.false_change.value"):
        assert 0 < frozen[path] < 1, path
    assert 15 < frozen["rollout.psnr_db.30.value"] < 45 and 15 < frozen["reconstruction.psnr_db.value"] < 45


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        card = json.loads(json.dumps(measure(Path(folder))))
    FROZEN.write_text(json.dumps(figures(card), indent=0, sort_keys=True) + "\n")
