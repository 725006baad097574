from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from worldlet.dynamics.inverse import InverseConfig, InverseDynamics, resize, window_rows, working_size  # noqa: E402

NAMES = ("stay", "left", "right")


@pytest.fixture(scope="module")
def judge() -> InverseDynamics:
    torch.manual_seed(0)
    return InverseDynamics(InverseConfig((18, 22), NAMES, before=1, after=1, width=4)).eval()


def clips(batch: int, length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, length, 18, 22, 3), dtype=np.uint8)


def test_windows_stay_within_their_play() -> None:
    config = InverseConfig((8, 8), NAMES, before=2, after=1)
    rows = window_rows(np.array([10, 11, 13]), np.full(3, 10), np.full(3, 14), config)
    assert rows.tolist() == [[10, 10, 10, 11, 12], [10, 10, 11, 12, 13], [11, 12, 13, 14, 14]]


def test_an_action_is_read_from_its_window_alone(judge: InverseDynamics) -> None:
    frames = clips(3, 8)
    said = judge.predict(frames, 3)
    assert said.shape == (3, 3) and np.allclose(said.sum(1), 1, atol=1e-5)
    outside = frames.copy()
    outside[:, [0, 1, 6, 7]] = 0
    assert np.array_equal(judge.predict(outside, 3), said)
    for inside in (2, 3, 4, 5):  # before, at, led to, after
        changed = frames.copy()
        changed[:, inside] = 255 - changed[:, inside]
        assert not np.allclose(judge.predict(changed, 3), said, atol=1e-6)


def test_an_episode_is_judged_as_its_clips_are(judge: InverseDynamics) -> None:
    frames = clips(1, 80)
    whole = judge.predict_episode(frames[0])
    assert whole.shape == (79, 3)
    each = judge.predict(np.repeat(frames, 3, 0), np.array([0, 40, 78]))
    assert np.allclose(whole[[0, 40, 78]], each, atol=1e-6)
    assert judge.predict_episode(frames[0, :1]).shape == (0, 3)


def test_temperature_divides_the_logits(judge: InverseDynamics) -> None:
    frames = clips(4, 4)
    sharp = judge.predict(frames, 1)
    judge.temperature = 3.0
    try:
        soft = judge.predict(frames, 1)
    finally:
        judge.temperature = 1.0
    wanted = sharp ** (1 / 3)
    assert np.allclose(soft, wanted / wanted.sum(1, keepdims=True), atol=1e-5)


def test_saved_and_loaded(judge: InverseDynamics, tmp_path) -> None:
    judge.about = {"held_out": {"accuracy": 0.5}}
    judge.save(tmp_path / "judge")
    assert sorted(path.name for path in (tmp_path / "judge").iterdir()) == ["judge.json", "judge.safetensors"]
    loaded = InverseDynamics.load(tmp_path / "judge")
    assert loaded.config == judge.config and loaded.about == judge.about and not loaded.training
    assert np.array_equal(loaded.predict(clips(2, 5), 2), judge.predict(clips(2, 5), 2))


def test_a_damaged_judge_is_one_sentence(judge: InverseDynamics, tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no usable judge"):
        InverseDynamics.load(tmp_path)
    judge.save(tmp_path)
    weights = tmp_path / "judge.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no usable judge"):
        InverseDynamics.load(tmp_path)


@pytest.mark.parametrize("at", [-1, 4, [0, 9]])
def test_moments_outside_a_clip_are_refused(judge: InverseDynamics, at) -> None:
    with pytest.raises(ValueError, match="is done at frame 0 to 3"):
        judge.predict(clips(2, 5), np.array(at))


def test_large_frames_are_looked_at_smaller() -> None:
    assert working_size((128, 128), 128) == (128, 128)
    assert working_size((210, 160), 64) == (64, 48)
    frames = np.zeros((2, 8, 16, 3), np.uint8)
    frames[:, :, 8:] = 200
    small = resize(frames, (4, 8))
    assert small.shape == (2, 4, 8, 3) and (small[:, :, :4] == 0).all() and (small[:, :, 4:] == 200).all()
    assert resize(frames, (8, 16)) is frames
