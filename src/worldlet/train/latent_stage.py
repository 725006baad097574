"""Training of latent actions: frames only; what the past does not tell about the next frame passes through a code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from worldlet.dynamics.latent import LatentActions, LatentConfig, to_pixels
from worldlet.train.moments import MomentTable

LEAST_CHANGE = 2e-5
"""Mean squared change of a frame (values in [0, 1]) below which it counts as standing still."""
_VAL_BATCH = 32
_TYPICAL_OF = 256  # moments that tell how much a picture typically changes


@dataclass(frozen=True)
class LatentStageConfig:
    """What a batch is, and what counts in it. ValueError for values out of range."""

    batch_size: int = 16
    """Moments a step."""
    hide_past: float = 0.5
    """Share of the moments whose earlier frame the forward network does not see: codes then tell all that happens."""
    noise: float = 0.3
    """Noise on the bits before their signs are taken, so that codes end up far apart."""
    balance: float = 0.1
    """Weight of keeping each bit as often on as off, and no two bits the same."""
    val_moments: int = 256
    """Held-out moments of a validation."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.val_moments) < 2 or not 0 <= self.hide_past <= 1:
            raise ValueError("batch_size and val_moments must be at least 2, hide_past in [0, 1]")
        if min(self.noise, self.balance) < 0:
            raise ValueError("noise and balance must be at least 0")


class LatentStage:
    """Latent actions as a stage of the training loop.

    The error of each moment is taken relative to how much its picture changes, so that a scrolling picture counts no
    more than a small thing that moves; a typical change is added, so that pictures that stand still do not count most.
    """

    name = "latent"

    def __init__(self, train: MomentTable, val: MomentTable, model: LatentConfig, config: LatentStageConfig, seed: int):
        self.train, self.val, self.config, self.seed = train, val, config, seed
        self.model = LatentActions(model)
        self.module: nn.Module = self.model
        self.items_per_step = config.batch_size
        self._evenly = np.ones(int(train.actions_M.max()) + 1)
        changes = np.array([_change(train, int(moment)) for moment in train.spread(_TYPICAL_OF)])
        # The median: a picture that scrolls now and then changes a hundred times as much as a hero who walks.
        self._typical = float(np.median(changes[changes > LEAST_CHANGE])) if changes.max() > LEAST_CHANGE else 0.0

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return next(self.module.parameters()).device

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(self.module.parameters())}]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Relative squared error of the batch of `step`, and how unevenly the bits are used."""
        moments = self.train.draw(step, self.config.batch_size, self.seed, self._evenly)
        windows = to_pixels(self.train.windows(moments, self.model.config.window)).to(self.device)
        bits = self.model.bits(windows).float()
        soft = bits.tanh()
        # The sign's gradient is that of tanh, straight through (arXiv:2310.05737).
        signs = soft + ((bits + self.config.noise * torch.randn_like(bits)).sign() - soft).detach()
        hidden = torch.rand(len(windows), device=self.device) < self.config.hide_past
        past = torch.where(hidden[:, None, None, None, None], windows[:, 1:2].expand(-1, 2, -1, -1, -1), windows[:, :2])
        made = self.model.forward_network(past, signs)
        error = relative_error(made, windows, self._typical + LEAST_CHANGE).mean()
        usage = soft.T @ soft / len(soft)
        uneven = soft.mean(0).square().mean() + (usage - usage.diag().diag()).square().mean()
        codes = self.model.code_of(soft.detach())
        figures = {"error": float(error.detach()), "uneven": float(uneven.detach()), "codes": len(codes.unique())}
        return error + self.config.balance * uneven, figures

    def after_step(self, step: int) -> None:
        """Nothing follows."""

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Measure held-out moments; see `code_figures`. `loss` is the error with the true code."""
        assert isinstance(module, LatentActions)
        figures = code_figures(module, self.val, self.config.val_moments, self.seed)
        named = ("error", "shuffled", "most_common", "codes_used")
        return {"loss": figures["error"], **{name: float(figures[name]) for name in named[1:]}}

    def pictures(self, module: nn.Module) -> dict[str, NDArray[np.uint8]]:
        """None: the codes are drawn when training has ended."""
        return {}


def relative_error(made_BCHW: Tensor, windows_BWCHW: Tensor, besides: float = LEAST_CHANGE) -> Tensor:
    """Return each moment's squared error over that of copying the last frame (and ``besides``), (B,)."""
    now, after = windows_BWCHW[:, 1], windows_BWCHW[:, 2]
    change = (after - now).square().mean((1, 2, 3))
    return (made_BCHW.float() - after).square().mean((1, 2, 3)) / (change + besides)


@torch.no_grad()
def code_figures(model: LatentActions, table: MomentTable, count: int, seed: int) -> dict[str, Any]:
    """Say whether codes carry information about the next frame, on up to ``count`` moments in which something changes.

    Mean error relative to copying the last frame (1 is as good as copying): with the true code (``error``), with the
    code of another moment (``shuffled``), and with the commonest code (``most_common``). ``shares`` is how often each
    code is used; ``informative`` whether the true code's error is clearly, a tenth, below both others.
    """
    device = next(model.parameters()).device
    changing = np.array([m for m in table.spread(4 * count) if _change(table, int(m)) > LEAST_CHANGE], np.int64)
    if len(changing) < 2:
        raise ValueError("nothing changes from frame to frame in the held-out video: there is nothing to learn from")
    moments = changing[np.unique(np.linspace(0, len(changing) - 1, min(count, len(changing))).astype(np.int64))]
    batches = [moments[i : i + _VAL_BATCH] for i in range(0, len(moments), _VAL_BATCH)]
    windows = [to_pixels(table.windows(batch, model.config.window)).to(device) for batch in batches]
    codes = torch.cat([model.code_of(model.bits(part)) for part in windows])
    counts = torch.bincount(codes, minlength=model.config.codes)
    other = codes[torch.from_numpy(np.random.default_rng(seed).permutation(len(codes))).to(device)]
    errors = {}
    for name, used in (("error", codes), ("shuffled", other), ("most_common", counts.argmax().expand(len(codes)))):
        parts = [
            relative_error(model.forward_network(part[:, :2], model.bits_of(used[i * _VAL_BATCH :][: len(part)])), part)
            for i, part in enumerate(windows)
        ]
        errors[name] = round(float(torch.cat(parts).mean()), 5)
    return {
        "n": len(moments),
        **errors,
        "codes_used": int((counts > 0).sum()),
        "shares": [round(share, 4) for share in (counts / counts.sum()).tolist()],
        "informative": errors["error"] < 0.9 * min(errors["shuffled"], errors["most_common"]),
    }


def _change(table: MomentTable, moment: int) -> float:
    """Return the mean squared change of the picture from a moment's frame to the next, values in [0, 1]."""
    at = table.at_M[moment]
    difference = table.frames_FHWC[at + 1].astype(np.float32) - table.frames_FHWC[at]
    return float(np.square(difference / 255).mean())
