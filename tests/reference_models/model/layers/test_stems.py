"""Stems: patches, convolutions and groups of bytes against loops; positions on a grid; what each refuses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models import Classifier, ModelConfig
from reference_models.model.layers.stems import Convolution, Grey, Strided, grid_positions
from tests.support.harness import lengths_mask

SMALL: dict[str, Any] = {
    "attention": "full", "vocab_size": 256, "num_classes": 2, "dim": 8, "heads": 2, "qkv_dim": 8, "mlp_dim": 8,
    "num_layers": 1,
}  # fmt: skip


def config(**changes: Any) -> ModelConfig:
    return ModelConfig(**{**SMALL, "max_length": 64, **changes})


def pictures(seed: int = 0) -> Tensor:
    return torch.randint(256, (3, 64), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("stride", "mean", "deviation"), [(1, 127.5, 127.5), (2, 122.0, 61.0), (4, 0.0, 40.0)])
def test_grey_patches_are_the_pixels_of_each_square(stride: int, mean: float, deviation: float) -> None:
    stem = Grey(config(stem="grey", stride=stride, grey_mean=mean, grey_deviation=deviation))
    found, keep = stem(pictures(), None)
    assert keep is None
    picture = pictures().view(3, 8, 8)
    per_side = 8 // stride
    for number in range(per_side**2):
        top, left = number // per_side * stride, number % per_side * stride
        patch = picture[:, top : top + stride, left : left + stride].flatten(1)
        patch = (patch - mean) / deviation
        torch.testing.assert_close(found[:, number], stem.dense(patch))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_convolutions_end_in_a_vector_for_each_patch(stride: int) -> None:
    stem = Convolution(config(stem="convolution", stride=stride))
    found, _ = stem(pictures(), None)
    assert found.shape == (3, 64 // stride**2, 8)
    x = (pictures() / 127.5 - 1).view(3, 1, 8, 8)
    for layer in stem.halving:
        assert isinstance(layer, nn.Conv2d)
        x = functional.conv2d(functional.pad(x, (1, 1, 1, 1)), layer.weight, layer.bias, stride=2).clamp(min=0)
    assert stem.last.bias is not None
    expected = torch.einsum("bcyx,dc->byxd", x, stem.last.weight[:, :, 0, 0]) + stem.last.bias
    torch.testing.assert_close(found, expected.flatten(1, 2), rtol=1e-5, atol=1e-5)


def test_groups_of_bytes_leave_out_padding() -> None:
    stem = Strided(config(stem="strided", stride=4, max_length=10))
    ids, keep = pictures()[:, :10], lengths_mask([10, 5, 0], 10)
    found, kept = stem(ids, keep)
    assert kept is not None
    assert kept.tolist() == [[True, True, True], [True, True, False], [False, False, False]]
    other, _ = stem(torch.where(keep, ids, 7), keep)
    assert torch.equal(found, other)
    last = torch.cat([stem.embedding(ids[1, 4:5]).flatten(), torch.zeros(3 * 8)])
    torch.testing.assert_close(found[1, 1], stem.dense(last))


def test_a_patch_is_kept_if_a_pixel_is() -> None:
    _, keep = Grey(config(stem="grey", stride=4))(pictures(), lengths_mask([64, 33, 5], 64))
    assert keep is not None
    assert keep.tolist() == [[True] * 4, [True, True, True, False], [True, True, False, False]]


def test_positions_on_a_grid_are_those_of_row_and_column() -> None:
    found = grid_positions(9, 8, torch.device("cpu"))
    for number in range(9):
        for part, place in enumerate((number // 3, number % 3)):
            waves = [wave(place * 10000 ** (-feature / 4)) / 2 for wave in (math.sin, math.cos) for feature in (0, 2)]
            torch.testing.assert_close(
                found[number, 4 * part : 4 * part + 4], torch.tensor(waves), rtol=1e-6, atol=1e-6
            )


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize(("stem", "stride"), [("grey", 1), ("grey", 4), ("convolution", 2), ("strided", 3)])
def test_whole_models_learn_every_part_and_take_smaller_inputs(stem: str, stride: int, pooling: str) -> None:
    of_pictures = stem != "strided"
    made = config(stem=stem, stride=stride, pooling=pooling, positions="grid" if of_pictures else "sinusoidal")
    torch.manual_seed(0)
    model = Classifier(made)
    assert model.attentions[0].shape.max_length == made.positions_count
    model(pictures()[:, None], torch.full((3, 1), 64)).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert model(pictures()[:, None, :16], torch.full((3, 1), 16)).shape == (3, 2)
    alone = model.eval()(pictures()[:1, None], torch.full((1, 1), 64))
    torch.testing.assert_close(alone, model(pictures()[:, None], torch.full((3, 1), 64))[:1], rtol=1e-5, atol=1e-6)


def test_pictures_of_another_shape_are_refused() -> None:
    model = Classifier(config(stem="grey", stride=4))
    for length in (60, 36):
        with pytest.raises(UsageError, match=f"square pictures whose side 4 divides, got sequences of {length}"):
            model(pictures()[:, None, :length], torch.full((3, 1), length))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": "grey", "max_length": 60}, "pixels of a square picture for the stem 'grey', got 60"),
        ({"positions": "grid", "max_length": 60}, "pixels of a square picture for grid positions, got 60"),
        ({"stem": "grey", "stride": 3}, "a stride that divides the side of 8 pixels, got 3"),
        ({"stride": 2}, "a stride of 1 for the stem 'tokens', got 2"),
        ({"stem": "convolution", "stride": 3, "max_length": 36}, "a power of two for the stem 'convolution', got 3"),
        ({"stem": "strided", "stride": 2, "positions": "grid"}, "grid positions with a stem of pictures"),
        ({"positions": "grid", "dim": 6, "qkv_dim": 6}, "a width that 4 divides"),
        ({"stem": "bytes"}, "stem must be one of tokens, grey, convolution, strided, got 'bytes'"),
        ({"stride": 0}, "stride"),
        ({"grey_deviation": 0.0}, "a grey_mean from 0 to 255 and a grey_deviation above 0 .* got 127.5 and 0.0"),
        ({"grey_mean": 300.0}, "a grey_mean from 0 to 255 .* got 300.0 and 127.5"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**changes)
