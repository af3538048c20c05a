"""Required attention span: how far from a token the tokens are that a trained model's attention looks at.

    S = (1 / n) Σ_i Σ_j A_ij |i - j|        A: weights (n, n) of a head for a sequence of n tokens, padding left out

The mean over sequences of an example and over examples; Tay et al., "Long Range Arena", ICLR 2021, section 2.3, where
figure 2 shows the mean over all heads of a Transformer for 1,000 examples. Beside it stands what uniform attention has
on the same examples, (n^2 - 1) / (3 n): a span near it says that attention looks everywhere, not that it looks far. For
pictures there is also the Euclidean distance of pixels in rows and columns; channels of a pixel are at one place.

A CLS token has no place. Its row and column are left out, and the sum is divided by the weight that is left in place of
n: S is the mean distance of all weight that goes from tokens to tokens, and `cls_share` the share of weight that went
to CLS instead. Not each row by what is left of it: a token that looks at CLS alone would count as much as any other.

A head whose rows are no distribution over the tokens has no span, and neither has a mean that it belongs to: the result
then holds the words "not a distribution". What the Compressive Transformer's slots get counts for the tokens that they
are made of, in equal parts. Not here: attention from one document to the other (`CrossAttention`).
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import isqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lra_data import UsageError, checks
from lra_data.loading.batch_making.collate import BatchShape
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchBatch, TorchExamples
from reference_models.attention.base import Attention
from reference_models.attention_maps.span_result import NOT_A_DISTRIBUTION, Distances, PerHead, Span
from reference_models.evaluation.model_inputs import reading
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig

# Of the float32 weights of one layer that are at hand at a time; those of one sequence may be more.
LARGEST_WEIGHTS = 64 * 2**20

_SUM_TOLERANCE, _LEAST_ENTRY, _LEAST_SHARE = 1e-3, -1e-6, 1e-6

# A product of two attentions has rows that sum to 1, and is no head's weights (see `dense_weights` there).
_NOT_OVER_TOKENS = {"set_transformer": "heads look at inducing points, which have no place"}


def attention_span(
    model: Classifier,
    dataset: Dataset,
    *,
    examples: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    width: int | None = None,
) -> Span:
    """The span over examples drawn from a split without repetition, by a seed and nothing else.

    device: the model is moved there. width: pixels in a row of a picture, if it is not square. Raises UsageError for
    more examples than there are, a set that the model cannot read (see `reading`), or a width that does not fit.
    """
    config, task = model.config, dataset.task
    examples = checks.whole_number("examples", examples, 1)
    seed = checks.whole_number("seed", seed, 0)
    form = BatchShape(**reading(config, dataset))
    chosen = drawn(len(dataset), examples, seed)
    distances = distances_in(task, form.width(0), width)
    front = int(config.pooling == "cls")
    lengths: list[int] = []  # of all sequences; no set has an empty one
    with _watched(model.to(device), [table.to(device) for table in distances], front) as found:
        for batch in _batches(dataset, form, chosen, config):
            lengths += batch.lengths.flatten().tolist()
            model(batch.inputs.to(device), batch.lengths.to(device))
    if max(lengths) < 2:
        raise UsageError(f"expected sequences of 2 tokens or more, got none in {task.name}: there are no distances")
    whole = [
        Measured(*(torch.tensor(parts, dtype=torch.float64) for parts in zip(*layer, strict=True))) for layer in found
    ]
    faults = tuple(_faults(layer, config.attention) for layer in whole)
    spans = [
        Distances(
            uniform=_uniform(table, lengths), heads=_per_head([layer.spans[:, number] for layer in whole], faults)
        )
        for number, table in enumerate(distances)
    ]
    return Span(
        attention=config.attention,
        data=f"{task.name} {dataset.split}",
        examples=examples,
        seed=seed,
        sequences=len(lengths),
        tokens=spans[0],
        pixels=spans[1] if len(spans) > 1 else None,
        cls_share=_per_head([1 - layer.share for layer in whole], faults) if front else None,
        faults=faults,
    )


def drawn(count: int, examples: int, seed: int) -> list[int]:
    """Which of `count` examples are looked at, sorted: pure in its arguments."""
    examples = checks.whole_number("examples", examples, 1)
    seed = checks.whole_number("seed", seed, 0)
    if examples > count:
        raise UsageError(f"expected at most {count} examples, which is all there are, got {examples}: ask for fewer")
    return sorted(random.Random(seed).sample(range(count), examples))


def distances_in(task: Any, length: int, width: int | None = None) -> list[Tensor]:
    """The measures of distance for a task's sequences of L elements: of tokens, and for pictures of pixels."""
    if task.picture_shape is not None:
        channels = task.picture_shape[2] if len(task.picture_shape) == 3 else 1
        return [distances_of_tokens(length), distances_of_pixels(length, width, channels=channels)]
    if width is not None:
        raise UsageError(f"expected no width for {task.name}, which has no pictures, got {width}")
    return [distances_of_tokens(length)]


def distances_of_tokens(length: int) -> Tensor:
    """|i - j|: float32 (L, L)."""
    place = torch.arange(length)
    return (place[:, None] - place).abs().float()


def distances_of_pixels(length: int, width: int | None = None, *, channels: int = 1) -> Tensor:
    """Euclidean distances in a picture that is read row by row, each pixel with its channels: float32 (L, L)."""
    pixels = length // channels
    columns = isqrt(pixels) if width is None else width
    if columns < 1 or pixels % columns or (width is None and columns * columns != pixels):
        raise UsageError(f"expected a width that divides {pixels} pixels, or a square without one, got width {width}")
    pixel = torch.arange(length) // channels
    row, column = pixel // columns, pixel % columns
    return torch.hypot((row[:, None] - row).float(), (column[:, None] - column).float())


class Measured(NamedTuple):
    """What the heads' weights of a sequence say: float64 (H,), and one axis more for K measures of distance.

    spans: (K, H). share: of the weight, what goes to tokens. deviation: greatest difference of a row's sum from 1.
    least: entry.
    """

    spans: Tensor
    share: Tensor
    deviation: Tensor
    least: Tensor


def measured(weights: Tensor, distances: Sequence[Tensor], *, front: int = 0) -> Measured:
    """weights: (H, F + n, F + n) of a sequence without its padding. distances: K of (L, L), L from n on.
    front: F, positions before the first token that have no place.

    Rows are summed up in float32, and their sums in float64.
    """
    rows = weights[:, front:].float()
    among = rows[..., front:]  # from tokens to tokens: (H, n, n)
    n = among.shape[-1]
    total = among.sum(dim=-1).double().sum(dim=-1)
    spans = [(among * table[:n, :n]).sum(dim=-1).double().sum(dim=-1) / total for table in distances]
    deviation = (rows.sum(dim=-1) - 1).abs().amax(dim=-1)
    return Measured(torch.stack(spans), total / n, deviation.double(), rows.amin(dim=(-1, -2)).double())


@contextmanager
def _watched(model: Classifier, distances: Sequence[Tensor], front: int) -> Iterator[list[list[list[Any]]]]:
    """Evaluation mode, without gradients. Each forward adds to the lists of the layers, for each sequence, what is
    `Measured` of the attention's weights for the very input that it gets. Afterwards the model is as before.
    """
    found: list[list[list[Any]]] = [[] for _ in model.attentions]
    in_training = [module for module in model.modules() if module.training]

    def look(layer: int, attention: Attention, _: nn.Module, arguments: tuple[Tensor, Tensor]) -> None:
        x, keep = arguments  # (B, F + L, D) and (B, F + L)
        size = _at_a_time(attention.shape.heads, x.shape[1])
        for part, kept in zip(torch.split(x, size), torch.split(keep, size), strict=True):
            for heads, n in zip(attention.dense_weights(part, kept), kept.sum(dim=1).tolist(), strict=True):
                # As numbers: a small tensor that stays would hold the large blocks apart that are freed around it.
                found[layer].append([facts.tolist() for facts in measured(heads[:, :n, :n], distances, front=front)])

    hooks = [each.register_forward_pre_hook(partial(look, layer, each)) for layer, each in enumerate(model.attentions)]
    try:
        model.eval()
        with torch.no_grad():
            yield found
    finally:
        for hook in hooks:
            hook.remove()
        for module in in_training:
            module.training = True


def _batches(dataset: Dataset, form: BatchShape, chosen: list[int], config: ModelConfig) -> Iterator[TorchBatch]:
    """The chosen examples in batches whose weights in a layer fit, but at least one example each."""
    source = TorchExamples(dataset, form)
    positions = form.width(0) + int(config.pooling == "cls")
    size = max(1, _at_a_time(config.heads, positions) // config.num_sequences)
    for first in range(0, len(chosen), size):
        yield source.collate(source.__getitems__(chosen[first : first + size]))


def _at_a_time(heads: int, positions: int) -> int:
    """Sequences whose weights fit, but at least one."""
    return max(1, LARGEST_WEIGHTS // (4 * heads * positions * positions))


def _uniform(table: Tensor, lengths: Sequence[int]) -> float:
    """The mean over sequences of the mean distance (L, L) of any two of their tokens; (n^2 - 1) / (3 n) for |i - j|."""
    of_each = {n: table[:n, :n].mean(dtype=torch.float64).item() for n in set(lengths)}
    return sum(of_each[n] for n in lengths) / len(lengths)


def _faults(layer: Measured, attention: str) -> tuple[str, ...]:
    """For each head why its rows are no distribution over the tokens; "" where they are."""
    worst = layer.deviation.amax(dim=0), layer.least.amin(dim=0), layer.share.amin(dim=0)
    return tuple(_fault(attention, *facts) for facts in zip(*(fact.tolist() for fact in worst), strict=True))


def _fault(attention: str, deviation: float, least: float, share: float) -> str:
    numbers = f"row sums differ from 1 by up to {deviation:.2g}, least entry {least:.2g}"
    # Said so that a NaN is a fault, too.
    if not (deviation <= _SUM_TOLERANCE and least >= _LEAST_ENTRY):
        return f"{NOT_A_DISTRIBUTION}: {numbers}"
    if attention in _NOT_OVER_TOKENS:
        return f"{NOT_A_DISTRIBUTION} over tokens: {_NOT_OVER_TOKENS[attention]}; {numbers}"
    if share < _LEAST_SHARE:
        return f"{NOT_A_DISTRIBUTION} over tokens: of a sequence all weight goes to CLS; {numbers}"
    return ""


def _per_head(layers: Sequence[Tensor], faults: Sequence[Sequence[str]]) -> PerHead:
    """Means over sequences, of (B, H) in each layer, with words in place of those that mean nothing."""
    means = [layer.mean(dim=0).tolist() for layer in layers]
    pairs = [zip(*layer, strict=True) for layer in zip(means, faults, strict=True)]
    return tuple(tuple(NOT_A_DISTRIBUTION if fault else mean for mean, fault in layer) for layer in pairs)
