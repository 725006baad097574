"""A code read off one clip, put into another clip, moves the hero of that one the same way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the training extra")

from tests.train.hero_games import SIDE, WAYS, HeroGame, play_hero  # noqa: E402
from worldlet.dynamics.latent import LatentActions, LatentConfig  # noqa: E402
from worldlet.train import checkpoint  # noqa: E402
from worldlet.train.latent_stage import LatentStage, LatentStageConfig  # noqa: E402
from worldlet.train.loop import LoopConfig, fit  # noqa: E402
from worldlet.train.moments import MomentTable  # noqa: E402

SIZES = LatentConfig((SIDE, SIDE), codes=8, reach=2, width=24)
LOOP = LoopConfig(
    minutes=None, steps=300, precision="fp32", device="cpu", threads=1, learning_rate=4e-3, ema_decay=0.95,
    validate_every_minutes=60.0, picture_every_minutes=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Codes learned from the frames of a hundred short plays; actions are not among what is learned from."""
    torch.manual_seed(0)
    train, val = (
        MomentTable.build([play_hero(seed, 40).episode for seed in seeds], (SIDE, SIDE))
        for seeds in (range(100), range(1000, 1004))
    )
    stage = LatentStage(train, val, SIZES, LatentStageConfig(batch_size=32, val_moments=64), seed=0)
    out = tmp_path_factory.mktemp("hero")
    assert fit(stage, out, LOOP, resume=False).finished
    trained = LatentActions(SIZES)
    trained.load_state_dict(checkpoint.load_weights(out / stage.name))
    return trained.eval()


class Moved(NamedTuple):
    """Share of clips in which the hero moved as he did where the code was read, and the error left of copying's."""

    same_way: float
    error: float


def moved(model: LatentActions, codes_M: np.ndarray, ways_M: np.ndarray) -> Moved:
    """Put codes into clips of other heroes, places and grounds, away from walls.

    The frame imagined is compared with the five that the game itself would show; the nearest says where the hero went.
    """
    nearest, wanted, errors = [], [], []
    for at, seed in enumerate(seed for seed in range(6000, 6200) if HeroGame(seed).free):
        truth_A = np.stack([HeroGame(seed).step(way) for way in range(len(WAYS))]).astype(float)
        now, code, way = HeroGame(seed).draw(), codes_M[at], ways_M[at]
        made = model.imagine(np.stack([now, now])[None], np.array([code]))[0]
        nearest.append(np.square(made - truth_A).sum((1, 2, 3)).argmin())
        wanted.append(way)
        if way:
            errors.append(np.square(made - truth_A[way]).sum() / np.square(now - truth_A[way]).sum())
    same_M = np.array(nearest) == wanted
    return Moved(float(same_M[np.array(wanted) > 0].mean()), float(np.mean(errors)))


@pytest.fixture(scope="module")
def read(model):
    """Codes (M,) read off held-out plays, and the ways (M,) that their heroes went, in an order of chance."""
    plays = [play_hero(seed, 40) for seed in range(5000, 5020)]
    codes_M = np.concatenate([model.infer(play.episode.frames_THWC) for play in plays])
    order = np.random.default_rng(1).permutation(len(codes_M))
    return codes_M[order], np.concatenate([play.ways_T for play in plays])[order]


def test_a_code_says_which_way_the_hero_went(read) -> None:
    codes_M, ways_M = read
    joint = np.zeros((SIZES.codes, len(WAYS)))
    np.add.at(joint, (codes_M, ways_M), 1)
    assert joint.max(1).sum() / joint.sum() > 0.95  # each code has one way,
    assert len(np.unique(joint[joint.sum(1) > 0].argmax(1))) == len(WAYS)  # and each way has a code


def test_a_code_moves_the_hero_of_another_clip_the_same_way(model, read) -> None:
    codes_M, ways_M = read
    carried = moved(model, codes_M, ways_M)
    assert carried.same_way > 0.95 and carried.error < 0.3  # copying the last frame leaves an error of 1
    other = moved(model, np.random.default_rng(2).permutation(codes_M), ways_M)
    assert other.same_way < 0.5 and other.error > 1  # the code of another moment does not do it


def test_untrained_codes_move_nothing_the_same_way() -> None:
    torch.manual_seed(1)
    untrained = LatentActions(SIZES).eval()
    plays = [play_hero(seed, 40) for seed in range(5000, 5010)]
    codes_M = np.concatenate([untrained.infer(play.episode.frames_THWC) for play in plays])
    assert moved(untrained, codes_M, np.concatenate([play.ways_T for play in plays])).same_way < 0.5
