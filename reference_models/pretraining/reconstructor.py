"""An encoder that learns to tell what is hidden in its input.

Some of the stem's vectors are replaced by one that is learned; from the encoder's output at their places, a dense layer
tells what they held: the id or the ids of a group, by cross entropy, or the grey values of a patch, by their mean
absolute difference. As Amos et al., "Never train from scratch", 2023, section 3, with its ratios; there pixels are ids
for Pathfinder, and as here for Image.

A picture's hidden patches are black in the stem, since a convolution reaches into neighbours. Documents of a pair are
hidden separately. Padding is neither hidden nor learned.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.model.classifier import WithEncoder
from reference_models.model.config import ModelConfig
from reference_models.model.layers.stems import numbers
from reference_models.pretraining.masks import hidden_vectors

NEAR = 16.0  # grey levels within which a hidden pixel counts as right


class Reconstructor(WithEncoder):
    """An encoder, the vector that stands for what is hidden, and the layer that tells what it was.

    ratio: share of vectors that are hidden. seed: of the choice.
    """

    def __init__(self, config: ModelConfig, *, ratio: float, seed: int) -> None:
        super().__init__(config)
        if not 0 < ratio < 1:
            raise UsageError(f"expected a ratio above 0 and below 1, got {ratio}")
        first = self.attentions[0]
        if first.pooled == "prefix" or any(attention.changes_length for attention in self.attentions):
            raise UsageError(
                f"expected an attention with an output for each token to pre-train, got {config.attention}"
            )
        self.ratio, self.seed = ratio, seed
        self.hidden = nn.Parameter(torch.randn(config.dim) * 0.02)
        outputs = config.stride**2 if config.of_pictures else config.stride * config.vocab_size
        self.head = nn.Linear(config.dim, outputs)

    def forward(self, inputs: Tensor, lengths: Tensor, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """For each example the mean loss over what is hidden in it, (B), and counts (B, 2): hidden elements, and how
        many of them are told right. An example in which nothing is hidden has the loss 0.

        inputs, lengths: as in `lra_data`'s batches. rows: int64 (B), the examples' numbers.
        """
        batch = len(inputs)
        ids, keep, hidden, elements, counted = self._chosen(inputs, lengths, rows, step)
        shown = self._ungrouped(elements.masked_fill(counted, 0)) if self.config.of_pictures else ids
        found, _ = self.encoder(shown, keep, (hidden, self.hidden))
        found = self.head(found[:, 1:] if self.encoder.cls is not None else found).float()
        losses, right = self._losses(found, elements)
        # An example's loss depends on no other example, so that ranks and micro-batches add up.
        of_row = (batch, inputs.shape[1] * counted.shape[1] * counted.shape[2])
        per_row = counted.view(of_row).sum(dim=1)
        total = losses.masked_fill(~counted, 0.0).view(of_row).sum(dim=1)
        return total / per_row.clamp(min=1), torch.stack([per_row, (right & counted).view(of_row).sum(dim=1)], dim=1)

    def hidden_elements(self, inputs: Tensor, lengths: Tensor, rows: Tensor, step: int) -> Tensor:
        """The hidden ids or grey values of a batch, one after another: int64 (hidden,)."""
        *_, elements, counted = self._chosen(inputs, lengths, rows, step)
        return elements[counted]

    def _chosen(self, inputs: Tensor, lengths: Tensor, rows: Tensor, step: int) -> tuple[Tensor, ...]:
        """ids and keep (N, L), N = B S; the hidden vectors (N, vectors); the elements of each vector, and which of them
        are hidden and no padding (N, vectors, stride or stride²).
        """
        _, sequences, length = inputs.shape
        ids = inputs.flatten(0, 1).long()
        keep = torch.arange(length, device=ids.device) < lengths.flatten()[:, None]
        row_numbers = (rows[:, None] * sequences + torch.arange(sequences, device=rows.device)).flatten()
        vectors = self.config.vectors(length)
        hidden = hidden_vectors(row_numbers, vectors, seed=self.seed, step=step, ratio=self.ratio)
        counted = self._grouped(keep.long()).bool() & hidden[..., None]
        return ids, keep, hidden, self._grouped(ids), counted

    def _losses(self, found: Tensor, elements: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each element (N, vectors, elements), and whether it is told right."""
        if self.config.of_pictures:
            off = (found - numbers(elements, self.config)).abs()
            return off, off * self.config.grey_deviation <= NEAR
        logits = found.view(*elements.shape, self.config.vocab_size)
        losses = functional.cross_entropy(logits.flatten(0, 2), elements.flatten(), reduction="none")
        return losses.view(elements.shape), logits.argmax(dim=-1) == elements

    def _grouped(self, x: Tensor) -> Tensor:
        """(N, L) to (N, vectors, elements of a vector), with zeros at the end."""
        stride = self.config.stride
        if self.config.of_pictures:
            side = math.isqrt(x.shape[1])
            parts = x.view(len(x), side // stride, stride, side // stride, stride).transpose(2, 3)
            return parts.reshape(len(x), (side // stride) ** 2, stride**2)
        missing = -x.shape[1] % stride
        return functional.pad(x, (0, missing)).view(len(x), -(-x.shape[1] // stride), stride)

    def _ungrouped(self, groups: Tensor) -> Tensor:
        """The inverse of `_grouped` for pictures."""
        stride, side = self.config.stride, math.isqrt(groups.shape[1])
        parts = groups.view(len(groups), side, side, stride, stride).transpose(2, 3)
        return parts.reshape(len(groups), (side * stride) ** 2)
