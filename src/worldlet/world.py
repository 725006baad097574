"""A world model as one thing: tokenizer and dynamics; stored as safetensors and JSON, never pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from worldlet.config import from_dict, to_dict
from worldlet.dynamics import DynamicsConfig, State, build_dynamics
from worldlet.dynamics.mamba import Mamba
from worldlet.dynamics.sampling import next_frame
from worldlet.manifest import WEIGHTS_NAME, WorldError, read_world_json
from worldlet.tokenizer import Tokenizer, TokenizerConfig


@dataclass(frozen=True)
class Dreamed:
    """One dreamed frame: tokens (B, N), pixels uint8 (B, H, W, 3), the state after it."""

    tokens_BN: Tensor
    frames_BHWC: Tensor
    state: State


class WorldModel(nn.Module):
    """Frames to tokens, tokens and an action to the next tokens, tokens to frames."""

    def __init__(self, tokenizer: Tokenizer, dynamics: Mamba):
        super().__init__()
        self.tokenizer = tokenizer
        self.dynamics = dynamics

    @classmethod
    def build(cls, tokenizer: TokenizerConfig, dynamics: DynamicsConfig) -> "WorldModel":
        """A new model of the given sizes."""
        return cls(Tokenizer(tokenizer), cast(Mamba, build_dynamics(dynamics)))

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "WorldModel":
        """The model of a world folder, in eval mode, its half-precision weights cast to float32.

        Raises:
            WorldError: if the folder is not a world or its weights do not fit its configuration.
        """
        manifest = read_world_json(folder)
        try:
            model = cls.build(
                from_dict(TokenizerConfig, manifest.config["tokenizer"]),
                from_dict(DynamicsConfig, manifest.config["dynamics"]),
            )
            model.load_state_dict(load_file(Path(folder) / WEIGHTS_NAME))
        except (KeyError, RuntimeError, ValueError, OSError, SafetensorError) as error:
            raise WorldError(
                f"{folder}: the weights cannot be loaded ({str(error).splitlines()[0]}): export the world again"
            ) from error
        return model.eval().requires_grad_(False).to(device)

    def config(self) -> dict[str, Any]:
        """Both configs as plain values, as `world.json` holds them."""
        return {"tokenizer": to_dict(self.tokenizer.config), "dynamics": to_dict(self.dynamics.config)}

    def encode(self, frames_BHWC: Tensor) -> Tensor:
        """Frames uint8 (B, H, W, 3) -> tokens int64 (B, N)."""
        return self.tokenizer.encode(frames_BHWC.permute(0, 3, 1, 2).float() / 255).flatten(1)

    def decode(self, tokens_BN: Tensor) -> Tensor:
        """Tokens (B, N) -> frames uint8 (B, H, W, 3)."""
        frames = self.tokenizer.decode(tokens_BN.unflatten(1, self.tokenizer.config.grid)).float()
        return (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1)

    def init_state(self, batch: int) -> State:
        """Zeros in half precision, as a session holds them between frames."""
        return {name: value.half() for name, value in self.dynamics.init_state(batch).items()}

    def dream(self, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor, noise_BN: Tensor) -> Dreamed:
        """One frame: exactly what `step.onnx` holds. The state comes and goes in half precision."""
        wide = {name: value.float() for name, value in state.items()}
        tokens, after = next_frame(self.dynamics, wide, tokens_BN, action_B, prompt_BD, noise_BN)
        return Dreamed(tokens, self.decode(tokens), {name: value.half() for name, value in after.items()})
