"""Funnel: against loops over pairs of tokens, and full attention in the limits. Whole models with their schedule are in
`tests/reference_models/model/test_shorter_sequences.py`.
"""

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.funnel import FunnelAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

# Without options, one layer pools nothing.
CASES: list[Options] = [{}, {"form": "local"}, {"form": "local", "separate_cls": False}]
SLOPE = 1.1

SECOND: Options = {"num_layers": 2, "layer": 1}


def groups(length: int, *, front: int) -> list[list[int]]:
    """The tokens of each slot."""
    single = [[place] for place in range(min(front, length))]
    return single + [[p for p in (place, place + 1) if p < length] for place in range(front, length, 2)]


def slots(x: Tensor, keep: Tensor, *, front: int) -> tuple[Tensor, Tensor]:
    """(L, D) of one sequence to its slots (L', D) and whether each is kept, one by one."""
    rows, kept = [], []
    for group in groups(len(x), front=front):
        there = [place for place in group if keep[place]]
        rows.append(sum((x[place] for place in there), torch.zeros_like(x[0])) / max(1, len(there)))
        kept.append(bool(there))
    return torch.stack(rows), torch.tensor(kept)


def plain(model: Attention, x: Tensor, keep: Tensor, *, front: int, repeated: bool) -> Tensor:
    """Pooled inputs as queries, all kept tokens as keys."""
    outs = []
    for row, kept in zip(x, keep, strict=True):
        (pooled, _), length = slots(row, kept, front=front), len(row)
        q, k, v = (
            model.split(layer(part[None]))
            for layer, part in ((model.query, pooled), (model.key, row), (model.value, row))
        )
        out = model.output(joined(dense(q, k, v, kept)))[0]
        if repeated:
            number = {place: n for n, group in enumerate(groups(length, front=front)) for place in group}
            out = out[[number[place] for place in range(length)]]
        outs.append(out)
    return torch.stack(outs)


@pytest.mark.parametrize("separate_cls", [True, False])
@pytest.mark.parametrize("length", [12, 13, 2, 1])
@pytest.mark.parametrize("form", ["local", "schedule"])
def test_equals_loops_over_pairs(form: str, length: int, separate_cls: bool) -> None:
    options = {"form": form, "separate_cls": separate_cls}
    model = build("funnel", options, dtype=torch.float64, **SECOND)
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, min(5, length)], length)
    local, front = form == "local", int(separate_cls)
    valid = keep if local else model.shortened(x, x, keep)[1]
    found = with_gradients(lambda x: model(x, keep), x, valid)
    expected = with_gradients(lambda x: plain(model, x, keep, front=front, repeated=local), x, valid)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("separate_cls", [True, False])
@pytest.mark.parametrize("length", [12, 13, 2, 1])
def test_the_residual_is_the_mean_of_each_slots_kept_tokens(length: int, separate_cls: bool) -> None:
    """A code of the authors averages padding too: here the last slot of the second row has one kept token."""
    model = build("funnel", {"separate_cls": separate_cls}, dtype=torch.float64, **SECOND)
    x = inputs(2, length, dtype=torch.float64)
    keep = lengths_mask([length, min(5 if not separate_cls else 4, length)], length)
    found, kept = model.shortened(x, 7 * x, keep)
    assert kept is not None
    for row in range(2):
        pooled, there = slots(x[row], keep[row], front=int(separate_cls))
        assert torch.equal(kept[row], there)
        torch.testing.assert_close(found[row], pooled, rtol=0, atol=1e-14)
    without, nothing = model.shortened(x, x, None)
    assert nothing is None
    torch.testing.assert_close(without, model.shortened(x, x, torch.ones(2, length, dtype=torch.bool))[0])


def test_without_pooling_it_is_full_attention() -> None:
    x, keep = inputs(2, 13, dtype=torch.float64), lengths_mask([13, 6], 13)
    full = build("full", {}, dtype=torch.float64)
    shapes: list[Options] = [{}, {"num_layers": 2}, {"num_layers": 5, "layer": 4}]
    for shape in shapes:
        model = build("funnel", {}, dtype=torch.float64, **shape)
        model.load_state_dict(full.state_dict())
        for one, two in zip(
            with_gradients(lambda x, model=model: model(x, keep), x, keep),  # type: ignore[misc]
            with_gradients(lambda x: full(x, keep), x, keep),
            strict=True,
        ):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)
        assert model.shortened(x, x, keep) == (x, keep)


@pytest.mark.parametrize("separate_cls", [True, False])
def test_pairs_of_equal_tokens_give_full_attention(separate_cls: bool) -> None:
    model = build("funnel", {"form": "local", "separate_cls": separate_cls}, dtype=torch.float64)
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict(model.state_dict())
    x, front = inputs(2, 7, dtype=torch.float64), int(separate_cls)
    x = torch.cat([x[:, :front], x[:, front:].repeat_interleave(2, dim=1)], dim=1)
    torch.testing.assert_close(model(x), full(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("num_layers", "blocks", "pooling"),
    [
        (1, None, []),
        (2, None, [1]),
        (5, None, [3]),
        (6, None, [3]),
        (6, (2, 2, 2), [2, 4]),
        (6, [1, 3, 2], [1, 4]),
        (3, (3,), []),
    ],
)
def test_which_layers_pool(num_layers: int, blocks: object, pooling: list[int]) -> None:
    found = []
    for layer in range(num_layers):
        model = build("funnel", {"blocks": blocks}, num_layers=num_layers, layer=layer)
        assert isinstance(model, FunnelAttention)
        shorter = model(inputs(1, 9)).shape[1] == 5
        assert shorter == (model.shortened(inputs(1, 9), inputs(1, 9), None)[0].shape[1] == 5)
        found += [layer] * shorter
    assert found == pooling


def test_every_token_reaches_every_slot() -> None:
    """Keys are not pooled."""
    model, x = build("funnel", {}, dtype=torch.float64, **SECOND), inputs(1, 9, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    assert (jacobian.abs().sum(dim=(1, 3)) > 0).all()
    (weights,) = model.dense_weights(x)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 0] != weights[:, 1]).any()
    assert weights.unique(dim=2).shape[2] == 9


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("funnel", {"form": "local"}, dropout=0.5)
    x = inputs(1, 9)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "global"}, "'local', got 'global'"),
        ({"blocks": (1, 2)}, r"2 together, got \(1, 2\)"),
        ({"blocks": (2, 0)}, r"2 together, got \(2, 0\)"),
        ({"blocks": ()}, r"2 together, got \(\)"),
        ({"blocks": (1, 1), "form": "local"}, r"no blocks for the form 'local', where each layer pools, got \(1, 1\)"),
    ],
)
def test_options_are_checked(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("funnel", options, **SECOND)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("funnel", {"form": "local"})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
