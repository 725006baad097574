"""Training of latent actions: frames only; each moment teaches the code under which its next frame is made best."""

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
    temperature: float = 0.01
    """Relative error by which a code may be worse than the best and still learn from a moment about as much."""
    val_moments: int = 256
    """Held-out moments of a validation."""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.val_moments) < 2 or not 0 <= self.hide_past <= 1:
            raise ValueError("batch_size and val_moments must be at least 2, hide_past in [0, 1]")
        if self.temperature <= 0:
            raise ValueError("temperature must be greater than 0")


class LatentStage:
    """Latent actions as a stage of the training loop.

    The error of each moment is taken relative to how much its picture changes, so that a scrolling picture counts no
    more than a small thing that moves; a typical change is added, so that pictures that stand still do not count most.
    """

    name = "latent"
    measure = "squared error"

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
        """The networks, and the codes' kernels: few numbers that have a long way to go."""
        kernels = self.model.forward_network.kernels
        networks = [parameter for parameter in self.module.parameters() if parameter is not kernels]
        return [{"params": networks}, {"params": [kernels], "lr_scale": 10.0, "weight_decay": 0.0}]

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Relative squared error of the batch of `step` under the codes that fit it best, and how many those are."""
        moments = self.train.draw(step, self.config.batch_size, self.seed, self._evenly)
        windows = to_pixels(self.train.windows(moments, self.model.config.window)).to(self.device)
        hidden = torch.rand(len(windows), device=self.device) < self.config.hide_past
        before = torch.where(hidden[:, None, None, None], windows[:, 1], windows[:, 0])
        seen = torch.cat([before[:, None], windows[:, 1:]], 1)
        errors_BK = self.model.errors(seen) / (change_of(windows) + self._typical + LEAST_CHANGE)[:, None]
        shares_BK = (-errors_BK.detach() / self.config.temperature).softmax(1)
        error = (shares_BK * errors_BK).sum(1).mean()
        return error, {"error": float(error.detach()), "codes": len(errors_BK.argmin(1).unique())}

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


def change_of(windows_BWCHW: Tensor) -> Tensor:
    """Return each moment's mean squared change from frame t to t + 1, which is the error of copying the last frame."""
    return (windows_BWCHW[:, 2] - windows_BWCHW[:, 1]).square().mean((1, 2, 3))


@torch.no_grad()
def code_figures(model: LatentActions, table: MomentTable, count: int, seed: int) -> dict[str, Any]:
    """Say whether codes carry information about the next frame, on up to ``count`` moments in which something changes.

    Mean error relative to copying the last frame (1 is as good as copying): with the true code (``error``), with the
    code of another moment (``shuffled``), and with the commonest code (``most_common``). ``shares`` is how often each
    code is used; ``informative`` whether the true code's error is below that of copying, and clearly, a tenth, below
    both others.
    """
    device = next(model.parameters()).device
    changing = np.array([m for m in table.spread(4 * count) if _change(table, int(m)) > LEAST_CHANGE], np.int64)
    if len(changing) < 2:
        raise ValueError("nothing changes from frame to frame in the held-out video: there is nothing to learn from")
    moments = changing[np.unique(np.linspace(0, len(changing) - 1, min(count, len(changing))).astype(np.int64))]
    batches = [moments[i : i + _VAL_BATCH] for i in range(0, len(moments), _VAL_BATCH)]
    parts = []
    for batch in batches:
        windows = to_pixels(table.windows(batch, model.config.window)).to(device)
        parts.append(model.errors(windows) / (change_of(windows) + LEAST_CHANGE)[:, None])
    errors_MK = torch.cat(parts)
    codes = errors_MK.argmin(1)
    counts = torch.bincount(codes, minlength=model.config.codes)
    other = codes[torch.from_numpy(np.random.default_rng(seed).permutation(len(codes))).to(device)]
    used = {"error": codes, "shuffled": other, "most_common": counts.argmax().expand(len(codes))}
    errors = {name: round(float(errors_MK.gather(1, of[:, None]).mean()), 5) for name, of in used.items()}
    return {
        "n": len(moments),
        **errors,
        "codes_used": int((counts > 0).sum()),
        "shares": [round(share, 4) for share in (counts / counts.sum()).tolist()],
        "informative": errors["error"] < min(1.0, 0.9 * min(errors["shuffled"], errors["most_common"])),
    }


def _change(table: MomentTable, moment: int) -> float:
    """Return the mean squared change of the picture from a moment's frame to the next, values in [0, 1]."""
    at = table.at_M[moment]
    difference = table.frames_FHWC[at + 1].astype(np.float32) - table.frames_FHWC[at]
    return float(np.square(difference / 255).mean())
