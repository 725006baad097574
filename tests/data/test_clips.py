"""Tables in memory: batches are a pure function of (seed, step) and clips never cross an episode."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from worldlet.data import clips
from worldlet.data.clips import NO_ACTION, FrameTable, TokenTable, cell_mask, event_weights
from worldlet.data.record import RecordConfig, record
from worldlet.data.shards import read_episodes
from worldlet.records import Episode


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "fake"
    record(
        RecordConfig("tests.data.fake_games:Fake-v0", str(folder), frames=300, episode_steps=19, workers=1),
        Console(quiet=True),
    )
    return folder


def counted_table(lengths, weights=None):
    """A table whose tokens are (episode, frame within it), and whose actions are the frame's number."""
    episode = np.repeat(np.arange(len(lengths)), lengths)
    frame = np.concatenate([np.arange(length) for length in lengths])
    starts = np.cumsum([0, *lengths[:-1]])
    last = np.append(starts[1:], len(frame)) - 1
    actions = frame.astype(np.int64)
    actions[last] = NO_ACTION
    hero = (frame % 2 == 0)[:, None] & np.ones((1, 2), np.bool_)
    return TokenTable(np.stack([episode, frame], 1).astype(np.uint16), actions, starts, hero, ~hero, weights)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.integers(1, 11), st.integers(0, 99), st.integers(0, 99))
def test_clips_are_whole_and_aligned(lengths, length, step, seed):
    table = counted_table(lengths)
    if max(lengths) <= length:
        with pytest.raises(ValueError, match="has room for a clip"):
            table.batch(step, 4, length, seed)
        return
    batch = table.batch(step, 4, length, seed)
    assert batch.tokens_BTN.shape == (4, length + 1, 2) and batch.actions_BT.shape == (4, length)
    episode, frame = batch.tokens_BTN[..., 0].astype(int), batch.tokens_BTN[..., 1].astype(int)
    assert (episode == episode[:, :1]).all()
    assert (np.diff(frame, axis=1) == 1).all()
    np.testing.assert_array_equal(batch.actions_BT, frame[:, :-1])
    np.testing.assert_array_equal(batch.hero_BTN[..., 0], frame % 2 == 0)
    np.testing.assert_array_equal(batch.moving_BTN[..., 0], frame % 2 == 1)


def test_every_start_is_as_likely_as_any_other():
    table = counted_table([3, 8, 2, 5])
    batch = table.batch(0, 20_000, 2, seed=1)
    starts, counts = np.unique(batch.tokens_BTN[:, 0].astype(int), axis=0, return_counts=True)
    assert len(starts) == 1 + 6 + 0 + 3
    assert counts.min() > 0.8 * 2000 and counts.max() < 1.2 * 2000


def test_weights_choose_where_clips_begin():
    weights = np.zeros(11)
    weights[[2, 5, 10]] = 1, 3, 100  # row 10 is the last frame of its episode: no clip may begin there
    batch = counted_table([4, 7], weights).batch(0, 8000, 1, seed=0)
    starts, counts = np.unique(batch.tokens_BTN[:, 0].astype(int), axis=0, return_counts=True)
    assert starts.tolist() == [[0, 2], [1, 1]]
    assert 0.2 < counts[0] / 8000 < 0.3


def test_batches_are_a_pure_function_of_seed_and_step(recorded):
    one, two = counted_table([30, 40]), counted_table([30, 40])
    for step in (5, 0, 3):
        one.batch(step, 8, 2, seed=4)
    a, b = one.batch(7, 8, 4, seed=4), two.batch(7, 8, 4, seed=4)
    np.testing.assert_array_equal(a.tokens_BTN, b.tokens_BTN)
    np.testing.assert_array_equal(a.actions_BT, b.actions_BT)
    assert not np.array_equal(a.tokens_BTN, one.batch(8, 8, 4, seed=4).tokens_BTN)
    assert not np.array_equal(a.tokens_BTN, one.batch(7, 8, 4, seed=5).tokens_BTN)

    frames = FrameTable.load(recorded, "train", 50), FrameTable.load(recorded, "train", 50)
    frames[0].batch(0, 8, seed=4)
    for left, right in zip(frames[0].batch(7, 8, seed=4), frames[1].batch(7, 8, seed=4), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(frames[0].batch(7, 8, seed=4)[0], frames[0].batch(8, 8, seed=4)[0])
    assert not np.array_equal(frames[0].batch(7, 8, seed=4)[0], frames[0].batch(7, 8, seed=5)[0])


def test_the_seam_from_recording_to_batch(recorded):
    """The red of a frame's first pixel is the action that led to it, plus one."""
    table = TokenTable.build(read_episodes(recorded, "train"), lambda frames: frames[:, 0, 0, :2].astype(int), (1, 2))
    batch = table.batch(0, 64, 6, seed=0)
    np.testing.assert_array_equal(batch.tokens_BTN[:, 1:, 0], batch.actions_BT + 1)
    assert (np.diff(batch.tokens_BTN[..., 1].astype(int), axis=1) == 1).all()
    assert batch.hero_BTN[..., 0].all() and not batch.hero_BTN[..., 1].any()


def test_a_frame_table_holds_frames_beside_their_masks(recorded):
    table = FrameTable.load(recorded, "train", max_frames=40, seed=3)
    assert len(table) == 40
    frames, hero, moving = table.batch(0, 32, seed=0)
    assert frames.shape == (32, 16, 24, 3) and hero.shape == moving.shape == (32, 16, 24)
    np.testing.assert_array_equal(hero[:, :, 0].argmax(1), frames[:, 0, 0, 1] % 16)
    assert moving[:, 0, 1].all() and not hero[:, 0, 1].any()
    everything = FrameTable.load(recorded, "train", max_frames=10**9)
    assert len(everything) == sum(len(episode.frames_THWC) for episode in read_episodes(recorded, "train"))
    assert len(np.unique(everything.frames_FHWC.reshape(len(everything), -1), axis=0)) == len(everything)


def test_in_games_without_masks_what_changed_moves(monkeypatch):
    frames = np.zeros((4, 8, 16, 3), np.uint8)
    frames[2, 3, 9:11, 1] = 7  # something appears for one frame
    episode = Episode(frames, np.zeros(3, np.int64), {}, {})
    monkeypatch.setattr(clips, "read_episodes", lambda folder, split: iter([episode, episode]))
    monkeypatch.setattr(
        clips, "read_manifest", lambda folder: {"splits": {"val": {"frames": 8}}, "frame_size": [8, 16]}
    )
    table = FrameTable.load("somewhere", "val", 10)
    _, hero, moving = table.rows(np.arange(8))
    assert not hero.any() and np.flatnonzero(moving.any((1, 2))).tolist() == [2, 3, 6, 7]
    assert np.argwhere(moving[2]).tolist() == np.argwhere(moving[3]).tolist() == [[3, 9], [3, 10]]
    tokens = TokenTable.build([episode, episode], lambda frames: frames[:, 3, [0, 9], 1], (1, 2))
    assert not tokens.hero_FN.any() and not tokens.moving_FN[:, 0].any()
    assert np.flatnonzero(tokens.moving_FN[:, 1]).tolist() == [2, 3, 6, 7]


def test_token_tables_survive_the_disk(tmp_path):
    for weights in (None, np.arange(7.0)):
        table = counted_table([3, 4], weights)
        table.save(tmp_path / "tokens.npz")
        again = TokenTable.load(tmp_path / "tokens.npz")
        assert again.tokens_FN.dtype == np.uint16 and (again.weights_F is None) == (weights is None)
        np.testing.assert_array_equal(again.batch(1, 9, 2, 0).tokens_BTN, table.batch(1, 9, 2, 0).tokens_BTN)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.npz"]
    (tmp_path / "tokens.npz").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match=r"tokens\.npz is not a readable token table"):
        TokenTable.load(tmp_path / "tokens.npz")
    np.savez(tmp_path / "tokens.npz", tokens_FN=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a readable token table"):
        TokenTable.load(tmp_path / "tokens.npz")


def test_tables_that_do_not_fit_together_are_refused():
    good = counted_table([3, 4])
    arrays = (good.tokens_FN, good.actions_F, good.starts, good.hero_FN, good.moving_FN)
    with pytest.raises(ValueError, match="actions_F needs one row"):
        TokenTable(arrays[0], arrays[1][:-1], *arrays[2:])
    with pytest.raises(ValueError, match="starts must rise"):
        TokenTable(*arrays[:2], np.array([0, 7]), *arrays[3:])
    with pytest.raises(ValueError, match="weights_F must be finite"):
        TokenTable(*arrays, weights_F=-np.ones(7))


@settings(deadline=None, derandomize=True)
@given(st.integers(1, 17), st.integers(1, 17), st.data())
def test_cell_masks_hold_any_masked_pixel(height, width, data):
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    masks = np.zeros((2, height, width), np.bool_)
    masks[1, y, x] = True
    cells = cell_mask(masks, (rows, columns))
    expected = np.zeros((rows, columns), np.bool_)
    expected[y * rows // height, x * columns // width] = True
    assert not cells[0].any()
    np.testing.assert_array_equal(cells[1], expected.ravel())
    np.testing.assert_array_equal(cell_mask(masks[1], (rows, columns)), cells[1])


def test_event_weights_lie_just_before_the_event():
    frames = np.zeros((10, 2, 2, 3), np.uint8)
    episode = Episode(frames, np.zeros(9, np.int64), {}, {"events": {"death": [6], "coin": [1]}})
    weights = event_weights(episode, {"death": 4.0, "coin": 2.0, "stomp": 9.0}, before=3)
    assert weights.tolist() == [3, 1, 1, 5, 5, 5, 1, 1, 1, 1]
