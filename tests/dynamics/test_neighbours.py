"""Tokens drawn apart are made to fit: pairs seen in training are free, others have their price and no more."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from worldlet.dynamics import DynamicsConfig, build_dynamics  # noqa: E402
from worldlet.dynamics.neighbours import CANDIDATES, UNSEEN, Neighbours  # noqa: E402

SKY, HEAD, BODY, LEFT, RIGHT = range(5)
CODES = 11  # no multiple of eight


def frames(*pictures):
    return np.array(pictures)


def logits_of(choices):
    """Logits (1, N, CODES) from a list of {code: probability}."""
    logits = torch.full((1, len(choices), CODES), -20.0)
    for cell, chances in enumerate(choices):
        for code, chance in chances.items():
            logits[0, cell, code] = float(np.log(chance))
    return logits


@pytest.fixture
def columns():
    """A hero of two cells, one above the other, or sky: on a grid of 3 x 1."""
    pairs = Neighbours(CODES)
    pairs.learn(frames([HEAD, BODY, SKY], [SKY, HEAD, BODY], [SKY, SKY, SKY]), (3, 1))
    return pairs


def test_pairs_are_learned_as_they_lie_and_anew():
    pairs = Neighbours(CODES)
    pairs.learn(frames([LEFT, RIGHT, SKY, 10]), (2, 2))

    def seen(table):
        bits = np.unpackbits(table.numpy(), axis=1, bitorder="little")[:, :CODES]
        return {(int(a), int(b)) for a, b in np.argwhere(bits)}

    assert seen(pairs.right) == {(LEFT, RIGHT), (SKY, 10)} and seen(pairs.below) == {(LEFT, SKY), (RIGHT, 10)}
    pairs.learn(np.full((5, 4), BODY), (2, 2), chunk=2)
    assert seen(pairs.right) == seen(pairs.below) == {(BODY, BODY)}


def test_a_torn_hero_is_put_together(columns):
    """Drawn alone he has two heads; the whole hero that costs less is taken, wherever he stands."""
    torn = torch.tensor([[HEAD, HEAD, BODY]])
    here = logits_of([{HEAD: 0.8, SKY: 0.2}, {HEAD: 0.45, BODY: 0.55}, {BODY: 0.5, SKY: 0.5}])
    assert columns.settle(here, torn, (3, 1)).tolist() == [[HEAD, BODY, SKY]]
    there = logits_of([{HEAD: 0.5, SKY: 0.5}, {HEAD: 0.6, BODY: 0.4}, {BODY: 0.7, SKY: 0.3}])
    assert columns.settle(there, torn, (3, 1)).tolist() == [[SKY, HEAD, BODY]]
    both = torch.cat([here, there]), torn.expand(2, -1)
    assert columns.settle(*both, (3, 1)).tolist() == [[HEAD, BODY, SKY], [SKY, HEAD, BODY]]


def test_left_and_right_are_told_apart():
    pairs = Neighbours(CODES)
    pairs.learn(frames([LEFT, RIGHT, SKY], [SKY, LEFT, RIGHT], [SKY, SKY, SKY]), (1, 3))
    open_question = logits_of([{LEFT: 0.8, SKY: 0.2}, {LEFT: 0.45, RIGHT: 0.55}, {RIGHT: 0.5, SKY: 0.5}])
    assert pairs.settle(open_question, torch.tensor([[LEFT, LEFT, RIGHT]]), (1, 3)).tolist() == [[LEFT, RIGHT, SKY]]


def test_what_fits_stays_as_it_was_drawn_however_unlikely(columns):
    drawn = torch.tensor([[SKY, HEAD, BODY]])
    doubtful = logits_of([{HEAD: 0.9, SKY: 0.1}, {BODY: 0.9, HEAD: 0.1}, {SKY: 0.9, BODY: 0.1}])
    assert columns.settle(doubtful, drawn, (3, 1)).tolist() == drawn.tolist()


def test_what_is_certain_gives_no_way(columns):
    """A pair never seen is kept where every other frame costs more than its price: new things may happen."""
    two_heads = torch.tensor([[HEAD, HEAD, BODY]])
    sure = 1 - 0.1 * np.exp(-UNSEEN)
    certain = logits_of([{HEAD: sure, SKY: 1 - sure}, {HEAD: sure, BODY: 1 - sure}, {BODY: sure, SKY: 1 - sure}])
    assert columns.settle(certain, two_heads, (3, 1)).tolist() == two_heads.tolist()


def test_before_anything_is_learned_everything_fits():
    torch.manual_seed(0)
    logits, drawn = torch.randn(3, 20, CODES), torch.randint(CODES, (3, 20))
    assert torch.equal(Neighbours(CODES).settle(logits, drawn, (4, 5)), drawn)
    few = Neighbours(3)
    assert CANDIDATES > 3 and torch.equal(few.settle(logits[..., :3], drawn % 3, (4, 5)), drawn % 3)


def test_fewer_pairs_are_new_afterwards():
    rng = np.random.default_rng(0)
    pairs = Neighbours(CODES)
    pairs.learn(np.cumsum(rng.integers(0, 2, (300, 42)), 1) % CODES, (6, 7))
    torch.manual_seed(0)
    logits, drawn = torch.randn(20, 42, CODES), torch.randint(CODES, (20, 42))

    def new_pairs(tokens):
        bits = torch.from_numpy(np.unpackbits(pairs.right.numpy(), axis=1, bitorder="little")[:, :CODES])
        rows = tokens.view(-1, 6, 7)
        return int((bits[rows[..., :-1], rows[..., 1:]] == 0).sum())

    assert 0 < new_pairs(pairs.settle(logits, drawn, (6, 7))) < 0.6 * new_pairs(drawn)


def test_a_state_without_pairs_leaves_them_and_one_with_pairs_brings_them():
    config = DynamicsConfig(grid=(2, 2), codebook_size=CODES, width=16, heads=2, ssm_heads=2)
    one, other = build_dynamics(config), build_dynamics(config)
    one.neighbours.learn(frames([LEFT, RIGHT, SKY, HEAD]), (2, 2))
    old = {name: value for name, value in other.state_dict().items() if not name.startswith("neighbours.")}
    before = one.neighbours.right.clone()
    one.load_state_dict(old)
    assert torch.equal(one.neighbours.right, before) and not torch.equal(other.neighbours.right, before)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.neighbours.right, before)
