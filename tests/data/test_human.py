"""A person's recording: aligned, split, saved in pieces as it is played, gone on with, and thrown away when asked."""

import errno

import gymnasium
import numpy as np
import pytest

from tests.data.fake_games import FakeGame
from worldlet.data.human import LiveRecording, number_keys
from worldlet.data.record import RecordConfig, record, split_of
from worldlet.data.shards import ShardWriter, read_episodes, read_manifest


class AlikeGame(FakeGame):
    """Every play begins with the same twenty frames, whatever the seed; then the actions show."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=3)

    def _draw(self, red):
        frame = super()._draw(0)
        if self._time > 20:
            frame[:] = np.roll(frame, 5 * red, axis=0) // (1 + red)
        return frame


gymnasium.register("Alike-v0", entry_point=AlikeGame)


def config(out, **changes):
    settings = {"env": "tests.data.fake_games:Fake-v0", "agent": "human", "frames": 100, "episode_steps": 10}
    return RecordConfig(out=str(out), **{**settings, **changes})


def play(recording, actions):
    return [recording.step(action) for action in actions]


def episodes(folder, *splits):
    return [episode for split in splits or ("train", "val", "test") for episode in read_episodes(folder, split)]


def test_what_was_played_is_what_was_recorded(tmp_path):
    recording = LiveRecording(config(tmp_path / "data"))
    first = recording.frame
    actions = [2, 0, 1, 1, 0, 2, 2]
    frames = play(recording, actions)
    done = recording.close()
    (episode,) = episodes(tmp_path / "data", "train")
    assert done.frames == 8 and done.episodes == 1
    np.testing.assert_array_equal(episode.actions_T, actions)
    np.testing.assert_array_equal(episode.frames_THWC, np.stack([first, *frames]))
    # The fake game's red is the action that led to the frame, plus one.
    np.testing.assert_array_equal(episode.frames_THWC[:, 0, 0, 0], [0, *[action + 1 for action in actions]])
    assert episode.meta["policy"] == "human" and episode.meta["events"] == {"jump": [3, 7]}
    manifest = read_manifest(tmp_path / "data")
    assert manifest["complete"] and manifest["recording"]["players"] == "human"
    assert manifest["coverage"]["distinct"]["frames"] == {"seen": 8, "distinct": 8}
    assert (tmp_path / "data" / "coverage.png").is_file()


def test_a_long_level_is_saved_in_pieces_that_join(tmp_path):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 25)
    assert (recording.frames, recording.pieces, recording.pending) == (22, 2, 5)
    recording.close()
    pieces = episodes(tmp_path / "data", "train")
    assert [len(piece) for piece in pieces] == [10, 10, 5]
    assert [piece.meta["first_frame"] for piece in pieces] == [0, 10, 20]
    assert len({piece.meta["level_seed"] for piece in pieces}) == 1
    for before, after in zip(pieces, pieces[1:], strict=False):
        np.testing.assert_array_equal(before.frames_THWC[-1], after.frames_THWC[0])


def test_every_split_gets_levels_of_its_own_range_and_its_share(tmp_path):
    recording = LiveRecording(config(tmp_path / "data", val_fraction=0.2, test_fraction=0.2))
    for _ in range(30):
        play(recording, [1] * 9)
        recording.next_level()
    recording.close()
    frames = {split: entry["frames"] for split, entry in read_manifest(tmp_path / "data")["splits"].items()}
    assert frames == {"val": 60, "test": 60, "train": 180}
    seeds = [episode.meta["level_seed"] for episode in episodes(tmp_path / "data")]
    assert len(set(seeds)) == 30
    assert all(split_of(episode.meta["level_seed"]) == episode.meta["split"] for episode in episodes(tmp_path / "data"))


def test_an_ended_level_shows_its_end_and_then_the_next_one(tmp_path):
    recording = LiveRecording(config(tmp_path / "data", options={"length": 4}))
    play(recording, [1] * 4)
    seed = recording.level_seed
    assert recording.ended and recording.index == 4 and recording.pieces == 1
    frame = recording.step(2)  # too late for the old level, too early for the new one
    assert not recording.ended and recording.level_seed != seed
    assert frame[0, 0].tolist() == [0, 0, recording.level_seed % 256]
    recording.close()
    assert [len(episode) for episode in episodes(tmp_path / "data", "train")] == [4]


def test_what_is_thrown_away_is_nowhere(tmp_path):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 13)
    thrown = recording.level_seed
    assert recording.discard() == 3
    assert recording.level_seed != thrown
    play(recording, [2] * 2)
    recording.close()
    assert sorted(len(episode) for episode in episodes(tmp_path / "data", "train", "val")) == [2, 10]


def test_a_killed_recording_keeps_its_pieces_and_goes_on(tmp_path):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 13)
    recording._writer.shutdown()  # written, but never closed: as after a kill, which also frees the folder
    with pytest.raises(ValueError, match="another recording"):
        LiveRecording(config(tmp_path / "data"))
    recording._held.close()
    again = LiveRecording(config(tmp_path / "data"))
    assert (again.frames, again.pieces) == (11, 1)
    play(again, [1] * 3)
    again.close()
    assert not read_manifest(tmp_path / "data")["splits"]["test"]["episodes"]
    assert [len(episode) for episode in episodes(tmp_path / "data", "train", "val")] == [10, 3]
    once_more = LiveRecording(config(tmp_path / "data"))  # a finished one can be gone on with too
    play(once_more, [1] * 4)
    assert once_more.close().episodes == 3


def test_no_frame_of_one_split_is_in_another_where_every_play_begins_alike(tmp_path):
    recording = LiveRecording(config(tmp_path / "data", env="Alike-v0", held_out="frames", episode_steps=60))
    for actions in ([0] * 40, [1] * 40, [2] * 40, [0] * 40):
        play(recording, actions)
        recording.next_level()
    recording.close()
    shown = {
        split: {frame.tobytes() for episode in read_episodes(tmp_path / "data", split) for frame in episode.frames_THWC}
        for split in ("train", "val", "test")
    }
    assert [len(shown[split]) for split in ("train", "val", "test")] == [41, 20, 20]
    assert not shown["train"] & shown["val"] and not shown["train"] & shown["test"] and not shown["val"] & shown["test"]


def test_a_full_disk_is_named_and_what_was_saved_is_safe(tmp_path, monkeypatch):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 10)
    recording._writing[0].result()

    def full(self, key, members):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(ShardWriter, "write", full)
        play(recording, [1] * 10)
        recording._writing[-1].result()
    with pytest.raises(ValueError, match="cannot be written .No space left on device.: make room"):
        play(recording, [2] * 10)
    with pytest.raises(ValueError, match="make room"):
        recording.close()
    assert [episode.actions_T.max() for episode in episodes(tmp_path / "data", "train")] == [0]
    assert not list((tmp_path / "data").glob("*.tmp"))


def test_a_game_that_crashes_leaves_what_was_played_before(tmp_path, monkeypatch):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 6)

    def crash(self, action):
        raise RuntimeError("segmentation fault")

    monkeypatch.setattr(FakeGame, "step", crash)
    with pytest.raises(RuntimeError, match="segmentation"):
        recording.step(0)
    recording.close()
    assert [len(episode) for episode in episodes(tmp_path / "data", "train")] == [6]


def test_after_an_error_of_the_game_another_level_begins(tmp_path, monkeypatch):
    recording = LiveRecording(config(tmp_path / "data"))
    play(recording, [0] * 6)
    step, reset = FakeGame.step, FakeGame.reset

    def stumble(self, action):
        step(self, action)
        monkeypatch.setattr(FakeGame, "step", step)
        raise RuntimeError("once")

    def refuse(self, **_):
        monkeypatch.setattr(FakeGame, "reset", reset)
        raise RuntimeError("not now")

    monkeypatch.setattr(FakeGame, "step", stumble)
    monkeypatch.setattr(FakeGame, "reset", refuse)
    for message in ("once", "not now"):
        with pytest.raises(RuntimeError, match=message):
            recording.step(2)
    play(recording, [1] * 5)
    recording.close()
    for episode in episodes(tmp_path / "data", *recording_splits(tmp_path / "data")):
        np.testing.assert_array_equal(np.diff(episode.frames_THWC[:, 0, 0, 1].astype(int)), 1)  # no frame is left out
        assert split_of(episode.meta["level_seed"]) == episode.meta["split"]
        assert episode.frames_THWC[0, 0, 0, 2] == episode.meta["level_seed"] % 256


def recording_splits(folder):
    return [split for split, entry in read_manifest(folder)["splits"].items() if entry["episodes"]]


def test_a_human_is_not_recorded_without_a_page(tmp_path):
    with pytest.raises(ValueError, match="records in a page"):
        record(config(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_a_game_without_keys_is_played_by_numbers():
    keys = number_keys(tuple("abcdefghijkl"))
    assert keys["a"] == [["Digit1"]] and keys["j"] == [["Digit0"]] and "k" not in keys


def test_a_game_that_fails_to_open_leaves_the_folder_free(tmp_path, monkeypatch):
    """Warnings are errors here: a lock's file left open would be one as well."""
    from worldlet.data import human

    def fails(env_id, options):
        raise ValueError("no such screen")

    with monkeypatch.context() as patched:
        patched.setattr(human, "open_game", fails)
        with pytest.raises(ValueError, match="no such screen") as raised:
            LiveRecording(config(tmp_path / "data"))
    opened = LiveRecording(config(tmp_path / "data"))  # while the error, and what it holds on to, is still there
    opened.close()
    assert raised.value
