"""After training: the world and the card, once each, as far as they were asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the training extra")

from tiny_run import recorded_platformer, tiny_config  # noqa: E402

from worldlet.export import ExportConfig, export  # noqa: E402
from worldlet.manifest import read_world_json  # noqa: E402
from worldlet.recipes.complete import complete  # noqa: E402
from worldlet.train.run import TrainConfig, train  # noqa: E402


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = tiny_config(recorded_platformer(tmp_path_factory), tmp_path_factory.mktemp("complete") / "run")
    assert train(config)[-1].finished
    return config


def test_a_world_follows_and_is_not_made_twice(trained: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    exports: list[Any] = []
    measured: list[Any] = []

    def quickly(config: ExportConfig) -> Path:  # networks that have learned nothing hesitate: a short gate is enough
        exports.append(config)
        return export(replace(config, starts=6, gate_frames=20))

    monkeypatch.setattr("worldlet.export.export", quickly)
    monkeypatch.setattr("worldlet.eval.suite.evaluate", measured.append)
    complete(replace(trained, then="nothing"))
    assert not exports and not measured and not (Path(trained.out) / "world").exists()
    complete(replace(trained, then="world"))
    assert len(exports) == 1 and not measured
    assert read_world_json(Path(trained.out) / "world").frame_size == (128, 128)
    complete(trained)
    assert len(exports) == 1, "the world is that of the best checkpoint already"
    assert [(str(config.world), config.quick, config.attach) for config in measured] == [(trained.out, True, True)]
    state = Path(trained.out) / "dynamics" / "best" / "state.json"
    facts = json.loads(state.read_text())
    state.write_text(json.dumps(facts | {"step": facts["step"] + 1}))  # as if it had been trained on
    complete(replace(trained, then="world"))
    assert len(exports) == 2
