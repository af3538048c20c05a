"""BigBird: against masks that plain loops fill from the graph, and what the ports of it got wrong."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{"block": 4, "num_random": 2}, {"block": 5, "num_random": 1}, {"block": 3, "num_random": 0}]
SLOPE = 1.1


def mask_of(model: Attention, length: int, lengths: list[int], block: int) -> Tensor:
    """(B, H, L, L) from the model's graph of random blocks."""
    graph = model.graph.tolist()  # type: ignore[operator]
    mask = torch.zeros(len(lengths), len(graph), length, length, dtype=torch.bool)
    for row, real in enumerate(lengths):
        ends = {0, (real - 1) // block}
        for head, drawn in enumerate(graph):
            for i in range(length):
                for j in range(real):
                    one, two = i // block, j // block
                    edge = abs(one - two) <= 1 or one in ends or two in ends or two in drawn[one]
                    mask[row, head, i, j] = edge
    return mask


def equals_dense(model: Attention, mask: Tensor, lengths: list[int]) -> None:
    length = mask.shape[-1]
    x, keep = inputs(len(lengths), length, dtype=torch.float64), lengths_mask(lengths, length)

    def plain(x: Tensor) -> Tensor:
        _, q, k, v = model.project(x)
        out: Tensor = model.output(joined(dense(q, k, v, mask)))
        return out

    for one, two in zip(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(plain, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_equals_the_graphs_mask(options: Options) -> None:
    model = build("bigbird", options, dtype=torch.float64)
    for length, lengths in ((64, [64, 45]), (33, [33, 32]), (9, [9, 2]), (1, [1])):
        equals_dense(model, mask_of(model, length, lengths, options["block"]), lengths)


@pytest.mark.parametrize("options", [{"block": 3, "num_random": 99}, {"block": 16, "num_random": 1}, {"block": 90}])
@pytest.mark.parametrize("keep", [None, lengths_mask([46, 31], 46)], ids=["whole", "padded"])
def test_all_blocks_are_full_attention(options: Options, keep: Tensor | None) -> None:
    model, full = build("bigbird", options, dtype=torch.float64), build("full", {}, dtype=torch.float64)
    full.load_state_dict({name: value for name, value in model.state_dict().items() if name != "graph"})
    x = inputs(2, 46, dtype=torch.float64)
    for one, two in zip(
        with_gradients(lambda x: model(x, keep), x, keep),
        with_gradients(lambda x: full(x, keep), x, keep),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_a_token_reaches_its_graph_alone(options: Options) -> None:
    """The support of the Jacobian."""
    model = build("bigbird", options, dtype=torch.float64)
    x = inputs(1, 61, dtype=torch.float64).requires_grad_()
    sums = model(x)[0].sum(dim=-1)
    rows = [torch.autograd.grad(sums[i], x, retain_graph=True)[0][0].abs().sum(dim=-1) for i in range(61)]
    mask = mask_of(model, 61, [61], options["block"])[0].any(dim=0)
    assert not mask.all()
    assert torch.equal(torch.stack(rows) > 1e-12, mask)


def graph_of(**shape: Any) -> Tensor:
    """The graph of 63 blocks of 64, as the benchmark's longest texts have."""
    graph = build("bigbird", {}, max_length=4032, **shape).graph
    assert isinstance(graph, Tensor)
    return graph


def test_random_blocks_are_new_to_those_who_see_them() -> None:
    graph = graph_of()
    assert graph.shape == (3, 63, 3)
    for drawn in graph:
        for number, blocks in enumerate(drawn.tolist()):
            assert len(set(blocks)) == 3
            assert not {0, 62, number - 1, number, number + 1} & set(blocks)


def test_random_blocks_are_of_the_whole_sequence() -> None:
    """The release and its ports draw from the first 1,024 tokens: blocks 1 to 15."""
    graph = graph_of()
    assert set(graph.flatten().tolist()) == set(range(1, 62))
    assert (graph > 15).double().mean() > 0.6  # 46 of 61


def test_graphs_differ_between_heads_layers_and_seeds_and_are_else_the_same() -> None:
    graph = graph_of()
    torch.manual_seed(7)
    assert torch.equal(graph, graph_of())
    assert not torch.equal(graph[0], graph[1])
    assert not torch.equal(graph, graph_of(layer=1, num_layers=2))
    assert torch.equal(graph, graph_of(seed=5)), "the seed of the weights must not matter"


def test_the_global_generator_is_left_alone() -> None:
    """Ports seed it in every forward."""
    model = build("bigbird", CASES[0]).train()
    before = torch.get_rng_state()
    model(inputs(1, 40))
    assert torch.equal(before, torch.get_rng_state())


def test_the_graph_is_saved() -> None:
    model = build("bigbird", CASES[0])
    other = build("bigbird", CASES[0], layer=1, num_layers=2)
    assert not torch.equal(model(inputs(1, 64)), other(inputs(1, 64)))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(inputs(1, 64)), other(inputs(1, 64)))


def test_few_blocks_have_few_to_draw() -> None:
    """The release needs 8; of 5 blocks the middle one has none left, its neighbours one."""
    graph = build("bigbird", {"block": 4, "num_random": 3}, max_length=20).graph
    assert isinstance(graph, Tensor)
    assert (graph >= 0).sum(dim=-1).tolist() == [[2, 1, 0, 1, 2]] * 3
    assert set(graph[:, 1].flatten().tolist()) == {-1, 3}


def test_weights_are_dropped_in_training_alone() -> None:
    """The ports that gather blocks have no attention dropout."""
    model = build("bigbird", CASES[0], dropout=0.5)
    x = inputs(1, 40)
    assert torch.equal(model(x), model(x))
    model.train()
    one, two = model(x), model(x)
    assert not torch.isclose(one, two).all(dim=-1).any()  # in rows of all kinds


def test_parameters_are_the_transformers() -> None:
    ours, full = build("bigbird", {}), build("full", {})
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in full.named_parameters()}


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a block >= 1, got 0"):
        build("bigbird", {"block": 0})
    with pytest.raises(ValueError, match="expected num_random >= 0, got -1"):
        build("bigbird", {"num_random": -1})


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("bigbird", CASES[0])
    x, keep = inputs(2, 26), lengths_mask([26, 17], 26)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)  # as one graph; inductor takes a minute for it
    assert_same(compiled, model, x, keep)
