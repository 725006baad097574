"""Quantizers behind one small face, latents in, codes and token ids out: a codebook of patches, EMA-VQ, FSQ.

The last two come from `vector-quantize-pytorch`, which only they need.
"""

import torch
from torch import Tensor, nn

FSQ_LEVELS = {1024: (8, 8, 4, 4), 2048: (8, 8, 8, 4), 4096: (8, 8, 8, 8)}


def nearest(z: Tensor, book_VC: Tensor) -> Tensor:
    """Index of the code nearest to each latent (..., C), by the formula that is exported."""
    return (2 * z @ book_VC.T - (book_VC**2).sum(-1)).argmax(-1)


class PatchCodebook(nn.Module):
    """Codes are patches of pixels, found by weighted k-means before training (`fit_codebook`) and then fixed."""

    def __init__(self, width: int, codebook_size: int):
        super().__init__()
        self.codebook_size = codebook_size
        self.codebook: Tensor
        self.register_buffer("codebook", torch.zeros(codebook_size, width))

    def forward(self, z_BNC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise: codes (B, N, C), tokens (B, N), and a loss of zero."""
        tokens = self.assign(z_BNC.float())
        return self.codes_of(tokens), tokens, z_BNC.new_zeros(())

    def assign(self, z_BNC: Tensor) -> Tensor:
        """Nearest code of each latent: tokens (B, N)."""
        return nearest(z_BNC, self.codebook)

    def codes_of(self, tokens_BN: Tensor) -> Tensor:
        """Codes (B, N, C) of tokens."""
        return self.codebook[tokens_BN]

    def revive(self, z_MC: Tensor, generator: torch.Generator, dead_below: float, most: int = 64) -> int:
        """Nothing to revive: the codebook is fixed."""
        return 0


class EmaVQ(nn.Module):
    """EMA vector quantisation (arXiv:1711.00937). Codes out of use are revived from the worst-served latents."""

    def __init__(self, width: int, codebook_size: int, decay: float = 0.99):
        super().__init__()
        from vector_quantize_pytorch import VectorQuantize

        self.vq = VectorQuantize(
            dim=width,
            codebook_size=codebook_size,
            decay=decay,
            commitment_weight=1.0,
            kmeans_init=True,
            kmeans_iters=8,
            threshold_ema_dead_code=0,
        )
        self.codebook_size = codebook_size

    @property
    def codebook(self) -> Tensor:
        """(V, width)."""
        book: Tensor = self.vq._codebook.embed[0]
        return book

    def forward(self, z_BNC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise: codes (B, N, C) with straight-through gradient, tokens (B, N), commitment loss."""
        with torch.autocast(z_BNC.device.type, enabled=False):
            codes, tokens, loss = self.vq(z_BNC.float())
        return codes, tokens, loss.sum()

    def assign(self, z_BNC: Tensor) -> Tensor:
        """Nearest code of each latent, by the formula that is exported: tokens (B, N)."""
        return nearest(z_BNC, self.codebook)

    def codes_of(self, tokens_BN: Tensor) -> Tensor:
        """Codes (B, N, C) of tokens."""
        return self.codebook[tokens_BN]

    @torch.no_grad()
    def revive(self, z_MC: Tensor, generator: torch.Generator, dead_below: float, most: int = 64) -> int:
        """Move codes used less than `dead_below` times a batch to latents (M, C) far from any; returns how many."""
        book = self.vq._codebook
        dead = (book.cluster_size[0] < dead_below).nonzero().flatten()[: min(most, len(z_MC))]
        if not len(dead):
            return 0
        distance = torch.cdist(z_MC.float(), self.codebook).amin(-1)
        chosen = torch.multinomial(distance**2 + 1e-12, len(dead), generator=generator)
        book.embed.data[0, dead] = z_MC[chosen].float()
        book.embed_avg.data[0, dead] = z_MC[chosen].float()
        book.cluster_size.data[0, dead] = 1.0
        return len(dead)


class FiniteSQ(nn.Module):
    """Finite scalar quantisation (arXiv:2309.15505): no codebook to learn, every code in reach."""

    def __init__(self, width: int, codebook_size: int):
        super().__init__()
        if codebook_size not in FSQ_LEVELS:
            raise ValueError(f"fsq knows codebook sizes {sorted(FSQ_LEVELS)}, not {codebook_size}")
        from vector_quantize_pytorch import FSQ

        self.codebook_size = codebook_size
        self.fsq = FSQ(levels=list(FSQ_LEVELS[codebook_size]), dim=width)

    @property
    def codebook(self) -> Tensor:
        """(V, width): every code after the projection back."""
        return self.codes_of(torch.arange(self.codebook_size, device=self.fsq.project_in.weight.device)[None])[0]

    def forward(self, z_BNC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise: codes (B, N, C), tokens (B, N), and a loss of zero."""
        with torch.autocast(z_BNC.device.type, enabled=False):
            codes, tokens = self.fsq(z_BNC.float())
        return codes, tokens, z_BNC.new_zeros(())

    def assign(self, z_BNC: Tensor) -> Tensor:
        """Tokens (B, N)."""
        tokens: Tensor = self.fsq(z_BNC)[1]
        return tokens.long()

    def codes_of(self, tokens_BN: Tensor) -> Tensor:
        """Codes (B, N, C) of tokens."""
        codes: Tensor = self.fsq.indices_to_codes(tokens_BN)
        return codes

    def revive(self, z_MC: Tensor, generator: torch.Generator, dead_below: float, most: int = 64) -> int:
        """Nothing to revive: no code can die."""
        return 0
