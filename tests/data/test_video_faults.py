"""Bad input for `worldlet prepare`: what cannot be read is skipped and named, and what can be read stays true."""

import numpy as np
import pytest
from PIL import Image

from tests.data.films import film, scene, write_film
from tests.data.test_prepare import ALL, NAMES, actions, check_alignment, episodes, run, write_log
from worldlet.data.framing import find_bars, fit, frame_size
from worldlet.data.prepare import PrepareConfig
from worldlet.data.shards import read_manifest
from worldlet.data.splits import hold_out_sources, repeats
from worldlet.data.video import Source, find_sources, read_frames, read_times


def test_unreadable_videos_are_skipped_and_named(tmp_path):
    videos = tmp_path / "videos"
    write_film(videos / "a.mp4", film(actions(60)))
    (videos / "b.mp4").write_bytes(b"this is no video")
    (videos / "c.mp4").write_bytes((videos / "a.mp4").read_bytes())
    write_film(videos / "d.mp4", np.stack([scene(t, 96, 48) for t in range(30)]))
    done = run(videos, tmp_path / "data")
    assert set(done.skipped) == {"b.mp4", "c.mp4", "d.mp4"}
    assert "no readable video" in done.skipped["b.mp4"]
    assert "same file as a.mp4" in done.skipped["c.mp4"]
    assert "another shape" in done.skipped["d.mp4"]
    assert read_manifest(tmp_path / "data")["recording"]["skipped"] == done.skipped
    with pytest.raises(ValueError, match="b.mp4 is no readable video"):
        run(videos / "b.mp4", tmp_path / "other")


def test_a_damaged_spot_is_dropped_and_the_rest_stays_aligned(tmp_path):
    done = actions(180, seed=7)
    path = write_film(tmp_path / "play.mkv", film(done), options={"g": "10", "bf": "0"})
    whole = path.read_bytes()
    spot = len(whole) // 2
    path.write_bytes(whole[:spot] + bytes(500) + whole[spot + 500 :])
    # By time: a container may lose frames without a trace, and then nobody can count them.
    log = write_log(tmp_path / "log.csv", [(round(t / 30, 3), NAMES[a]) for t, a in enumerate(done)], "time,action")
    result = run(path, tmp_path / "data", actions=log, fps=30, **ALL)
    assert result.frames < 181
    check_alignment(tmp_path / "data", least=110)


def test_a_video_that_ends_in_the_middle_gives_what_is_there(tmp_path):
    path = write_film(tmp_path / "play.mkv", film(actions(100)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = list(read_frames(Source("play.mkv", "video", (path,)), range(100)))
    whole = [frame for frame in frames if frame is not None]
    assert 20 < len(whole) < 80
    run(path, tmp_path / "data", **ALL)
    assert sum(len(episode.frames_THWC) for episode in episodes(tmp_path / "data")) > 20


def test_an_action_log_that_does_not_align_is_refused(tmp_path):
    path = write_film(tmp_path / "play.mp4", film(actions(40)))
    log = write_log(tmp_path / "log.csv", [(t, "left") for t in range(90)], "frame,action")
    with pytest.raises(ValueError, match="names frame 89, but the video has frames 0 to 40"):
        run(path, tmp_path / "data", actions=log)
    with pytest.raises(ValueError, match="does not exist"):
        run(path, tmp_path / "none", actions=str(tmp_path / "gone.csv"))


def test_nothing_to_prepare(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        find_sources(tmp_path / "gone")
    with pytest.raises(ValueError, match="holds no video and no picture"):
        find_sources(tmp_path)
    Image.fromarray(scene(0)).save(tmp_path / "a.png")
    write_film(tmp_path / "a.mp4", film(actions(5)))
    with pytest.raises(ValueError, match="videos and pictures"):
        find_sources(tmp_path)
    with pytest.raises(ValueError, match="not empty"):
        run(tmp_path / "a.mp4", tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 100}, "divisible by 8, not 100: 96 is"),
        ({"height": 64}, "go together"),
        ({"crop": "1,2"}, "four whole numbers"),
        ({"action_names": "a,b"}, "goes with an action log"),
        ({"val_fraction": 0.6, "test_fraction": 0.5}, "leave something for training"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        PrepareConfig("a.mp4", "out", **settings)


def test_a_folder_reads_in_natural_order(tmp_path):
    for name in ("take10.mp4", "take9.mp4", "deep/take1.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [source.name for source in find_sources(tmp_path)] == ["deep/take1.mp4", "take9.mp4", "take10.mp4"]


def test_times_count_from_the_first_frame(tmp_path):
    path = write_film(tmp_path / "play.mkv", film(actions(5)), stamps=[500, 533, 567, 700, 733, 767])
    times = read_times(Source("play.mkv", "video", (path,)))
    np.testing.assert_allclose(times, [0, 0.033, 0.067, 0.2, 0.233, 0.267], atol=2e-3)


def test_frames_keep_their_aspect_ratio():
    assert frame_size(720, 1280, 128) == (72, 128)
    assert frame_size(210, 160, 128) == (128, 96)
    framing = fit(210, 160, (0, 0, 0, 0), (128, 96))
    left, top, right, bottom = framing.box
    assert abs((right - left) / (bottom - top) - 96 / 128) < 0.01
    small = scene(0, 24, 32)
    np.testing.assert_array_equal(fit(72, 96, (0, 0, 0, 0), (24, 32)).apply(small.repeat(3, 0).repeat(3, 1)), small)
    with pytest.raises(ValueError, match="another shape"):
        fit(100, 300, (0, 0, 0, 0), (64, 64))


def test_a_dark_frame_has_no_bars():
    frame = np.zeros((40, 60, 3), np.uint8)
    assert find_bars([frame]) == (0, 0, 0, 0)
    frame[5:35, 10:50] = 150
    assert find_bars([frame, np.zeros_like(frame)]) == (10, 5, 10, 5)


def test_whole_videos_are_held_out():
    kept = [np.ones(100, bool)] * 20
    splits = hold_out_sources(kept, {"val": 0.1, "test": 0.1}, seed=0)
    assert [splits.count(split) for split in ("train", "val", "test")] == [16, 2, 2]
    assert hold_out_sources(kept, {"val": 0.1, "test": 0.1}, seed=1) != splits
    assert hold_out_sources(kept[:1], {"val": 0.1, "test": 0.1}, seed=0) == ["train"]


def test_near_duplicates_are_found_and_a_small_thing_that_moved_is_none():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (500, 256), np.uint8)
    near = (train[::5].astype(int) + rng.integers(-4, 5, (100, 256))).clip(0, 255).astype(np.uint8)
    assert repeats(near, train, 4).all()
    moved = near.copy()
    moved[:, 77] += 100
    assert not repeats(moved, train, 4).any()
    assert not repeats(near, train[:0], 4).any()
