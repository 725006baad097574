"""Likeness of pictures and clips: against libraries and by hand, and no measure under another's name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from worldlet.eval import visual
from worldlet.eval.likeness import Likeness
from worldlet.eval.visual import Networks, RandomFeatures, find_networks, flicker, frechet, gmsd, ms_ssim, scales


def noisy(frames: np.ndarray, spread: int, seed: int = 0) -> np.ndarray:
    change = np.random.default_rng(seed).integers(-spread, spread + 1, frames.shape)
    return np.clip(frames + change, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Four frames of squares on a gradient."""
    ramp = np.add.outer(np.arange(96), np.arange(96)).astype(np.uint8)
    picture = np.stack([ramp, ramp // 2, 255 - ramp], axis=-1)
    rows = []
    for t in range(4):
        frame = picture.copy()
        frame[20:50, 10 + 4 * t : 40 + 4 * t] = (250, 40, 90)
        rows.append(frame)
    return np.stack(rows)


def test_ms_ssim_takes_as_many_scales_as_fit(frames: np.ndarray) -> None:
    assert [scales(*size) for size in ((256, 256), (128, 128), (96, 128), (12, 24))] == [5, 4, 3, 1]
    assert ms_ssim(frames, frames) == pytest.approx([1.0] * 4, abs=1e-4)
    worse, worst = ms_ssim(noisy(frames, 10), frames), ms_ssim(noisy(frames, 60), frames)
    assert all(1 > a > b > 0 for a, b in zip(worse, worst, strict=True))
    assert ms_ssim(frames[:, :12, :12], frames[:, :12, :12]) == pytest.approx([1.0] * 4, abs=1e-4)
    with pytest.raises(ValueError, match="smaller than the window"):
        scales(8, 40)


def test_gmsd_of_equal_flat_and_unlike_pictures(frames: np.ndarray) -> None:
    assert gmsd(frames, frames) == [0.0] * 4
    assert gmsd(frames + np.uint8(1), frames)[0] < 0.05
    blurred = frames.copy()
    blurred[:, 1:-1] = ((frames[:, :-2].astype(int) + frames[:, 1:-1] + frames[:, 2:]) // 3).astype(np.uint8)
    without = np.broadcast_to(frames.mean(axis=(1, 2), keepdims=True).astype(np.uint8), frames.shape)
    assert 0 < gmsd(blurred, frames)[0] < gmsd(without, frames)[0]


def test_gmsd_by_hand() -> None:
    """One step edge, gone in the dream: the likeness is C / (m² + C) beside it and 1 elsewhere."""
    real = np.zeros((8, 16, 3), np.uint8)
    real[:, 8:] = 60
    flat = np.zeros_like(real)
    gradient = 60.0  # Prewitt over a step between two columns of the halved picture
    likeness = np.ones((4, 8))
    likeness[:, 3:5] = 170 / (gradient**2 + 170)
    assert gmsd(flat[None], real[None]) == pytest.approx([likeness.std()])


def test_flicker_sees_motion_that_differs_and_not_where_it_is(frames: np.ndarray) -> None:
    assert flicker(gmsd, frames, frames) == 0.0
    frozen = np.repeat(frames[:1], 4, axis=0)
    assert flicker(gmsd, frozen, frames) == pytest.approx(np.mean(gmsd(frames[:-1], frames[1:])))


def test_the_frechet_distance_of_normal_laws_is_exact() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, (500, 3))
    whitened = (one - one.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(one, rowvar=False))).T
    assert frechet(whitened, whitened) == pytest.approx(0, abs=1e-9)
    assert frechet(whitened, whitened + 2) == pytest.approx(3 * 4)
    assert frechet(whitened, 3 * whitened) == pytest.approx(3 * (3 - 1) ** 2)


def test_the_distance_of_clips_tells_alike_from_unlike_and_names_what_it_rests_on(frames: np.ndarray) -> None:
    def run(seed: int, spread: int) -> np.ndarray:
        return noisy(np.concatenate([frames] * 9)[:, :, ::-1], spread, seed)

    def distance(spread: int) -> dict[str, Any]:
        likeness = Likeness(Networks(), (1,))
        for seed in range(4):
            likeness.add_run(run(seed, spread), run(seed + 10, 5), run(seed + 20, 5)[0])
        return dict(likeness.figures("4 runs of squares")["frechet_random_3d"])

    alike, unlike = distance(5), distance(80)
    assert alike["value"] < unlike["value"]
    assert alike["n"] == 8 and alike["clip_length"] == 16 and alike["resolution"] == [96, 96]
    assert alike["data"] == "4 runs of squares" and alike["real_halves"] >= 0
    assert alike["value"] < alike["copy"], "a picture that stands still is no clip of a moving thing"
    assert np.array_equal(RandomFeatures()(run(0, 5)[None, :16]), RandomFeatures()(run(0, 5)[None, :16]))


def test_a_stand_in_never_bears_the_real_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual, "find_spec", lambda name: None)
    assert find_networks().names == ("gmsd", "frechet_random_3d")


def test_lpips_is_used_only_where_library_and_weights_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, frames: np.ndarray
) -> None:
    import torch

    class Network:
        def __init__(self, net: str, verbose: bool) -> None:
            assert net == "alex"

        def eval(self) -> Network:
            return self

        def __call__(self, seen: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
            assert seen.shape[1] == 3 and float(seen.min()) >= -1 and float(seen.max()) <= 1
            return (seen - real).abs().mean(dim=(1, 2, 3), keepdim=True)

    library = ModuleType("lpips")
    library.LPIPS = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", library)
    monkeypatch.setattr(visual, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_networks().names[0] == "gmsd", "without the weights the library would download them"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / visual.LPIPS_BACKBONE).write_bytes(b"weights")
    networks = find_networks()
    assert networks.names[0] == "lpips"
    assert networks.perceptual(frames, frames) == [0.0] * 4
    found = Likeness(networks, (1,)).figures("nothing")
    assert "temporal_lpips" in found and "temporal_gmsd" not in found


def test_fvd_uses_the_network_that_the_user_gives(tmp_path: Path, frames: np.ndarray) -> None:
    import torch

    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
            return x.mean(dim=[2, 3, 4])

    path = tmp_path / "i3d.pt"
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.script(Means()).save(str(path))
    networks = find_networks(path)
    assert networks.names[1] == "fvd"
    clip = np.concatenate([frames] * 4)
    assert networks.video(clip[None])[0] == pytest.approx(clip.mean(axis=(0, 1, 2)), abs=1e-3)
    with pytest.raises(ValueError, match="no feature network"):
        find_networks(tmp_path / "absent.pt")
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no TorchScript"):
        find_networks(path)
