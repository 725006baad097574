"""A recording and a training run of the real platformer that take seconds: poor dreams from real parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from worldlet.data.record import RecordConfig, record
from worldlet.dynamics import DynamicsConfig
from worldlet.tokenizer import TokenizerConfig
from worldlet.train.dynamics_stage import DynamicsStageConfig
from worldlet.train.run import TrainConfig
from worldlet.train.tokenizer_stage import TokenizerStageConfig

QUIET = Console(quiet=True)


def recorded_platformer(folders: pytest.TempPathFactory) -> Path:
    """Record episodes of 60 steps once for all tests of a session, and return the data folder: do not write there."""
    folder = folders.getbasetemp() / "recorded_platformer"
    settings = {"frames": 600, "episode_steps": 60, "workers": 1, "val_fraction": 0.1, "test_fraction": 0.2}
    record(RecordConfig(env="worldlet/Platformer-v0", out=str(folder), **settings), QUIET)  # at once if it is there
    return folder


def tiny_config(data: Path, run: Path, steps: int = 16, **changes: object) -> TrainConfig:
    """Return the config of a run of a few steps with networks of a few thousand parameters."""
    config = TrainConfig(
        data=str(data),
        out=str(run),
        steps=steps,
        device="cpu",
        threads=1,
        tokenizer=TokenizerConfig(codebook_size=128, decoder_width=16, decoder_blocks=1),
        dynamics=DynamicsConfig(
            width=32, depth=1, heads=2, ssm_heads=2, prompt_width=4, token_width=16, feature_width=16
        ),
        tokenizer_stage=TokenizerStageConfig(batch_size=4, crop=32, max_frames=100, val_frames=16),
        dynamics_stage=DynamicsStageConfig(batch_size=2, window_batch_size=2, clip=8, rollout_steps=3, val_clips=8),
        validate_every_steps=6,
    )
    return replace(config, **changes)
