"""Between the stages: the recorded frames as tokens, encoded once for each tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from worldlet.data.clips import TokenTable, event_weights
from worldlet.data.shards import read_episodes
from worldlet.tokenizer import Tokenizer

EVENT_BOOSTS = {"death": 3.0, "coin": 1.0, "stomp": 8.0, "knock": 8.0, "respawn": 2.0}
"""How much likelier clips begin shortly before an event, so that rare ones are seen often enough."""


def build_tokens(tokenizer: Tokenizer, data: str | Path, split: str, path: Path) -> TokenTable:
    """Return the token table of a split of `data`, encoded at the first call and kept at `path`.

    Raises ValueError for a damaged data folder or table.
    """
    if path.exists():
        return TokenTable.load(path)
    table = TokenTable.build(
        read_episodes(data, split),
        lambda frames_THWC: encode_frames(tokenizer, frames_THWC),
        tokenizer.config.grid,
        lambda episode: event_weights(episode, EVENT_BOOSTS),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.save(path)
    return table


@torch.no_grad()
def encode_frames(tokenizer: Tokenizer, frames_THWC: NDArray[np.uint8], size: int = 128) -> NDArray[np.int64]:
    """Return tokens int64 (T, h, w) of uint8 frames, `size` frames at a time: what `Tokenizer.encode` gives, quicker.

    The encoder is patch-local, so each distinct patch is encoded once.
    """
    device = next(tokenizer.parameters()).device
    (h, w), side, width = tokenizer.config.grid, tokenizer.config.patch_size, tokenizer.config.patch_width
    parts = []
    for first in range(0, len(frames_THWC), size):
        part = frames_THWC[first : first + size]
        rows = np.ascontiguousarray(part.reshape(len(part), h, side, w, side, 3).swapaxes(2, 3)).reshape(-1, width)
        found, which = np.unique(rows.view(f"V{width}").ravel(), return_inverse=True)
        patches_MHWC = torch.from_numpy(found.view(np.uint8).reshape(-1, side, side, 3)).to(device)
        patches_MCHW = patches_MHWC.permute(0, 3, 1, 2).float() / 255
        with torch.autocast(device.type, enabled=False):
            tokens_M = tokenizer.quantizer.assign(tokenizer.latents(patches_MCHW))[:, 0].cpu().numpy()
        parts.append(tokens_M[which].reshape(len(part), h, w))
    return np.concatenate(parts)
