"""The tokenizer: a patch-local encoder, a quantizer, a progressive convolutional decoder.

The encoder sees only the pixels of its own patch, so a token changes only where the picture does; the decoder sees its neighbours.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.nn.blocks import ResBlock, Upsample
from worldlet.tokenizer.quantize import EmaVQ, FiniteSQ


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of the tokenizer."""

    frame_size: tuple[int, int] = (128, 128)
    """Height and width of a frame in pixels; multiples of 8."""
    quantizer: Literal["vq", "fsq"] = "vq"
    """EMA vector quantisation or finite scalar quantisation."""
    codebook_size: int = 1024
    """Number of codes."""
    code_width: int = 32
    """Channels of a code."""
    encoder_width: int = 256
    """Channels inside the patch-local encoder."""
    decoder_width: int = 128
    """Channels of the decoder at the token grid; half of it at twice the resolution, a quarter at four times."""
    decoder_blocks: int = 2
    """Residual blocks at the token grid."""

    def __post_init__(self) -> None:
        if any(side % 8 or side < 8 for side in self.frame_size):
            raise ValueError(f"frame_size is {self.frame_size}: height and width must be multiples of 8")

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens down and across: one for each 8x8 pixels."""
        return self.frame_size[0] // 8, self.frame_size[1] // 8


class Encoder(nn.Module):
    """Pixel unshuffle by 8, then three 1x1 convolutions: frames (B, 3, H, W) in [0, 1] -> latents (B, h, w, C)."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        width = config.encoder_width
        self.layers = nn.Sequential(nn.Conv2d(192, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, config.code_width, 1))

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """Latents, channels last."""
        return self.layers(F.pixel_unshuffle(frames_BCHW * 2 - 1, 8)).permute(0, 2, 3, 1)


class Decoder(nn.Module):
    """Codes (B, h, w, C) -> frames (B, 3, 8h, 8w), not clamped: residual blocks at the grid, then three doublings, plus a direct path from the grid to pixels."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        width = config.decoder_width
        self.inputs = nn.Conv2d(config.code_width, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResBlock(width) for _ in range(config.decoder_blocks)))
        self.direct = nn.Conv2d(width, 192, 1)
        self.progressive = nn.Sequential(Upsample(width, width // 2), ResBlock(width // 2), Upsample(width // 2, width // 4), Upsample(width // 4, 3))

    def forward(self, codes_BhwC: Tensor) -> Tensor:
        """Frames in about [0, 1]."""
        x = self.blocks(self.inputs(codes_BhwC.permute(0, 3, 1, 2)))
        return F.pixel_shuffle(self.direct(F.relu(x)), 8) + self.progressive(x) + 0.5


class Tokenizer(nn.Module):
    """Frames <-> grids of token ids."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = (EmaVQ if config.quantizer == "vq" else FiniteSQ)(config.code_width, config.codebook_size)
        self.decoder = Decoder(config)

    def latents(self, frames_BCHW: Tensor) -> Tensor:
        """Latents before quantisation: (B, h*w, C)."""
        return self.encoder(frames_BCHW).flatten(1, 2)

    def forward(self, frames_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For training, on frames or crops of any multiple of 8 pixels: reconstruction (B, 3, H, W), tokens (B, h*w), quantizer loss."""
        grid = frames_BCHW.shape[-2] // 8, frames_BCHW.shape[-1] // 8
        codes, tokens, loss = self.quantizer(self.latents(frames_BCHW))
        return self.decoder(codes.unflatten(1, grid)), tokens, loss

    def encode(self, frames_BCHW: Tensor) -> Tensor:
        """Frames in [0, 1] -> tokens (B, h, w) int64, always in float32 unless autocast is forced from outside the encoder.

        Raises:
            ValueError: if the frames are not of the configured size.
        """
        if frames_BCHW.shape[-2:] != torch.Size(self.config.frame_size):
            raise ValueError(f"frames are {tuple(frames_BCHW.shape[-2:])} pixels, this tokenizer wants {self.config.frame_size}")
        with torch.autocast(frames_BCHW.device.type, enabled=False):
            return self.quantizer.assign(self.latents(frames_BCHW.float())).unflatten(1, self.config.grid)

    def decode(self, tokens_BHW: Tensor) -> Tensor:
        """Tokens (B, h, w) -> frames (B, 3, H, W) in [0, 1]."""
        return self.decoder(self.quantizer.codes_of(tokens_BHW.flatten(1)).unflatten(1, self.config.grid)).clamp(0, 1)
