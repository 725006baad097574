"""Episodes as bytes: nothing is lost, whatever their size, and the same episode gives the same bytes."""

import io
import lzma

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from worldlet.data import codec
from worldlet.data.codec import (
    FRAME_MEMBERS,
    decode_episode,
    decode_frames,
    encode_episode,
    pack_frames,
    pack_masks,
    unpack_frames,
    unpack_masks,
)
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


@pytest.mark.parametrize("encoding", codec.WRITTEN)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 37), st.integers(1, 37), st.integers(0, 40), st.integers(0, 9))
def test_round_trip_is_bit_exact(encoding, height, width, length, seed):
    episode = noise_episode(height, width, length, seed)
    members = encode_episode(episode, encoding)
    assert FRAME_MEMBERS[encoding] in members and len(members) == 4
    again = decode_episode(members)
    np.testing.assert_array_equal(again.frames_THWC, episode.frames_THWC)
    np.testing.assert_array_equal(again.actions_T, episode.actions_T)
    assert again.meta == episode.meta
    assert again.facts.keys() == episode.facts.keys()
    for name, rows in episode.facts.items():
        np.testing.assert_array_equal(again.facts[name], rows)
        assert again.facts[name].dtype == rows.dtype
    assert encode_episode(episode, encoding) == members


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 5), st.integers(1, 19), st.integers(1, 19), st.integers(0, 9))
def test_masks_survive_packing(length, height, width, seed):
    masks = np.random.default_rng(seed).random((length, height, width)) < 0.5
    bits = pack_masks(masks)
    assert bits.shape == (length, -(-height * width // 8))
    np.testing.assert_array_equal(unpack_masks(bits, (height, width)), masks)


def drawn_frames():
    """A strip of tiles that scrolls back and forth: nothing new, but nothing where it was a frame ago."""
    level = np.random.default_rng(0).integers(0, 256, (32, 120, 3), dtype=np.uint8)
    return np.stack([np.ascontiguousarray(level[:, at : at + 48]) for at in [*range(0, 60, 3), *range(60, 0, -3)]])


def filmed_frames():
    """The same strip out of focus, with noise that never repeats."""
    smooth = drawn_frames().astype(np.float64)
    for axis in (1, 2):
        smooth = sum(np.roll(smooth, shift, axis) for shift in range(-3, 4)) / 7
    noise = np.random.default_rng(1).normal(0, 1, smooth.shape)
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def still_then_filmed_frames():
    """A title that stands still for longer than any trial, then noise, which H.264 packs worse than Zstandard."""
    noise = np.random.default_rng(2).integers(0, 16, (60, 32, 48, 3), dtype=np.uint8)
    return np.concatenate([np.broadcast_to(drawn_frames()[:1], (40, 32, 48, 3)), noise * 16])


@pytest.mark.parametrize(
    "frames, encoding", [(drawn_frames(), "zstd"), (filmed_frames(), "h264"), (still_then_filmed_frames(), "zstd")]
)
def test_the_smaller_encoding_is_chosen(frames, encoding):
    episode = Episode(frames, np.zeros(len(frames) - 1, np.int64))
    sizes = {kind: len(encode_episode(episode, kind)[FRAME_MEMBERS[kind]]) for kind in codec.WRITTEN}
    assert min(sizes, key=lambda kind: sizes[kind]) == encoding
    assert encode_episode(episode) == encode_episode(episode, encoding)
    np.testing.assert_array_equal(decode_episode(encode_episode(episode)).frames_THWC, frames)


def test_any_tool_reads_what_is_packed(tmp_path):
    frames = drawn_frames()
    (tmp_path / "frames.npy.zst").write_bytes(pack_frames(frames))
    with zstandard.open(tmp_path / "frames.npy.zst") as unpacked:
        np.testing.assert_array_equal(np.load(io.BytesIO(unpacked.read())), frames)


def test_recordings_of_earlier_versions_are_read():
    episode = Episode(drawn_frames(), np.arange(39) % 3)
    members = encode_episode(episode, "zstd")
    array = io.BytesIO()
    np.save(array, episode.frames_THWC)
    members["frames.npy.xz"] = lzma.compress(array.getvalue())
    del members["frames.npy.zst"]
    again = decode_episode(members)
    np.testing.assert_array_equal(again.frames_THWC, episode.frames_THWC)
    np.testing.assert_array_equal(again.actions_T, episode.actions_T)


def test_what_cannot_be_unpacked_is_refused(tmp_path):
    packed = pack_frames(drawn_frames())
    for broken in (b"", b"no frame", packed[:-30], packed[:200] + b"\0" * 40 + packed[240:]):
        with pytest.raises(ValueError, match="cannot be unpacked"):
            unpack_frames(broken)
        with pytest.raises(ValueError, match="cannot be unpacked"):
            unpack_frames(broken, "xz")
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "floats.npy", np.zeros((2, 4, 4, 3)))
    for name in ("evil.npy", "floats.npy"):
        with pytest.raises(ValueError, match="cannot be unpacked"):
            unpack_frames(zstandard.compress((tmp_path / name).read_bytes()))
        with pytest.raises(ValueError, match="cannot be unpacked"):
            unpack_frames(lzma.compress((tmp_path / name).read_bytes()), "xz")


def test_an_unknown_encoding_is_refused():
    with pytest.raises(ValueError, match="no encoding 'zip': choose one of zstd, h264"):
        encode_episode(noise_episode(8, 8, 3, 0), "zip")


def test_broken_samples_are_refused():
    members = encode_episode(noise_episode(8, 8, 3, 0), "h264")
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


def test_clearly_drawn_frames_are_not_tried_as_video(monkeypatch):
    tried = []
    real = codec.encode_frames
    monkeypatch.setattr(codec, "encode_frames", lambda frames, fps: (tried.append(len(frames)), real(frames, fps))[1])
    drawn = np.zeros((40, 32, 32, 3), np.uint8)
    drawn[np.arange(40), :, np.arange(40) % 32] = 200
    assert FRAME_MEMBERS["zstd"] in encode_episode(Episode(drawn, np.zeros(39, np.int64))) and not tried
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    encode_episode(Episode(noise, np.zeros(39, np.int64)))
    assert tried == [40]
