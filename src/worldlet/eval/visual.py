"""How alike pictures and clips look: MS-SSIM, LPIPS and FVD, or stand-ins under names of their own.

LPIPS (Zhang et al. 2018) and FVD (Unterthiner et al. 2018) are distances between activations of *trained* networks,
whose weights are not ours to ship; those of LPIPS are fetched on demand (``worldlet setup lpips``), those of FVD are a
file that the user has. Where they are missing, two measures without weights take their place: GMSD (Xue et al. 2014),
and the Fréchet distance of activations of a fixed network of random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldlet.eval.looks import laplacian
from worldlet.eval.perceptual import SMALLEST, Lpips, weights_path

CLIP_LENGTH = 16
"""Frames of one clip whose activations are compared."""
MS_BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales of Wang et al. (2003), finest first."""
MS_WINDOW = 11
GMSD_C = 170.0
LPIPS_BACKBONE = "alexnet-owt-7be5be79.pth"

Frames = NDArray[np.uint8]
Pairwise = Callable[[Frames, Frames], list[float]]


def ms_ssim(seen_BHWC: Frames, real_BHWC: Frames) -> list[float]:
    """Return the multi-scale SSIM of each pair of uint8 frames, by torchmetrics, over as many scales as fit."""
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    betas = MS_BETAS[: scales(*real_BHWC.shape[1:3])]
    weights = tuple(beta / sum(betas) for beta in betas)
    seen, real = (torch.from_numpy(np.array(f)).permute(0, 3, 1, 2).float() for f in (seen_BHWC, real_BHWC))
    values = multiscale_structural_similarity_index_measure(
        seen, real, data_range=255.0, betas=weights, normalize="relu", reduction="none"
    )
    return [min(1.0, float(value)) for value in values]


def scales(height: int, width: int) -> int:
    """Return how many of the five scales of MS-SSIM fit into a frame: 4 for 128x128."""
    side, most = min(height, width), len(MS_BETAS)
    # The window must fit into the smallest scale; torchmetrics asks for a little more from four scales on.
    fitting = [n for n in range(1, most + 1) if min(side // 2 ** (n - 1), side // max(1, n - 1) ** 2) >= MS_WINDOW]
    if not fitting:
        raise ValueError(f"frames of {width}x{height} pixels are smaller than the window of MS-SSIM ({MS_WINDOW})")
    return fitting[-1]


def gmsd(seen_BHWC: Frames, real_BHWC: Frames) -> list[float]:
    """Return the gradient magnitude similarity deviation of each pair of frames: 0 where they are equal.

    Xue et al. (2014): luminance, halved by 2x2 means, Prewitt gradients; the deviation of their likeness over pixels.
    """
    values = []
    for seen_HWC, real_HWC in zip(seen_BHWC, real_BHWC, strict=True):
        seen_hw, real_hw = _gradient(seen_HWC), _gradient(real_HWC)
        likeness_hw = (2 * seen_hw * real_hw + GMSD_C) / (seen_hw**2 + real_hw**2 + GMSD_C)
        values.append(float(likeness_hw.std()))
    return values


def _gradient(frame_HWC: Frames) -> NDArray[np.float64]:
    """Return the gradient's magnitude of the halved luminance."""
    grey_HW = frame_HWC.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    height, width = (side // 2 * 2 for side in grey_HW.shape)
    halved_hw = grey_HW[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    padded = np.pad(halved_hw, 1, mode="edge")
    down = padded[:-2] + padded[1:-1] + padded[2:]
    across = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray(np.hypot(down[:, 2:] - down[:, :-2], across[2:] - across[:-2]) / 3)


class RandomFeatures:
    """Activations of clips under a fixed 3D convolutional network whose weights are random, never trained."""

    name = "frechet_random_3d"
    WIDTHS = (3, 24, 48)
    SIDE = 64

    def __call__(self, clips_NTHWC: Frames) -> NDArray[np.float64]:
        """Return the features (N, 48) of uint8 clips."""
        import torch
        from torch.nn import functional

        rng = np.random.default_rng(0)
        x = torch.from_numpy(clips_NTHWC).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        length, side = x.shape[2], self.SIDE
        with torch.inference_mode():
            x = functional.adaptive_avg_pool3d(x, (length, min(side, x.shape[3]), min(side, x.shape[4])))
            for width, wider in zip(self.WIDTHS, self.WIDTHS[1:], strict=False):
                scale = np.sqrt(2 / (27 * width))
                kernel = torch.from_numpy(rng.normal(0, scale, (wider, width, 3, 3, 3)).astype(np.float32))
                x = functional.relu(functional.conv3d(x, kernel, stride=2, padding=1))
        return x.mean(dim=(2, 3, 4)).double().numpy()


class VideoNetwork:
    """The standard feature network of FVD, an I3D as TorchScript, from a file that the user has.

    Called as ``network(clips (N, 3, T, H, W) in [0, 255], rescale=True, resize=True, return_features=True)``, the
    convention of the file that published FVD code shares (``i3d_torchscript.pt``).
    """

    name = "fvd"

    def __init__(self, path: Path) -> None:
        import warnings

        import torch

        if not path.is_file():
            raise ValueError(f"there is no feature network at {path}: give --fvd_network the TorchScript file of I3D")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the file that exists is TorchScript
                self._network: Any = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise ValueError(f"{path} is no TorchScript network: give --fvd_network that of I3D") from error

    def __call__(self, clips_NTHWC: Frames) -> NDArray[np.float64]:
        """Return the features (N, D) of uint8 clips."""
        import torch

        x = torch.from_numpy(clips_NTHWC).permute(0, 4, 1, 2, 3).float()
        with torch.inference_mode():
            features = self._network(x, rescale=True, resize=True, return_features=True)
        return np.asarray(features.flatten(1).double().numpy())


def frechet(seen_ND: NDArray[np.float64], real_ND: NDArray[np.float64]) -> float:
    """Return the Fréchet distance of two sets of features, taken as normal laws (Dowson and Landau 1982)."""
    spread_seen, spread_real = (np.atleast_2d(np.cov(side, rowvar=False)) for side in (seen_ND, real_ND))
    values, vectors = np.linalg.eigh(spread_seen)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ spread_real @ root), 0, None)).sum()
    apart = seen_ND.mean(axis=0) - real_ND.mean(axis=0)
    return max(0.0, float(apart @ apart + np.trace(spread_seen) + np.trace(spread_real) - 2 * shared))


@dataclass(frozen=True)
class Networks:
    """What judges likeness: ``perceptual`` pairs of frames under ``perceptual_name``, ``video`` clips."""

    perceptual_name: str = "gmsd"
    perceptual: Pairwise = gmsd
    video: RandomFeatures | VideoNetwork = field(default_factory=RandomFeatures)

    @property
    def names(self) -> tuple[str, str]:
        """The names under which their figures stand in a card."""
        return self.perceptual_name, self.video.name


def find_networks(fvd_network: Path | None = None, frame_size: tuple[int, int] = (SMALLEST, SMALLEST)) -> Networks:
    """Return LPIPS where its weights are there and frames are large enough, FVD's network where a file is given."""
    video = RandomFeatures() if fvd_network is None else VideoNetwork(fvd_network)
    lpips = _lpips() if min(frame_size) >= SMALLEST else None
    return Networks(video=video) if lpips is None else Networks("lpips", lpips, video)


def _lpips() -> Pairwise | None:
    """Return LPIPS with AlexNet: of its library where that works with weights that are here, or as set up; or None."""
    return _lpips_of_library() or (Lpips(weights_path()) if weights_path().is_file() else None)


def _lpips_of_library() -> Pairwise | None:
    """Return LPIPS as its library has it, None where the library or the weights are missing or do not work here."""
    if find_spec("lpips") is None:
        return None
    import torch

    if not (Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE).is_file():
        return None  # the library would download them
    try:
        import lpips  # type: ignore[import-not-found,unused-ignore]

        network = lpips.LPIPS(net="alex", verbose=False).eval()
    except (ImportError, RuntimeError, AttributeError):  # torchvision beside a CPU build of torch
        return None

    def distance(seen_BHWC: Frames, real_BHWC: Frames) -> list[float]:
        pair = (torch.from_numpy(np.array(f)).permute(0, 3, 1, 2).float() / 127.5 - 1 for f in (seen_BHWC, real_BHWC))
        with torch.inference_mode():
            return [float(value) for value in network(*pair).flatten()]

    return distance


def flicker(judge: Pairwise, seen_THWC: Frames, real_THWC: Frames) -> float:
    """Return how much the change from frame to frame differs from the real one, mean over T-1 steps.

    The temporal measure of Chu et al. (2020): | d(seen[t], seen[t+1]) - d(real[t], real[t+1]) |.
    """
    seen, real = (
        np.array(judge.steps(side) if isinstance(judge, Lpips) else judge(side[:-1], side[1:]))
        for side in (seen_THWC, real_THWC)
    )
    return float(np.abs(seen - real).mean())


def gain_sums(seen_HWC: Frames, real_HWC: Frames) -> tuple[float, float]:
    """Return sums of ``seen * real`` and of ``real * real``; their ratio is the factor that fits seen to real best.

    Pixels on a wrong scale (0 to 1 shown as 0 to 255, half as bright, too bright) move it away from 1.
    """
    seen, real = seen_HWC.astype(np.float64), real_HWC.astype(np.float64)
    return float((seen * real).sum()), float((real * real).sum())


def edge_sums(seen_HWC: Frames, real_HWC: Frames, mask_HW: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the sums of the luminance's Laplacian, in magnitude, over some pixels of both frames; blur lowers it."""
    seen, real = (float(laplacian(frame_HWC)[mask_HW].sum()) for frame_HWC in (seen_HWC, real_HWC))
    return seen, real


def clips(frames_THWC: Frames) -> list[Frames]:
    """Cut a run into clips that do not overlap; what is left at the end is dropped."""
    ends = range(CLIP_LENGTH, len(frames_THWC) + 1, CLIP_LENGTH)
    return [frames_THWC[end - CLIP_LENGTH : end] for end in ends]
