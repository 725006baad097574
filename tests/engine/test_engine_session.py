import dataclasses
import gc
import weakref

import numpy as np
import pytest
from tiny_world import ACTIONS, H, N, W

from worldlet.engine.history import KEYFRAMES, History
from worldlet.engine.moment import Moment
from worldlet.engine.noise import frame_noise

PLAY = np.random.default_rng(3).integers(0, len(ACTIONS), 100).tolist()


def run(session, actions):
    frames = [session.step(action).frame for action in actions]
    return np.array(frames, np.uint8)


def test_a_seed_replays_byte_for_byte(engine):
    first, again = engine.open(seed=7), engine.open(seed=7)
    assert first.frame.tobytes() == again.frame.tobytes()
    assert run(first, PLAY).tobytes() == run(again, PLAY).tobytes()


def test_seeds_differ_from_the_same_start(engine):
    frame = engine.open(seed=0).frame
    one, two = (engine.open(frames=frame, seed=seed) for seed in (1, 2))
    assert run(one, PLAY[:10]).tobytes() != run(two, PLAY[:10]).tobytes()


def test_an_action_changes_the_next_frame_and_none_before(engine):
    """Two plays that differ in the action done at frame 6 have equal frames up to 6, and another frame 7."""
    other = [*PLAY[:6], (PLAY[6] + 4) % len(ACTIONS), *PLAY[7:10]]
    left, right = engine.open(seed=1), engine.open(seed=1)
    one = np.concatenate([left.frame[None], run(left, PLAY[:10])])
    two = np.concatenate([right.frame[None], run(right, other)])
    assert [bool((a == b).all()) for a, b in zip(one, two, strict=True)][:8] == [True] * 7 + [False]


def test_the_session_hands_the_graph_the_right_things(engine):
    """The frame of index i comes from the tokens of i-1, the action done there, and the noise of frame i."""
    session = engine.open(seed=5)
    before = session._moment
    result = session.step("down")
    expected = engine.backend.step(
        {name: tensor[None] for name, tensor in before.state.items()},
        before.tokens_N[None],
        np.array([ACTIONS.index("down")]),
        np.zeros((1, 4), np.float32),
        frame_noise(5, 1, N)[None],
    )
    assert np.array_equal(result.frame, expected.frames_BHWC[0])
    assert np.array_equal(session.tokens, expected.tokens_BN[0])


def test_metrics(engine):
    session = engine.open()
    result = session.step(0)
    assert result.metrics["frame_index"] == session.index == 1
    assert result.metrics["step_ms"] > 0 and result.metrics["fps"] > 0
    assert session.step(0).metrics["frame_index"] == 2


@pytest.mark.parametrize("action", [8, -1, "upp", 1.0, None, True])
def test_wrong_action_leaves_the_session_alone(engine, action):
    session = engine.open(seed=2)
    before = session.snapshot()
    with pytest.raises(ValueError, match="action"):
        session.step(action)
    assert session.snapshot() == before


def test_action_by_name(engine):
    assert engine.open(seed=2).step("right").frame.tobytes() == engine.open(seed=2).step(3).frame.tobytes()
    assert engine.open(seed=2).step(np.int64(3)).metrics["frame_index"] == 1


def test_frames_are_not_writable(engine):
    session = engine.open()
    with pytest.raises(ValueError, match="read-only"):
        session.step(0).frame[:] = 0
    assert session.frame.shape == (H, W, 3) and session.frame.dtype == np.uint8


def test_fork_goes_the_same_way_and_leaves_the_first_alone(engine):
    session = engine.open(seed=4)
    run(session, PLAY[:20])
    fork = session.fork()
    ahead = run(fork, PLAY[20:40])
    assert session.index == 20 and fork.index == 40
    assert run(session, PLAY[20:40]).tobytes() == ahead.tobytes()


def test_fork_with_another_seed_shares_the_past_only(engine):
    session = engine.open(seed=4)
    run(session, PLAY[:20])
    past = session.frame
    fork = session.fork(seed=5)
    assert run(fork, PLAY[20:40]).tobytes() != run(session, PLAY[20:40]).tobytes()
    assert fork.rewind(20).frame.tobytes() == past.tobytes()
    assert fork.rewind(13).frame.tobytes() == engine_frame(engine, 4, 7).tobytes()


def engine_frame(engine, seed, index):
    session = engine.open(seed=seed)
    return run(session, PLAY[:index])[-1]


@pytest.mark.parametrize("back", [0, 1, 7, 10, 39, 40])
def test_rewind_finds_the_same_frames_and_the_same_future(engine, back):
    session = engine.open(seed=6)
    first = session.frame
    frames = [first, *run(session, PLAY[:40])]
    result = session.rewind(back)
    assert session.index == result.metrics["frame_index"] == 40 - back
    assert result.frame.tobytes() == session.frame.tobytes() == frames[40 - back].tobytes()
    assert run(session, PLAY[40 - back : 40]).tobytes() == b"".join(f.tobytes() for f in frames[41 - back :])


def test_rewind_twice_then_play_another_way(engine):
    session = engine.open(seed=6)
    frames = run(session, PLAY[:50])
    session.rewind(20)
    session.rewind(3)
    assert session.frame.tobytes() == frames[26].tobytes()
    run(session, [0] * 20)
    assert session.rewind(25).frame.tobytes() == frames[21].tobytes()


def test_rewind_further_than_kept(engine):
    session = engine.open()
    run(session, PLAY[:5])
    with pytest.raises(ValueError, match="cannot go back 6 frames: this session can go back at most 5"):
        session.rewind(6)
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(ValueError, match="rewind"):
            session.rewind(wrong)
    assert session.index == 5


def test_what_is_kept_is_bounded_and_a_minute_can_be_rewound(engine):
    session = engine.open(seed=9)
    frames, sizes = {}, []
    for index in range(1, 4001):
        frame = session.step(PLAY[index % 100]).frame
        if index >= 2200:
            frames[index] = frame.copy()
        sizes.append(session.history_size)
    keyframes, steps = np.max(sizes, axis=0)
    assert keyframes == KEYFRAMES and steps <= 1800 + 240
    assert max(keyframes for keyframes, _ in sizes[3000:]) <= max(keyframes for keyframes, _ in sizes[:3000])
    assert session.rewindable >= 1800
    assert session.rewind(1800).frame.tobytes() == frames[2200].tobytes()


def test_step_many_equals_stepping_alone(engine):
    together = [engine.open(seed=seed) for seed in range(5)]
    alone = [engine.open(seed=seed) for seed in range(5)]
    for offset in range(12):
        actions = [PLAY[offset + 7 * seat] for seat in range(5)]
        results = engine.step_many(together, actions)
        for result, session, action in zip(results, alone, actions, strict=True):
            assert result.frame.tobytes() == session.step(action).frame.tobytes()
    assert [one.snapshot() for one in together] == [one.snapshot() for one in alone]


def test_step_many_refuses_before_anyone_moves(engine, world):
    import worldlet

    one, two = engine.open(), engine.open(seed=1)
    for sessions, actions in (([one, two], [0]), ([one, two], [0, 8]), ([one, one], [0, 0])):
        with pytest.raises(ValueError):
            engine.step_many(sessions, actions)
    with pytest.raises(ValueError, match="this engine"):
        worldlet.load(world).step_many([one], [0])
    assert one.index == two.index == 0
    assert engine.step_many([], []) == []


def test_two_call_form(engine):
    frame = engine.generate_interactive("a snowy hill", seed=3)
    assert frame.tobytes() == engine.open(prompt="a snowy hill", seed=3).frame.tobytes()
    frame, metrics = engine.step(action=2)
    assert frame.shape == (H, W, 3) and metrics["fps"] > 0
    assert frame.tobytes() == engine.open(prompt="a snowy hill", seed=3).step(2).frame.tobytes()


def test_two_call_form_in_the_wrong_order(world):
    import worldlet

    with pytest.raises(ValueError, match="generate_interactive"):
        worldlet.load(world).step(0)


def test_noise_of_neighbouring_frames_has_nothing_in_common():
    frames = np.stack([frame_noise(1, index, 256) for index in range(8)])
    assert frames.dtype == np.float32 and frames.min() >= 0 and frames.max() < 1
    assert len(np.unique(frames)) > 0.999 * frames.size
    assert np.array_equal(frame_noise(1, 3, 6), frames[3, :6])
    assert not np.array_equal(frame_noise(2, 3, 256), frames[3])


def test_gaps_between_keyframes_grow_with_age_only():
    moment = Moment(0, np.zeros(6, np.int64), np.zeros((16, 24, 3), np.uint8), {})
    history = History(moment, horizon=1800)
    for index in range(1, 4001):
        history.add(dataclasses.replace(moment, index=index), (index % 8, 0))
        for back in (0, 100, 300, 1800) if index > 1800 and index % 10 == 0 else ():
            keyframe, steps = history.route(index - back)
            assert keyframe.index + len(steps) == index - back
            assert len(steps) <= max(2 * 15, back / 7)
            assert steps == [(i % 8, 0) for i in range(keyframe.index + 1, index - back + 1)]


def test_a_history_keeps_copies_on_one_shelf_and_no_array_of_a_step():
    """Else memory would grow for a minute, and steps would get fresh, slower memory."""
    moments = [
        Moment(index, np.full(6, index), np.full((16, 24, 3), index % 256, np.uint8), {"memory": np.full(4, index)})
        for index in range(600)
    ]
    history = History(moments[0], horizon=1800)
    for moment in moments[1:]:
        history.add(moment, (0, 0))
    twin = history.copy()
    kept = [weakref.ref(moment.frame) for moment in moments[1:]]
    del moments, moment
    gc.collect()
    assert not any(frame() is not None for frame in kept)
    twin.cut(300)
    twin.add(Moment(301, np.full(6, 7), np.full((16, 24, 3), 7, np.uint8), {"memory": np.full(4, 7)}), (1, 0))
    for index in (0, 90, 299, 300, 450, 599):
        found, steps = history.route(index)
        assert found.index + len(steps) == index
        assert (found.tokens_N == found.index).all() and (found.frame == found.index % 256).all()
        assert (found.state["memory"] == found.index).all()
