"""Required attention span: the mean distance between a token and the tokens that a trained model looks at.

    S = (1 / n) Σ_i Σ_j A_ij |i - j|        A: weights (n, n) of a head for a sequence of n tokens, without padding

S is averaged over the sequences of an example and over examples; Tay et al., "Long Range Arena", ICLR 2021, section
2.3, where figure 2 shows the mean over all heads of a Transformer for 1,000 examples. The result also gives the span of
uniform attention on the same examples, (n^2 - 1) / (3 n): a span near it means that attention looks everywhere, not
that it looks far. For pictures there is also the Euclidean distance of pixels in rows and columns; the channels of a
pixel have one position.

A CLS token has no position. Its row and column are left out, and the sum is divided by the remaining weight instead of
n: S is the mean distance of all weight from tokens to tokens, and `cls_share` is the share of weight from tokens to
CLS. Rows are not divided one by one: a token that looks at CLS alone would then count as much as any other.

A head whose rows are not a distribution over the tokens has no span, and a mean that includes it has none either: the
result is then the text "not a distribution". The weight of a slot of the Compressive Transformer is divided equally
among the tokens that the slot is made of. Not here: attention from one document to the other (`CrossAttention`).
"""

import random
from collections.abc import Callable, Iterator, Sequence
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

# Bytes of float32 weights of one layer that are in memory at a time; a single sequence may need more.
LARGEST_WEIGHTS = 64 * 2**20

_SUM_TOLERANCE, _LEAST_ENTRY, _LEAST_SHARE = 1e-3, -1e-6, 1e-6


def attention_span(
    model: Classifier,
    dataset: Dataset,
    *,
    examples: int = 1000,
    seed: int = 0,
    device: torch.device | str = "cpu",
    width: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Span:
    """The span over examples that are drawn from a split without repetition, by the seed alone.

    examples: number of examples.
    seed: of the draw.
    device: the model is moved to it.
    width: pixels in a row of a picture, if the picture is not square.
    progress: called with the number of examples of each batch.

    Raises UsageError for more examples than the split has, a set that the model cannot read (see `reading`), a width
    that does not fit, or a stem that joins several tokens, since their distances are not known to the attention.
    """
    config, task = model.config, dataset.task
    if config.stride > 1:
        raise UsageError(
            f"expected a model with a vector for each token to measure spans, got the stem {config.stem!r} of stride "
            f"{config.stride}: train with --preset mini-pixels, or mini-bytes for documents"
        )
    examples = checks.whole_number("examples", examples, 1)
    seed = checks.whole_number("seed", seed, 0)
    form = BatchShape(**reading(config, dataset))
    chosen = drawn(len(dataset), examples, seed)
    distances = distances_in(task, form.width(0), width)
    front = model.encoder.num_prefix + int(config.pooling == "cls")
    lengths: list[int] = []  # of all sequences; no sequence is empty
    with _watched(model.to(device), [table.to(device) for table in distances], front) as found:
        for batch in _batches(dataset, form, chosen, config, front):
            lengths += batch.lengths.flatten().tolist()
            model(batch.inputs.to(device), batch.lengths.to(device))
            if progress is not None:
                progress(len(batch.labels))
    if max(lengths) < 2:
        raise UsageError(f"expected sequences of 2 tokens or more, got none in {task.name}: there are no distances")
    whole = [
        Measured(*(torch.tensor(parts, dtype=torch.float64) for parts in zip(*layer, strict=True))) for layer in found
    ]
    faults = tuple(_faults(layer, each.no_span) for layer, each in zip(whole, model.attentions, strict=True))
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
    """The numbers of the chosen examples out of `count`, sorted: a pure function of its arguments."""
    examples = checks.whole_number("examples", examples, 1)
    seed = checks.whole_number("seed", seed, 0)
    if examples > count:
        raise UsageError(f"expected at most {count} examples, which is all there are, got {examples}: ask for fewer")
    return sorted(random.Random(seed).sample(range(count), examples))


def distances_in(task: Any, length: int, width: int | None = None) -> list[Tensor]:
    """The measures of distance for a task's sequences of L elements: of tokens, and for pictures also of pixels."""
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
    """Euclidean distances of pixels in a picture read row by row, channels of a pixel together: float32 (L, L)."""
    pixels = length // channels
    columns = isqrt(pixels) if width is None else width
    if columns < 1 or pixels % columns or (width is None and columns * columns != pixels):
        raise UsageError(f"expected a width that divides {pixels} pixels, or a square without one, got width {width}")
    pixel = torch.arange(length) // channels
    row, column = pixel // columns, pixel % columns
    return torch.hypot((row[:, None] - row).float(), (column[:, None] - column).float())


class Measured(NamedTuple):
    """Measures of the heads' weights for one sequence: float64, (H,) unless stated.

    spans: (K, H), for K measures of distance.
    share: share of the weight that goes to tokens.
    deviation: greatest difference of a row's sum from 1.
    least: smallest entry.
    """

    spans: Tensor
    share: Tensor
    deviation: Tensor
    least: Tensor


def measured(weights: Tensor, distances: Sequence[Tensor], *, front: int = 0) -> Measured:
    """The measures of one sequence's weights.

    weights: (H, F + n, F + n), without padding.
    distances: K tables (L, L), L >= n.
    front: F, number of extra positions before the first token, such as CLS.

    Rows are summed in float32, and their sums are added in float64.
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
    """The model in evaluation mode, without gradients. In each forward pass, each layer adds to its list, for each
    sequence, the `Measured` of its attention's weights for its actual input. On exit the model is as before.
    """
    found: list[list[list[Any]]] = [[] for _ in model.attentions]
    in_training = [module for module in model.modules() if module.training]

    def look(layer: int, attention: Attention, _: nn.Module, arguments: tuple[Tensor, Tensor]) -> None:
        x, keep = arguments  # (B, F + L, D) and (B, F + L)
        size = _at_a_time(attention.num_matrices, x.shape[1])
        for part, kept in zip(torch.split(x, size), torch.split(keep, size), strict=True):
            for heads, n in zip(attention.dense_weights(part, kept), kept.sum(dim=1).tolist(), strict=True):
                # As numbers: small tensors that stay in memory would fragment the large freed blocks around them.
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


def _batches(
    dataset: Dataset, form: BatchShape, chosen: list[int], config: ModelConfig, front: int
) -> Iterator[TorchBatch]:
    """The chosen examples in batches whose weights in a layer fit in memory, at least one example each."""
    source = TorchExamples(dataset, form)
    positions = form.width(0) + front
    size = max(1, _at_a_time(config.heads, positions) // config.num_sequences)
    for first in range(0, len(chosen), size):
        yield source.collate(source.__getitems__(chosen[first : first + size]))


def _at_a_time(heads: int, positions: int) -> int:
    """The number of sequences whose weights fit in memory, at least 1."""
    return max(1, LARGEST_WEIGHTS // (4 * heads * positions * positions))


def _uniform(table: Tensor, lengths: Sequence[int]) -> float:
    """The mean over sequences of the mean distance (L, L) of any two of their tokens; (n^2 - 1) / (3 n) for |i - j|."""
    of_each = {n: table[:n, :n].mean(dtype=torch.float64).item() for n in set(lengths)}
    return sum(of_each[n] for n in lengths) / len(lengths)


def _faults(layer: Measured, no_span: str) -> tuple[str, ...]:
    """For each head, why its rows are not a distribution over the tokens; "" where they are."""
    worst = layer.deviation.amax(dim=0), layer.least.amin(dim=0), layer.share.amin(dim=0)
    return tuple(_fault(no_span, *facts) for facts in zip(*(fact.tolist() for fact in worst), strict=True))


def _fault(no_span: str, deviation: float, least: float, share: float) -> str:
    numbers = f"row sums differ from 1 by up to {deviation:.2g}, least entry {least:.2g}"
    if no_span:
        return f"{NOT_A_DISTRIBUTION} over tokens: {no_span}; {numbers}"
    # Written so that NaN is a fault, too.
    if not (deviation <= _SUM_TOLERANCE and least >= _LEAST_ENTRY):
        return f"{NOT_A_DISTRIBUTION}: {numbers}"
    if share < _LEAST_SHARE:
        return f"{NOT_A_DISTRIBUTION} over tokens: all weight of a sequence goes to CLS; {numbers}"
    return ""


def _per_head(layers: Sequence[Tensor], faults: Sequence[Sequence[str]]) -> PerHead:
    """Means over sequences of (B, H) in each layer; "not a distribution" for heads with a fault."""
    means = [layer.mean(dim=0).tolist() for layer in layers]
    pairs = [zip(*layer, strict=True) for layer in zip(means, faults, strict=True)]
    return tuple(tuple(NOT_A_DISTRIBUTION if fault else mean for mean, fault in layer) for layer in pairs)
