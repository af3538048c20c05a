"""The short convolution: against loops over a band, and which tokens can reach which."""

import pytest
import torch
from torch import Tensor

from reference_models.attention.s4d import S4DAttention
from reference_models.attention.short_conv import ShortConvAttention
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import Encoder
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"kernel": 5}, {}]
SLOPE = 1.1
AVERAGES = False  # a channel's weights are free


def made(dtype: torch.dtype = torch.float64, **options: object) -> ShortConvAttention:
    model = build("short_conv", options, dtype=dtype)
    assert isinstance(model, ShortConvAttention)
    return model


def mixed(model: ShortConvAttention, x: Tensor, keep: Tensor | None = None) -> Tensor:
    """y before gelu: (B, L, D)."""
    return model.mix(model.project(x), keep)[..., 0].transpose(1, 2)


def plain(model: ShortConvAttention, x: Tensor, keep: Tensor) -> Tensor:
    """Each token's sum over its kept neighbours, one by one."""
    reach = model.kernel.shape[1] // 2
    y = torch.stack(
        [
            torch.stack(
                [
                    sum(
                        (model.kernel[:, j - i + reach] * x[b, j] for j in keep[b].nonzero()[:, 0].tolist()
                         if abs(j - i) <= reach),
                        torch.zeros(24, dtype=x.dtype),
                    )
                    for i in range(x.shape[1])
                ]
            )
            for b in range(len(x))
        ]
    )  # fmt: skip
    out: Tensor = model.output(y)
    return out


@pytest.mark.parametrize("kernel", [1, 3, 7, 31])
def test_equals_loops_over_neighbours(kernel: int) -> None:
    model = made(kernel=kernel)
    x, keep = inputs(2, 13, dtype=torch.float64), lengths_mask([13, 6], 13)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_a_gap_in_the_mask_is_zero() -> None:
    model, x = made(kernel=5), inputs(1, 12, dtype=torch.float64)
    keep = torch.ones(1, 12, dtype=torch.bool)
    keep[0, 5] = False
    zeroed = torch.where(keep[..., None], x, 0.0)
    torch.testing.assert_close(mixed(model, x, keep), mixed(model, zeroed), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kernel", [1, 5, 11])
def test_a_token_reaches_exactly_half_a_kernel(kernel: int) -> None:
    model, x = made(kernel=kernel), inputs(1, 30, dtype=torch.float64)[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None])[0].sum(dim=1), x)  # type: ignore[no-untyped-call]
    reaches = jacobian.abs().sum(dim=2) > 0
    place = torch.arange(30)
    assert torch.equal(reaches, (place[:, None] - place).abs() <= kernel // 2)


@pytest.mark.parametrize(("kernel", "layers"), [(5, 1), (5, 3), (3, 2)])
def test_a_stack_reaches_the_sum_of_its_layers_and_no_further(kernel: int, layers: int) -> None:
    """Through the whole encoder: norms and feed-forward layers mix no tokens."""
    config = ModelConfig(
        attention="short_conv", options={"kernel": kernel}, vocab_size=9, num_classes=2, max_length=40, dim=8, heads=1,
        qkv_dim=8, mlp_dim=16, num_layers=layers, pooling="mean", dropout=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    encoder = Encoder(config).double().eval()
    tokens = torch.randint(0, 8, (1, 40))
    before, _ = encoder(tokens)
    reach = layers * (kernel // 2)
    for place in (0, 13, 39):
        changed = tokens.clone()
        changed[0, place] = 8
        moved = (encoder(changed)[0] != before)[0].any(dim=1)
        assert torch.equal(moved, (torch.arange(40) - place).abs() <= reach)


def test_channels_are_not_mixed_before_the_output() -> None:
    model, x = made(kernel=5), inputs(1, 9, dtype=torch.float64)[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: mixed(model, x[None])[0].sum(dim=0), x)  # type: ignore[no-untyped-call]
    assert torch.equal(jacobian.abs().sum(dim=1) > 0, torch.eye(24, dtype=torch.bool))


def test_a_kernel_of_all_distances_is_s4d() -> None:
    """With S4D's kernel written in, and its skip at distance 0."""
    length = 20
    long = build("s4d", {"state": 8, "step_max": 0.5}, dtype=torch.float64, max_length=length)
    assert isinstance(long, S4DAttention)
    model = made(kernel=2 * length - 1)
    forward, backward = long.kernels()
    with torch.no_grad():
        forward[:, 0] += long.skip
        model.kernel.copy_(torch.cat([forward.flip(-1), backward[:, 1:]], dim=-1))
        model.output.load_state_dict(long.output.state_dict())
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 7], length)
    found, expected = (with_gradients(lambda x, m=m: m(x, keep), x, keep) for m in (model, long))  # type: ignore[misc]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-11)


def test_sums_are_exact_under_autocast() -> None:
    model, x = made(torch.float32, kernel=31), inputs(2, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = mixed(model, x)
    assert torch.equal(near, mixed(model, x))


def test_dropout_is_on_in_training_alone() -> None:
    model = build("short_conv", {}, dropout=0.5)
    x = inputs(1, 9)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_the_kernel_begins_from_the_seed() -> None:
    one, two = (build("short_conv", {}, num_layers=2, layer=layer) for layer in (0, 1))
    assert not torch.equal(one.get_parameter("kernel"), two.get_parameter("kernel"))
    assert torch.equal(one.get_parameter("kernel"), build("short_conv", {}, seed=5).get_parameter("kernel"))
    assert 0.95 * 31**-0.5 < one.get_parameter("kernel").abs().max() <= 31**-0.5


@pytest.mark.parametrize("kernel", [0, 4, -1])
def test_options_are_checked(kernel: int) -> None:
    with pytest.raises(ValueError, match=f"an odd kernel >= 1, got {kernel}"):
        build("short_conv", {"kernel": kernel})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("short_conv", {"kernel": 5})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
