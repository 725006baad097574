import numpy as np
import pytest
from tiny_world import GRID_H, GRID_W, PATCH, STARTS, H, N, W

import worldlet
from worldlet.engine.opening import pick_start
from worldlet.manifest import WorldError


def frames(count, seed=0):
    """Flat patches of the tiny world's own brightness, so that encoding is exact."""
    codes = np.random.default_rng(seed).integers(0, 8, (count, GRID_H, GRID_W))
    pixels = (codes * 32 + 16).astype(np.uint8).repeat(PATCH, axis=1).repeat(PATCH, axis=2)
    return codes.reshape(count, N), np.repeat(pixels[..., None], 3, axis=-1)


def test_opening_at_one_frame(engine):
    codes, pixels = frames(1)
    for given in (pixels, pixels[0]):
        session = engine.open(frames=given)
        assert session.tokens.tolist() == codes[0].tolist()
        assert session.index == 0 and session.frame.shape == (H, W, 3)
        assert not any(tensor.any() for tensor in session._moment.state.values())
    assert session.start.chosen == "from 1 given frames" and session.start.theme is None


def test_warming_up_sees_every_context_frame_with_the_action_done_at_it(engine):
    """The tiny world's state is known in closed form: memory' = memory / 2 + (tokens + pull[action]) / 4."""
    codes, pixels = frames(4)
    actions = [1, 7, "left"]
    session = engine.open(frames=pixels, actions=actions)
    pull = np.linspace(0.25, 4.0, 8).astype(np.float16)
    memory = np.zeros(N, np.float16)
    for tokens, action in zip(codes[:3], [1, 7, 2], strict=True):
        memory = memory / np.float16(2) + (tokens.astype(np.float16) + pull[action]) * np.float16(0.25)
    np.testing.assert_allclose(session._moment.state["memory"], memory, rtol=2e-3)
    assert session.tokens.tolist() == codes[3].tolist()
    assert session.step(0).metrics["frame_index"] == 1


@pytest.mark.parametrize(
    ("given", "actions", "message"),
    [
        (np.zeros((16, 16, 3), np.uint8), None, r"\(16, 24, 3\) or \(K, 16, 24, 3\), not uint8 of shape \(16, 16, 3\)"),
        (np.zeros((24, 16, 3), np.uint8), None, "not uint8 of shape"),
        (np.zeros((16, 24, 4), np.uint8), None, "not uint8 of shape"),
        (np.zeros((16, 24), np.uint8), None, "not uint8 of shape"),
        (np.zeros((0, 16, 24, 3), np.uint8), [], "not uint8 of shape"),
        (np.zeros((1, 1, 16, 24, 3), np.uint8), [], "not uint8 of shape"),
        (np.zeros((16, 24, 3), np.float32), None, "not float32"),
        ([[[0, 0, 0]]], None, "not list"),
        (np.zeros((3, 16, 24, 3), np.uint8), None, "3 frames need the 2 actions"),
        (np.zeros((3, 16, 24, 3), np.uint8), [0, 0, 0], "3 frames need the 2 actions"),
        (np.zeros((2, 16, 24, 3), np.uint8), [8], "action 8 is out of range"),
    ],
)
def test_wrong_frames(engine, given, actions, message):
    with pytest.raises(ValueError, match=message):
        engine.open(frames=given, actions=actions)


def test_frames_exclude_prompt_and_theme(engine):
    for other in ({"prompt": "snow"}, {"theme": "snow"}):
        with pytest.raises(ValueError, match="one of the two"):
            engine.open(frames=np.zeros((16, 24, 3), np.uint8), **other)
    with pytest.raises(ValueError, match="give frames too"):
        engine.open(actions=[1])


def test_a_start_shows_its_last_frame(engine):
    session = engine.open(prompt="frozen lake")
    bundle = engine._bundle
    start = next(start for start in bundle.starts if start.theme == "snow")
    last = bundle.start_frames(start)[-1]
    assert np.array_equal(session.frame, last)  # the tiny world's tokenizer loses nothing
    assert any(tensor.any() for tensor in session._moment.state.values())


def test_prompt_picks_the_caption_that_shares_most_words(engine):
    start = engine.open(prompt="A hill, with the FROZEN lake!", seed=1).start
    assert (start.theme, start.caption) == STARTS[1]
    assert "prompt only picks the starting frame" in start.chosen
    assert engine.open(prompt="crystal meadow green", theme="cave").start.caption == STARTS[2][1]


def test_ties_go_by_seed(engine):
    captions = {engine.open(prompt="the meadow", seed=seed).start.caption for seed in range(20)}
    assert captions == {STARTS[0][1], STARTS[3][1]}


def test_a_prompt_that_nothing_matches_says_so(engine):
    start = engine.open(prompt="the and of quantum", seed=2).start
    assert "no caption shares a word" in start.chosen and "only picks the starting frame" in start.chosen
    assert start.caption == engine.open(seed=2).start.caption


def test_theme(engine):
    assert engine.themes == ("cave", "grass", "snow")
    assert {engine.open(theme="grass", seed=seed).start.caption for seed in range(20)} == {STARTS[0][1], STARTS[3][1]}
    with pytest.raises(ValueError, match="did you mean 'grass'"):
        engine.open(theme="gras")


def test_the_seed_reaches_every_start(engine):
    chosen = [pick_start(engine._bundle.starts, None, None, seed)[0].file for seed in range(40)]
    assert len(set(chosen)) == len(STARTS)


@pytest.mark.parametrize("seed", [-1, 1.5, "7", None, True, 2**64])
def test_wrong_seed(engine, seed):
    with pytest.raises(ValueError, match="seed"):
        engine.open(seed=seed)


def test_largest_seed(engine):
    assert engine.open(seed=2**64 - 1).step(0).metrics["frame_index"] == 1


@pytest.mark.parametrize("wrong", [{"prompt": 3}, {"theme": 3}])
def test_words_that_are_no_words(engine, wrong):
    with pytest.raises(ValueError, match="give a string"):
        engine.open(**wrong)


@pytest.mark.parametrize("wrong", [None, 3, ""])
def test_a_world_that_is_no_name(wrong):
    with pytest.raises(WorldError, match="named by"):
        worldlet.load(wrong)
