"""The tokenizer: a patch-local encoder, a quantizer, a progressive convolutional decoder.

The encoder sees only the pixels of its own patch (8x8, unless told otherwise), so a token changes only where the
picture does; the decoder sees its neighbours. With the quantizer `patch` a code *is* a patch of pixels, and the decoder
learns only what they add.
"""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldlet.nn.blocks import ResBlock, Upsample
from worldlet.tokenizer.quantize import EmaVQ, FiniteSQ, PatchCodebook


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes of the tokenizer."""

    frame_size: tuple[int, int] = (128, 128)
    """Height and width of a frame in pixels, multiples of `patch_size`; training takes them from the data."""
    patch_size: int = 8
    """Side in pixels of the patch that a token stands for: 2, 4, 8 or 16."""
    quantizer: Literal["patch", "vq", "fsq"] = "patch"
    """A codebook of patches, EMA vector quantisation, or finite scalar quantisation."""
    codebook_size: int = 2048
    """Number of codes."""
    code_width: int = 32
    """Channels of a code, unless codes are patches."""
    encoder_width: int = 256
    """Channels inside the patch-local encoder."""
    decoder_width: int = 128
    """Channels of the decoder at the token grid; half of it at twice the resolution, then a quarter, and so on."""
    decoder_blocks: int = 2
    """Residual blocks at the token grid."""

    def __post_init__(self) -> None:
        if self.patch_size not in (2, 4, 8, 16):
            raise ValueError(f"patch_size is {self.patch_size}: it must be 2, 4, 8 or 16")
        if any(side % self.patch_size or side < self.patch_size for side in self.frame_size):
            raise ValueError(
                f"frame_size is {self.frame_size}: height and width must be multiples of patch_size, {self.patch_size}"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens down and across: one for each patch."""
        return self.frame_size[0] // self.patch_size, self.frame_size[1] // self.patch_size

    @property
    def patch_width(self) -> int:
        """Numbers in a patch of pixels."""
        return 3 * self.patch_size**2

    @property
    def latent_width(self) -> int:
        """Channels of a latent and of a code."""
        return self.patch_width if self.quantizer == "patch" else self.code_width


class Encoder(nn.Module):
    """Frames (B, 3, H, W) in [0, 1] -> latents (B, h, w, C): pixel unshuffle, then three 1x1 convolutions.

    Where codes are patches there is nothing to convolve: the latent is the patch, in [-1, 1].
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        width = config.encoder_width
        self.patch_size = config.patch_size
        self.layers = (
            nn.Identity()
            if config.quantizer == "patch"
            else nn.Sequential(
                nn.Conv2d(config.patch_width, width, 1),
                nn.ReLU(),
                nn.Conv2d(width, width, 1),
                nn.ReLU(),
                nn.Conv2d(width, config.code_width, 1),
            )
        )

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """Latents, channels last."""
        return self.layers(F.pixel_unshuffle(frames_BCHW * 2 - 1, self.patch_size)).permute(0, 2, 3, 1)


class Decoder(nn.Module):
    """Codes (B, h, w, C) -> frames (B, 3, H, W), not clamped.

    Residual blocks at the grid, then doublings up to pixels, plus a direct path from the grid to pixels.
    """

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        width = config.decoder_width
        self.codes_are_patches = config.quantizer == "patch"
        self.patch_size = config.patch_size
        self.inputs = nn.Sequential(
            nn.Conv2d(config.latent_width, width // 2, 1), nn.Conv2d(width // 2, width, 3, padding=1)
        )
        self.blocks = nn.Sequential(*(ResBlock(width) for _ in range(config.decoder_blocks)))
        self.direct = nn.Conv2d(width, config.patch_width, 1)
        doublings = config.patch_size.bit_length() - 1
        widths = [*(width >> i for i in range(doublings)), 3]
        steps: list[nn.Module] = [Upsample(widths[i], widths[i + 1]) for i in range(doublings)]
        if doublings > 1:
            steps.insert(1, ResBlock(widths[1]))
        self.progressive = nn.Sequential(*steps)
        if self.codes_are_patches:  # begin as the plain look-up of patches
            for last in (self.direct, cast(Upsample, self.progressive[-1]).conv):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(cast(Tensor, last.bias))

    def forward(self, codes_BhwC: Tensor) -> Tensor:
        """Frames in about [0, 1]."""
        codes = codes_BhwC.permute(0, 3, 1, 2)
        x = self.blocks(self.inputs(codes))
        plain = F.pixel_shuffle(codes, self.patch_size) / 2 if self.codes_are_patches else 0.0
        return F.pixel_shuffle(self.direct(F.relu(x)), self.patch_size) + self.progressive(x) + 0.5 + plain


_QUANTIZERS = {"patch": PatchCodebook, "vq": EmaVQ, "fsq": FiniteSQ}


class Tokenizer(nn.Module):
    """Frames <-> grids of token ids."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = _QUANTIZERS[config.quantizer](config.latent_width, config.codebook_size)
        self.decoder = Decoder(config)

    def latents(self, frames_BCHW: Tensor) -> Tensor:
        """Latents before quantisation: (B, h*w, C)."""
        return self.encoder(frames_BCHW).flatten(1, 2)

    def forward(self, frames_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For training, on frames or crops of any multiple of the patch size.

        Returns the reconstruction (B, 3, H, W), not clamped, tokens (B, h*w), and the quantizer's own loss.
        """
        side = self.config.patch_size
        grid = frames_BCHW.shape[-2] // side, frames_BCHW.shape[-1] // side
        codes, tokens, loss = self.quantizer(self.latents(frames_BCHW))
        return self.decoder(codes.unflatten(1, grid)), tokens, loss

    def encode(self, frames_BCHW: Tensor) -> Tensor:
        """Frames in [0, 1] -> tokens (B, h, w) int64; in float32 whatever autocast is on.

        Raises:
            ValueError: if the frames are not of the configured size.
        """
        if frames_BCHW.shape[-2:] != torch.Size(self.config.frame_size):
            raise ValueError(
                f"frames are {tuple(frames_BCHW.shape[-2:])} pixels, this tokenizer wants {self.config.frame_size}"
            )
        with torch.autocast(frames_BCHW.device.type, enabled=False):
            return self.quantizer.assign(self.latents(frames_BCHW.float())).unflatten(1, self.config.grid)

    def decode(self, tokens_BHW: Tensor) -> Tensor:
        """Tokens (B, h, w) -> frames (B, 3, H, W) in [0, 1]."""
        return self.decoder(self.quantizer.codes_of(tokens_BHW.flatten(1)).unflatten(1, self.config.grid)).clamp(0, 1)
