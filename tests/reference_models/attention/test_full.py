"""The Transformer: against PyTorch's own module and a plain softmax."""

import pytest
import torch

from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

CASES: list[Options] = [{}]
SLOPE = None


def test_equals_torchs_multihead_attention() -> None:
    ours = build("full", {}, dtype=torch.float64)
    theirs = torch.nn.MultiheadAttention(24, 3, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.output.get_parameter("weight"))
    x, keep = inputs(2, 11, dtype=torch.float64), lengths_mask([11, 6], 11)
    found = with_gradients(lambda x: ours(x, keep), x, keep)
    expected = with_gradients(lambda x: theirs(x, x, x, key_padding_mask=~keep)[0], x, keep)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [[13, 13], [13, 4]])
def test_equals_a_plain_softmax(lengths: list[int]) -> None:
    model = build("full", {}, dtype=torch.float64)
    x, keep = inputs(2, 13, dtype=torch.float64), lengths_mask(lengths, 13)

    def plain(x: torch.Tensor) -> torch.Tensor:
        _, q, k, v = model.project(x)
        out: torch.Tensor = model.output(joined(dense(q, k, v, keep[:, None, None])))
        return out

    for one, two in zip(with_gradients(lambda x: model(x, keep), x, keep), with_gradients(plain, x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("full", {}, dropout=0.5)
    x = inputs(1, 9)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    assert not torch.allclose(model(x), model(x))


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("full", {})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    compiled = torch.compile(model)
    assert_same(compiled, model, x, keep)
