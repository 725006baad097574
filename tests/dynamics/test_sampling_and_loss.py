"""The sampler gives every open future its share; the loss weighs the cells it says it weighs."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from worldlet.dynamics import DynamicsConfig, Features  # noqa: E402
from worldlet.dynamics.loss import CellWeights, cell_weights, weighted_loss  # noqa: E402
from worldlet.dynamics.neighbours import Neighbours  # noqa: E402
from worldlet.dynamics.presence import Presence  # noqa: E402
from worldlet.dynamics.sampling import CANDIDATES, edge_cells, least_shares, moves_as_a_whole, next_frame, sample  # noqa: E402

ALMOST_ONE = torch.tensor(1.0).nextafter(torch.tensor(0.0)).item()


def logits_of(probabilities, order, codes=40):
    """Logits (codes,) that give `probabilities` to the codes of `order` and next to nothing to the others."""
    logits = torch.full((codes,), -30.0)
    logits[torch.tensor(order)] = torch.tensor(probabilities).log()
    return logits


def test_uniform_noise_gives_the_frequencies_that_min_p_leaves():
    logits = logits_of([0.5, 0.25, 0.15, 0.06, 0.04], [7, 3, 21, 5, 30])  # the last two are below 0.2 * 0.5
    noise = ((torch.arange(9000) + 0.5) / 9000)[None]
    drawn = sample(logits.expand(1, 9000, -1), noise, min_p=0.2)
    assert drawn.shape == (1, 9000) and drawn.dtype == torch.int64
    counts = drawn[0].bincount(minlength=40)
    expected = {7: 5000, 3: 2500, 21: 1500}
    assert all(abs(int(counts[code]) - count) <= 1 for code, count in expected.items())
    assert int(counts.sum()) == sum(int(counts[code]) for code in expected)
    wide = sample(logits.expand(1, 9000, -1), noise, min_p=0.1)[0].bincount(minlength=40)
    assert wide[5] == pytest.approx(9000 * 0.06 / 0.96, abs=2) and wide[30] == 0


def test_the_ends_of_the_noise_pick_the_first_and_the_last_candidate():
    logits = logits_of([0.4, 0.35, 0.25], [9, 2, 17])[None, None].expand(1, 2, -1)
    assert sample(logits, torch.tensor([[0.0, ALMOST_ONE]]), 0.2).tolist() == [[9, 17]]


def test_peaked_logits_ignore_noise():
    noise = torch.linspace(0, ALMOST_ONE, 101)[None]
    assert set(sample(logits_of([0.9, 0.1], [4, 6]).expand(1, 101, -1), noise, 0.7)[0].tolist()) == {4}


def test_no_more_than_the_candidates_take_part_and_small_codebooks_work():
    noise = torch.linspace(0, ALMOST_ONE, 1000)[None]
    assert len(sample(torch.zeros(1, 1000, 40), noise, 0.7).unique()) == CANDIDATES
    assert set(sample(torch.zeros(1, 1000, 3), noise, 0.7)[0].tolist()) == {0, 1, 2}


def test_cells_between_two_codes_take_the_same_side():
    torch.manual_seed(0)
    here, there = logits_of([0.55, 0.45], [4, 6]), logits_of([0.55, 0.45], [6, 4])  # the hero here, or else there
    several = logits_of([0.4, 0.35, 0.25], [9, 2, 17])
    noise = torch.rand(4000, 4)
    drawn = sample(torch.stack([here, there, several, several]).expand(4000, 4, -1), noise, 0.2)
    assert ((drawn[:, 0] == 4) == (drawn[:, 1] == 6)).all(), "here and there at once, or nowhere"
    assert float((drawn[:, 0] == 4).float().mean()) == pytest.approx(0.55, abs=0.03)
    assert float((drawn[:, 2] == drawn[:, 3]).float().mean()) == pytest.approx(0.345, abs=0.03), "others draw alone"


def test_the_edge_is_left_to_chance_and_the_inside_is_not():
    """One code in ten: drawn at the edge of a picture that moves as a whole, and nowhere else."""
    config = DynamicsConfig(grid=(5, 6), patch=(1, 1), min_p=0.7, edge_min_p=0.01)
    least = least_shares(config, torch.tensor([[True], [False]])).view(2, 5, 6)
    assert least[0, 2, 2] == least[0, 2, 3] == torch.tensor(0.7) and (least[1] == torch.tensor(0.7)).all()
    assert (least[0] == torch.tensor(0.01)).sum() == 28
    logits = logits_of([0.9, 0.1], [4, 6]).expand(2, 30, -1)
    drawn = sample(logits, torch.full((2, 30), ALMOST_ONE), least.flatten(1)).view(2, 5, 6)
    assert (drawn[0, 2, 2:4] == 4).all() and (drawn[0] == 6).sum() == 28 and (drawn[1] == 4).all()
    some = torch.zeros(2, 30, dtype=torch.bool)
    some[0, [0, 14]] = True  # a corner, and a cell inside
    assert (least_shares(config, some) == torch.tensor(0.01)).nonzero().tolist() == [[0, 0]]


def test_a_picture_moves_as_a_whole_where_many_cells_change():
    now = torch.zeros(2, 20, dtype=torch.int64)
    after = now.clone()
    after[0, :1], after[1, :2] = 1, 1
    assert moves_as_a_whole(now, after).tolist() == [False, True]


def test_next_frame_is_a_step_a_draw_and_an_agreement():
    class Model:
        config = DynamicsConfig(grid=(1, 2), patch=(1, 1))
        neighbours = Neighbours(10)
        presence = Presence(10)

        def step(self, state, tokens, action, prompt):
            return F.one_hot(tokens + action[:, None], 10).float() * 50, {"seen": state["seen"] + 1}

    def dream(model):
        return next_frame(
            model, {"seen": torch.zeros(1)}, torch.tensor([[1, 2]]), torch.tensor([3]), None, torch.rand(1, 2)
        )

    tokens, state = dream(Model())
    assert tokens.tolist() == [[4, 5]] and state["seen"].tolist() == [1]
    choosy, asked = Model(), []
    choosy.neighbours = SimpleNamespace(settle=lambda logits, drawn, grid: asked.append((drawn, grid)) or drawn + 1)
    assert dream(choosy)[0].tolist() == [[5, 6]] and asked[0][0].tolist() == [[4, 5]] and asked[0][1] == (1, 2)


def test_tokens_settle_where_the_world_says_so_and_are_drawn_alone_elsewhere():
    """One number serves all cells where edges are no more left to chance than the inside."""
    config = DynamicsConfig(grid=(1, 2), patch=(1, 1), min_p=0.5, edge_min_p=0.5, settle=False)
    assert least_shares(config, torch.ones(1, 2, dtype=torch.bool)) == 0.5

    class Model:
        def step(self, state, tokens, action, prompt):
            return torch.stack([logits_of([0.6, 0.4], [1, 2], 10), logits_of([0.9, 0.1], [3, 4], 10)])[None], state

    model = Model()
    model.config = config
    noise = torch.full((1, 2), ALMOST_ONE)
    tokens, _ = next_frame(model, {}, torch.tensor([[1, 2]]), torch.tensor([3]), None, noise)
    assert tokens.tolist() == [[2, 3]], "drawn above min-p, without asking what stands beside what"


def test_the_edge_is_as_deep_as_it_is_said_to_be():
    for grid, depth in (((5, 6), 2), ((5, 6), 1), ((4, 3), 2), ((3, 7), 0)):
        inner = torch.ones(grid, dtype=torch.bool)
        for y in range(grid[0]):
            for x in range(grid[1]):
                inner[y, x] = depth <= y < grid[0] - depth and depth <= x < grid[1] - depth
        assert torch.equal(edge_cells(grid, depth), ~inner.flatten())


def test_cells_weigh_by_what_is_there_before_or_after_the_step():
    """A hero who stands on a cell in frame 2 alone weighs in predicting frame 2 and in predicting frame 3."""
    config = CellWeights(hero=10.0, moving=4.0, beside=3.0, scroll=2.0, edge=5.0, edge_cells=1)
    tokens = torch.zeros(1, 5, 12, dtype=torch.int64)
    hero, moving = torch.zeros(1, 5, 12, dtype=torch.bool), torch.zeros(1, 5, 12, dtype=torch.bool)
    hero[0, 2, 3] = True
    moving[0, 2, 3] = moving[0, 1, 8] = True
    tokens[0, 4, :2] = 1  # two of twelve cells change on the way to the last frame: it scrolls
    expected = torch.ones(1, 4, 12)
    expected[0, 1:3, [2, 6, 7]] = 4.0  # the neighbours, in a grid of four columns, of cell 3
    expected[0, 1, 3] = expected[0, 2, 3] = 11.0
    expected[0, 0, 8] = expected[0, 1, 8] = 5.0
    expected[0, 3] += torch.tensor([7.0, 7, 7, 7, 7, 2, 2, 7, 7, 7, 7, 7])  # new things come in at the edge
    torch.testing.assert_close(cell_weights(tokens, hero, moving, config, (3, 4)), expected)
    still = torch.zeros(1, 5, 18, dtype=torch.int64)
    still[0, 4, 0] = 1  # one of eighteen is no scrolling
    nothing = torch.zeros(1, 5, 18, dtype=torch.bool)
    assert cell_weights(still, nothing, nothing, config, (3, 6)).unique().tolist() == [1.0]


class Head:
    """What features there are, and what is copied, in logits as they are: both must be those of the same cells."""

    def head(self, features):
        return features.values + features.nearby


@pytest.fixture
def cells():
    torch.manual_seed(0)
    weights = torch.where(torch.rand(2, 3, 50) < 0.2, 9.0, 1.0)
    return Features(torch.randn(2, 3, 50, 6), torch.randint(3, (2, 3, 50, 6))), torch.randint(6, (2, 3, 50)), weights


def test_the_loss_is_the_weighted_mean(cells):
    features, targets, weights = cells
    logits = features.values + features.nearby
    each = F.cross_entropy(logits.flatten(0, 2), targets.flatten(), reduction="none").view_as(weights)
    expected = (each * weights).sum() / weights.sum()
    torch.testing.assert_close(weighted_loss(Head(), *cells, still_share=1.0), expected)


def test_thinning_keeps_the_expectation_and_all_that_matters(cells):
    features, targets, weights = cells
    exact = float(weighted_loss(Head(), *cells, still_share=1.0))
    torch.manual_seed(1)
    draws = torch.stack([weighted_loss(Head(), *cells, still_share=0.25) for _ in range(600)])
    assert 0 < draws.std() < exact
    assert abs(float(draws.mean()) - exact) < 4 * float(draws.std()) / 600**0.5
    weights = torch.where(weights > 1, weights, torch.zeros(()))  # what weighs a lot is never left out
    heavy = [float(weighted_loss(Head(), features, targets, weights, still_share=0.125)) for _ in range(3)]
    assert heavy[0] == heavy[1] == heavy[2] and heavy[0] > 0
