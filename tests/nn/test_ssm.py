"""The recurrence: chunks, single steps and a loop written out by hand all agree."""

import pytest

torch = pytest.importorskip("torch")

from worldlet.nn.attention import SpatialAttention  # noqa: E402
from worldlet.nn.ssm import SelectiveSSM, advance, scan  # noqa: E402

B, L, H, P, S = 2, 37, 3, 4, 5


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    log_a = -torch.rand(B, L, H) * 2
    log_a[:, 20] = -40.0  # forgets everything
    return torch.randn(B, L, H, P), log_a, torch.randn(B, L, S), torch.randn(B, L, S), torch.randn(B, H, P, S)


def by_hand(x, log_a, b, c, state):
    """The definition, one number at a time over the sequence, in double precision."""
    x, log_a, b, c, state = (tensor.double() for tensor in (x, log_a, b, c, state))
    ys = []
    for t in range(x.shape[1]):
        state = state * log_a[:, t].exp()[:, :, None, None] + torch.einsum("bhp,bs->bhps", x[:, t], b[:, t])
        ys.append(torch.einsum("bhps,bs->bhp", state, c[:, t]))
    return torch.stack(ys, 1), state


@pytest.mark.parametrize("chunk", [1, 8, 36, 37, 64])
@pytest.mark.parametrize("fresh", [True, False])
def test_scan_is_the_recurrence_whatever_the_chunk(inputs, chunk, fresh):
    *sequence, state = inputs
    y, after = scan(*sequence, None if fresh else state, chunk)
    expected_y, expected_after = by_hand(*sequence, torch.zeros_like(state) if fresh else state)
    torch.testing.assert_close(y.double(), expected_y, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.double(), expected_after, atol=1e-4, rtol=1e-4)


def test_advance_repeated_is_the_recurrence(inputs):
    x, log_a, b, c, state = inputs
    expected_y, expected_after = by_hand(x, log_a, b, c, state)
    for t in range(L):
        y, state = advance(x[:, t], log_a[:, t], b[:, t], c[:, t], state)
        torch.testing.assert_close(y.double(), expected_y[:, t], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(state.double(), expected_after, atol=1e-4, rtol=1e-4)


def test_the_layer_steps_as_it_scans_and_takes_a_sequence_in_parts():
    torch.manual_seed(1)
    layer = SelectiveSSM(width=12, heads=3, state_size=4)
    u = torch.randn(B, L, 12)
    with torch.no_grad():
        layer.taps.normal_()
        whole, after = layer(u, chunk=8)
        first, between = layer(u[:, :15], chunk=8)
        second, joined = layer(u[:, 15:], between, chunk=8)
        torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-5, rtol=1e-5)
        state = layer.init_state(B)
        for t in range(L):
            y, state = layer.step(u[:, t], state)
            torch.testing.assert_close(y, whole[:, t], atol=1e-5, rtol=1e-5)
    for part, other, last in zip(after, joined, state, strict=True):
        torch.testing.assert_close(part, other, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(part, last, atol=1e-5, rtol=1e-5)


def test_gradients_are_finite_where_decays_are_extreme():
    torch.manual_seed(2)
    layer = SelectiveSSM(width=8, heads=2, state_size=3)
    with torch.no_grad():
        layer.log_rate.copy_(torch.tensor([-8.0, 5.0]))
    u = (torch.randn(1, 70, 8) * 10).requires_grad_()
    layer(u, chunk=16)[0].square().sum().backward()
    gradients = [u.grad, *(parameter.grad for parameter in layer.parameters())]
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert all(bool(gradient.any()) for gradient in gradients)


def test_widths_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="ssm_heads is 3"):
        SelectiveSSM(width=8, heads=3, state_size=2)
    with pytest.raises(ValueError, match="heads is 3"):
        SpatialAttention(width=8, heads=3, grid=(2, 2))


def test_the_bias_of_attention_belongs_to_a_displacement():
    """With nothing but the bias for `one to the right`, every position copies its right neighbour."""
    layer = SpatialAttention(width=4, heads=1, grid=(2, 3))
    with torch.no_grad():
        layer.qkv.weight.zero_()
        layer.qkv.bias.zero_()
        layer.qkv.weight[8:] = torch.eye(4)
        layer.outputs.weight.copy_(torch.eye(4))
        layer.outputs.bias.zero_()
        layer.bias[0, layer.displacement[0, 1]] = 50.0
        x = torch.randn(1, 6, 4)
        y = layer(x)
    torch.testing.assert_close(y[0, [0, 1, 3, 4]], x[0, [1, 2, 4, 5]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(y[0, 2], x[0].mean(0), atol=1e-5, rtol=1e-5)
