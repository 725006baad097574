"""The dynamics on its own predictions: what training disturbs, feeds back, and lets run free.

All of it draws from torch's global generator. Shapes: `tokens_BTN` frames 0..T, `actions_BT` of which `[:, t]` leads
from frame t to t + 1, `prompt_BD`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldlet.dynamics import Dynamics, Features
from worldlet.dynamics.sampling import around, least_shares, next_frame, sample
from worldlet.train.windows import Cut


class Compiled:
    """What `rollout_features` asks of a dynamics, its step compiled: the same weights, the same numbers but rounding.

    The average of the weights, a deep copy of the network, is not touched by it.
    """

    def __init__(self, model: Dynamics) -> None:
        self.config, self.features, self.head = model.config, model.features, model.head
        self.step_features = torch.compile(model.step_features, dynamic=False)


def disturb(tokens_BTN: Tensor, most: float) -> Tensor:
    """Replace some tokens: half of them by others of the same frame, half by others of the batch.

    Each clip draws its own share below `most`.
    """
    b, t, n = tokens_BTN.shape
    share = torch.rand(b, 1, 1, device=tokens_BTN.device) * most
    hit = torch.rand(tokens_BTN.shape, device=tokens_BTN.device) < share
    own = tokens_BTN.gather(-1, torch.randint(n, (b, t, n), device=tokens_BTN.device))
    other = tokens_BTN.flatten()[torch.randint(tokens_BTN.numel(), (b, t, n), device=tokens_BTN.device)]
    return torch.where(hit, torch.where(torch.rand_like(share.expand(b, t, n)) < 0.5, own, other), tokens_BTN)


def hide(tokens_BTN: Tensor, mobile_BTN: Tensor, share: float, first: int = 3, most: int = 6) -> Tensor:
    """Take away all that moves (`mobile`) for 1 to `most` frames of some clips, as a dream may lose it.

    A `share` of the clips is hit, from a random frame on, but not before frame `first`: each hidden cell shows what it
    held in the nearest frame in which nothing moved there. What is lost must then be brought back from memory.
    """
    b, t, n = tokens_BTN.shape
    if t <= first or not share:
        return tokens_BTN
    device = tokens_BTN.device
    hit_B, start_B = torch.rand(b, device=device) < share, torch.randint(first, t, (b,), device=device)
    end_B = start_B + torch.randint(1, most + 1, (b,), device=device)
    time_T = torch.arange(t, device=device)
    away_BTN = (time_T - start_B[:, None]).abs()[..., None] + 2 * t * mobile_BTN
    nearest_B1N = away_BTN.argmin(1, keepdim=True)
    behind_B1N = tokens_BTN.gather(1, nearest_B1N)
    known_B1N = ~mobile_BTN.gather(1, nearest_B1N)
    during_BT = hit_B[:, None] & (time_T >= start_B[:, None]) & (time_T < end_B[:, None])
    return torch.where(during_BT[..., None] & mobile_BTN & known_B1N, behind_B1N, tokens_BTN)


def rollout_features(
    model: Dynamics,
    tokens_BTN: Tensor,
    seen_BTN: Tensor,
    actions_BT: Tensor,
    prompt_BD: Tensor,
    mobile_BTN: Tensor,
    moves_BT: Tensor,
    steps: int,
    doubt: float,
    cut: Cut | None = None,
) -> Features:
    """Features of (B, T, N) cells of a clip whose last `steps` frames the model sees through its own predictions.

    `seen_BTN` (T frames) is what it sees before them. Fed back are all cells where something moves (`mobile_BTN`), now
    or next, and their neighbours; elsewhere only what the model is wrong about and sure of, the truth being less than
    `doubt` times as likely to it as its first choice. New terrain, which may rightly differ, thus stays as it was, and
    so do the cells of a `window` that are not inner. `moves_BT[:, t]` says whether the whole picture moves from frame t
    to t + 1.
    """
    steps = min(steps, actions_BT.shape[1] - 1)
    known = actions_BT.shape[1] - steps
    ph, pw = model.config.patch
    window = cut and cut.window
    grid = (window.size[0] * ph, window.size[1] * pw) if window else model.config.grid
    features, state = model.features(seen_BTN[:, :known], actions_BT[:, :known], prompt_BD, window)
    parts, last = [features], features.at((slice(None), -1))
    for t in range(known, known + steps):
        guess_BN, sure_BN = _draw(model, last, moves_BT[:, t - 1], tokens_BTN[:, t], doubt, cut)
        fed_back_BN = around(mobile_BTN[:, t - 1] | mobile_BTN[:, t], grid) | sure_BN
        if cut is not None:
            fed_back_BN = fed_back_BN & cut.inner_BN
        current_BN = torch.where(fed_back_BN, guess_BN, tokens_BTN[:, t])
        last, state = model.step_features(state, current_BN, actions_BT[:, t], prompt_BD, window)
        parts.append(last.at((slice(None), None)))
    return Features.join(parts, 1)


def free_run(model: Dynamics, tokens_BTN: Tensor, actions_BT: Tensor, prompt_BD: Tensor, context: int) -> Tensor:
    """Dream on from frame `context` of a clip under its actions: tokens (B, T - context + 1, N).

    The first is the last true frame, the others are dreamed; `context` true frames before it warm the state up.
    """
    state = model.init_state(len(tokens_BTN))
    for t in range(context):
        _, state = model.step(state, tokens_BTN[:, t], actions_BT[:, t], prompt_BD)
    current_BN = tokens_BTN[:, context]
    frames = [current_BN]
    for t in range(context, actions_BT.shape[1]):
        noise_BN = torch.rand_like(current_BN, dtype=torch.float32)
        current_BN, state = next_frame(model, state, current_BN, actions_BT[:, t], prompt_BD, noise_BN)
        frames.append(current_BN)
    return torch.stack(frames, 1)


def _draw(
    model: Dynamics, features: Features, moves_B: Tensor, truth_BN: Tensor, doubt: float, cut: Cut | None
) -> tuple[Tensor, Tensor]:
    """Draw the next frame's tokens (B, N) without a gradient; and whether the model holds the truth for unlikely.

    Each cell is drawn by itself, and neighbours need not fit: harder than play.
    """
    with torch.no_grad():
        logits_BNV = model.head(features).float()
    noise_BN = torch.rand(truth_BN.shape, device=truth_BN.device)
    behind_BN = logits_BNV.gather(-1, truth_BN[..., None])[..., 0] - logits_BNV.amax(-1)
    least_BN = least_shares(model.config, moves_B[:, None])
    if cut is not None and isinstance(least_BN, Tensor):
        least_BN = least_BN.gather(1, cut.cells_BN)
    return sample(logits_BNV, noise_BN, least_BN), behind_BN.exp() < doubt
