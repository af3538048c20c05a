"""S4D: against the recurrence of its states, and each limit in which its convolution is known."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.s4d import S4DAttention
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"state": 8}, {"state": 4, "initial": "lin", "bidirectional": False}]
SLOPE = 1.1
AVERAGES = False  # a channel's weights are a free kernel


def made(dtype: torch.dtype = torch.float64, **options: object) -> S4DAttention:
    length = options.pop("max_length", 64)
    model = build("s4d", {"state": 8, **options}, dtype=dtype, max_length=length)
    assert isinstance(model, S4DAttention)
    return model


def mixed(model: S4DAttention, x: Tensor, keep: Tensor | None = None) -> Tensor:
    """y before gelu: (B, L, D)."""
    return model.mix(model.project(x), keep)[..., 0].transpose(1, 2)


def recurrence(model: S4DAttention, x: Tensor, reading: Tensor, *, now: bool) -> Tensor:
    """Each channel's states from token to token; `now`: whether the state includes the token itself."""
    step = model.log_step.exp()[:, None]
    a = torch.complex(-model.log_decay.exp(), model.frequency)
    turn = torch.exp(step * a)
    entry, state, rows = (turn - 1) / a, torch.zeros(len(x), *a.shape, dtype=a.dtype), []
    for u in x.unbind(1):
        before = turn * state
        state = before + entry * u[..., None]
        rows.append(2 * (torch.complex(*reading.unbind(-1)) * (state if now else before)).real.sum(dim=-1))
    return torch.stack(rows, dim=1)


def gated(model: S4DAttention, y: Tensor) -> Tensor:
    """GLU(W gelu(y))."""
    parameters = dict(model.output.named_parameters())
    hidden = functional.linear(functional.gelu(y), parameters["2.weight"], parameters["2.bias"])
    return hidden[..., :24] * torch.sigmoid(hidden[..., 24:])


def plain(model: S4DAttention, x: Tensor, keep: Tensor) -> Tensor:
    """The layer, token by token in both directions. Padding is taken off, row by row."""
    rows = []
    for row, kept in zip(x, keep, strict=True):
        u = row[kept][None]
        y = recurrence(model, u, model.reading[0], now=True) + model.skip * u
        if model.bidirectional:
            y = y + recurrence(model, u.flip(1), model.reading[1], now=False).flip(1)
        rows.append(torch.cat([gated(model, y)[0], torch.zeros(int((~kept).sum()), x.shape[2], dtype=x.dtype)]))
    return torch.stack(rows)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("initial", ["lin", "inv", "legs"])
def test_equals_the_recurrence_with_gradients(initial: str, bidirectional: bool) -> None:
    model = made(initial=initial, bidirectional=bidirectional, step_max=0.5)
    x, keep = inputs(2, 33, dtype=torch.float64), lengths_mask([33, 20], 33)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)


def test_parameters_get_the_gradients_of_the_recurrence() -> None:
    model = made(step_max=0.5)
    x, keep = inputs(2, 12, dtype=torch.float64), lengths_mask([12, 7], 12)
    weights = inputs(2, 12, dtype=torch.float64, seed=3) * keep[..., None]
    parameters = [model.log_step, model.log_decay, model.frequency, model.reading, model.skip]
    found = torch.autograd.grad((model(x, keep) * weights).sum(), parameters)
    expected = torch.autograd.grad((plain(model, x, keep) * weights).sum(), parameters)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


def test_lag_0_is_counted_once_and_lag_1_is_at_lag_1() -> None:
    """Codes of others count lag 0 in both directions, or begin the backward half at lag 1 with the weight of lag 0."""
    model = made()
    forward, backward = model.kernels()
    (weights,) = model.dense_weights(inputs(1, 5, dtype=torch.float64))
    torch.testing.assert_close(weights[:, 2, 2], forward[:, 0] + model.skip)
    torch.testing.assert_close(weights[:, 2, 1], forward[:, 1])
    torch.testing.assert_close(weights[:, 2, 3], backward[:, 1])
    torch.testing.assert_close(weights[:, 0, 4], backward[:, 4])


def test_reversed_input_exchanges_the_kernels() -> None:
    model, other = made(), made()
    x = inputs(2, 40, dtype=torch.float64)
    (forward, backward) = model.kernels()
    with torch.no_grad():
        other.reading.copy_(model.reading.flip(0))
        other.skip.add_(forward[:, 0] - backward[:, 0])  # lag 0 belongs to the first kernel
    torch.testing.assert_close(mixed(model, x), mixed(other, x.flip(1)).flip(1), rtol=0, atol=1e-12)


def test_a_real_state_is_an_exponential_average() -> None:
    """MEGA's, with q = exp(-D_t |A|) and C so that the first weight is 1 - q."""
    model = made(state=2, initial="lin", bidirectional=False)
    step, decay = model.log_step.exp(), model.log_decay.exp()[:, 0]
    q = torch.exp(-step * decay)
    with torch.no_grad():
        model.reading.zero_()[0, :, 0, 0] = decay / 2
        model.skip.zero_()
    x = inputs(1, 30, dtype=torch.float64)
    average, rows = torch.zeros(24, dtype=torch.float64), []
    for u in x[0]:
        average = q * average + (1 - q) * u
        rows.append(average)
    torch.testing.assert_close(mixed(model, x)[0], torch.stack(rows), rtol=0, atol=1e-12)


def test_zero_order_hold_is_exact() -> None:
    """Half the step on an input that is held twice as long passes through the same values."""
    model, finer = made(bidirectional=False, step_max=0.5), made(bidirectional=False, step_max=0.5)
    x = inputs(2, 20, dtype=torch.float64)
    with torch.no_grad():
        finer.log_step.sub_(math.log(2))
        for each in (model, finer):
            each.skip.zero_()
    found = mixed(finer, x.repeat_interleave(2, dim=1))[:, 1::2]
    torch.testing.assert_close(found, mixed(model, x), rtol=0, atol=1e-12)


def test_a_moved_input_gives_a_moved_output() -> None:
    model = made()
    x = torch.zeros(1, 40, 24, dtype=torch.float64)
    x[:, 5:12] = inputs(1, 7, dtype=torch.float64)
    moved = mixed(model, x.roll(9, dims=1))
    torch.testing.assert_close(moved[:, 9:], mixed(model, x)[:, :-9], rtol=0, atol=1e-12)


def test_without_c_it_is_a_net_of_single_tokens() -> None:
    model = made()
    with torch.no_grad():
        model.reading.zero_()
    x = inputs(2, 9, dtype=torch.float64)
    torch.testing.assert_close(model(x), gated(model, model.skip * x))


@pytest.mark.parametrize(("length", "max_length"), [(30, 30), (61, 61), (1, 1), (9, 1025)])
def test_nothing_wraps_around(length: int, max_length: int) -> None:
    """With slow decay every token reaches every other: the last must not reach the first from behind."""
    model = made(max_length=max_length, step_max=0.002)
    x = inputs(1, length, dtype=torch.float64)
    expected = (model.dense_weights(x) @ x.transpose(1, 2)[..., None])[..., 0].transpose(1, 2)
    torch.testing.assert_close(mixed(model, x), expected, rtol=0, atol=1e-11)
    k, back = (kernel.shape for kernel in model.kernels())
    assert k == back == (24, max_length)


def test_bits_do_not_depend_on_padding() -> None:
    model = made(torch.float32)
    x, keep = inputs(3, 64), lengths_mask([50, 20, 64], 64)
    together = mixed(model, x, keep)
    for row, length in ((0, 50), (1, 20)):
        for width in (length, length + 1, 63):
            alone = mixed(model, x[row : row + 1, :width], keep[row : row + 1, :width])
            assert torch.equal(alone[0, :length], together[row, :length])


def test_the_first_values_are_the_papers() -> None:
    n = torch.arange(4)
    torch.testing.assert_close(made(torch.float32, initial="lin").frequency[3], math.pi * n)
    inverse = 8 / math.pi * (8 / (2 * n + 1) - 1)
    torch.testing.assert_close(made(torch.float32, initial="inv").frequency[3], inverse)
    # HiPPO-LegS written out, plus the outer product that makes it normal.
    legs, low = torch.zeros(8, 8, dtype=torch.float64), torch.tensor([(i + 0.5) ** 0.5 for i in range(8)])
    for i in range(8):
        for j in range(i + 1):
            legs[i, j] = -(i + 1) if i == j else -math.sqrt((2 * i + 1) * (2 * j + 1))
    eigenvalues = torch.linalg.eigvals(legs + low[:, None] * low)
    torch.testing.assert_close(eigenvalues.real, torch.full((8,), -0.5, dtype=torch.float64), rtol=0, atol=1e-6)
    expected = eigenvalues.imag[eigenvalues.imag > 0].sort().values.float()
    torch.testing.assert_close(made(torch.float32).frequency[3], expected, rtol=1e-5, atol=1e-5)
    model = build("s4d", {"step_min": 0.01, "step_max": 0.02}, dim=2000)
    assert isinstance(model, S4DAttention)
    steps = model.log_step.exp()
    assert 0.01 <= steps.min() < 0.0101
    assert 0.0199 < steps.max() <= 0.02
    torch.testing.assert_close(steps.log().mean(), torch.tensor(math.log(0.01 * 0.02) / 2), rtol=0, atol=0.02)
    assert 0.98 < torch.view_as_complex(model.reading).abs().square().mean() < 1.02
    torch.testing.assert_close(model.log_decay.exp(), torch.full_like(model.log_decay, 0.5))
    assert 0.95 < model.skip.square().mean() < 1.05
    assert not torch.equal(model.reading[0], model.reading[1])


def test_kernel_and_fft_are_exact_under_autocast() -> None:
    model, x = made(torch.float32), inputs(2, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = mixed(model, x)
    assert torch.equal(near, mixed(model, x))


def test_the_powers_of_each_state_are_not_stored() -> None:
    """2,048 positions and 64 states: less than a quarter of one number for each position, channel and state pair."""
    model = build("s4d", {}, max_length=2048)
    assert isinstance(model, S4DAttention)
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.kernels()
    assert sum(sizes) < 2048 * 24 * 32 * 8 / 4


def test_dropout_is_on_in_training_alone() -> None:
    model = build("s4d", {}, dropout=0.5)
    x = inputs(1, 9)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_layers_differ() -> None:
    one, two = (build("s4d", {}, num_layers=2, layer=layer) for layer in (0, 1))
    for name in ("log_step", "reading", "skip"):
        assert not torch.equal(one.get_parameter(name), two.get_parameter(name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": 5}, "an even state >= 2, got 5"),
        ({"state": 0}, "an even state >= 2, got 0"),
        ({"initial": "hippo"}, "'legs', got 'hippo'"),
        ({"step_min": 0.0}, "0 < step_min <= step_max, got 0.0 and 0.1"),
        ({"step_min": 0.2}, "step_max, got 0.2 and 0.1"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("s4d", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("s4d", {"state": 4})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
