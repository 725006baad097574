import numpy as np
import pytest

from worldlet import Clip, Episode, StepResult


def _frames(count, height=4, width=6):
    values = np.arange(count, dtype=np.uint8)
    return np.broadcast_to(values[:, None, None, None], (count, height, width, 3)).copy()


def _episode(actions=5):
    facts = {"coins": np.arange(actions + 1), "hero_mask": np.zeros((actions + 1, 4, 6), bool)}
    return Episode(_frames(actions + 1), np.arange(actions), facts, {"episode_id": "e"})


def test_clip_keeps_the_time_convention():
    clip = _episode().clip(2, 2)
    assert isinstance(clip, Clip) and len(clip) == 2
    assert clip.frames_THWC[:, 0, 0, 0].tolist() == [2, 3, 4]  # frame 2, action 2, frame 3, action 3, frame 4
    assert clip.actions_T.tolist() == [2, 3]
    assert clip.facts["coins"].tolist() == [2, 3, 4]
    assert clip.meta == {"episode_id": "e"}


@pytest.mark.parametrize(("start", "length"), [(0, 0), (-1, 2), (4, 2), (0, 6)])
def test_clip_stays_inside(start, length):
    with pytest.raises(ValueError, match="5 actions"):
        _episode().clip(start, length)


def test_whole_episode_is_a_clip():
    assert len(_episode().clip(0, 5)) == 5


@pytest.mark.parametrize(
    ("frames", "actions", "message"),
    [
        (_frames(5), np.arange(5), "6 frames, not 5"),
        (_frames(7), np.arange(5), "6 frames, not 7"),
        (_frames(6).astype(np.float32), np.arange(5), "uint8"),
        (_frames(6)[..., :2], np.arange(5), "shape"),
        (_frames(6)[0], np.arange(5), "shape"),
        (_frames(6).tolist(), np.arange(5), "numpy"),
        (_frames(6), np.arange(5, dtype=np.int32), "int64"),
        (_frames(6), np.arange(5).reshape(5, 1), "shape"),
        (_frames(6), [0, 1, 2, 3, 4], "int64"),
        (_frames(6), np.arange(5) - 1, "negative"),
    ],
)
def test_constructors_check(frames, actions, message):
    for record in (Episode, Clip):
        with pytest.raises(ValueError, match=message):
            record(frames, actions)


def test_facts_have_a_row_for_every_frame():
    with pytest.raises(ValueError, match="'coins'"):
        Episode(_frames(6), np.arange(5), {"coins": np.arange(5)})


def test_step_result_checks_its_frame():
    assert StepResult(_frames(1)[0], {"fps": 3.0}).metrics == {"fps": 3.0}
    with pytest.raises(ValueError, match="uint8"):
        StepResult(_frames(1)[0].astype(np.int64))
