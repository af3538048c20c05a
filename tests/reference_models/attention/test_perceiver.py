"""Perceiver: against plain attentions of latents, full attention where the latents are the tokens, Set Transformer."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.perceiver import PerceiverAttention
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"num_latents": 5}, {"num_latents": 4, "tower_layers": 2, "form": "read-out"}]
SLOPE = 1.1
AVERAGES = False  # tokens do not change; `test_a_constant_stays_constant` has the sums of latents
WEIGHTS_ARE_ALL = False  # of the form "latents" they are: `test_dense_weights_of_latents_are_all`

READ: Options = {"num_latents": 5}
KEEP = lengths_mask([16, 9], 16)
HOLES = torch.tensor([[1] * 16, [1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)


def perceiver(options: Options, **shape: Any) -> PerceiverAttention:
    model = build("perceiver", options, **{"dtype": torch.float64, **shape})
    assert isinstance(model, PerceiverAttention)
    return model


def tower_layer(**shape: Any) -> PerceiverAttention:
    model = perceiver(READ, layer=1, num_layers=2, **shape)
    assert not model.reads
    return model


def heads_of(projected: Tensor, heads: int = 3) -> Tensor:
    return torch.stack(projected.chunk(heads, dim=-1), dim=1)


def attended(y: Tensor, z: Tensor, weights: list[Tensor], keep: Tensor | None = None) -> Tensor:
    """Attn(Y, Z, Z) by explicit softmax; weights: W_Q, W_K, W_V, W_O as nn.Linear holds them; keep: of Z."""
    q, k, v, output = weights
    mask = None if keep is None else keep[:, None, None]
    mixed = dense(heads_of(y @ q.T), heads_of(z @ k.T), heads_of(z @ v.T), mask)
    return torch.cat(list(mixed.unbind(1)), dim=-1) @ output.T


def weights_of(model: PerceiverAttention, *names: str) -> list[Tensor]:
    return [model.get_parameter(f"{name}.weight") for name in names]


def same(found: tuple[Tensor, ...], expected: tuple[Tensor, ...], atol: float = 1e-12) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=atol)


def plain(model: PerceiverAttention, x: Tensor, keep: Tensor) -> Tensor:
    """The latents' share of a read or of the tower, and 0 for tokens."""
    z, tokens = x[:, :5], x[:, 5:]
    given = weights_of(model, "query", "key", "value", "output.prefix")
    share = attended(z, tokens, given, keep[:, 5:]) if model.reads else attended(z, z, given, keep[:, :5])
    return torch.cat([share, torch.zeros_like(tokens)], dim=1)


def plain_read_out(model: PerceiverAttention, x: Tensor, keep: Tensor) -> Tensor:
    """O = Attn(X, H, H), H = tower(Attn(Z, X, X))."""
    z = model.get_parameter("latents").expand(len(x), -1, -1)
    h = attended(z, x, weights_of(model, "latent_query", "key", "value", "latent_output"), keep)
    for number in range(len(model.tower)):
        layer = {
            name: model.tower.get_parameter(f"{number}.{name}") for name, _ in model.tower[number].named_parameters()
        }

        def normed(h: Tensor, name: str, layer: Mapping[str, Tensor] = layer) -> Tensor:
            centred = h - h.mean(dim=-1, keepdim=True)
            scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
            return scaled * layer[f"{name}.weight"] + layer[f"{name}.bias"]

        y = normed(h, "norm_attention")
        h = h + attended(y, y, [layer[f"{name}.weight"] for name in ("query", "key", "value", "output")])
        y = normed(h, "norm_output") @ layer["widen.weight"].T + layer["widen.bias"]
        h = h + functional.gelu(y, approximate="tanh") @ layer["narrow.weight"].T + layer["narrow.bias"]
    return attended(x, h, weights_of(model, "query", "read_out_key", "read_out_value", "output"))


@pytest.mark.parametrize("keep", [KEEP, HOLES])
@pytest.mark.parametrize("layer", [0, 1])
def test_latents_equal_a_plain_attention(layer: int, keep: Tensor) -> None:
    model = perceiver(READ, layer=layer, num_layers=2)
    x = inputs(2, 16, dtype=torch.float64)
    same(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(lambda x: plain(model, x, keep), x, keep))
    learned = torch.autograd.grad(model(x, keep)[keep].square().sum(), list(model.parameters()))
    expected = torch.autograd.grad(plain(model, x, keep)[keep].square().sum(), list(model.parameters()))
    same(learned, expected, 1e-11)
    torch.testing.assert_close(model(x), plain(model, x, torch.ones(2, 16, dtype=torch.bool)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tower_layers", [0, 1, 2])
def test_the_read_out_equals_plain_attentions(tower_layers: int) -> None:
    model = perceiver({"num_latents": 5, "tower_layers": tower_layers, "form": "read-out"})
    with torch.no_grad():
        for name, value in model.tower.named_parameters():
            if "norm" in name or "bias" in name:
                value.add_(inputs(1, value.numel(), dim=1, dtype=torch.float64, seed=4)[0, :, 0], alpha=0.2)
    x = inputs(2, 16, dtype=torch.float64)
    for keep in (KEEP, HOLES):
        same(
            with_gradients(lambda x, keep=keep: model(x, keep), x, keep),  # type: ignore[misc]
            with_gradients(lambda x, keep=keep: plain_read_out(model, x, keep), x, keep),  # type: ignore[misc]
            1e-11,
        )
    learned = torch.autograd.grad(model(x, KEEP)[KEEP].square().sum(), list(model.parameters()))
    expected = torch.autograd.grad(plain_read_out(model, x, KEEP)[KEEP].square().sum(), list(model.parameters()))
    same(learned, expected, 1e-10)


def test_without_a_tower_the_read_out_is_the_set_transformer() -> None:
    model = perceiver({"num_latents": 5, "tower_layers": 0, "form": "read-out"})
    other = build("set_transformer", {"num_inducing": 5}, dtype=torch.float64, seed=7)
    names = {
        "inducing": "latents", "inducing_query.weight": "latent_query.weight",
        "inducing_output.weight": "latent_output.weight", "summary_key.weight": "read_out_key.weight",
        "summary_value.weight": "read_out_value.weight",
    }  # fmt: skip
    with torch.no_grad():
        for theirs, value in other.named_parameters():
            value.copy_(model.get_parameter(names.get(theirs, theirs)))
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 6], 11)
    same(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(lambda x: other(x, keep), x, keep), 0)
    torch.testing.assert_close(model.dense_weights(x, keep), other.dense_weights(x, keep), rtol=0, atol=1e-14)


def test_where_the_latents_are_the_tokens_a_read_is_full_attention() -> None:
    model = perceiver({"num_latents": 11})
    full = build("full", {}, dtype=torch.float64, seed=7)
    with torch.no_grad():
        for name in ("query", "key", "value"):
            full.get_parameter(f"{name}.weight").copy_(model.get_parameter(f"{name}.weight"))
        full.get_parameter("output.weight").copy_(model.get_parameter("output.prefix.weight"))
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 6], 11)
    twice = torch.cat([keep, keep], dim=1)
    found = with_gradients(lambda x: model(torch.cat([x, x], dim=1), twice)[:, :11], x, keep)
    same(found, with_gradients(lambda x: full(x, keep), x, keep))
    # And the tower is full attention over the latents, whatever follows.
    tower = perceiver({"num_latents": 11}, layer=1, num_layers=2)
    tower.load_state_dict(model.state_dict())
    tokens = inputs(2, 7, dtype=torch.float64, seed=3)
    mask = torch.cat([keep, lengths_mask([7, 2], 7)], dim=1)
    found = with_gradients(lambda x: tower(torch.cat([x, tokens], dim=1), mask)[:, :11], x, keep)
    same(found, with_gradients(lambda x: full(x, keep), x, keep))


@pytest.mark.parametrize(
    ("tower_layers", "reads"),
    [(1, [True, False] * 3), (0, [True] * 6), (2, [True, False, False] * 2), (5, [True] + [False] * 5)],
)
def test_reads_and_towers_alternate(tower_layers: int, reads: list[bool]) -> None:
    options = {"num_latents": 5, "tower_layers": tower_layers}
    layers = [perceiver(options, layer=layer, num_layers=6) for layer in range(6)]
    assert [layer.reads for layer in layers] == reads
    x = inputs(1, 16, dtype=torch.float64)
    other = torch.cat([x[:, :5], inputs(1, 11, dtype=torch.float64, seed=3)], dim=1)
    for layer, read in zip(layers, reads, strict=True):
        assert torch.equal(layer(x), layer(other)) != read
        # A tower does not project the tokens.
        assert [part.shape[2] for part in layer.project(x)[1:]] == ([5, 11, 11] if read else [5, 5, 5])


@pytest.mark.parametrize("layer", [0, 1])
def test_tokens_never_change(layer: int) -> None:
    model = perceiver(READ, layer=layer, num_layers=2).train()
    out = model(inputs(2, 16, dtype=torch.float64), KEEP)
    assert not out[:, 5:].any()
    assert out[:, :5].any(dim=-1).all()


def test_latents_see_only_tokens_in_a_read() -> None:
    model = perceiver(READ)
    x = inputs(1, 16, dtype=torch.float64)

    def rows(x: Tensor, model: PerceiverAttention) -> Tensor:
        out: Tensor = model(x, KEEP[1:]).sum(dim=2)[0]
        return out

    for which, first, last in ((model, 5, 9), (tower_layer(), 0, 5)):
        seen = torch.autograd.functional.jacobian(lambda x, which=which: rows(x, which), x)  # type: ignore[no-untyped-call]
        expected = torch.zeros(16, 16, dtype=torch.bool)
        expected[:5, first:last] = True
        expected[:5, :5] |= torch.eye(5, dtype=torch.bool)
        assert torch.equal(seen[:, 0].abs().sum(dim=-1) > 0, expected)


@pytest.mark.parametrize("options", CASES)
def test_the_order_of_tokens_does_not_matter(options: Options) -> None:
    model, first = perceiver(options), 5 if options == READ else 0
    order = torch.cat([torch.arange(first), first + torch.randperm(11, generator=torch.Generator().manual_seed(3))])
    x, keep = inputs(2, first + 11, dtype=torch.float64), lengths_mask([first + 11, first + 6], first + 11)
    found = with_gradients(lambda x: model(x[:, order], keep[:, order]), x, keep[:, order])
    same(found, with_gradients(lambda x: model(x, keep)[:, order], x, keep[:, order]))


def test_what_is_masked_is_not_read() -> None:
    x = inputs(2, 16, dtype=torch.float64)
    other = torch.where(HOLES[..., None], x, 1e4 * inputs(2, 16, dtype=torch.float64, seed=5))
    for model in (perceiver(READ), tower_layer()):
        assert torch.equal(model(x, HOLES)[HOLES], model(other, HOLES)[HOLES])


def test_sequences_without_tokens_leave_the_latents() -> None:
    model = perceiver(READ)
    x = inputs(2, 16, dtype=torch.float64)
    assert not model(x, lengths_mask([5, 16], 16))[0].any()
    assert not model(x[:, :5]).any()
    assert model(x[:, :3]).shape == (2, 3, 24)


@pytest.mark.parametrize("layer", [0, 1])
def test_dense_weights_of_latents_are_all(layer: int) -> None:
    model = perceiver(READ, layer=layer, num_layers=2)
    x = inputs(2, 16, dtype=torch.float64)
    for keep in (KEEP, HOLES):
        weights = model.dense_weights(x, keep)
        assert weights.shape == (2, 3, 16, 16)
        assert not weights.transpose(1, 3)[~keep].any()
        assert not weights[:, :, 5:].any()
        torch.testing.assert_close(weights[:, :, :5].sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
        values = heads_of(x @ model.get_parameter("value.weight").T)
        torch.testing.assert_close(model.mix(model.project(x), keep), weights @ values, rtol=0, atol=1e-12)
    assert torch.equal(model.dense_weights(x[:, :3]), model.dense_weights(x[:, :3], torch.ones(2, 3, dtype=torch.bool)))


def test_dense_weights_of_the_read_out_sum_to_one() -> None:
    weights = perceiver(CASES[1]).dense_weights(inputs(2, 16, dtype=torch.float64), KEEP)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 16, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", [0, 1])
def test_a_constant_stays_constant(layer: int) -> None:
    model = perceiver(READ, layer=layer, num_layers=2)
    value = torch.randn(24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = inputs(2, 16, dtype=torch.float64)
    x[..., 0] = 1.0
    model.get_parameter("value.weight").data.zero_()[:, 0] = value
    mixed = torch.cat(list(model.mix(model.project(x), KEEP).unbind(1)), dim=-1)[:, :5]
    torch.testing.assert_close(mixed, value.expand_as(mixed), rtol=0, atol=1e-12)


def test_dropout_is_on_all_attentions_in_training_alone() -> None:
    x = inputs(1, 30, dtype=torch.float64)
    for model in (perceiver(READ, dropout=0.5), tower_layer(dropout=0.5)):
        resting = model(x)
        assert torch.equal(model(x), resting)
        assert not torch.allclose(model.train()(x), resting)
    # One latent: what all tokens of a head read is that latent's value times 0 or 2.
    for tower_layers in (0, 1):
        options = {"num_latents": 1, "tower_layers": tower_layers, "form": "read-out"}
        model = perceiver(options, dropout=0.5)
        heads = model.train().mix(model.project(x), None)[0]
        summaries = []
        for head in heads:
            kept = head.any(dim=-1)
            assert 0 < kept.sum() < 30, "the read-out drops nothing"
            torch.testing.assert_close(head[kept], head[kept][:1].expand(int(kept.sum()), -1))
            summaries.append(head[kept][0] / 2)
        rests = model.eval().mix(model.project(x), None)[0, :, 0]
        assert not torch.allclose(torch.stack(summaries), rests), "the read drops nothing"


def test_the_tower_of_a_read_out_drops_weights() -> None:
    model = perceiver({"num_latents": 5, "tower_layers": 1, "form": "read-out"}, dropout=0.5)
    latents = inputs(1, 5, dtype=torch.float64)
    (layer,) = model.tower
    assert torch.equal(layer(latents, 0.0), layer(latents, 0.0))
    assert not torch.allclose(layer(latents, 0.5), layer(latents, 0.0))
    seen: list[float] = []
    layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1]))
    model.train()(latents)
    model.eval()(latents)
    assert seen == [0.5, 0.0]


def test_the_read_outs_latents_come_from_the_seed_and_the_layer() -> None:
    def latents(**shape: Any) -> Tensor:
        return perceiver(CASES[1], **shape).get_parameter("latents")

    assert torch.equal(latents(), latents(seed=3))  # the process's generator
    assert not torch.equal(latents(num_layers=2), latents(num_layers=2, layer=1))
    assert 0.7 < latents().std() < 1.3


def test_defaults_and_refusals() -> None:
    model = perceiver({})
    assert (model.num_prefix, model.feed_forward, model.pooled) == (512, "prefix", "prefix")
    model = perceiver({"form": "read-out"})
    assert (model.num_prefix, model.feed_forward, model.pooled, len(model.tower)) == (0, "all", "tokens", 1)
    for options, message in (
        ({"num_latents": 0}, "expected num_latents >= 1, got 0"),
        ({"tower_layers": -1}, "expected tower_layers >= 0, got -1"),
        ({"form": "io"}, r"expected a form from \('latents', 'read-out'\), got 'io'"),
    ):
        with pytest.raises(ValueError, match=message):
            perceiver(options)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.parametrize(("options", "layer"), [(READ, 0), (READ, 1), (CASES[1], 0)])
def test_compiles(options: Options, layer: int) -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("perceiver", options, layer=layer, num_layers=2)
    x = inputs(2, 16)
    assert_same(torch.compile(model, backend="aot_eager", fullgraph=True), model, x, KEEP)
