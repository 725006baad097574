"""The next token may be copied from nearby: what lies where, what is added to whose logits, and a picture scrolls."""

import pytest

torch = pytest.importorskip("torch")

from worldlet.dynamics import DynamicsConfig, Features, Window, build_dynamics  # noqa: E402
from worldlet.dynamics.sampling import next_frame  # noqa: E402

B, T, V = 2, 3, 40
GRIDS = [((4, 6), (1, 2)), ((3, 5), (1, 1)), ((6, 4), (2, 2))]


def build(grid=(4, 6), patch=(1, 2), reach=2):
    torch.manual_seed(0)
    config = DynamicsConfig(
        grid=grid, patch=patch, copy_reach=reach, codebook_size=V, actions=3, prompt_width=2, width=16, depth=1,
        heads=2, ssm_heads=2, token_width=8, feature_width=8,
    )  # fmt: skip
    return build_dynamics(config).eval().requires_grad_(False)


def clip_of(cells):
    torch.manual_seed(1)
    return torch.randint(V, (B, T, cells)), torch.randint(3, (B, T)), torch.zeros(B, 2)


def around(frame, reach):
    """The tokens around each cell of a frame (h, w), by the book: (N, K)."""
    h, w = frame.shape
    span = range(-reach, reach + 1)

    def at(y, x):
        return int(frame[y, x]) if 0 <= y < h and 0 <= x < w else -1

    return torch.tensor([[at(y + dy, x + dx) for dy in span for dx in span] for y in range(h) for x in range(w)])


def only(model, dy, dx):
    """Nothing counts but one displacement."""
    reach = model.config.copy_reach
    for layer in (model.logits, model.copy):
        layer.weight.zero_()
        layer.bias.zero_()
    model.copy.bias[(dy + reach) * (2 * reach + 1) + dx + reach] = 20.0
    return model


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
@pytest.mark.parametrize(("grid", "patch"), GRIDS)
def test_nearby_tokens_lie_row_by_row_around_each_cell(grid, patch, reach):
    model = build(grid, patch, reach)
    tokens, actions, prompt = clip_of(grid[0] * grid[1])
    nearby = model.features(tokens, actions, prompt)[0].nearby
    assert nearby.dtype == torch.int64
    expected = torch.stack([around(frame.view(grid), reach) for frame in tokens.flatten(0, 1)]).unflatten(0, (B, T))
    assert torch.equal(nearby, expected), "of the frame it follows, and of no other"
    stepped, _ = model.step_features(model.init_state(B), tokens[:, 1], actions[:, 1], prompt)
    assert torch.equal(stepped.nearby, expected[:, 1])


def test_a_window_copies_from_inside_alone():
    model, reach = build((8, 12), reach=1), 1
    tokens, actions, prompt = clip_of(96)
    frames, size, corners = tokens.view(B, T, 8, 12), (4, 3), torch.tensor([[2, 1], [4, 3]])  # patches of 1 by 2
    cut = torch.stack([frames[i, :, y : y + 4, 2 * x : 2 * x + 6] for i, (y, x) in enumerate(corners.tolist())])
    window = Window(size, corners)
    features, state = model.features(cut.flatten(2), actions, prompt, window)
    expected = torch.stack([around(frame, reach) for frame in cut.flatten(0, 1)]).unflatten(0, (B, T))
    assert torch.equal(features.nearby, expected)
    stepped, _ = model.step_features(state, cut[:, 1].flatten(1), actions[:, 1], prompt, window)
    assert torch.equal(stepped.nearby, expected[:, 1])
    whole = model.features(tokens, actions, prompt)[0].nearby.view(B, T, 8, 12, 9)
    for i, (y, x) in enumerate(corners.tolist()):
        inner = features.nearby.view(B, T, 4, 6, 9)[i, :, 1:-1, 1:-1]
        assert torch.equal(inner, whole[i, :, y + 1 : y + 3, 2 * x + 1 : 2 * x + 5]), "the same cells, seen whole"


@pytest.mark.parametrize(("dy", "dx"), [(0, 2), (0, 0), (-1, 2), (2, -1)])
@pytest.mark.parametrize(("grid", "patch"), GRIDS)
def test_one_displacement_shifts_the_picture(grid, patch, dy, dx):
    model = only(build(grid, patch), dy, dx)
    (h, w), (tokens, actions, prompt) = grid, clip_of(grid[0] * grid[1])
    logits = model.forward(tokens, actions, prompt).view(B, T, h, w, V)
    rows, columns = slice(max(0, -dy), min(h, h - dy)), slice(max(0, -dx), min(w, w - dx))  # whose source is inside
    source = tokens.view(B, T, h, w)[:, :, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
    assert torch.equal(logits[:, :, rows, columns].argmax(-1), source)
    outside = torch.ones(grid, dtype=torch.bool)
    outside[rows, columns] = False
    assert not logits[:, :, outside].any(), "beyond the edge there is nothing to copy, not even token 0"
    drawn, _ = next_frame(model, model.init_state(B), tokens[:, 0], actions[:, 0], prompt, torch.rand(B, h * w))
    assert torch.equal(drawn.view(B, h, w)[:, rows, columns], source[:, 0])


def test_copying_adds_to_the_tokens_nearby_and_to_no_other():
    model = build()
    features, _ = model.features(*clip_of(24))
    without = model.head(features)
    torch.testing.assert_close(without, model.logits(features.values)), "it begins as if it were not there"
    model.copy.weight.normal_()
    model.copy.bias.normal_()
    asked = model.copy(features.values)
    expected = torch.zeros_like(without)
    for cell in torch.cartesian_prod(torch.arange(B), torch.arange(T), torch.arange(24)).tolist():
        for token, much in zip(features.nearby[tuple(cell)].tolist(), asked[tuple(cell)], strict=True):
            if token >= 0:
                expected[(*cell, token)] += much  # a token that is there twice is asked for twice
    added = model.head(features) - without
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(added != 0, expected != 0)


def test_what_is_picked_keeps_its_own_neighbours():
    model = build()
    model.copy.weight.normal_()
    features, _ = model.features(*clip_of(24))
    logits, mask = model.head(features), torch.rand(B, T, 24) < 0.3
    torch.testing.assert_close(model.head(features.at(mask)), logits[mask])
    parts = [features.at((slice(None), slice(t, t + 1))) for t in range(T)]
    joined = Features.join(parts, 1)
    assert torch.equal(joined.values, features.values) and torch.equal(joined.nearby, features.nearby)


def test_copying_is_learnt_from_zero_and_keeps_its_precision():
    model = build().requires_grad_(True)
    tokens, actions, prompt = clip_of(24)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.forward(tokens, actions, prompt)
    assert logits.dtype == torch.float32
    torch.nn.functional.cross_entropy(logits.flatten(0, 2), tokens.flatten()).backward()  # the picture stands still
    pull = -model.copy.bias.grad
    assert pull.argmax() == 12 and pull[12] > 0, "to copy the cell itself"
    assert (model.copy.weight.grad != 0).any(-1).all()
