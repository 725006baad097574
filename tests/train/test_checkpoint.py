"""Checkpoints: nothing is lost when writing one is cut short, and damage is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from worldlet.train import checkpoint, load_weights


def parts(value: float) -> dict[str, dict[str, Tensor]]:
    return {"model": {"a.weight": torch.full((2, 3), value)}, "ema": {"a.weight": torch.full((2, 3), -value)}}


class Death(BaseException):
    """What a kill looks like from inside."""


def test_round_trip(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "best", parts(1.0), {"step": 7, "note": "x"})
    loaded = checkpoint.load(tmp_path / "best")
    assert loaded.state["step"] == 7 and loaded.state["note"] == "x"
    assert torch.equal(loaded.part("model")["a.weight"], torch.ones(2, 3))
    assert torch.equal(load_weights(tmp_path)["a.weight"], -torch.ones(2, 3))
    assert torch.equal(load_weights(tmp_path, "best", ema=False)["a.weight"], torch.ones(2, 3))


@pytest.mark.parametrize("next_step", [1, 2])
@pytest.mark.parametrize("moment", range(8))
def test_death_while_writing_leaves_a_whole_checkpoint(
    moment: int, next_step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dies before the n-th dangerous call: writing tensors, syncing, replacing, removing the old file."""
    checkpoint.save(tmp_path, parts(1.0), {"step": 1})
    calls = [0]

    def deadly(function: Any) -> Any:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == moment + 1:
                raise Death
            return function(*arguments, **options)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", deadly(checkpoint.save_file))
        patch.setattr(os, "replace", deadly(os.replace))
        patch.setattr(os, "fsync", deadly(os.fsync))
        patch.setattr(Path, "write_text", deadly(Path.write_text))
        patch.setattr(Path, "unlink", deadly(Path.unlink))
        with pytest.raises(Death):
            checkpoint.save(tmp_path, parts(2.0), {"step": next_step, "new": True})
    loaded = checkpoint.load(tmp_path)
    value = 2.0 if loaded.state.get("new") else 1.0
    assert torch.equal(loaded.part("model")["a.weight"], torch.full((2, 3), value))
    assert value == (2.0 if moment >= 6 else 1.0), "state.json is replaced by the sixth call"
    checkpoint.save(tmp_path, parts(3.0), {"step": 3})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json", "tensors-000000003.safetensors"]


def test_saving_a_step_again_never_writes_over_the_file_in_force(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 3.0):
        checkpoint.save(tmp_path, parts(value), {"step": 5})
        assert torch.equal(checkpoint.load(tmp_path).part("model")["a.weight"], torch.full((2, 3), value))
        assert len(list(tmp_path.glob("tensors-*"))) == 1


def test_missing_and_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no checkpoint: train first"):
        load_weights(tmp_path / "tokenizer")
    checkpoint.save(tmp_path / "best", parts(1.0), {"step": 1})
    tensors = tmp_path / "best" / "tensors-000000001.safetensors"
    whole = tensors.read_bytes()
    for damaged in (b"", whole[:40], whole[:-1]):
        tensors.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            load_weights(tmp_path)
    tensors.unlink()
    with pytest.raises(ValueError, match="is damaged"):
        load_weights(tmp_path)
    state = tmp_path / "best" / "state.json"
    state.write_text(state.read_text()[:20])
    with pytest.raises(ValueError, match="is damaged"):
        load_weights(tmp_path)
    state.write_text('{"format": 99}')
    with pytest.raises(ValueError, match="not of format 1"):
        load_weights(tmp_path)


def test_optimizer_moments_go_back_to_their_parameters_and_strides() -> None:
    def trained() -> tuple[nn.Module, torch.optim.AdamW]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
        weights, biases = [m.weight for m in module], [m.bias for m in module]  # an order unlike the module's own
        return module, torch.optim.AdamW([{"params": biases}, {"params": weights}], lr=0.1, fused=True)

    def step(module: nn.Module, optimizer: torch.optim.AdamW) -> None:
        module(torch.linspace(0, 1, 75).reshape(1, 3, 5, 5)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    module, optimizer = trained()
    step(module, optimizer)
    saved = {
        name: tensor.contiguous().clone() for name, tensor in checkpoint.optimizer_tensors(optimizer, module).items()
    }
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert "exp_avg.0.weight" in saved
    step(module, optimizer)
    other, fresh = trained()
    other.load_state_dict(weights)
    checkpoint.restore_optimizer(fresh, other, saved)
    step(other, fresh)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    with pytest.raises(ValueError, match="does not train"):
        checkpoint.restore_optimizer(fresh, other, {"exp_avg.9.weight": torch.zeros(1)})
