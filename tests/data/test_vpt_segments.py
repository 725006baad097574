"""Segments become episodes whose action t leads from frame t to frame t+1, by rules that say what is left out."""

import json

import av
import numpy as np
import pytest

from tests.data.vpt_recording import counts, line, write_segment
from worldlet.data.vpt import segment
from worldlet.data.vpt.actions import VptAction
from worldlet.data.vpt.log import BUTTONS, mend, parse_tick
from worldlet.data.vpt.segment import Rules, read_segment, spans

SHORT = Rules(min_steps=1)


def ticks_of(lines):
    return mend([parse_tick(json.dumps(entry)) for entry in lines], "7.6")


def walking(count, **fields):
    return [line(index, ("w",), **fields) for index in range(count)]


def episodes(folder, lines, rules=SHORT, frames=None, size=(36, 64)):
    video = write_segment(folder, "a", lines, frames)
    return list(read_segment(video, ticks_of(lines), rules, size))


def test_a_line_belongs_to_its_frame_and_leads_to_the_next(tmp_path):
    lines = [line(index, ("w",), dx=float(10 * (index % 7))) for index in range(12)]
    (episode,) = episodes(tmp_path, lines)
    assert counts(episode.frames_THWC) == list(range(12))  # the repeated last frame is left out
    bins = [VptAction.from_index(int(action)).mx for action in episode.actions_T]
    assert len(bins) == 11 and bins[:7] == [5, 7, 8, 9, 9, 9, 10]
    assert episode.facts["mouse"][:, 0].tolist() == [10 * (index % 7) for index in range(12)]
    assert episode.facts["buttons"][:, BUTTONS.index("forward")].all()
    assert episode.facts["position"].shape == (12, 3)


@pytest.mark.parametrize("frames", [12, 13, 8])
def test_a_video_may_lack_the_repeated_frame_or_its_end(tmp_path, frames):
    (episode,) = episodes(tmp_path, walking(12), frames=frames)
    assert counts(episode.frames_THWC) == list(range(min(frames, 12)))


def test_a_video_of_another_log_is_refused(tmp_path):
    with pytest.raises(ValueError, match="14 frames but the log 12 lines"):
        episodes(tmp_path, walking(12), frames=14)


def test_menus_are_left_out_with_the_action_that_opens_them():
    lines = walking(12)
    for index in (5, 6):
        lines[index]["isGuiOpen"] = True
    assert spans(ticks_of(lines), SHORT) == [[0, 1, 2, 3, 4], [7, 8, 9, 10, 11]]
    assert spans(ticks_of(lines), Rules(keep_gui=True, min_steps=1)) == [list(range(12))]


def test_a_kept_menu_shows_where_the_mouse_is(tmp_path):
    lines = [{**line(index, ("w",)), "isGuiOpen": index > 3} for index in range(8)]
    for entry in lines:
        entry["mouse"].update(x=640.0, y=360.0)  # the middle of the window
    (episode,) = episodes(tmp_path, lines, Rules(keep_gui=True, min_steps=1))
    spread = episode.frames_THWC.std((1, 2, 3))
    assert spread[:4].max() < 1 < spread[4:].min()
    assert episode.frames_THWC[5, 18:, 32:].std() > 1 and episode.frames_THWC[5, :18, :32].std() < 1


def test_long_rests_are_cut_and_short_ones_kept():
    lines = [line(index, ("w",) if index < 3 or index > 8 else ()) for index in range(13)]
    assert spans(ticks_of(lines), Rules(max_idle=6, min_steps=1)) == [list(range(13))]
    assert spans(ticks_of(lines), Rules(max_idle=2, min_steps=1)) == [[0, 1, 2, 3, 4, 5], [9, 10, 11, 12]]
    assert spans(ticks_of(lines), Rules(max_idle=0, min_steps=1)) == [[0, 1, 2, 3], [9, 10, 11, 12]]
    assert spans(ticks_of(lines), Rules(max_idle=-1, min_steps=1)) == [list(range(13))]


def test_null_actions_can_be_skipped_as_published(tmp_path):
    lines = [line(index, ("w",) if index not in (2, 5, 6) else ()) for index in range(10)]
    (episode,) = episodes(tmp_path, lines, Rules(skip_null=True, max_idle=0, min_steps=1))
    assert counts(episode.frames_THWC) == [0, 1, 3, 4, 7, 8, 9]
    assert set(episode.actions_T.tolist()) == {VptAction(move=1).index}


def test_lost_lines_part_episodes():
    lines = walking(12)
    lines[6]["tick"] = 7  # a tick is missing before it
    for index in range(7, 12):
        lines[index]["tick"] += 1
    assert spans(ticks_of(lines), SHORT) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    broken = ticks_of(walking(12))
    broken[4] = None
    assert spans(broken, SHORT) == [[0, 1, 2, 3], [5, 6, 7, 8, 9, 10, 11]]


def test_long_spans_are_parted_at_a_shared_frame_and_scraps_dropped(tmp_path):
    found = episodes(tmp_path, walking(12), Rules(episode_steps=5, min_steps=2))
    assert [counts(episode.frames_THWC) for episode in found] == [[0, 1, 2, 3, 4, 5], [5, 6, 7, 8, 9, 10]]
    assert [len(episode) for episode in found] == [5, 5]


def test_frames_are_averaged_down(tmp_path):
    (episode,) = episodes(tmp_path, walking(4), size=(8, 16))
    assert episode.frames_THWC.shape == (4, 8, 16, 3)
    assert counts(episode.frames_THWC) == [0, 1, 2, 3]


def test_what_is_no_video_is_refused(tmp_path):
    lines = [line(index, ("w",), dx=1.0) for index in range(60)]
    video = write_segment(tmp_path, "a", lines)
    video.write_bytes(video.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read as a video"):
        list(read_segment(video, ticks_of(lines), SHORT, (36, 64)))


def test_a_video_that_breaks_off_gives_what_comes_before(tmp_path, monkeypatch):
    real = segment._pictures

    class Breaking:
        def __init__(self, container):
            self._container = container

        def decode(self, stream):
            for index, frame in enumerate(self._container.decode(stream)):
                if index == 7:
                    raise av.error.InvalidDataError(1, "broken")
                yield frame

    monkeypatch.setattr(segment, "_pictures", lambda av, container, stream: real(av, Breaking(container), stream))
    found = episodes(tmp_path, walking(20), Rules(episode_steps=4, min_steps=2))
    assert [counts(episode.frames_THWC) for episode in found] == [[0, 1, 2, 3, 4], [4, 5, 6]]


def test_fields_that_a_log_lacks_are_no_facts(tmp_path):
    lines = [{name: value for name, value in entry.items() if name != "yaw"} for entry in walking(4)]
    (episode,) = episodes(tmp_path, lines)
    assert "yaw" not in episode.facts and "pitch" in episode.facts
    assert np.array_equal(episode.facts["hotbar"], [4, 4, 4, 4])
