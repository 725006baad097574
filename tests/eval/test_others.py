"""Another system's frames are scored as our own are, in whichever form they come, and mistakes are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.eval.real_game import Fault
from worldlet.eval import others, rollout, suite
from worldlet.eval.bench import Bench
from worldlet.eval.others import read_frames, read_rollout
from worldlet.eval.real import RealSession


class Dim(Fault):
    """Every dreamed frame is a little darker."""

    def frame(self, session: RealSession) -> np.ndarray:
        return np.asarray(session.frame // 8 * 7, dtype=np.uint8)


def save_rollouts(bench: Bench, folder: Path) -> None:
    """Write the gold rollouts of a bench as another system would: one in each form."""
    for place, entry in enumerate(bench.suite.rollouts[: bench.size.rollouts]):
        real, start = bench.suite.replay(entry), entry.start
        dream = bench.dream(real, start, place)
        dreamed = np.stack([dream.step(action).frame for action in real.actions[start:]])
        one = folder / f"{place:03d}"
        one.mkdir(parents=True)
        np.savez_compressed(one / "real.npz", frames=real.frames_THWC[start:])
        np.savez_compressed(one / "hero.npz", mask=real.hero_mask_THW[start:])
        (one / "actions.json").write_text(json.dumps(real.actions[start:]))
        if place:
            np.savez_compressed(one / "dreamed.npz", dreamed)
        else:
            (one / "dreamed").mkdir()
            for t, frame in enumerate(dreamed):
                Image.fromarray(frame).save(one / "dreamed" / f"{t:04d}.png")
    (folder / "rollouts.json").write_text(json.dumps({"name": "Dim", "env_id": bench.suite.env_id}))


def test_our_own_frames_score_the_same_from_a_folder(bench: Callable[..., Bench], tmp_path: Path) -> None:
    whole = bench(Dim)
    ours = rollout.measure(whole)
    save_rollouts(whole, tmp_path / "dim")
    card = suite.evaluate(suite.EvalConfig(out=tmp_path / "out", rollouts=tmp_path / "dim"))
    for name in ("psnr_db", "copy_psnr_db", "ssim", "ms_ssim", "gmsd", "copy_gmsd", "temporal_gmsd"):
        assert card["rollout"][name] == json.loads(json.dumps(ours[name])), name
    assert card["rollout"]["hero_psnr_db"]["10"]["value"] == ours["hero_psnr_db"]["10"]["value"]
    assert card["rollout"]["frechet_random_3d"]["value"] == ours["frechet_random_3d"]["value"]
    assert {"control", "drift", "reconstruction"} <= card["not_judged"].keys()
    assert card["world"]["title"] == "Dim"
    assert "--rollouts" in card["run"]["command"]
    assert "Card of Dim" in (tmp_path / "out" / "card.html").read_text()


def one_rollout(folder: Path, real: Any, dreamed: Any, actions: Any = None) -> Path:
    folder.mkdir(parents=True)
    np.savez(folder / "real.npz", real)
    np.savez(folder / "dreamed.npz", dreamed)
    if actions is not None:
        np.save(folder / "actions.npy", actions)
    return folder


def test_the_first_dreamed_frame_answers_the_first_action(tmp_path: Path) -> None:
    """Time convention at this seam: dreamed[t] is compared with real[t+1]."""
    frames = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    dreamed, play = read_rollout(one_rollout(tmp_path / "a", frames, frames[1:], [3] * 6))
    scores = rollout.Scores()
    scores.add(dreamed[4], play, 0, 5, determined=True)
    assert scores.figure("psnr_db")["value"] == 100.0
    with pytest.raises(ValueError, match="one real frame more"):
        read_rollout(one_rollout(tmp_path / "shifted", frames, frames))


@pytest.mark.parametrize(
    ("real", "dreamed", "actions", "message"),
    [
        ((4, 16, 16, 3), (3, 8, 8, 3), None, "one size"),
        ((4, 16, 16, 3), (3, 16, 16, 3), [1, 2], "2 actions for 3"),
        ((4, 16, 16), (3, 16, 16), None, "not uint8"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, real: Any, dreamed: Any, actions: Any, message: str) -> None:
    frames = [np.zeros(shape, np.uint8) for shape in (real, dreamed)]
    with pytest.raises(ValueError, match=message):
        read_rollout(one_rollout(tmp_path / "a", *frames, actions))


def test_a_film_is_read_frame_by_frame(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    frames = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    with av.open(str(tmp_path / "real.mp4"), "w") as film:
        stream = film.add_stream("libx264rgb", rate=30, options={"crf": "0"})
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        for frame in frames:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        film.mux(stream.encode())
    assert np.array_equal(read_frames(tmp_path, "real"), frames)


def test_empty_and_absent_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no folder"):
        suite.evaluate(suite.EvalConfig(out=tmp_path / "out", rollouts=tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no rollouts"):
        others.rollout_folders(tmp_path / "empty")
    (tmp_path / "empty" / "000").mkdir()
    with pytest.raises(ValueError, match="has no dreamed frames"):
        suite.evaluate(suite.EvalConfig(out=tmp_path / "out", rollouts=tmp_path / "empty"))
    assert not (tmp_path / "out").exists()
