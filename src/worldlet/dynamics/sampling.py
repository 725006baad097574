"""The only sampler: training rollouts, evaluation and the exported graph all call `next_frame`."""

import torch
from torch import Tensor

from worldlet.dynamics.base import Dynamics, State

CANDIDATES = 16
MIN_P = 0.2


def sample(logits_BNV: Tensor, noise_BN: Tensor, min_p: float = MIN_P) -> Tensor:
    """Draw tokens (B, N) by inverse transform of uniform noise in [0, 1).

    Only the 16 likeliest codes take part, and of these those at least `min_p` times as likely as the first (min-p
    sampling, arXiv:2407.01082): a near certain future is taken, and where several are open each gets its share.

    Cells that hesitate between exactly two codes share the frame's first noise number instead of drawing their own:
    such cells mostly hang together (the hero is here or there), and with the likelier code first, one number below or
    above it takes the same side everywhere. Every cell keeps its own probabilities.
    """
    top, codes = logits_BNV.float().topk(min(CANDIDATES, logits_BNV.shape[-1]), -1)
    relative = (top - top[..., :1]).exp()
    weight = torch.where(relative >= min_p, relative, torch.zeros_like(relative))
    in_two_minds = (weight > 0).sum(-1) == 2
    noise = torch.where(in_two_minds, noise_BN[:, :1], noise_BN)
    reached = weight.cumsum(-1)
    chosen = (reached <= noise[..., None] * reached[..., -1:]).sum(-1, keepdim=True)
    return codes.gather(-1, chosen.clamp_max(codes.shape[-1] - 1))[..., 0]


def next_frame(
    model: Dynamics, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor, noise_BN: Tensor
) -> tuple[Tensor, State]:
    """One dreamed frame: tokens (B, N) of the next frame and the new state."""
    logits, after = model.step(state, tokens_BN, action_B, prompt_BD)
    return sample(logits, noise_BN), after
