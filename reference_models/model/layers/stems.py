"""Stems: how ids become the vectors that an encoder begins with, and their positions.

    tokens         a row of the embedding for each id                        (the benchmark's form)
    grey           a dense layer of the stride x stride grey values of a patch, as numbers
    convolution    3 x 3 convolutions of stride 2, each with ReLU, until a vector is left for each patch; then 1 x 1
    strided        a dense layer of the embeddings of `stride` adjacent ids; 0 for padding

"grey" with a stride above 1 is the stem of ViT (Dosovitskiy et al. 2021, section 3.1), "convolution" that of "Early
convolutions help transformers see better" (Xiao et al. 2021, section 4), here without batch normalisation. A patch or a
group of ids is kept if one of its ids is. The patches of a picture come row by row.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.operations import padded_to, sinusoids
from reference_models.model.config import ModelConfig

_SHARE = 0.5  # of sinusoids on a grid: with stems of about the same size


class Grey(nn.Module):
    """Patches of grey values, by a dense layer: ids (B, L) to (B, L / stride², D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.stride = config, config.stride
        self.dense = nn.Linear(config.stride**2, config.dim)

    def forward(self, ids: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Vectors and their mask."""
        patches = functional.pixel_unshuffle(_pictures(ids, self.config).to(self.dense.weight.dtype), self.stride)
        return self.dense(patches.flatten(2).transpose(1, 2)), _of_patches(keep, self.stride)


class Convolution(nn.Module):
    """Patches of grey values, by convolutions: ids (B, L) to (B, L / stride², D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.stride = config, config.stride
        halvings = config.stride.bit_length() - 1
        widths = [1, *(max(1, config.dim >> (halvings - 1 - number)) for number in range(halvings))]
        self.halving = nn.ModuleList(
            nn.Conv2d(narrow, wide, 3, stride=2, padding=1) for narrow, wide in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], config.dim, 1)

    def forward(self, ids: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Vectors and their mask."""
        if ids.shape[1] == 0:  # convolutions need a pixel
            return self(ids.new_zeros(len(ids), self.stride**2), None)[0][:, :0], keep
        x = _pictures(ids, self.config).to(self.last.weight.dtype)
        for layer in self.halving:
            x = functional.relu(layer(x))
        return self.last(x).flatten(2).transpose(1, 2), _of_patches(keep, self.stride)


class Strided(nn.Module):
    """Groups of adjacent ids: ids (B, L) to (B, ceil(L / stride), D)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.stride = config.stride
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        nn.init.normal_(self.embedding.weight)
        self.dense = nn.Linear(config.stride * config.dim, config.dim)

    def forward(self, ids: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Vectors and their mask."""
        x = self.embedding(ids)
        groups = -(-x.shape[1] // self.stride)  # counted, since a batch without examples has no sizes to infer
        if keep is not None:
            x = x.masked_fill(~keep[..., None], 0.0)
            keep = padded_to(keep, self.stride, 1, value=False).view(len(x), groups, self.stride).any(dim=-1)
        padded = padded_to(x, self.stride, 1)
        return self.dense(padded.reshape(len(x), groups, self.stride * x.shape[2])), keep


STEMS = {"grey": Grey, "convolution": Convolution, "strided": Strided}


def grid_positions(vectors: int, dim: int, device: torch.device) -> Tensor:
    """Sinusoids of row and column, half of the features each: (vectors, D), for the patches of a square."""
    side = math.isqrt(vectors)
    along = sinusoids(torch.arange(side, device=device), dim // 2).float() * _SHARE
    rows, columns = along[:, None].expand(-1, side, -1), along[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def numbers(grey: Tensor, config: ModelConfig) -> Tensor:
    """Grey values as they enter a stem."""
    return (grey.float() - config.grey_mean) / config.grey_deviation


def _pictures(ids: Tensor, config: ModelConfig) -> Tensor:
    """Grey values as numbers: (B, L) to (B, 1, side, side)."""
    side, stride = math.isqrt(ids.shape[1]), config.stride
    if side * side != ids.shape[1] or side % stride:
        raise UsageError(
            f"expected square pictures whose side {stride} divides, got sequences of {ids.shape[1]} pixels: "
            "choose a preset without a stem for pictures"
        )
    return numbers(ids, config).view(len(ids), 1, side, side)


def _of_patches(keep: Tensor | None, stride: int) -> Tensor | None:
    """Which patches have a pixel that is kept: (B, L) to (B, L / stride²)."""
    if keep is None or stride == 1:
        return keep
    side = math.isqrt(keep.shape[1])
    return keep.view(len(keep), side // stride, stride, side // stride, stride).any(dim=4).any(dim=2).flatten(1)
