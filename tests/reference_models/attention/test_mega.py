"""MEGA: against the recurrence of its averages and attention in loops over chunks, and its limits."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.mega import MegaAttention, MovingAverage
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{}, {"chunk": 8, "function": "laplace"}]
SLOPE = 2.05
WEIGHTS_ARE_ALL = False
AVERAGES = False  # gates follow the attention


def made(dtype: torch.dtype = torch.float64, **options: object) -> MegaAttention:
    length = options.pop("max_length", 64)
    model = build("mega", options, dtype=dtype, max_length=length)
    assert isinstance(model, MegaAttention)
    with torch.no_grad():  # so that no part is small
        for name, parameter in model.named_parameters():
            if "average" not in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)).to(dtype))
    return model


def averaged(average: MovingAverage, x: Tensor) -> Tensor:
    """EMA(x) + w x of (L, D), from token to token; the second direction starts one token later."""
    alpha, delta = average.alpha.sigmoid(), average.delta.sigmoid()
    total = average.omega * x
    for direction, tokens in enumerate((x, x.flip(0))):
        state, rows = torch.zeros_like(alpha[0]), []
        for token in tokens:
            before = (1 - alpha[direction] * delta[direction]) * state
            state = alpha[direction] * average.beta[direction] * token[:, None] + before
            read = before if direction else state
            rows.append((average.gamma[direction] * read).sum(dim=-1) / alpha.shape[-1] ** 0.5)
        y = torch.stack(rows)
        total = total + (y.flip(0) if direction else y)
    return total


def weights_of(model: MegaAttention, q: Tensor, k: Tensor) -> Tensor:
    """f in one chunk of kept tokens, entry by entry."""
    rows = []
    for i in range(len(q)):
        row = []
        for j in range(len(k)):
            bias, product = model.bias[i - j + (len(model.bias) - 1) // 2], (q[i] * k[j]).sum()
            if model.function == "softmax":
                row.append((product / math.sqrt(len(q[i])) + bias).exp())
            else:
                at = product / len(k) + bias
                row.append(0.5 * (1 + torch.erf((at - math.sqrt(0.5)) / (0.28209479177387814 * math.sqrt(2)))))
        rows.append(torch.stack(row))
    weights = torch.stack(rows)
    return weights / weights.sum(dim=1, keepdim=True) if model.function == "softmax" else weights


def plain(model: MegaAttention, x: Tensor, keep: Tensor) -> Tensor:
    """The layer for each sequence without its padding, chunk after chunk."""
    silu, outs = functional.silu, []
    for row, kept in zip(x, keep, strict=True):
        u = row[kept]
        prime = silu(averaged(model.average, u))
        z, v = silu(model.shared(prime)), silu(model.values(u))
        q, k = z * model.scale[0] + model.shift[0], z * model.scale[1] + model.shift[1]
        looked = torch.cat(
            [
                weights_of(model, q[at : at + model.chunk], k[at : at + model.chunk]) @ v[at : at + model.chunk]
                for at in range(0, len(u), model.chunk)
            ]
        )
        inner = silu(model.reset_gate(prime)) * looked
        candidate = silu(model.candidate(prime) + inner @ model.looked_up.weight.T)
        out = torch.sigmoid(model.update_gate(prime)) * (candidate - u)
        outs.append(torch.cat([out, torch.zeros(int((~kept).sum()), x.shape[2], dtype=x.dtype)]))
    return torch.stack(outs)


@pytest.mark.parametrize("function", ["softmax", "laplace"])
@pytest.mark.parametrize("chunk", [None, 5])
def test_equals_loops_with_gradients(chunk: int | None, function: str) -> None:
    model = made(chunk=chunk, function=function, ema_dim=3)
    x, keep = inputs(2, 13, dtype=torch.float64), lengths_mask([13, 6], 13)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", ["softmax", "laplace"])
def test_parameters_get_the_gradients_of_the_loops(function: str) -> None:
    model = made(chunk=5, function=function, ema_dim=2)
    x, keep = inputs(2, 9, dtype=torch.float64), lengths_mask([9, 6], 9)
    weights = inputs(2, 9, dtype=torch.float64, seed=3) * keep[..., None]
    parameters = list(model.parameters())
    found = torch.autograd.grad((model(x, keep) * weights).sum(), parameters)
    expected = torch.autograd.grad((plain(model, x, keep) * weights).sum(), parameters)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-10)


def test_lag_0_is_counted_once() -> None:
    """The authors' code counts it in both directions."""
    average = made().average
    x = torch.zeros(1, 9, 24, dtype=torch.float64)
    x[0, 4] = 1.0
    forward, backward = average.kernels()
    response = average(x)[0]
    torch.testing.assert_close(response[4], forward[:, 0] + average.omega)
    torch.testing.assert_close(response[5:], forward[:, 1:5].T)
    torch.testing.assert_close(response[:4], backward[:, 1:5].flip(1).T)


def test_new_weights_count_at_once_in_evaluation() -> None:
    """The authors' code keeps the kernel of the weights before."""
    model, other = made(), build("mega", {}, dtype=torch.float64, seed=3)
    x = inputs(1, 20, dtype=torch.float64)
    before, expected = model(x), other(x)
    model.load_state_dict(other.state_dict())
    assert torch.equal(model(x), expected)
    assert not torch.allclose(before, expected)


def test_an_average_is_not_cut_off() -> None:
    """The authors' code uses the last 1,024 tokens."""
    average = made(max_length=1500).average
    with torch.no_grad():
        average.delta.fill_(-12.0)  # hardly forgets
    x = torch.zeros(1, 1500, 24, dtype=torch.float64)
    x[0, [3, 1490]] = 1.0
    response = average(x)[0].abs()
    assert response[1480].min() > 1e-6
    assert response[5].min() > 1e-6
    alone = average(x[:, :100])[0]
    assert (response[:3] - alone[:3].abs()).abs().max() > 1e-6


def test_without_memory_it_is_a_gated_attention_unit() -> None:
    """a = d = 1: each token's average is the token times a number for each channel."""
    model = made()
    with torch.no_grad():
        model.average.alpha.fill_(50.0)
        model.average.delta.fill_(50.0)
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 5], 11)
    factor = (model.average.beta[0] * model.average.gamma[0]).sum(dim=-1) / 4 + model.average.omega
    prime = functional.silu(factor * x)
    z = functional.silu(model.shared(prime))
    q, k = (z * model.scale[i] + model.shift[i] for i in range(2))
    place = torch.arange(11)
    logits = q @ k.transpose(1, 2) / 12**0.5 + model.bias[place[:, None] - place + 63]
    weights = logits.masked_fill(~keep[:, None], -math.inf).softmax(dim=-1)
    looked = weights @ functional.silu(model.values(x))
    inner = model.looked_up(functional.silu(model.reset_gate(prime)) * looked)
    candidate = functional.silu(model.candidate(prime) + inner)
    expected = model.update_gate(prime).sigmoid() * (candidate - x)
    torch.testing.assert_close(model(x, keep)[keep], expected[keep], rtol=0, atol=1e-9)


def test_with_open_gates_it_is_attention_of_one_head() -> None:
    """P = 1, reset gate 1, W_h = 0, U_h = 1, b = 0: H is SiLU of softmax attention."""
    model = made(v_dim=24)
    with torch.no_grad():
        for layer in (model.update_gate, model.reset_gate, model.candidate):
            layer.weight.zero_()
            layer.bias.zero_()
        model.update_gate.bias.fill_(1e3)
        model.reset_gate.bias.fill_(1.2784645427610738)  # SiLU of it is 1
        model.looked_up.weight.copy_(torch.eye(24))
        model.bias.zero_()
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 5], 11)

    def expected(x: Tensor) -> Tensor:
        z = functional.silu(model.shared(functional.silu(model.average(x * keep[..., None]))))
        q, k = (z * model.scale[i] + model.shift[i] for i in range(2))
        v = functional.silu(model.values(x))
        return functional.silu(dense(q[:, None], k[:, None], v[:, None], keep[:, None, None])[:, 0]) - x

    found = with_gradients(lambda x: model(x, keep), x, keep)
    for one, two in zip(found, with_gradients(expected, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", ["softmax", "laplace"])
def test_one_chunk_is_the_whole(function: str) -> None:
    whole, x = made(function=function), inputs(2, 20, dtype=torch.float64)
    keep = lengths_mask([20, 13], 20)
    for chunk in (20, 64, 1000):
        model = made(function=function, chunk=chunk)
        state = whole.state_dict()
        state["bias"] = whole.bias[64 - model.chunk : 63 + model.chunk]
        model.load_state_dict(state)
        torch.testing.assert_close(model(x, keep)[keep], whole(x, keep)[keep], rtol=0, atol=1e-12)


def test_the_average_crosses_chunks_and_attention_does_not() -> None:
    model, x = made(chunk=4), inputs(1, 12, dtype=torch.float64)[0]
    (weights,) = model.dense_weights(x[None])[0]
    chunk = torch.arange(12) // 4
    assert torch.equal(weights > 0, chunk[:, None] == chunk)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(12, dtype=torch.float64))

    def reached() -> Tensor:
        jacobian: Tensor = torch.autograd.functional.jacobian(lambda x: model(x[None])[0].sum(dim=1), x)  # type: ignore[no-untyped-call]
        return jacobian.abs().sum(dim=2) > 1e-12

    assert reached().all()
    with torch.no_grad():
        model.average.gamma.zero_()
    assert torch.equal(reached(), chunk[:, None] == chunk)


def test_laplace_divides_by_the_kept_keys_and_leaves_out_padding() -> None:
    model = made(function="laplace", chunk=8)
    x, keep = inputs(1, 12, dtype=torch.float64), lengths_mask([10], 12)
    (weights,) = model.dense_weights(x, keep)[0]
    (short,) = model.dense_weights(x[:, :10])[0]
    torch.testing.assert_close(weights[:10, :10], short, rtol=0, atol=1e-13)
    with torch.no_grad():
        model.scale.zero_()
        model.shift.zero_()
        model.bias.fill_(math.sqrt(0.5))
    (even,) = model.dense_weights(x, keep)[0]
    torch.testing.assert_close(even[:8, :8], torch.full((8, 8), 0.5, dtype=torch.float64))


def test_bits_of_averages_do_not_depend_on_padding() -> None:
    average = made(torch.float32).average
    x = inputs(3, 64) * lengths_mask([50, 20, 64], 64)[..., None]
    together = average(x)
    for row, length in ((0, 50), (1, 20)):
        for width in (length, length + 1, 63):
            assert torch.equal(average(x[row : row + 1, :width])[0, :length], together[row, :length])


def test_averages_are_exact_under_autocast() -> None:
    average, x = made(torch.float32).average, inputs(2, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = average(x)
    assert torch.equal(near, average(x))


def test_full_gates_of_the_average_are_finite() -> None:
    """In float32 a sigmoid is 1 early, and a factor of 0 has no logarithm."""
    average = made(torch.float32).average
    with torch.no_grad():
        average.alpha.fill_(30.0)
        average.delta.fill_(30.0)
    out = average(inputs(1, 20))
    assert out.isfinite().all()
    assert all(found.isfinite().all() for found in torch.autograd.grad(out.sum(), list(average.parameters())))


def test_the_first_values_are_the_authors() -> None:
    model = build("mega", {}, dim=200, max_length=500)
    assert isinstance(model, MegaAttention)
    average, weights = model.average, [model.shared, model.values, model.reset_gate, model.update_gate, model.candidate]
    for layer in weights:
        assert 0.0195 < layer.weight.std() < 0.0205
        assert not layer.bias.any()
    assert 0.0195 < model.looked_up.weight.std() < 0.0205
    assert 0.017 < model.scale.std() < 0.023
    assert not model.shift.any()
    assert 0.017 < model.bias.std() < 0.023
    assert model.bias.shape == (999,)
    assert 0.19 < average.alpha.std() < 0.21
    assert 0.19 < average.delta.std() < 0.21
    assert 0.95 < average.gamma.std() < 1.05
    signs = torch.tensor([1.0, -1.0] * 8)
    assert 0.019 < (average.beta - signs).std() < 0.021
    assert average.beta.shape == (2, 200, 16)
    assert (model.shared.out_features, model.values.out_features) == (100, 400)


def test_layers_and_directions_differ() -> None:
    one, two = (build("mega", {}, num_layers=2, layer=layer) for layer in (0, 1))
    for name in ("average.alpha", "average.beta", "average.gamma", "average.omega", "scale", "bias"):
        assert not torch.equal(one.get_parameter(name), two.get_parameter(name))
    forward, backward = made().average.kernels()
    assert not torch.allclose(forward, backward)


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = made(torch.float32)
    x = inputs(1, 9)
    assert torch.equal(model(x), model(x))
    dropped = build("mega", {}, dropout=0.5)
    dropped.load_state_dict(model.state_dict())
    assert torch.equal(dropped(x), model(x))
    assert not torch.allclose(dropped.train()(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk": 0}, ">= 1, got 0, 12, 48 and 16"),
        ({"z_dim": 0}, ">= 1, got None, 0, 48 and 16"),
        ({"v_dim": 0}, ">= 1, got None, 12, 0 and 16"),
        ({"ema_dim": 0}, ">= 1, got None, 12, 48 and 0"),
        ({"function": "relu2"}, "'laplace', got 'relu2'"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("mega", options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("mega", {"chunk": 5})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
