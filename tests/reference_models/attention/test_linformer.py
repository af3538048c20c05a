"""Linformer: against loops over heads and slots, and against full attention with an identity for E and F."""

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"k": 7}, {"k": 11, "sharing": "headwise"}, {"k": 5, "sharing": "none"}]
SLOPE = 1.1
AVERAGES = False  # E and F are free
SHARINGS = ["none", "headwise", "key-value"]


def plain(model: Attention, x: Tensor, keep: Tensor) -> Tensor:
    """Every slot of every head as a sum over the kept positions, one by one."""
    _, q, k, v = model.project(x)
    parameters = dict(model.named_parameters())
    by_key = parameters["project_keys"]
    by_value = parameters.get("project_values", by_key)
    heads = []
    for h in range(3):
        slot_keys, slot_values = (
            torch.stack(
                [
                    torch.stack(
                        [sum(row[j] * y[b, h, j] for j in keep[b].nonzero()[:, 0]) for row in matrix[h % len(matrix)]]
                    )
                    for b in range(len(x))
                ]
            )
            for matrix, y in ((by_key, k), (by_value, v))
        )
        heads.append(dense(q[:, h : h + 1], slot_keys[:, None], slot_values[:, None]))
    out: Tensor = model.output(joined(torch.cat(heads, dim=1)))
    return out


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("length", [13, 20])
def test_equals_loops_over_slots(sharing: str, length: int) -> None:
    """Lengths below max_length use the first columns of E and F."""
    model = build("linformer", {"k": 5, "sharing": sharing}, dtype=torch.float64, max_length=20)
    x, keep = inputs(2, length, dtype=torch.float64), lengths_mask([length, 4], length)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    expected = with_gradients(lambda x: plain(model, x, keep), x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_identity_gives_full_attention(sharing: str) -> None:
    model = build("linformer", {"k": 12, "sharing": sharing}, dtype=torch.float64, max_length=12)
    for name, parameter in model.named_parameters():
        if name.startswith("project_"):
            parameter.data.copy_(torch.eye(12))
    full = build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: model.state_dict()[name] for name in full.state_dict()})
    x = inputs(2, 12, dtype=torch.float64)
    for one, two in zip(with_gradients(model, x), with_gradients(full, x), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("sharing", "expected"), [("none", [3, 3]), ("headwise", [1, 1]), ("key-value", [1])])
def test_sharing_counts_the_projections(sharing: str, expected: list[int]) -> None:
    model = build("linformer", {"k": 6, "sharing": sharing})
    projections = [p for name, p in model.named_parameters() if name.startswith("project_")]
    assert [tuple(p.shape) for p in projections] == [(count, 6, 64) for count in expected]
    assert all(p.is_leaf and p.requires_grad for p in projections)


def test_each_model_and_layer_has_its_own_projection() -> None:
    """A port keeps it in the class, where every later model finds it."""
    one, two = (build("linformer", {"k": 6}, num_layers=2, layer=layer) for layer in (0, 1))
    first, second = one.get_parameter("project_keys"), two.get_parameter("project_keys")
    assert first.data_ptr() != second.data_ptr()
    assert not torch.equal(first, second)
    assert torch.equal(first, build("linformer", {"k": 6}, seed=5).get_parameter("project_keys"))


def test_the_projection_is_trained_after_a_change_of_type() -> None:
    """A port's `nn.Parameter(...).to(device)` is no parameter."""
    model = build("linformer", {"k": 6}).to(torch.float64)
    before = model.get_parameter("project_keys").detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(inputs(2, 64, dtype=torch.float64)).square().sum().backward()
    optimizer.step()
    assert (model.get_parameter("project_keys") != before).all()


@pytest.mark.parametrize("sharing", SHARINGS)
def test_projected_keys_are_about_as_large_as_keys(sharing: str) -> None:
    model = build("linformer", {"k": 32, "sharing": sharing}, max_length=2000)
    for name, parameter in model.named_parameters():
        if name.startswith("project_"):
            spread = (parameter[0] @ torch.randn(2000, 200, generator=torch.Generator().manual_seed(0))).std()
            assert 1.3 < spread < 1.5  # xavier: the root of 2 L / (L + k)
            assert parameter.max() < (6 / 2032) ** 0.5


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("linformer", {"k": 6}, dropout=0.5)
    x = inputs(1, 9)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="k >= 1, got 0"):
        build("linformer", {"k": 0})
    with pytest.raises(ValueError, match="'key-value', got 'layerwise'"):
        build("linformer", {"sharing": "layerwise"})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("linformer", {"k": 5})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled, model, x, keep)
