"""A hero who is somewhere is drawn somewhere, though each cell by itself is likeliest to be ground."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from worldlet.dynamics import DynamicsConfig, build_dynamics  # noqa: E402
from worldlet.dynamics.presence import Presence  # noqa: E402
from worldlet.dynamics.sampling import next_frame  # noqa: E402

GROUND, STONE, HERO = 0, 1, range(2, 9)  # seven codes of a hero, as he stands here or there in a cell
CODES = 9


def logits_of(chances_NV):
    return torch.tensor(np.log(np.array(chances_NV) + 1e-9), dtype=torch.float32)[None]


def spread(hero):
    """Chances of a cell: `hero` in equal shares over his codes, the rest for ground."""
    return [1 - hero, 0.0, *([hero / 7] * 7)]


@pytest.fixture
def presence():
    found = Presence(CODES)
    tokens = np.array([[GROUND, code, STONE] for code in HERO] + [[GROUND, STONE, 2]], np.uint16)
    hero = np.array([[False, True, False]] * 8)
    found.learn(tokens, hero, ~hero & False, chunk=3)
    return found


def test_codes_are_of_the_kind_they_mostly_are(presence):
    """Code 2 lies in his cells once of two times: not mostly. Stone lay under his mask once."""
    assert presence.hero.tolist() == presence.mobile.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    once, twice = np.array([[True, False, False]]), np.array([[True, True, False]])
    presence.learn(np.array([[STONE, 5, GROUND]]), once, twice)
    assert presence.hero.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert presence.mobile.tolist() == [0, 1, 0, 0, 0, 1, 0, 0, 0]
    presence.learn(np.array([[STONE, 5, GROUND]]), ~once & False, twice)
    assert not presence.hero.any() and not presence.mobile.any(), "where no hero is told of, neither is known"


def test_shares_are_what_the_codes_of_a_kind_have_together(presence):
    presence.mobile[STONE] = 1
    hero, mobile = presence.shares(logits_of([spread(0.7), [0.5, 0.5, 0, 0, 0, 0, 0, 0, 0]]))
    torch.testing.assert_close(hero, torch.tensor([[0.6, 0.0]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(mobile, torch.tensor([[0.6, 0.5]]), atol=1e-5, rtol=0)
    assert presence.quiet(torch.tensor([[0.04, 0.06]])).tolist() == [[True, False]]
    assert not Presence(CODES).quiet(torch.zeros(1, 2)).any(), "nothing is known to be quiet"


def insist(presence, logits):
    return presence.insist(logits, presence.shares(logits)[0])


def test_where_he_is_likelier_than_not_his_best_cell_holds_him(presence):
    cells = [spread(0.5), spread(0.85), spread(0.8), spread(0.0)]
    before = logits_of(cells)
    after = insist(presence, before)
    assert (before.argmax(-1) == GROUND).all() and after.argmax(-1)[0].tolist()[2:] == [GROUND, GROUND]
    assert int(after[0, 1].argmax()) in range(3, 9)
    assert torch.equal(after[0, [0, 2, 3]], before[0, [0, 2, 3]])
    assert torch.equal(after[0, 1, 3:], before[0, 1, 3:]) and (after[0, 1, :3] < -1000).all()


def test_a_frame_without_him_and_one_in_which_he_is_found_stay_as_they_are(presence):
    absent, found = logits_of([spread(0.3), spread(0.4)]), logits_of([[0.01, 0, 0, 0.99, 0, 0, 0, 0, 0], spread(0.0)])
    assert torch.equal(insist(presence, absent), absent)
    assert torch.equal(insist(presence, found).argmax(-1), found.argmax(-1))
    both = insist(presence, torch.cat([absent, logits_of([spread(0.85), spread(0.8)])]))
    assert torch.equal(both[:1], absent) and int(both[1, 0].argmax()) in HERO and int(both[1, 1].argmax()) == GROUND


def test_a_game_that_tells_of_no_hero_changes_nothing():
    quiet = Presence(CODES)
    logits = torch.randn(2, 5, CODES)
    assert torch.equal(insist(quiet, logits), logits)


def test_the_sampler_keeps_him():
    """One cell in each picture shows him, where without knowing his codes none would."""
    config = DynamicsConfig(grid=(2, 2), codebook_size=CODES, patch=(1, 1), width=16, heads=2, ssm_heads=2)
    model = build_dynamics(config).eval()
    chances = logits_of([spread(0.6), spread(0.8), spread(0.75), spread(0.7)])
    model.step = lambda state, tokens, action, prompt: (chances.expand(3, -1, -1), state)

    def dreamed():
        return next_frame(model, {}, torch.zeros(3, 4, dtype=torch.int64), None, None, torch.rand(3, 4))[0]

    assert (dreamed() == GROUND).all()
    model.presence.hero[2:] = 1
    assert ((dreamed() > STONE) == torch.tensor([False, True, False, False])).all()


def test_a_state_without_his_codes_leaves_them_and_one_with_them_brings_them():
    config = DynamicsConfig(grid=(2, 2), codebook_size=CODES, width=16, heads=2, ssm_heads=2)
    one, other = build_dynamics(config), build_dynamics(config)
    one.presence.hero[4] = 1
    one.load_state_dict({name: value for name, value in other.state_dict().items() if "presence" not in name})
    assert one.presence.hero[4] == 1 and other.presence.hero[4] == 0
    other.load_state_dict(one.state_dict())
    assert other.presence.hero[4] == 1


def test_where_the_picture_stands_still_its_edge_is_chance_but_for_what_moves():
    """A plain level slides and hardly a cell changes: what comes next must come in all the same."""
    config = DynamicsConfig(grid=(6, 6), codebook_size=CODES, patch=(1, 1), width=16, heads=2, ssm_heads=2)
    model = build_dynamics(config).eval()
    some_stone, some_hero = [0.97, 0.03, *[0] * 7], [0.9, 0.03, 0.07, *[0] * 6]
    chances = logits_of([some_hero if cell == 0 else some_stone for cell in range(36)])
    model.step = lambda state, tokens, action, prompt: (chances, state)

    def dreamed():
        return next_frame(model, {}, torch.zeros(1, 36, dtype=torch.int64), None, None, torch.full((1, 36), 0.9999))[0]

    assert (dreamed() == GROUND).all(), "where nothing is known of what moves, a still picture stays"
    model.presence.mobile[2] = 1
    stones = (dreamed() == STONE).view(6, 6)
    assert not stones[2:4, 2:4].any() and not stones[0, 0] and int(stones.sum()) == 31
