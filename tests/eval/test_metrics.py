"""PSNR by hand, pooled and masked."""

import numpy as np
import pytest

from worldlet.eval.ssim import ssim
from worldlet.metrics import PSNR_CAP_DB, PooledError, psnr


def test_psnr_of_a_known_difference() -> None:
    real = np.zeros((4, 4, 3), np.uint8)
    assert psnr(real + np.uint8(255), real) == pytest.approx(0.0)
    assert psnr(real + np.uint8(16), real) == pytest.approx(20 * np.log10(255 / 16))


def test_equal_pictures_reach_the_cap() -> None:
    real = np.full((2, 2, 3), 7, np.uint8)
    assert psnr(real, real) == PSNR_CAP_DB


def test_pooling_takes_one_logarithm_of_all_errors() -> None:
    real = np.zeros((2, 2, 3), np.uint8)
    pooled = PooledError()
    pooled.add(real, real)
    pooled.add(real + np.uint8(100), real)
    assert pooled.psnr_db == pytest.approx(10 * np.log10(255**2 / (100**2 / 2)))
    assert (pooled.frames, pooled.pixels) == (2, 8)


def test_only_masked_pixels_count_and_frames_without_any_do_not() -> None:
    real = np.zeros((2, 2, 3), np.uint8)
    seen = real.copy()
    seen[0, 0] = 50
    mask = np.zeros((2, 2), bool)
    mask[0, 0] = True
    pooled = PooledError()
    pooled.add(seen, real, mask)
    pooled.add(seen, real, np.zeros((2, 2), bool))
    assert pooled.psnr_db == pytest.approx(20 * np.log10(255 / 50))
    assert (pooled.frames, pooled.pixels) == (1, 1)
    assert PooledError().psnr_db is None


@pytest.mark.parametrize("other", [np.zeros((3, 2, 3), np.uint8), np.zeros((2, 2, 3), np.float32)])
def test_unlike_pictures_are_refused(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pictures"):
        psnr(np.zeros((2, 2, 3), np.uint8), other)


@pytest.mark.parametrize("brightest, apart", [(256, 40), (6, 3)])  # where there is little light, the constants count
def test_ssim_is_that_of_torchmetrics(brightest: int, apart: int) -> None:
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    rng = np.random.default_rng(0)
    real_BHWC = rng.integers(0, brightest, (2, 24, 32, 3), dtype=np.uint8)
    seen_BHWC = np.clip(real_BHWC + rng.integers(-apart, apart, real_BHWC.shape), 0, 255).astype(np.uint8)
    pair = (torch.from_numpy(frames).permute(0, 3, 1, 2).double() for frames in (seen_BHWC, real_BHWC))
    wanted = structural_similarity_index_measure(*pair, data_range=255.0, reduction="none")
    assert ssim(seen_BHWC, real_BHWC) == pytest.approx(wanted.tolist(), abs=1e-6)
    assert ssim(real_BHWC, real_BHWC) == [1.0, 1.0]
