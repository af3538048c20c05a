"""Token sequences to logits: an encoder, pooling, and a head for one sequence or for two.

    one    pool -> dense(mlp) -> ReLU -> dense(C)
    two    both documents through the same encoder, pooled to a and b, joined, -> dense(mlp) ReLU -> dense(mlp / 2) ReLU
           -> dense(C)

The joined vector is [a, b] ("concat", as in LRA's release) or [a, b, a * b, a - b] ("four-way", as in appendix A.1.3 of
its paper). With "cross", for comparison, each document attends to the other before pooling; a two-tower model must not
do this.
"""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention
from reference_models.attention.operations import attend, joined, key_mask
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import EPSILON, AttentionLayer, Encoder
from reference_models.model.layers.standardise import Standardise


class WithEncoder(nn.Module):
    """A model that is trained through an encoder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)

    @property
    def attentions(self) -> list[Attention]:
        """The attention of each layer, from the first."""
        return [cast(AttentionLayer, layer).attention for layer in self.encoder.attentions]

    def check_options(self) -> None:
        """Raises UsageError if a part of an attention cannot learn with its options, even if all outputs are read."""
        for attention in self.attentions:
            for name, reason in attention.unread(self.config.positions_count).items():
                given = f"{self.config.attention} with options {dict(self.config.options)}"
                raise UsageError(
                    f"expected options with which all of a model learns, got {given}: {name} cannot learn: {reason}"
                )

    def auxiliary_loss(self) -> Tensor | None:
        """The sum of the attentions' own losses of the last forward pass; None if there are none."""
        losses = [loss for attention in self.attentions if (loss := attention.auxiliary_loss()) is not None]
        return None if not losses else torch.stack(losses).sum()

    def on_step(self, step: int) -> None:
        """Tell all attentions that a training step begins."""
        for attention in self.attentions:
            attention.on_step(step)


class Classifier(WithEncoder):
    """The model of a `ModelConfig`. Logits are float32, also under autocast."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.standardise = Standardise(config.dim) if config.standardised else None
        self.cross = CrossAttention(config) if config.head == "cross" else None
        if config.num_sequences == 1:
            widths = [config.dim, config.mlp_dim, config.num_classes]
        else:
            parts = 2 if config.head == "concat" else 4
            widths = [parts * config.dim, config.mlp_dim, max(1, config.mlp_dim // 2), config.num_classes]
        self.head = nn.ModuleList(_dense(a, b) for a, b in pairwise(widths))

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """inputs: int (B, S, L), as in `lra_data`'s batches. lengths: int (B, S). Returns logits (B, C)."""
        batch, sequences, length = inputs.shape
        if sequences != self.config.num_sequences:
            raise UsageError(f"expected {self.config.num_sequences} sequences an example, got {sequences}")
        tokens = inputs.flatten(0, 1)
        keep = torch.arange(length, device=inputs.device) < lengths.flatten()[:, None]
        # Both documents of all examples are one batch of 2 B sequences.
        vectors, mask = self.encoder(tokens, keep)
        if self.cross is not None:
            vectors = self.cross(vectors, mask)
        pooled = self.pooled(vectors, mask)
        if self.standardise is not None:
            pooled = self.standardise(pooled)
        pooled = pooled.view(batch, sequences, self.config.dim)
        x = pooled[:, 0] if sequences == 1 else self.compared(pooled[:, 0], pooled[:, 1])
        for layer in self.head[:-1]:
            x = functional.relu(layer(x))
        logits: Tensor = self.head[-1](x)
        return logits.float()

    def pooled(self, vectors: Tensor, keep: Tensor | None) -> Tensor:
        """(B, L, D) to (B, D): the CLS position, or the mean over the kept tokens."""
        if self.config.pooling == "cls":
            return vectors[:, 0]
        if keep is None:
            return vectors.mean(dim=1)
        # Filled, not multiplied by 0: values under padding must not matter, even if they are not finite.
        total = vectors.masked_fill(~keep[..., None], 0.0).sum(dim=1)
        return total / keep.sum(dim=1, keepdim=True).clamp(min=1)

    def compared(self, a: Tensor, b: Tensor) -> Tensor:
        """The head's input for two documents."""
        return torch.cat([a, b] if self.config.head == "concat" else [a, b, a * b, a - b], dim=-1)

    @property
    def never_trained(self) -> dict[str, str]:
        """Names of parameters whose gradient is always 0, with the reason; empty for most configurations.

        Where a CLS token is pooled and the head is not "cross", only the first output of the last layer is read.
        """
        if not self.attentions[0].mixes:
            return self._without_mixing()
        last = self.config.num_layers - 1
        read = {last: 1} if self.config.pooling == "cls" and self.cross is None else {}
        every = self.config.positions_count
        found = [attention.unread(read.get(layer, every)) for layer, attention in enumerate(self.attentions)]
        found[last] = {**found[last], **self.attentions[last].unread_when_last()}
        return {
            f"encoder.attentions.{layer}.attention.{name}": reason
            for layer, names in enumerate(found)
            for name, reason in names.items()
        }

    def _without_mixing(self) -> dict[str, str]:
        """What `never_trained` says of a model whose attentions' outputs are 0."""
        names = [name for name, _ in self.named_parameters()]
        found = {name: "the layer's output is 0" for name in names if ".attentions." in name}
        if self.config.pooling == "cls" and self.cross is None:
            alone = "the CLS token learns of no other"
            found = {name: alone for name in names if name.startswith("encoder.embedding.")} | found
        return found


class CrossAttention(nn.Module):
    """Each document attends to the other: x + softmax(Q K^T / sqrt(E)) V with K and V of the other document."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self._heads = config.heads
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.query, self.key, self.value = (nn.Linear(config.dim, config.qkv_dim, bias=False) for _ in range(3))
        self.output = nn.Linear(config.qkv_dim, config.dim, bias=False)

    def forward(self, vectors: Tensor, keep: Tensor | None) -> Tensor:
        """vectors: (2 B, L, D), the two documents of an example one after another."""
        x = self.norm(vectors)
        q, k, v = (
            self._split(layer(part))
            for layer, part in ((self.query, x), (self.key, _other(x)), (self.value, _other(x)))
        )
        mixed = attend(q, k, v, key_mask(None if keep is None else _other(keep)))
        result: Tensor = vectors + self.output(joined(mixed))
        return result

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self._heads, x.shape[2] // self._heads).transpose(1, 2)


def _other(x: Tensor) -> Tensor:
    """The other document of each pair: (2 B, …) with neighbours exchanged."""
    return x.view(len(x) // 2, 2, *x.shape[1:]).flip(1).flatten(0, 1)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _dense(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer of a head: LeCun-normal (standard deviation 1 / sqrt(inputs), cut at two), biases 0."""
    linear = nn.Linear(inputs, outputs)
    # Cutting at two deviations reduces the deviation to 0.8796 of it; like flax's initialiser, correct for this.
    deviation = inputs**-0.5 / 0.87962566103423978
    nn.init.trunc_normal_(linear.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    nn.init.zeros_(linear.bias)
    return linear
