"""Coverage: how many frames and patches differ, however the parts were merged; a picture that shows it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from worldlet.data.coverage import draw_coverage, episode_coverage, merge, summarise
from worldlet.data.distinct import KEPT, count_distinct, frame_hashes, merge_sketches, patch_hashes, sketch
from worldlet.records import Episode

META = {"action_names": ["left", "right"], "theme": "", "events": {}}


def episode(frames):
    return Episode(frames, np.arange(len(frames) - 1) % 2, {}, META)


def pictures(count, seed, height=16, width=24):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_one_different_byte_anywhere_makes_another_frame():
    frame = pictures(1, 0)[0]
    variants = [frame]
    for place in range(frame.size):
        variants.append(frame.copy())
        variants[-1].reshape(-1)[place] ^= 1 << (place % 8)
    assert len(set(frame_hashes(np.stack(variants)).tolist())) == frame.size + 1
    assert len(set(frame_hashes(np.stack([frame] * 3)).tolist())) == 1


def test_patches_are_cut_on_the_grid():
    frame = np.zeros((1, 20, 17, 3), np.uint8)  # the grid holds 2 x 2 patches of 8 x 8; the rest is no whole patch
    assert len(patch_hashes(frame)) == 4
    assert len(set(patch_hashes(frame).tolist())) == 1
    frame[0, 15, 15] = 1
    frame[0, 16:] = frame[0, :, 16:] = 9
    assert len(set(patch_hashes(frame).tolist())) == 2


def test_few_are_counted_exactly_and_many_nearly_in_any_order():
    few = frame_hashes(pictures(KEPT - 1, 1, 8, 8))
    assert count_distinct(sketch(np.concatenate([few, few]))) == KEPT - 1
    many = frame_hashes(pictures(20_000, 2, 8, 8))
    parts = [sketch(part) for part in np.split(many, 10)]
    whole = merge_sketches(parts)
    np.testing.assert_array_equal(whole, merge_sketches([merge_sketches(parts[5:]), *parts[:5], parts[0]]))
    assert abs(count_distinct(whole) / 20_000 - 1) < 0.1


def test_repeated_frames_are_seen_but_not_distinct():
    first, second = pictures(5, 3), pictures(4, 4)
    parts = [episode_coverage(episode(frames), {}) for frames in (first, np.concatenate([first, second]), first[::-1])]
    json.dumps(parts)
    summary = summarise(merge([merge(parts[:2]), parts[2]]))
    assert summary["distinct"]["frames"] == {"seen": 19, "distinct": 9}
    # The first frame of each episode gives its six patches: twice the same one, and once another.
    assert summary["distinct"]["patches"] == {"seen": 18, "distinct": 12}
    assert summary["episode_lengths"]["total"] == 16 and summary["actions"] == {"left": 8, "right": 8}


@pytest.mark.parametrize("counted", [False, True])
def test_a_folder_from_before_the_count_can_go_on(counted):
    old = episode_coverage(episode(pictures(5, 5)), {})
    if counted:  # by another hash
        for part in old["distinct"].values():
            del part["hash"]
    else:
        del old["distinct"]
    summary = summarise(merge([old, episode_coverage(episode(pictures(6, 6)), {})]))
    assert summary["distinct"]["frames"] == {"seen": 6, "distinct": 6}
    assert summary["episode_lengths"]["total"] == 9


def test_a_damaged_sketch_is_named():
    part = episode_coverage(episode(pictures(3, 7)), {})
    part["distinct"]["frames"]["sketch"] = "abc"
    with pytest.raises(ValueError, match="coverage of a shard is damaged"):
        merge([part])


def test_the_picture_shows_how_many_differ():
    still = np.repeat(pictures(1, 8), 40, axis=0)
    images = []
    for frames in (still, pictures(40, 9)):
        data = draw_coverage(merge([episode_coverage(episode(frames), {})]), "a title")
        images.append(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert images[0].shape == images[1].shape
    assert (images[0] != images[1]).any()
