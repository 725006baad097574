"""The contract of every dynamics family, and the configuration that chooses one.

Letters: B batch, T time, N tokens of a frame row by row, V codebook size, D prompt width, E width of the features
before the last matrix. Position t predicts the tokens of frame t + 1 from frames and actions up to t. The state is a
dict of tensors (B, ...), zeros at the start.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from worldlet.dynamics.neighbours import Neighbours
from worldlet.dynamics.presence import Presence

State = dict[str, Tensor]


class Features(NamedTuple):
    """What the last matrix sees of cells: `values` (..., E), and `nearby` (..., K) int64.

    `nearby` holds the tokens now around each cell, which the next one may copy, and -1 beyond the edge.
    """

    values: Tensor
    nearby: Tensor

    def at(self, index: Any) -> "Features":
        """The cells that an index or a mask over the leading dimensions picks."""
        return Features(self.values[index], self.nearby[index])

    @staticmethod
    def join(parts: "list[Features]", dim: int) -> "Features":
        """Parts one after another along a leading dimension."""
        return Features(torch.cat([p.values for p in parts], dim), torch.cat([p.nearby for p in parts], dim))


class Window(NamedTuple):
    """A part of every frame, in patches: `size` down and across, and each clip's own top left `corner_B2`.

    A corner is (row, column). Training looks at windows around what moves; play always sees the whole frame.
    """

    size: tuple[int, int]
    corner_B2: Tensor


@dataclass(frozen=True)
class DynamicsConfig:
    """Sizes of the dynamics. ValueError where they do not divide as they must."""

    grid: tuple[int, int] = (16, 16)
    """Tokens down and across; training takes them from the tokenizer."""
    codebook_size: int = 1024
    """Number of codes; training takes the tokenizer's."""
    actions: int = 8
    """Number of actions; training takes it from the data."""
    prompt_width: int = 16
    """Length of the prompt vector."""
    family: Literal["mamba"] = "mamba"
    """Which network."""
    conditioning: Literal["film", "add"] = "film"
    """How the action enters: scales and shifts in every block, or added once at the input."""
    wiring: Literal["position", "raster"] = "position"
    """A state space of its own for every position, or one that runs over the raster of all positions of all frames."""
    width: int = 256
    """Channels."""
    depth: int = 3
    """Blocks."""
    heads: int = 4
    """Attention heads."""
    ssm_heads: int = 8
    """State space heads."""
    state_size: int = 4
    """State of a channel."""
    mlp_ratio: int = 2
    """Hidden channels of the feed-forward layer over its input's."""
    patch: tuple[int, int] = (2, 2)
    """Tokens that share a position, down and across; divides the grid."""
    token_width: int = 48
    """Channels of a token's embedding."""
    feature_width: int = 96
    """Channels of a token's features before the last matrix."""
    copy_reach: int = 2
    """Cells up, down and sideways from which the next token may be copied outright, as when the picture scrolls."""
    min_p: float = 0.7
    """Inside the picture, a code takes part in the draw if it is at least so many times as likely as the first: what a
    past decides is taken, and only what is as good as equally likely is left to chance."""
    edge_min_p: float = 0.01
    """The same in the outermost cells, where the picture moves as a whole or, with `settle`, nothing that moves is
    near. What comes into view there is chance where a token is a thing (a whole tile); where tokens are far smaller
    than things, independent chances make noise: `min_p` then."""
    settle: bool = True
    """Whether a hero who is known to be there gets a cell, and tokens drawn apart are made to fit their neighbours:
    worth its time where a token is a thing, and none of it where tokens are far smaller."""

    def __post_init__(self) -> None:
        for name in ("heads", "ssm_heads"):
            if self.width % getattr(self, name):
                raise ValueError(f"{name} is {getattr(self, name)}: it must divide the width {self.width}")
        if self.grid[0] % self.patch[0] or self.grid[1] % self.patch[1]:
            raise ValueError(f"patch {self.patch} must divide the grid {self.grid}")
        if not (0 < self.min_p <= 1 and 0 < self.edge_min_p <= 1):
            raise ValueError(f"min_p {self.min_p} and edge_min_p {self.edge_min_p} must lie in (0, 1]")
        if self.copy_reach < 0:
            raise ValueError(
                f"copy_reach is {self.copy_reach}: it must be at least 0, which copies the cell itself alone"
            )

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.grid[0] * self.grid[1]


class Dynamics(Protocol):
    """What training, sampling, evaluation and export ask of a family."""

    config: DynamicsConfig
    neighbours: Neighbours
    """Which codes stand side by side; a buffer, learned from the tokens that the network is trained on."""
    presence: Presence
    """Which codes move about, the hero's among them; buffers, learned from the same tokens."""

    def forward(self, tokens_BTN: Tensor, actions_BT: Tensor, prompt_BD: Tensor) -> Tensor:
        """Logits (B, T, N, V) of the next frame at every position, in parallel."""
        ...

    def features(
        self, tokens_BTN: Tensor, actions_BT: Tensor, prompt_BD: Tensor, window: Window | None = None
    ) -> tuple[Features, State]:
        """Features (B, T, N, ...) before the last matrix, and the state after the last frame.

        With a `window`, N counts the tokens inside it.
        """
        ...

    def head(self, features: Features) -> Tensor:
        """The last matrix, and what is copied: features of cells (...) -> logits (..., V)."""
        ...

    def init_codes(self, codes_VC: Tensor) -> None:
        """Begin with embeddings in which codes that look alike lie close; takes the tokenizer's codebook (V, C)."""
        ...

    def init_state(self, batch: int) -> State:
        """All zeros."""
        ...

    def step(self, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor) -> tuple[Tensor, State]:
        """Logits (B, N, V) of the next frame, and the state that knows the current one."""
        ...

    def step_features(
        self, state: State, tokens_BN: Tensor, action_B: Tensor, prompt_BD: Tensor, window: Window | None = None
    ) -> tuple[Features, State]:
        """`step` before the last matrix: features (B, N, ...)."""
        ...


def build_dynamics(config: DynamicsConfig) -> Dynamics:
    """The network of the configured family."""
    from worldlet.dynamics.mamba import Mamba

    return {"mamba": Mamba}[config.family](config)
