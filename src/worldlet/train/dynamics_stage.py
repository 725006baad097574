"""Training of the dynamics on token clips: in parallel with noisy tokens at first, then with rollouts on its own predictions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from worldlet.data.clips import TokenTable, event_weights
from worldlet.data.shards import read_episodes
from worldlet.dynamics import Dynamics, DynamicsConfig, build_dynamics
from worldlet.dynamics.loss import CellWeights, cell_weights, weighted_loss
from worldlet.dynamics.sampling import next_frame, sample
from worldlet.tokenizer import Tokenizer

EVENT_BOOSTS = {"death": 3.0, "coin": 1.0, "stomp": 8.0, "knock": 8.0, "respawn": 2.0}
_VAL_HORIZONS = (1, 5, 10, 20)


@dataclass(frozen=True)
class DynamicsStageConfig:
    """What a batch is, how it is disturbed, what counts in it."""

    batch_size: int = 4
    """Clips a step."""
    clip: int = 24
    """Actions of a clip."""
    weights: CellWeights = field(default_factory=CellWeights)
    """Weights of cells in the loss."""
    noise: float = 0.08
    """Share of tokens replaced by others at most; each clip draws its own share below this."""
    rollout_from: float = 0.7
    """Share of the training after which clips end in a rollout."""
    rollout_steps: int = 8
    """Frames of a rollout."""
    rollout_far: float = 0.3
    """Share of cells away from anything that moves whose own prediction is fed back; near it all are."""
    val_clips: int = 24
    """Validation clips."""


def build_tokens(
    tokenizer: Tokenizer, data: str | Path, split: str, path: Path, boosts: dict[str, float] = EVENT_BOOSTS
) -> TokenTable:
    """The token table of a split, encoded once and kept at `path`."""
    if path.exists():
        return TokenTable.load(path)
    table = TokenTable.build(
        read_episodes(data, split),
        lambda frames: encode_frames(tokenizer, frames),
        tokenizer.config.grid,
        lambda episode: event_weights(episode, boosts),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.save(path)
    return table


@torch.no_grad()
def encode_frames(tokenizer: Tokenizer, frames_THWC: np.ndarray, size: int = 128) -> np.ndarray:
    """Tokens int64 (T, h, w) of uint8 frames, equal to `Tokenizer.encode` and quicker: the encoder is patch-local, so each distinct patch is encoded once."""
    device = next(tokenizer.parameters()).device
    h, w = tokenizer.config.grid
    parts = []
    for first in range(0, len(frames_THWC), size):
        part = frames_THWC[first : first + size]
        patches = np.ascontiguousarray(part.reshape(len(part), h, 8, w, 8, 3).swapaxes(2, 3)).reshape(-1, 192)
        found, which = np.unique(patches.view("V192").ravel(), return_inverse=True)
        tiny = torch.from_numpy(found.view(np.uint8).reshape(-1, 8, 8, 3)).to(device).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(device.type, enabled=False):
            tokens = tokenizer.quantizer.assign(tokenizer.latents(tiny))[:, 0].cpu().numpy()
        parts.append(tokens[which].reshape(len(part), h, w))
    return np.concatenate(parts)


class DynamicsStage:
    """The dynamics as a stage of the training loop."""

    name = "dynamics"

    def __init__(
        self,
        train: TokenTable,
        val: TokenTable,
        model: DynamicsConfig,
        config: DynamicsStageConfig,
        seed: int,
        tokenizer: Tokenizer | None = None,
    ):
        self.config, self.seed, self.train, self.val = config, seed, train, val
        self.module: nn.Module = cast(nn.Module, build_dynamics(model))
        self.items_per_step = config.batch_size * config.clip
        self.tokenizer = tokenizer
        if tokenizer is not None:
            self.model.init_codes(tokenizer.quantizer.codebook)

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return next(self.module.parameters()).device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices with weight decay; vectors, embeddings and biases without."""
        named = list(self.module.named_parameters())
        decayed = [
            p
            for name, p in named
            if p.ndim >= 2 and "embedding" not in name and "taps" not in name and "bias" not in name
        ]
        chosen = {id(p) for p in decayed}
        return [
            {"params": decayed, "weight_decay": 0.05},
            {"params": [p for _, p in named if id(p) not in chosen], "weight_decay": 0.0},
        ]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Weighted cross-entropy of the batch of `step`."""
        tokens, actions, hero, moving = self._batch(self.train, step, self.config.batch_size, self.seed)
        weights = cell_weights(tokens, hero, moving, self.config.weights)
        prompt = tokens.new_zeros((len(tokens), self.model.config.prompt_width), dtype=torch.float32)
        seen = self._disturb(tokens[:, :-1])
        if progress < self.config.rollout_from:
            features, _ = self.model.features(seen, actions, prompt)
        else:
            features = self._rollout(tokens, seen, actions, prompt, hero | moving)
        value = weighted_loss(self.model, features, tokens[:, 1:], weights, self.config.weights.still_share)
        return value, {"rollout": float(progress >= self.config.rollout_from)}

    def after_step(self, step: int) -> None:
        """Nothing follows a step."""

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Over held-out clips: `loss` and `loss_shuffled` (actions of other clips), accuracy on changed and hero cells, and on hero cells of a free-running dream."""
        model = cast(Dynamics, module)
        totals: dict[str, list[float]] = {}
        for i in range(max(1, self.config.val_clips // 8)):
            torch.manual_seed(i)
            tokens, actions, hero, moving = self._batch(self.val, i, 8, 12345)
            weights = cell_weights(tokens, hero, moving, self.config.weights)
            prompt = tokens.new_zeros((8, self.model.config.prompt_width), dtype=torch.float32)
            targets = tokens[:, 1:]
            features, _ = model.features(tokens[:, :-1], actions, prompt)
            made = model.head(features).argmax(-1)
            shuffled, _ = model.features(tokens[:, :-1], actions.roll(1, 0), prompt)
            figures = {
                "loss": float(weighted_loss(model, features, targets, weights, 1.0)),
                "loss_shuffled": float(weighted_loss(model, shuffled, targets, weights, 1.0)),
            }
            changed, heroes = targets != tokens[:, :-1], hero[:, 1:] | hero[:, :-1]
            figures |= {
                "changed": float((made == targets)[changed].float().mean()),
                "hero": float((made == targets)[heroes].float().mean()),
            }
            for name, value in (figures | self._dream_accuracy(model, tokens, actions, prompt, hero)).items():
                totals.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in totals.items()}

    def pictures(self, module: nn.Module) -> dict[str, np.ndarray]:
        """Held-out clips over free-running dreams of the same actions, every third frame; needs a tokenizer."""
        if self.tokenizer is None:
            return {}
        tokens, actions, _, _ = self._batch(self.val, 0, 4, 999)
        prompt = tokens.new_zeros((4, self.model.config.prompt_width), dtype=torch.float32)
        with torch.no_grad():
            dreamed = torch.stack(self._dream(cast(Dynamics, module), tokens, actions, prompt, 4), 1)
            real = tokens[:, 4 : 4 + dreamed.shape[1]]
            rows = [self._decode(part[i, ::3]) for i in range(4) for part in (real, dreamed)]
        return {"dream": np.concatenate(rows, 0)}

    # -- parts ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> Dynamics:
        """The module under its contract."""
        return cast(Dynamics, self.module)

    def _batch(self, table: TokenTable, step: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        batch = table.batch(step, size, self.config.clip, seed)
        arrays = (batch.tokens_BTN.astype(np.int64), batch.actions_BT, batch.hero_BTN, batch.moving_BTN)
        tokens, actions, hero, moving = (torch.from_numpy(array).to(self.device) for array in arrays)
        return tokens, actions, hero, moving

    def _disturb(self, tokens_BTN: Tensor) -> Tensor:
        """Replace some tokens: half of them by others of the same frame, half by others of the batch."""
        b, t, n = tokens_BTN.shape
        share = torch.rand(b, 1, 1, device=tokens_BTN.device) * self.config.noise
        hit = torch.rand(tokens_BTN.shape, device=tokens_BTN.device) < share
        own = tokens_BTN.gather(-1, torch.randint(n, (b, t, n), device=tokens_BTN.device))
        other = tokens_BTN.flatten()[torch.randint(tokens_BTN.numel(), (b, t, n), device=tokens_BTN.device)]
        return torch.where(hit, torch.where(torch.rand_like(share.expand(b, t, n)) < 0.5, own, other), tokens_BTN)

    def _rollout(self, tokens: Tensor, seen: Tensor, actions: Tensor, prompt: Tensor, mobile: Tensor) -> Tensor:
        """Features (B, T, N, E) of a clip whose last frames the model sees through its own predictions.

        Fed back are all cells where something moves, now or next, and their neighbours, and a share of the others; the rest stays true,
        because what is new at the edge of the screen may rightly differ.
        """
        steps = min(self.config.rollout_steps, actions.shape[1] - 1)
        known = actions.shape[1] - steps
        features, state = self.model.features(seen[:, :known], actions[:, :known], prompt)
        parts, guess = (
            [features],
            sample(self.model.head(features[:, -1]).detach(), torch.rand_like(tokens[:, 0], dtype=torch.float32)),
        )
        for t in range(known, known + steps):
            near = self._near(mobile[:, t - 1] | mobile[:, t]) | (
                torch.rand_like(guess, dtype=torch.float32) < self.config.rollout_far
            )
            current = torch.where(near, guess, tokens[:, t])
            after, state = self.model.step_features(state, current, actions[:, t], prompt)
            parts.append(after[:, None])
            guess = sample(self.model.head(after).detach(), torch.rand_like(tokens[:, 0], dtype=torch.float32))
        return torch.cat(parts, 1)

    def _near(self, cells_BN: Tensor) -> Tensor:
        """Cells and their eight neighbours."""
        grid = cells_BN.float().unflatten(1, self.model.config.grid)[:, None]
        return torch.nn.functional.max_pool2d(grid, 3, stride=1, padding=1)[:, 0].flatten(1) > 0

    def _dream(self, model: Dynamics, tokens: Tensor, actions: Tensor, prompt: Tensor, context: int) -> list[Tensor]:
        """Free-running frames under the clip's actions after `context` true frames; the first is the last true one."""
        state = model.init_state(len(tokens))
        state = {name: value.to(tokens.device) for name, value in state.items()}
        for t in range(context):
            _, state = model.step(state, tokens[:, t], actions[:, t], prompt)
        current, frames = tokens[:, context], [tokens[:, context]]
        for t in range(context, actions.shape[1]):
            current, state = next_frame(
                model, state, current, actions[:, t], prompt, torch.rand_like(current, dtype=torch.float32)
            )
            frames.append(current)
        return frames

    def _dream_accuracy(
        self, model: Dynamics, tokens: Tensor, actions: Tensor, prompt: Tensor, hero: Tensor
    ) -> dict[str, float]:
        frames = self._dream(model, tokens, actions, prompt, 2)
        figures = {}
        for horizon in _VAL_HORIZONS:
            if horizon < len(frames):
                at = hero[:, 2 + horizon]
                figures[f"hero_{horizon}"] = (
                    float((frames[horizon] == tokens[:, 2 + horizon])[at].float().mean()) if at.any() else 1.0
                )
        return figures

    def _decode(self, tokens_TN: Tensor) -> np.ndarray:
        assert self.tokenizer is not None
        frames = self.tokenizer.decode(tokens_TN.cpu().unflatten(1, self.tokenizer.config.grid)).float()
        pixels = frames.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        return np.concatenate(list(pixels), 1)
