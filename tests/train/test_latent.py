from __future__ import annotations

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs the training extra")
pytest.importorskip("av", reason="needs the training extra")

from rich.console import Console  # noqa: E402

from tests.train.square_game import play, write_data  # noqa: E402
from worldlet.data.shards import read_episodes, read_manifest  # noqa: E402
from worldlet.dynamics.latent import LatentActions, LatentConfig  # noqa: E402
from worldlet.train.label import LabelConfig, label  # noqa: E402
from worldlet.train.latent_codes import LatentCodesConfig, read_codes  # noqa: E402
from worldlet.train.latent_stage import LatentStage, LatentStageConfig, code_figures  # noqa: E402
from worldlet.train.moments import MomentTable  # noqa: E402

QUIET = Console(quiet=True)
SIZE = (16, 24)
CODES = LatentCodesConfig(
    steps=500, codes=4, reach=2, width=16, threads=1, precision="fp32", device="cpu", learning_rate=4e-3,
    stage=LatentStageConfig(batch_size=16, val_moments=64),
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    plays = [play(seed, 60) for seed in range(60, 84)]
    return write_data(tmp_path_factory.mktemp("latent") / "data", {"train": plays})


@pytest.fixture(scope="module")
def found(data, tmp_path_factory):
    """A folder with trained codes."""
    folder = tmp_path_factory.mktemp("latent") / "codes"
    result = label(LabelConfig(str(data), str(folder), latent=CODES), QUIET)
    assert result.finished and "name the codes" in result.words
    return folder


@pytest.fixture(scope="module")
def held_out():
    return MomentTable.build([play(seed, 60) for seed in range(200, 208)], SIZE)


def centre(frame_HWC: np.ndarray) -> np.ndarray:
    """Row and column of the square."""
    weight = np.clip(frame_HWC[..., 0].astype(float) - 60, 0, None)
    rows, columns = np.indices(weight.shape)
    return np.array([(rows * weight).sum(), (columns * weight).sum()]) / max(weight.sum(), 1e-9)


def test_codes_tell_about_the_next_frame(found, held_out) -> None:
    figures = code_figures(LatentActions.load(found), held_out, 200, seed=0)
    assert figures["n"] >= 100 and figures["informative"] and figures["codes_used"] >= 3
    assert figures["error"] < 0.5  # copying the last frame scores 1
    assert figures["error"] < 0.6 * min(figures["shuffled"], figures["most_common"])


def test_an_untrained_model_is_not_called_informative(held_out) -> None:
    torch.manual_seed(0)
    figures = code_figures(LatentActions(LatentConfig(SIZE, codes=4, width=16)).eval(), held_out, 100, seed=0)
    assert not figures["informative"]


def test_a_code_moves_the_square_of_another_clip_the_same_way(found, held_out) -> None:
    model = LatentActions.load(found)
    truth: dict[int, list[np.ndarray]] = {}
    for seed in range(200, 208):
        episode = play(seed, 60)
        for t, code in enumerate(model.infer(episode.frames_THWC)):
            truth.setdefault(int(code), []).append(centre(episode.frames_THWC[t + 1]) - centre(episode.frames_THWC[t]))
    agree = total = moving = 0
    for code, moves in truth.items():
        usual = np.median(moves, 0)  # what the code did in the clips it was read from
        moving += bool(np.abs(usual).max() > 1)
        for seed in range(300, 400):
            frames = play(seed, 3).frames_THWC
            place = centre(frames[1])
            if not (4 < place[0] < 9 and 5 < place[1] < 18):
                continue  # no wall near
            moved = centre(model.imagine(frames[None, :2], np.array([code]))[0]) - place
            agree, total = agree + bool(np.abs(moved - usual).max() < 1), total + 1
    assert moving >= 2 and total >= 40 and agree / total > 0.8


def test_codes_are_shown_and_named_and_label(found, data, tmp_path) -> None:
    assert (found / "codes.png").read_bytes().startswith(b"\x89PNG")
    path = found / "codes.yaml"
    settings = yaml.safe_load(path.read_text())
    assert [line["code"] for line in settings["codes"]] == [0, 1, 2, 3]
    for line, name in zip(settings["codes"], ("go", "go", "rest", None), strict=True):
        line["name"], line["keys"] = name, [["KeyG"]] if name == "go" else []
    edited = found / "edited.yaml"
    edited.write_text(yaml.safe_dump(settings))
    named = read_codes(edited)
    assert named.action_names == ("go", "rest") and named.action_of_code.tolist() == [0, 0, 1, -1]
    out = tmp_path / "out"
    assert label(LabelConfig(str(data), str(out), codes=str(edited), least_span=2), QUIET).finished
    manifest = read_manifest(out)
    assert manifest["action_names"] == ["go", "rest"] and manifest["key_bindings"] == {"go": [["KeyG"]]}
    assert manifest["labels"]["by"] == "latent actions" and manifest["labels"]["held_out"]["informative"]
    first = next(read_episodes(out, "train"))
    origin = first.meta["labels"]
    source = next(e for e in read_episodes(data, "train") if e.meta["episode_id"] == origin["source"])
    codes = named.model.infer(source.frames_THWC)[origin["start"] : origin["start"] + len(first)]
    assert (first.actions_T == named.action_of_code[codes]).all() and len(first) >= 2


def test_a_users_names_survive_a_second_run(found, data) -> None:
    path = found / "codes.yaml"
    kept = path.read_text() + "# mine\n"
    path.write_text(kept)
    label(LabelConfig(str(data), str(found), latent=CODES), QUIET)
    assert path.read_text() == kept


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda s: s["codes"].pop(), "must hold each code from 0 to 3 once"),
        (lambda s: [line.update(name=None) for line in s["codes"]], "names no action"),
        (lambda s: s["codes"][0].update(nmae="x"), "did you mean"),
    ],
)
def test_a_wrong_codes_file_is_one_sentence(edit, words, found, tmp_path) -> None:
    settings = yaml.safe_load((found / "codes.yaml").read_text())
    settings["model"] = str(found)
    edit(settings)
    path = tmp_path / "codes.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match=words):
        read_codes(path)


def test_codes_without_information_do_not_label(tmp_path) -> None:
    model = LatentActions(LatentConfig(SIZE, codes=2, width=8))
    model.about = {"held_out": {"informative": False, "shares": [0.5, 0.5]}}
    model.save(tmp_path)
    lines = [{"code": code, "share": 0.5, "name": "x", "keys": []} for code in (0, 1)]
    (tmp_path / "codes.yaml").write_text(yaml.safe_dump({"model": ".", "codes": lines}))
    with pytest.raises(ValueError, match="tell nothing about the next frame"):
        read_codes(tmp_path / "codes.yaml")


def test_a_code_is_the_one_under_which_the_frame_is_made_best() -> None:
    torch.manual_seed(0)
    model = LatentActions(LatentConfig(SIZE, codes=6, width=8)).eval()
    past = np.repeat(play(5, 3).frames_THWC[None, :2], 6, 0)
    made = model.imagine(past, np.arange(6))
    assert len(np.unique(made.reshape(6, -1), axis=0)) == 6
    assert [int(model.infer(np.stack([*past[0], frame]))[1]) for frame in made] == list(range(6))
    with pytest.raises(ValueError, match="at least 2"):
        LatentConfig(SIZE, codes=1)


def test_before_training_the_forward_network_copies() -> None:
    torch.manual_seed(0)
    model = LatentActions(LatentConfig(SIZE, codes=4, width=16)).eval()
    frames = np.stack([play(5, 1).frames_THWC])
    assert np.abs(model.imagine(frames, np.array([2]))[0].astype(int) - frames[0, 1]).mean() < 40


def test_a_stage_trains_on_frames_alone(held_out) -> None:
    other = MomentTable(
        held_out.frames_FHWC, held_out.at_M, held_out.actions_M[::-1], held_out.first_M, held_out.last_M
    )
    losses = []
    for table in (held_out, other):
        torch.manual_seed(0)
        stage = LatentStage(table, table, LatentConfig(SIZE, codes=4, width=8), LatentStageConfig(), seed=0)
        torch.manual_seed(1)
        losses.append(float(stage.loss(0, 0.0)[0].detach()))
    assert losses[0] == losses[1]
