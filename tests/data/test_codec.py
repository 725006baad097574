"""Episodes as bytes: nothing is lost, whatever their size, and the same episode gives the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldlet.data.codec import decode_episode, decode_frames, encode_episode, pack_masks, unpack_masks
from worldlet.records import Episode


def noise_episode(height, width, length, seed):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (length + 1, height, width, 3), dtype=np.uint8)
    facts = {
        "hero_mask": rng.random((length + 1, height, width)) < 0.3,
        "contacts": rng.random((length + 1, 4)) < 0.5,
        "hero_position": rng.integers(-9, 9, (length + 1, 2), dtype=np.int32),
        "coins": rng.integers(0, 9, length + 1),
    }
    return Episode(frames, rng.integers(0, 5, length), facts, {"fps": 30, "caption": "höhle", "events": {"jump": [1]}})


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 37), st.integers(1, 37), st.integers(0, 40), st.integers(0, 9))
def test_round_trip_is_bit_exact(height, width, length, seed):
    episode = noise_episode(height, width, length, seed)
    members = encode_episode(episode)
    again = decode_episode(members)
    np.testing.assert_array_equal(again.frames_THWC, episode.frames_THWC)
    np.testing.assert_array_equal(again.actions_T, episode.actions_T)
    assert again.meta == episode.meta
    assert again.facts.keys() == episode.facts.keys()
    for name, rows in episode.facts.items():
        np.testing.assert_array_equal(again.facts[name], rows)
        assert again.facts[name].dtype == rows.dtype
    assert encode_episode(episode) == members


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 5), st.integers(1, 19), st.integers(1, 19), st.integers(0, 9))
def test_masks_survive_packing(length, height, width, seed):
    masks = np.random.default_rng(seed).random((length, height, width)) < 0.5
    bits = pack_masks(masks)
    assert bits.shape == (length, -(-height * width // 8))
    np.testing.assert_array_equal(unpack_masks(bits, (height, width)), masks)


def test_broken_samples_are_refused():
    members = encode_episode(noise_episode(8, 8, 3, 0))
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_frames(b"not a video")
    with pytest.raises(ValueError, match=r"lacks facts\.npz"):
        decode_episode({name: data for name, data in members.items() if name != "facts.npz"})
    with pytest.raises(ValueError, match="need 3 frames"):
        decode_episode({**members, "actions.npy": encode_episode(noise_episode(8, 8, 2, 0))["actions.npy"]})


def test_nothing_is_ever_unpickled(tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    members = encode_episode(noise_episode(8, 8, 3, 0))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        decode_episode({**members, "actions.npy": (tmp_path / "evil.npy").read_bytes()})
    np.savez(tmp_path / "evil.npz", coins=np.array([{}] * 4, dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        decode_episode({**members, "facts.npz": (tmp_path / "evil.npz").read_bytes()})
