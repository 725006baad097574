"""Clips streamed from shards: the same for a seed, each frame once an epoch, little in memory, resumed exactly."""

import gc
import json
import tracemalloc
from itertools import islice

import numpy as np
import pytest
from rich.console import Console

from worldlet.data.codec import decode_episode
from worldlet.data.record import RecordConfig, record
from worldlet.data.shards import read_episodes, read_manifest
from worldlet.data.stream import ClipStream, Position

STEPS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """About thirty training episodes of 25 frames in several shards."""
    path = tmp_path_factory.mktemp("data") / "fake"
    options = {"height": 24, "width": 32}
    config = RecordConfig(
        "tests.data.fake_games:Fake-v0", str(path), frames=750, episode_steps=STEPS, shard_episodes=7, workers=1,
        options=options, val_fraction=0.03, test_fraction=0.03,
    )  # fmt: skip
    record(config, Console(quiet=True))
    return path


@pytest.fixture(scope="module")
def whole(folder):
    return list(read_episodes(folder, "train"))


def name(clip):
    """Tell a clip by its episode and first frame: green counts the frames."""
    return clip.meta["episode_id"], int(clip.frames_THWC[0, 0, 0, 1])


def names(stream, count):
    return [name(clip) for clip in islice(stream, count)]


@pytest.mark.parametrize("buffer_frames", [1, 60, 10_000])
def test_clips_are_cuts_of_the_recorded_episodes_and_never_overlap(folder, whole, buffer_frames):
    stream = ClipStream(folder, "train", 7, seed=1, buffer_frames=buffer_frames)
    by_id = {episode.meta["episode_id"]: episode for episode in whole}
    seen = {}
    count = stream.clips(0)
    for clip in islice(stream, count):
        episode, start = name(clip)
        expected = by_id[episode].clip(start, 7)
        np.testing.assert_array_equal(clip.frames_THWC, expected.frames_THWC)
        np.testing.assert_array_equal(clip.actions_T, expected.actions_T)
        # Red tells which action led to a frame, so the action stands before the frame it leads to.
        np.testing.assert_array_equal(clip.frames_THWC[1:, 0, 0, 0], clip.actions_T + 1)
        seen.setdefault(episode, []).append(start)
    assert stream.position == Position(0, count)
    assert seen.keys() == by_id.keys()
    for starts in seen.values():
        assert (np.diff(sorted(starts)) == 7).all() and len(starts) in (2, 3)


def test_the_order_follows_from_the_seed_and_changes_with_it_and_with_the_epoch(folder):
    count = ClipStream(folder, "train", 7).clips(0)
    first = names(ClipStream(folder, "train", 7, seed=1), 2 * count)
    assert first == names(ClipStream(folder, "train", 7, seed=1), 2 * count)
    assert first[:count] != first[count:]
    assert first != names(ClipStream(folder, "train", 7, seed=2), 2 * count)
    episodes = [episode for episode, _ in first[:count]]
    assert episodes != sorted(episodes)


@pytest.mark.parametrize("stop", [0, 1, 5, 30, 100, 171])
def test_a_saved_position_goes_on_exactly(folder, stop):
    stream = ClipStream(folder, "train", 7, seed=3, buffer_frames=120)
    whole = names(stream, 180)
    stream = ClipStream(folder, "train", 7, seed=3, buffer_frames=120)
    names(stream, stop)
    saved = json.dumps(vars(stream.position))
    resumed = ClipStream(folder, "train", 7, seed=3, buffer_frames=120, position=Position(**json.loads(saved)))
    assert names(resumed, 180 - stop) == whole[stop:]
    stream.position = Position()
    assert names(stream, 40) == whole[:40]


def test_resuming_reads_only_the_buffer_it_goes_on_in(folder, monkeypatch):
    decoded = []

    def counting(members):
        decoded.append(1)
        return decode_episode(members)

    monkeypatch.setattr("worldlet.data.stream.decode_episode", counting)
    stream = ClipStream(folder, "train", 7, seed=3, buffer_frames=3 * (STEPS + 1), position=Position(1, 40))
    next(iter(stream))
    assert len(decoded) == 3


def test_memory_is_bounded_by_the_buffer(folder, whole):
    everything = sum(episode.frames_THWC.nbytes for episode in whole)
    one = whole[0].frames_THWC.nbytes

    def peak(buffer_frames):
        stream = ClipStream(folder, "train", 7, buffer_frames=buffer_frames)
        count = stream.clips(0)
        tracemalloc.start()
        for _ in islice(stream, count):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # The decoder's own memory is in both.
    assert peak(10_000) - peak(2 * (STEPS + 1)) > 0.9 * (everything - 4 * one)


def test_batches_are_the_clips_in_order(folder):
    batch = ClipStream(folder, "train", 5, seed=4).batch(6)
    clips = list(islice(ClipStream(folder, "train", 5, seed=4), 6))
    assert batch.frames_BTHWC.shape == (6, 6, 24, 32, 3) and batch.actions_BT.shape == (6, 5)
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(batch.frames_BTHWC[row], clip.frames_THWC)
        np.testing.assert_array_equal(batch.actions_BT[row], clip.actions_T)


def test_what_cannot_be_streamed_is_refused(folder):
    with pytest.raises(ValueError, match="no episode of the split 'train'.*25 actions"):
        ClipStream(folder, "train", STEPS + 1)
    with pytest.raises(ValueError, match="did you mean 'train'"):
        ClipStream(folder, "trian", 5)
    with pytest.raises(ValueError, match="counts from 0"):
        Position(0, -1)
    with pytest.raises(ValueError, match="must be at least 1"):
        ClipStream(folder, "train", 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_plain_webdataset_reads_the_shards(folder, whole):
    webdataset = pytest.importorskip("webdataset", reason="webdataset comes with the training extra")
    shards = [str(folder / shard["file"]) for shard in read_manifest(folder)["shards"] if shard["split"] == "train"]
    samples = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(samples) == len(whole)
    for sample, episode in zip(samples, whole, strict=True):
        assert sample["__key__"] == episode.meta["episode_id"]
        again = decode_episode({key: value for key, value in sample.items() if not key.startswith("__")})
        np.testing.assert_array_equal(again.frames_THWC, episode.frames_THWC)
        np.testing.assert_array_equal(again.actions_T, episode.actions_T)
    decoded, *_ = list(webdataset.WebDataset(shards, shardshuffle=False).decode())
    gc.collect()  # webdataset leaves its files to the collector, which complains: here, not in another test
    np.testing.assert_array_equal(decoded["actions.npy"], whole[0].actions_T)
    assert decoded["meta.json"] == whole[0].meta
