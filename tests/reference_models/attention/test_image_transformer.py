"""Image Transformer: against dense softmaxes under masks from the coordinates of pixels."""

import pytest
import torch
from torch import Tensor

from reference_models.attention.base import Shape
from reference_models.attention.image_transformer import ImageTransformerAttention
from reference_models.attention.operations import joined
from tests.support.harness import Options, assert_same, build, dense, inputs, lengths_mask, with_gradients

# Grids hold the longest sequence of the contract tests, 2048: the measured part of the picture grows with it.
CASES: list[Options] = [
    {"block": 7, "memory": 4},
    {"block": 6, "memory": 9, "num_prefix": 1},
    {
        "mode": "2d", "grid": (300, 7), "height": 3, "width": 2, "memory_height": 1, "memory_width": 3, "num_prefix": 1,
    },
    {"mode": "2d", "grid": (64, 32), "height": 2, "width": 8, "memory_height": 4, "memory_width": 5},
]  # fmt: skip
SLOPE = 1.1


def line_mask(length: int, block: int, memory: int, prefix: int = 0) -> Tensor:
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(prefix, length):
        start = prefix + (i - prefix) // block * block
        mask[i, max(prefix, start - memory) : start + block + memory] = True
    mask[:prefix] = True
    mask[:, :prefix] = True
    return mask


def picture_mask(length: int, columns: int, block: tuple[int, int], memory: tuple[int, int], prefix: int = 0) -> Tensor:
    """Pixel by pixel: whether the row and the column of j lie in the memory of the block of i."""
    mask = torch.zeros(length, length, dtype=torch.bool)
    for i in range(prefix, length):
        for j in range(prefix, length):
            inside = True
            for axis in (0, 1):
                mine, other = divmod(i - prefix, columns)[axis], divmod(j - prefix, columns)[axis]
                start = mine - mine % block[axis]
                inside = inside and start - memory[axis] <= other <= start + block[axis] - 1 + memory[axis]
            mask[i, j] = inside
    mask[:prefix] = True
    mask[:, :prefix] = True
    return mask


def assert_equal_to_dense(options: Options, mask: Tensor) -> None:
    """Outputs and gradients of the model and of a softmax under the mask, with and without padding."""
    model = build("image_transformer", options, dtype=torch.float64)
    length = mask.shape[0]
    x = inputs(2, length, dtype=torch.float64)
    holes = torch.rand(2, length, generator=torch.Generator().manual_seed(length)) < 0.6  # not at the end alone
    for keep in (None, lengths_mask([length, -(-length // 3)], length), holes):
        valid = torch.ones(2, length, dtype=torch.bool) if keep is None else keep

        def plain(x: Tensor, allowed: Tensor = mask & valid[:, None, None]) -> Tensor:
            _, q, k, v = model.project(x)
            out: Tensor = model.output(joined(dense(q, k, v, allowed)))
            return out

        found = with_gradients(lambda x, keep=keep: model(x, keep), x, valid)  # type: ignore[misc]
        for one, two in zip(found, with_gradients(plain, x, valid), strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 10, 40])
@pytest.mark.parametrize(("block", "memory"), [(1, 0), (1, 3), (5, 0), (5, 2), (4, 4), (3, 7), (40, 3), (7, 100)])
@pytest.mark.parametrize("prefix", [0, 2])
def test_equals_a_dense_softmax_under_the_mask_of_a_line(length: int, block: int, memory: int, prefix: int) -> None:
    options = {"block": block, "memory": memory, "num_prefix": prefix}
    assert_equal_to_dense(options, line_mask(length, block, memory, prefix))


@pytest.mark.parametrize(
    ("grid", "block", "memory"),
    [
        ((8, 8), (4, 4), (4, 4)),
        ((16, 7), (3, 2), (1, 3)),
        ((16, 7), (2, 5), (3, 0)),
        ((9, 12), (5, 4), (0, 6)),
        ((64, 1), (3, 3), (2, 2)),
        ((1, 64), (3, 3), (2, 2)),
        ((6, 11), (1, 1), (1, 1)),
        ((6, 11), (6, 11), (9, 0)),
        ((6, 11), (2, 3), (50, 50)),
    ],
)
@pytest.mark.parametrize(("length", "prefix"), [(60, 0), (23, 1), (62, 2), (4, 0), (2, 2), (1, 2)])
def test_equals_a_dense_softmax_under_the_mask_of_a_picture(
    grid: tuple[int, int], block: tuple[int, int], memory: tuple[int, int], length: int, prefix: int
) -> None:
    options = {
        "mode": "2d", "grid": grid, "height": block[0], "width": block[1], "memory_height": memory[0],
        "memory_width": memory[1], "num_prefix": prefix,
    }  # fmt: skip
    assert_equal_to_dense(options, picture_mask(length, grid[1], block, memory, prefix))


@pytest.mark.parametrize(
    "options",
    [
        {"block": 5, "memory": 40},
        {"block": 100, "memory": 0, "num_prefix": 1},
        {"mode": "2d", "height": 3, "width": 3, "memory_height": 30, "memory_width": 30, "grid": (8, 8)},
    ],
)
def test_a_memory_of_the_whole_picture_is_full_attention(options: Options) -> None:
    model = build("image_transformer", options, dtype=torch.float64)
    full = build("full", {}, dtype=torch.float64, seed=7)
    full.load_state_dict(model.state_dict())
    x, keep = inputs(2, 40, dtype=torch.float64), lengths_mask([40, 9], 40)
    found = with_gradients(lambda x: model(x, keep), x, keep)
    for one, two in zip(found, with_gradients(lambda x: full(x, keep), x, keep), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-12)


def test_inputs_reach_where_the_mask_says() -> None:
    options = {
        "mode": "2d", "grid": (11, 6), "height": 2, "width": 3, "memory_height": 1, "memory_width": 2, "num_prefix": 1,
    }  # fmt: skip
    model = build("image_transformer", options, dtype=torch.float64)
    x = inputs(1, 45, dtype=torch.float64)
    # (L, 1, L, D)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(dim=2)[0], x)  # type: ignore[no-untyped-call]
    assert torch.equal(jacobian.abs().sum(dim=(1, 3)) > 0, picture_mask(45, 6, (2, 3), (1, 2), 1))


def test_a_picture_is_seen_as_well_from_each_side() -> None:
    # Turned over or upside down it is the same to the model, when whole blocks fill it.
    options = {"mode": "2d", "grid": (8, 8), "height": 2, "width": 4, "memory_height": 3, "memory_width": 1}
    model = build("image_transformer", options, dtype=torch.float64)
    x = inputs(2, 64, dtype=torch.float64)
    picture = model(x).view(2, 8, 8, 24)
    for axis in (1, 2):
        turned = model(x.view(2, 8, 8, 24).flip(axis).reshape(2, 64, 24)).view(2, 8, 8, 24)
        torch.testing.assert_close(turned.flip(axis), picture, rtol=0, atol=1e-12)


def test_a_token_before_the_picture_needs_room_beside_it() -> None:
    shape = Shape(dim=4, heads=1, head_dim=4, max_length=1025)
    with pytest.raises(ValueError, match=r"expected max_length of at most num_prefix \+ 32 \* 32 = 1024, got 1025"):
        ImageTransformerAttention(shape, mode="2d")
    ImageTransformerAttention(shape, mode="2d", num_prefix=1)
    model = ImageTransformerAttention(shape)
    assert (model.block, model.memory, model.num_before) == ((1, 256), (0, 256), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "3d"}, "expected mode '1d' or '2d', got '3d'"),
        ({"block": 0}, "expected blocks and a grid >= 1, got 0"),
        ({"width": 0}, "expected blocks and a grid >= 1, got 256, 8 x 0"),
        ({"grid": (0, 4)}, "expected blocks and a grid >= 1"),
        ({"memory": -1}, "expected memories and num_prefix >= 0, got -1"),
        ({"num_prefix": -1}, "expected memories and num_prefix >= 0"),
    ],
)
def test_refuses_what_makes_no_sense(options: Options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("image_transformer", options)


def test_attention_dropout_is_on_in_training_alone() -> None:
    model = build("image_transformer", {"block": 5, "memory": 2, "num_prefix": 1}, dropout=0.5)
    x = inputs(1, 30)
    torch.testing.assert_close(model(x), model(x))
    model.train()
    one, two = model(x), model(x)
    assert not torch.allclose(one[:, 0], two[:, 0])
    assert not torch.allclose(one[:, 1:], two[:, 1:])


# torch 2.13 itself uses what it deprecates. aot_eager: whole graphs forward and backward, without seconds of C++.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    model = build("image_transformer", CASES[2])
    x, keep = inputs(2, 24), lengths_mask([24, 7], 24)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert_same(compiled, model, x, keep)
