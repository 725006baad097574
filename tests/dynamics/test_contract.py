"""The contract of every dynamics family, in every wiring and conditioning: t predicts t + 1, steps are the forward."""

import typing
from itertools import product

import pytest

torch = pytest.importorskip("torch")

from worldlet.dynamics import DynamicsConfig, Features, build_dynamics  # noqa: E402

CHOICES = [
    typing.get_args(typing.get_type_hints(DynamicsConfig)[name]) for name in ("family", "wiring", "conditioning")
]
VARIANTS = [dict(zip(("family", "wiring", "conditioning"), values, strict=True)) for values in product(*CHOICES)]
B, T, GRID, V, ACTIONS, D = 2, 36, (4, 6), 24, 5, 3  # T spans more than one chunk of the scan
N = GRID[0] * GRID[1]


def build(seed=0, **changes):
    settings = {
        "grid": GRID, "codebook_size": V, "actions": ACTIONS, "prompt_width": D, "width": 16, "depth": 2, "heads": 2,
        "ssm_heads": 2, "token_width": 8, "feature_width": 8,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = build_dynamics(DynamicsConfig(**{**settings, **changes})).eval().requires_grad_(False)
    for parameter in model.parameters():  # nothing may stay at the zero it was born with
        parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(variant.values()))
def variant(request):
    return request.param


@pytest.fixture
def model(variant):
    return build(**variant)


@pytest.fixture
def clip():
    torch.manual_seed(9)
    return torch.randint(V, (B, T, N)), torch.randint(ACTIONS, (B, T)), torch.randn(B, D)


def steps(model, tokens, actions, prompt, state=None, step="step"):
    state = model.init_state(len(tokens)) if state is None else state
    made = []
    for t in range(tokens.shape[1]):
        out, state = getattr(model, step)(state, tokens[:, t], actions[:, t], prompt)
        made.append(out)
    if isinstance(made[0], Features):
        return Features.join([each.at((slice(None), None)) for each in made], 1), state
    return torch.stack(made, 1), state


def test_forward_equals_repeated_step(model, clip):
    logits = model.forward(*clip)
    assert logits.shape == (B, T, N, V)
    stepped, state = steps(model, *clip)
    torch.testing.assert_close(stepped, logits, atol=1e-4, rtol=1e-4)
    features, after = model.features(*clip)
    stepped_features, _ = steps(model, *clip, step="step_features")
    torch.testing.assert_close(stepped_features.values, features.values, atol=1e-4, rtol=1e-4)
    assert torch.equal(stepped_features.nearby, features.nearby)
    torch.testing.assert_close(model.head(features), logits)
    assert after.keys() == state.keys()
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, state[name], atol=1e-4, rtol=1e-4)


def test_the_state_of_a_clip_carries_on(model, clip):
    """What `features` leaves behind is what a rollout begins with."""
    tokens, actions, prompt = clip
    whole = model.forward(*clip)
    _, state = model.features(tokens[:, :20], actions[:, :20], prompt)
    rest, _ = steps(model, tokens[:, 20:], actions[:, 20:], prompt, state)
    torch.testing.assert_close(rest, whole[:, 20:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("t", [0, 17, T - 1])
def test_the_future_never_changes_the_past_and_the_action_acts_at_once(model, clip, t):
    tokens, actions, prompt = clip
    logits = model.forward(*clip)
    others = tokens.clone()
    others[:, t] = (others[:, t] + 1) % V
    changed = model.forward(others, actions, prompt)
    torch.testing.assert_close(changed[:, :t], logits[:, :t], atol=1e-5, rtol=1e-5)
    assert (changed[:, t] - logits[:, t]).abs().amax(-1).min() > 1e-4, "every cell sees the frame it follows"
    turned = actions.clone()
    turned[:, t] = (turned[:, t] + 1) % ACTIONS
    changed = model.forward(tokens, turned, prompt)
    torch.testing.assert_close(changed[:, :t], logits[:, :t], atol=1e-5, rtol=1e-5)
    assert (changed[:, t] - logits[:, t]).abs().amax(-1).min() > 1e-4, "the action at t acts on frame t + 1"
    if t + 1 < T:
        assert (changed[:, t + 1] - logits[:, t + 1]).abs().max() > 1e-5, "and is remembered"


def test_the_past_and_the_prompt_are_heard(model, clip):
    tokens, actions, prompt = clip
    logits = model.forward(*clip)
    others = tokens.clone()
    others[:, 3] = (others[:, 3] + 1) % V
    assert (model.forward(others, actions, prompt)[:, 5] - logits[:, 5]).abs().max() > 1e-5
    assert (model.forward(tokens, actions, prompt + 1) - logits).abs().max() > 1e-3


def test_rows_of_a_batch_do_not_hear_each_other(model, clip):
    alone = model.forward(*(part[1:] for part in clip))
    torch.testing.assert_close(model.forward(*clip)[1:], alone, atol=1e-5, rtol=1e-5)


def test_it_is_deterministic(variant, clip):
    first, second = build(**variant), build(**variant)
    assert torch.equal(first.forward(*clip), second.forward(*clip))
    assert torch.equal(steps(first, *clip)[0], steps(second, *clip)[0])


def test_the_state_has_one_size_and_begins_at_zero(model, clip):
    shapes = {name: tensor.shape for name, tensor in model.init_state(B).items()}
    assert all(shape[0] == B for shape in shapes.values())
    assert all(not tensor.any() for tensor in model.init_state(B).values())
    for state in (steps(model, *clip)[1], model.features(*clip)[1]):
        assert {name: tensor.shape for name, tensor in state.items()} == shapes
        assert all(bool(tensor.any()) for tensor in state.values())


def test_a_state_stored_in_half_precision_goes_on_identically(model, clip):
    tokens, actions, prompt = clip
    _, state = steps(model, tokens[:, :8], actions[:, :8], prompt)
    halves = {name: tensor.half() for name, tensor in state.items()}
    stored = {name: (tensor.numpy().tobytes(), tensor.shape) for name, tensor in halves.items()}
    restored = {
        name: torch.frombuffer(bytearray(data), dtype=torch.float16).view(shape)
        for name, (data, shape) in stored.items()
    }
    rest = tokens[:, 8:], actions[:, 8:], prompt
    one, end = steps(model, *rest, {name: tensor.float() for name, tensor in halves.items()})
    two, other_end = steps(model, *rest, {name: tensor.float() for name, tensor in restored.items()})
    assert torch.equal(one, two) and all(torch.equal(end[name], other_end[name]) for name in end)
    exact, _ = steps(model, *rest, state)
    torch.testing.assert_close(one, exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("wiring", CHOICES[1])
def test_the_state_stays_bounded_over_2000_frames(wiring):
    model = build(wiring=wiring, grid=(2, 4), depth=1)
    torch.manual_seed(3)
    state, size = model.init_state(1), []
    for _ in range(2000):
        _, state = model.step_features(state, torch.randint(V, (1, 8)), torch.randint(ACTIONS, (1,)), torch.zeros(1, D))
        size.append(max(float(tensor.abs().max()) for tensor in state.values()))
    assert max(size[1000:]) < 1.5 * max(size[:1000]) < 1000
    assert all(bool(tensor.half().isfinite().all()) for tensor in state.values())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"patch \(2, 2\) must divide the grid \(3, 4\)"):
        DynamicsConfig(grid=(3, 4))
    with pytest.raises(ValueError, match=r"patch \(2, 4\) must divide"):
        DynamicsConfig(grid=(4, 6), patch=(2, 4))
    with pytest.raises(ValueError, match="heads is 3"):
        DynamicsConfig(width=16, heads=3)
    with pytest.raises(ValueError, match="copy_reach is -1: it must be at least 0"):
        DynamicsConfig(copy_reach=-1)


@pytest.mark.parametrize("patch", [(1, 1), (4, 3), (2, 6)])
def test_any_patch_keeps_tokens_in_their_places(variant, patch):
    """A cell follows its own patch and copies what is around it: rows are neither mixed up nor transposed."""
    model = build(**variant, patch=patch, depth=1, copy_reach=1)
    for block in model.blocks:
        block.space.outputs.weight.zero_()
        block.time.outputs.weight.zero_()
    tokens, rest = torch.zeros(1, 1, N, dtype=torch.int64), (torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, D))
    base, _ = model.features(tokens, *rest)

    def moved(ours, theirs):
        return (ours - theirs).abs().amax(-1)[0, 0].view(GRID) > 1e-5

    for cell in (0, 8, N - 1):
        others = tokens.clone()
        others[0, 0, cell] = 5
        changed, _ = model.features(others, *rest)
        row, column = divmod(cell, GRID[1])
        y, x = row // patch[0] * patch[0], column // patch[1] * patch[1]
        expected = torch.zeros(GRID, dtype=torch.bool)
        expected[y : y + patch[0], x : x + patch[1]] = True
        assert torch.equal(moved(changed.values, base.values), expected)
        expected[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
        assert torch.equal(moved(model.head(changed), model.head(base)), expected)


def test_codes_that_look_alike_begin_close_together():
    model = build()
    codes = torch.randn(V, 192)
    codes[1] = codes[0] + 0.01
    model.init_codes(codes)
    embedding = model.embedding.weight
    distance = torch.cdist(embedding, embedding)
    assert distance[0, 1] < 0.1 * distance[0, 2:].min()
