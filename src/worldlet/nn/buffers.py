"""Buffers that a state may lack: what was learned before it was stored stays."""

from typing import Any

from torch import nn


class OptionalBuffers(nn.Module):
    """A module whose buffers stay as they are where a state without them is loaded."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            if name not in self._non_persistent_buffers_set:
                state_dict.setdefault(prefix + name, buffer)
        super()._load_from_state_dict(state_dict, prefix, *others)
