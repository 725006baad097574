"""Training of the dynamics on token clips: in parallel with noisy tokens at first, later with rollouts as well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from worldlet.data.clips import TokenTable
from worldlet.dynamics import Dynamics, DynamicsConfig, build_dynamics
from worldlet.dynamics.loss import CellWeights, cell_weights, weighted_loss
from worldlet.dynamics.sampling import edge_cells, moves_as_a_whole
from worldlet.tokenizer import Tokenizer
from worldlet.train.emphasis import balance_actions, encounters, reveals
from worldlet.train.rollout import Compiled, disturb, free_run, hide, rollout_features
from worldlet.train.windows import cut_windows, inside

_VAL_BATCH, _VAL_SEED, _VAL_CONTEXT = 8, 12345, 2
_VAL_HORIZONS = (1, 5, 10, 20)
_REVEAL_LEAD = 2  # frames of a short clip that only show where things were going
_CLIP_COLUMNS = ("tokens_FN", "actions_F", "hero_FN", "moving_FN")
_PICTURE_CLIPS, _PICTURE_SEED, _PICTURE_CONTEXT = 4, 999, 4


@dataclass(frozen=True)
class DynamicsStageConfig:
    """What a batch is, how it is disturbed, what counts in it. ValueError for values out of range."""

    batch_size: int = 4
    """Clips a step."""
    clip: int = 24
    """Actions of a clip."""
    weights: CellWeights = field(default_factory=CellWeights)
    """Weights of cells in the loss."""
    noise: float = 0.08
    """Share of tokens replaced by others at most; each clip draws its own share below this."""
    hidden: float = 0.2
    """Share of the clips in which all that moves is taken away for some frames, to be brought back from memory."""
    rollout_from: float = 0.5
    """Share of the training after which clips end in a rollout."""
    rollout_steps: int = 12
    """Frames of a rollout."""
    rollout_doubt: float = 0.05
    """Away from what moves, a prediction is fed back where the truth is less than this times as likely to the model."""
    window: tuple[int, int] = (5, 5)
    """Patches down and across of the windows around the hero that most steps look at."""
    window_share: float = 0.5
    """Share of the steps that look at windows instead of whole frames."""
    window_batch_size: int = 8
    """Clips of a step that looks at windows."""
    encounter_share: float = 0.3
    """Share of those steps that draw only clips in which the hero meets something that moves, or leaps."""
    reveal_share: float = 0.3
    """Share of the steps that look at short clips in which the picture moves as a whole and new ground appears."""
    reveal_clip: int = 8
    """Actions of such a clip."""
    reveal_batch_size: int = 12
    """Clips of such a step."""
    action_balance: float = 0.5
    """How much oftener clips of rare actions are drawn: 0 as recorded, 1 as if all actions were equally common."""
    val_clips: int = 24
    """Validation clips."""
    compile: bool = False
    """Compile the step of rollouts (torch.compile): quicker on a GPU, which else waits for its small operations to be
    launched one by one, after half a minute of compiling."""

    def __post_init__(self) -> None:
        if self.clip <= _PICTURE_CONTEXT:
            raise ValueError(f"clip is {self.clip}: it must be greater than {_PICTURE_CONTEXT}")
        sizes = ("batch_size", "window_batch_size", "reveal_batch_size", "rollout_steps", "val_clips")
        if min(*(getattr(self, name) for name in sizes), *self.window) < 1:
            raise ValueError(f"window, {', '.join(sizes[:-1])} and {sizes[-1]} must be at least 1")
        if self.reveal_clip <= _REVEAL_LEAD:
            raise ValueError(f"reveal_clip is {self.reveal_clip}: it must be greater than {_REVEAL_LEAD}")
        shares = (
            "noise",
            "hidden",
            "window_share",
            "encounter_share",
            "reveal_share",
            "rollout_doubt",
            "action_balance",
        )
        if not all(0 <= getattr(self, name) <= 1 for name in shares):
            raise ValueError(f"{', '.join(shares[:-1])} and {shares[-1]} must lie in [0, 1]")
        if self.window_share + self.reveal_share > 1:
            raise ValueError("window_share and reveal_share must not be more than 1 together")


class Clips(NamedTuple):
    """A batch on the device: T actions, T + 1 frames; `actions_BT[:, t]` leads from frame t to t + 1."""

    tokens_BTN: Tensor
    actions_BT: Tensor
    hero_BTN: Tensor
    moving_BTN: Tensor


class DynamicsStage:
    """The dynamics as a stage of the training loop.

    With a `tokenizer` the embeddings begin with its codebook's likeness, and pictures can be drawn. With `weights`, a
    state dict of the same dynamics, training goes on from them.
    """

    name = "dynamics"
    measure = "cross-entropy, the last frames seen through its own predictions, cells beside the hero weighed"

    def __init__(
        self,
        train: TokenTable,
        val: TokenTable,
        model: DynamicsConfig,
        config: DynamicsStageConfig,
        seed: int,
        tokenizer: Tokenizer | None = None,
        weights: dict[str, Tensor] | None = None,
    ):
        self.config, self.seed, self.val = config, seed, val
        self._compiled: Compiled | None = None
        self._columns: dict[tuple[int, torch.device], tuple[np.ndarray, Tensor]] = {}
        self.train = balance_actions(train, config.clip, config.action_balance) if config.action_balance else train
        self.train_encounters = encounters(train, config.clip, model.grid) if config.encounter_share else None
        self.train_reveals = reveals(train, config.reveal_clip, _REVEAL_LEAD) if config.reveal_share else None
        self.val_reveals = reveals(val, config.reveal_clip, _REVEAL_LEAD)
        self.module: nn.Module = cast(nn.Module, build_dynamics(model))
        if weights is not None:
            self.module.load_state_dict(weights)
        if model.settle:
            self.model.neighbours.learn(train.tokens_FN, model.grid)
            self.model.presence.learn(train.tokens_FN, train.hero_FN, train.moving_FN)
        self.items_per_step = config.batch_size * config.clip
        self.tokenizer = tokenizer
        if tokenizer is not None and weights is None:
            self.model.init_codes(tokenizer.quantizer.codebook)

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return next(self.module.parameters()).device

    @property
    def model(self) -> Dynamics:
        """The module under its contract."""
        return cast(Dynamics, self.module)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Matrices with weight decay; vectors, embeddings and biases without; what copies tokens ten times as fast."""
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        copies: list[nn.Parameter] = []
        for name, parameter in self.module.named_parameters():
            if name.startswith("copy."):  # begins at zero, and a copied token needs a large number
                copies.append(parameter)
                continue
            is_matrix = parameter.ndim >= 2 and not any(word in name for word in ("embedding", "taps", "bias"))
            (decayed if is_matrix else plain).append(parameter)
        groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
        return [*groups, {"params": copies, "weight_decay": 0.0, "lr_scale": 10.0}] if copies else groups

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Weighted cross-entropy of the batch of `step`.

        It holds long clips of whole frames, or of windows around the hero, or short ones that reveal new ground.
        """
        config = self.config
        kind = float(torch.rand(()))
        looks_close = kind < config.window_share
        looks_ahead = self.train_reveals is not None and 1 - kind <= config.reveal_share
        rollout_steps = config.rollout_steps
        if looks_ahead:
            assert self.train_reveals is not None
            clips = self.clips(self.train_reveals, step, config.reveal_batch_size, self.seed, config.reveal_clip)
            rollout_steps = min(rollout_steps, config.reveal_clip - _REVEAL_LEAD)
        else:
            size = config.window_batch_size if looks_close else config.batch_size
            meets = looks_close and kind < config.window_share * config.encounter_share
            table = self.train_encounters if meets and self.train_encounters is not None else self.train
            clips = self.clips(table, step, size, self.seed)
        weights = self._weights(clips)
        moves_BT = moves_as_a_whole(clips.tokens_BTN[:, :-1], clips.tokens_BTN[:, 1:])
        cut = None
        if looks_close:
            cut = cut_windows(clips.hero_BTN, clips.moving_BTN, self.model.config, config.window)
            weights = inside(weights, cut) * cut.inner_BN[:, None]
            tokens, hero, moving = (inside(part, cut) for part in (clips.tokens_BTN, clips.hero_BTN, clips.moving_BTN))
            clips = Clips(tokens, clips.actions_BT, hero, moving)
        prompt = self._no_prompt(len(clips.tokens_BTN))
        rolls_out = progress >= config.rollout_from
        mobile = clips.hero_BTN | clips.moving_BTN
        known = clips.actions_BT.shape[1] - (rollout_steps if rolls_out else 0)
        seen = clips.tokens_BTN[:, :-1].clone()
        seen[:, :known] = hide(seen[:, :known], mobile[:, :known], config.hidden)
        seen = disturb(seen, config.noise)
        if rolls_out:
            features = rollout_features(
                self._rolling(), clips.tokens_BTN, seen, clips.actions_BT, prompt, mobile, moves_BT,
                rollout_steps, config.rollout_doubt, cut,
            )  # fmt: skip
        else:
            features, _ = self.model.features(seen, clips.actions_BT, prompt, cut and cut.window)
        value = weighted_loss(self.model, features, clips.tokens_BTN[:, 1:], weights, config.weights.still_share)
        return value, {"rollout": float(rolls_out), "window": float(looks_close), "reveal": float(looks_ahead)}

    def _rolling(self) -> Dynamics:
        """The module as rollouts run it."""
        if not self.config.compile:
            return self.model
        if self._compiled is None:
            self._compiled = Compiled(self.model)
        return cast(Dynamics, self._compiled)

    def after_step(self, step: int) -> None:
        """Nothing follows a step."""

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure held-out clips; a figure without any cell to measure is left out.

        `loss`, as training ends: the last frames seen through the model's own predictions; `loss_forced` with all of
        them true, and `loss_shuffled` so under the actions of other clips; accuracy one frame ahead on `changed` and on
        `hero` cells; `hero_H`: on hero cells H frames into a free-running dream; where the picture moves as a whole,
        `scroll` on the cells inside it and `edge` on the outermost, where some of what is new is chance.

        Weights that are best by `loss_forced` are those of before the first rollout, whose dreams do not last.
        """
        model = cast(Dynamics, module)
        batches: dict[str, list[float]] = {}
        for i in range(max(1, self.config.val_clips // _VAL_BATCH)):
            torch.manual_seed(i)
            clips = self.clips(self.val, i, _VAL_BATCH, _VAL_SEED)
            figures = self._next_frame_figures(model, clips) | self._dream_figures(model, clips)
            if self.val_reveals is not None:
                short = self.clips(self.val_reveals, i, _VAL_BATCH, _VAL_SEED, self.config.reveal_clip)
                figures |= self._reveal_figures(model, short)
            for name, value in figures.items():
                batches.setdefault(name, []).append(value)
        return {name: float(np.mean(values)) for name, values in batches.items()}

    def pictures(self, module: nn.Module) -> dict[str, np.ndarray]:
        """Held-out clips over free-running dreams of the same actions, every third frame; needs a tokenizer."""
        if self.tokenizer is None:
            return {}
        clips = self.clips(self.val, 0, _PICTURE_CLIPS, _PICTURE_SEED)
        prompt = self._no_prompt(_PICTURE_CLIPS)
        with torch.no_grad():
            dreamed = free_run(cast(Dynamics, module), clips.tokens_BTN, clips.actions_BT, prompt, _PICTURE_CONTEXT)
            real = clips.tokens_BTN[:, _PICTURE_CONTEXT:]
            strips = [self._strip(part[i, ::3]) for i in range(_PICTURE_CLIPS) for part in (real, dreamed)]
        return {"dream": np.concatenate(strips, 0)}

    def clips(self, table: TokenTable, step: int, size: int, seed: int, length: int | None = None) -> Clips:
        """The batch of a step: a function of (step, seed) alone; clips of the configured length, if none is given."""
        rows_BT = torch.from_numpy(table.draw(step, size, length or self.config.clip, seed)).to(self.device)
        tokens, actions, hero, moving = (self._resident(table, name)[rows_BT] for name in _CLIP_COLUMNS)
        return Clips(tokens.long() & 0xFFFF, actions[:, :-1], hero, moving)

    def _resident(self, table: TokenTable, name: str) -> Tensor:
        """A column of a table on the device, put there once: tables of other weights share it. Tokens are int16."""
        column = getattr(table, name)
        key = (id(column), self.device)
        if key not in self._columns:
            array = column.view(np.int16) if column.dtype == np.uint16 else column
            self._columns[key] = column, torch.from_numpy(array).to(self.device)
        return self._columns[key][1]

    def _next_frame_figures(self, model: Dynamics, clips: Clips) -> dict[str, float]:
        before, targets = clips.tokens_BTN[:, :-1], clips.tokens_BTN[:, 1:]
        weights = self._weights(clips)
        prompt = self._no_prompt(len(before))
        features, _ = model.features(before, clips.actions_BT, prompt)
        shuffled, _ = model.features(before, clips.actions_BT.roll(1, 0), prompt)
        right = model.head(features).argmax(-1) == targets
        rolled = rollout_features(
            model, clips.tokens_BTN, before, clips.actions_BT, prompt, clips.hero_BTN | clips.moving_BTN,
            moves_as_a_whole(before, targets), self.config.rollout_steps, self.config.rollout_doubt,
        )  # fmt: skip
        return {
            "loss": float(weighted_loss(model, rolled, targets, weights, 1.0)),
            "loss_forced": float(weighted_loss(model, features, targets, weights, 1.0)),
            "loss_shuffled": float(weighted_loss(model, shuffled, targets, weights, 1.0)),
            **_share("changed", right, targets != before),
            **_share("hero", right, clips.hero_BTN[:, 1:] | clips.hero_BTN[:, :-1]),
        }

    def _reveal_figures(self, model: Dynamics, clips: Clips) -> dict[str, float]:
        before, targets = clips.tokens_BTN[:, :-1], clips.tokens_BTN[:, 1:]
        features, _ = model.features(before, clips.actions_BT, self._no_prompt(len(before)))
        right = model.head(features).argmax(-1) == targets
        lies_still = ~(clips.hero_BTN | clips.moving_BTN)[:, 1:]
        moves = moves_as_a_whole(before, targets)[..., None] & lies_still
        edge_N = edge_cells(model.config.grid, self.config.weights.edge_cells, self.device)
        return {**_share("scroll", right, moves & ~edge_N), **_share("edge", right, moves & edge_N)}

    def _weights(self, clips: Clips) -> Tensor:
        """Weights (B, T, N) of whole frames in the loss."""
        return cell_weights(
            clips.tokens_BTN, clips.hero_BTN, clips.moving_BTN, self.config.weights, self.model.config.grid
        )

    def _dream_figures(self, model: Dynamics, clips: Clips) -> dict[str, float]:
        prompt = self._no_prompt(len(clips.tokens_BTN))
        dreamed = free_run(model, clips.tokens_BTN, clips.actions_BT, prompt, _VAL_CONTEXT)
        right = dreamed == clips.tokens_BTN[:, _VAL_CONTEXT:]
        hero = clips.hero_BTN[:, _VAL_CONTEXT:]
        figures: dict[str, float] = {}
        for horizon in _VAL_HORIZONS:
            if horizon < right.shape[1]:
                figures |= _share(f"hero_{horizon}", right[:, horizon], hero[:, horizon])
        return figures

    def _no_prompt(self, batch: int) -> Tensor:
        """Zeros (B, D): until there is a prompt encoder."""
        return torch.zeros(batch, self.model.config.prompt_width, device=self.device)

    def _strip(self, tokens_TN: Tensor) -> np.ndarray:
        """Frames side by side: uint8 (H, T * W, 3)."""
        assert self.tokenizer is not None
        frames = self.tokenizer.decode(tokens_TN.cpu().unflatten(1, self.tokenizer.config.grid)).float()
        pixels = frames.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
        return np.concatenate(list(pixels), 1)


def _share(name: str, right: Tensor, where: Tensor) -> dict[str, float]:
    """The share of `where` that is right, by its name; nothing where there is nothing to count."""
    return {name: float(right[where].float().mean())} if where.any() else {}
