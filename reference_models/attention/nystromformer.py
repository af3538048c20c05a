"""Nyströmformer: the matrix of softmax attention is put together from the rows and columns of m landmarks.

    O = F Z B V + C V        F = s(Q K~^T), B = s(Q~ K^T), A = s(Q~ K~^T), s(X) = softmax(X / sqrt(E)), Z ≈ A^-1

    Z_0 = A^T / (max column sum of A · max row sum of A)
    Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4        n_iter times

Q~, K~ (m, E): means of Q and K over m segments. C V: a depthwise convolution of V along the sequence.

Xiong et al., "Nyströmformer: a Nyström-based algorithm for approximating self-attention", AAAI 2021, sections 3.3 and
3.4. Time O(L m D + m^3 H), memory O(L D + L m) with PyTorch's fused kernels, O(L m H) where dropout needs the weights.

n_iter belongs to the model: A is often nearly singular, so its exact inverse is large, and few iterations damp it. Rows
of F Z B sum to 1 only where Z has converged.

The segments divide the *kept* tokens of a sequence: of n kept tokens, the one at rank r is in segment floor(r m / n),
so padding does not move a border; with n <= m each kept token is a landmark, and m - n landmarks are empty. In A an
empty landmark has the row and column of the identity; no query sees it, and it mixes with no other.

Differences from the paper: the paper cuts L tokens into equal segments and has no masks. Z_0 is scaled for each head of
each sequence by its own A, as the paper's formula says; row sums are 1. The convolution has one kernel for each head,
as in the authors' code; it treats padding as zeros.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, attend, key_mask, softmax_weights, wide_dtype


class NystromformerAttention(Attention):
    """Attention by way of m landmarks. torch.compile works (tests/reference_models).

    num_landmarks: m.
    n_iter: iterations for the inverse of A; 0 takes Z_0.
    kernel: tokens that the convolution of V spans, an odd number; 0 for no convolution.

    Dropout is on the weights of F and B.
    """

    family = "low rank"
    cost = "L m"
    paper = "Xiong et al. 2021, §3.3-3.4"

    def __init__(self, shape: Shape, *, num_landmarks: int = 64, n_iter: int = 6, kernel: int = 33) -> None:
        super().__init__(shape)
        if num_landmarks < 1 or n_iter < 0:
            raise UsageError(f"expected num_landmarks >= 1 and n_iter >= 0, got {num_landmarks=}, {n_iter=}")
        if kernel and (kernel < 1 or kernel % 2 == 0):
            raise UsageError(f"expected an odd kernel, or 0 for none, got {kernel}")
        self.num_landmarks, self.n_iter, self.kernel = num_landmarks, n_iter, kernel
        if kernel:
            bound = kernel**-0.5  # PyTorch's for convolutions
            weight = torch.empty(shape.heads, kernel).uniform_(-bound, bound, generator=self.generator())
            self.convolution = nn.Parameter(weight)

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        near, far, kept = self._landmarks(q, k, all_kept(x, keep))
        inverse = self._inverse(near, far, kept)
        summary = attend(near, k, v, key_mask(keep), dropout=self.attention_dropout)  # B V: (B, H, m, E)
        with torch.autocast(v.device.type, enabled=False):
            solved = (inverse @ summary.to(inverse.dtype)).to(v.dtype)
        mixed = attend(q, far, solved, key_mask(kept), dropout=self.attention_dropout)
        return mixed + self._convolved(v, keep) if self.kernel else mixed

    def _landmarks(self, q: Tensor, k: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q~ and K~ (B, H, m, E), 0 where empty, and which are not empty (B, m). m is at most L."""
        most = min(self.num_landmarks, keep.shape[1])
        kept = keep.sum(dim=1, keepdim=True)  # n
        segment = (keep.cumsum(dim=1) - 1) * kept.clamp(max=most) // kept.clamp(min=1)
        landmark = torch.arange(most, device=keep.device)
        member = (segment[:, None] == landmark[:, None]) & keep[:, None]  # (B, m, L)
        with torch.autocast(q.device.type, enabled=False):
            wide = wide_dtype(q)
            shares = member.to(wide) / member.sum(dim=-1, keepdim=True).clamp(min=1)
            # One product, so that `shares` is not copied for each head.
            both = torch.cat([q, k], dim=1)
            sums = shares @ both.transpose(1, 2).flatten(2).to(wide)  # (B, m, 2 H E)
            means = sums.view(*sums.shape[:2], *both.shape[1::2]).transpose(1, 2).to(q.dtype)
        near, far = means.chunk(2, dim=1)
        return near, far, landmark < kept

    def _inverse(self, near: Tensor, far: Tensor, kept: Tensor) -> Tensor:
        """Z (B, H, m, m), in float32 or better."""
        with torch.autocast(near.device.type, enabled=False):
            near, far = near.to(wide_dtype(near)), far.to(wide_dtype(far))
            identity = torch.eye(near.shape[2], dtype=near.dtype, device=near.device)
            full = softmax_weights(self.scaled_logits(near, far), key_mask(kept))
            matrix = torch.where(kept[:, None, :, None], full, identity)  # A
            inverse = matrix.transpose(-1, -2) / matrix.sum(dim=-2).amax(dim=-1)[..., None, None]
            for _ in range(self.n_iter):
                product = matrix @ inverse
                fourfold = 13 * identity - product @ (15 * identity - product @ (7 * identity - product))
                inverse = inverse @ fourfold / 4
            return inverse

    def _convolved(self, v: Tensor, keep: Tensor | None) -> Tensor:
        """C V: (B, H, L, E)."""
        if keep is not None:
            v = v.masked_fill(~keep[:, None, :, None], 0.0)
        weight = self.convolution[:, None, :, None]
        return functional.conv2d(v, weight, padding=(self.kernel // 2, 0), groups=self.shape.heads)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention: F Z B + C. Entries may be negative; rows may not sum to 1."""
        _, q, k, _ = self.project(x)
        keep = all_kept(x, keep)
        near, far, kept = self._landmarks(q, k, keep)
        columns = softmax_weights(self.scaled_logits(q, far), key_mask(kept))  # F
        rows = softmax_weights(self.scaled_logits(near, k), key_mask(keep))  # B
        weights: Tensor = columns @ self._inverse(near, far, kept) @ rows
        if self.kernel:
            place = torch.arange(x.shape[1], device=x.device)
            tap = place - place[:, None] + self.kernel // 2
            inside = (tap >= 0) & (tap < self.kernel) & keep[:, None, None]
            weights = weights + self.convolution[:, tap.clamp(0, self.kernel - 1)] * inside
        return weights


ATTENTION = NystromformerAttention
