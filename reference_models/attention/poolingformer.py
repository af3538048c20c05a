"""Poolingformer: a window that slides along the sequence, then a wider window over pooled keys and values.

    y_i = sum_j softmax_j(q_i k_j / sqrt(E)) v_j          over all j with |i - j| <= w1
    z_i = sum_s softmax_s(q'_i K_s / sqrt(E)) V_s         over all slots s whose centre is within w2 of i
    o_i = y_i + z_i

q', k', v' are projections of y, with weights of their own. Slot s pools k' and v' of the kappa tokens from s xi on; its
centre is the token in their middle. Pooling: "mean", "max", or "ldconv", a lightweight dynamic convolution, whose
kappa weights are a softmax of a projection of the centre's vector, for each head, of its own for keys and for values.

Zhang et al., "Poolingformer", ICML 2021, section 3. Time O(L (w1 + w2 / xi) D), memory O(L D + L (w1 + w2 / xi)): keys
and slots are copied a few times, and the masks have no axis of heads. Attention dropout on the CPU needs the weights:
memory is then O(L (w1 + w2 / xi) H).

Differences from the paper: no authors' code could be found, so some details are readings. w1 and w2 count the tokens on
each side. y is the joined heads' output without a projection of its own, since the layer projects y + z. Pooling is
over kept tokens alone, a slot without any is no key, and the vector of a masked centre counts as zeros. The paper's
models apply the second level in a middle range of their layers (`pooling_layers`); here all layers have it by default,
since the benchmark's models have few. No token is global.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import (
    all_kept,
    attend,
    joined,
    padded_to,
    projection,
    softmax_weights,
    wide_dtype,
)

Pooling = Literal["mean", "max", "ldconv"]

_SMALLEST_BLOCK = 16  # of queries that share a stretch of keys: in smaller blocks the overhead of calls dominates


class PoolingformerAttention(Attention):
    """Two levels of windows.

    window: w1.
    pooling_window: w2.
    kernel: kappa, the tokens of a slot.
    stride: xi, the tokens from one slot to the next.
    pooling: "mean", "max" or "ldconv".
    pooling_layers: first and last layer with the second level, counted from 0; None for all. Other layers have the
        first level alone.

    query_pooling, key_pooling and value_pooling belong to the second level; dropout is on the weights of both.
    torch.compile works (tests/reference_models).
    """

    family = "fixed pattern"
    no_span = "the second level looks at pooled outputs of the first"
    cost = "L·(w1 + w2/ξ)"
    paper = "Zhang et al. 2021, §3"

    def __init__(
        self,
        shape: Shape,
        *,
        window: int = 128,
        pooling_window: int = 512,
        kernel: int = 5,
        stride: int = 4,
        pooling: Pooling = "ldconv",
        pooling_layers: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(shape)
        if min(window, pooling_window) < 0:
            raise UsageError(f"expected windows >= 0, got {window}, {pooling_window}")
        if not 1 <= stride <= kernel:
            raise UsageError(f"expected a stride from 1 to the kernel, got {stride} with a kernel of {kernel}")
        if pooling not in ("mean", "max", "ldconv"):
            raise UsageError(f"expected the pooling 'mean', 'max' or 'ldconv', got {pooling!r}")
        if pooling_window < kernel - 1:
            raise UsageError(f"expected a pooling_window >= kernel - 1, got {pooling_window} with a kernel of {kernel}")
        if pooling_layers is not None and not 0 <= pooling_layers[0] <= pooling_layers[1]:
            raise UsageError(f"expected pooling_layers 0 <= first <= last, got {pooling_layers}")
        self.window, self.pooling_window = window, pooling_window
        self.kernel, self.stride, self.pooling = kernel, stride, pooling
        self.has_pooling = pooling_layers is None or pooling_layers[0] <= shape.layer <= pooling_layers[1]
        width = shape.heads * shape.head_dim
        if self.has_pooling:
            self.query_pooling, self.key_pooling, self.value_pooling = (projection(width, width) for _ in range(3))
            if pooling == "ldconv":
                self.key_weights, self.value_weights = (projection(width, shape.heads * kernel) for _ in range(2))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        x, q, k, v = projected
        keep = all_kept(x, keep)
        y = self._windows(q, k, v, keep, reach=self.window, stride=1, centre=0)
        if not self.has_pooling:
            return y
        q, k, v, slots = self._second_level(y, keep)
        z = self._windows(q, k, v, slots, reach=self.pooling_window, stride=self.stride, centre=(self.kernel - 1) // 2)
        return y + z

    def _second_level(self, y: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q' (B, H, L, E), the slots' keys and values (B, H, T, E), and which slots have a kept token (B, T)."""
        tokens = joined(y.masked_fill(~keep[:, None, :, None], 0.0))
        k, v = self.key_pooling(tokens), self.value_pooling(tokens)
        by_key, by_value = self._shares(k, v, keep)
        q = self.split(self.query_pooling(tokens))
        slots = self._members(keep[:, None, :, None])[:, 0, :, 0].any(dim=-1)
        return q, self._pooled(self.split(k), keep, by_key), self._pooled(self.split(v), keep, by_value), slots

    def _members(self, x: Tensor) -> Tensor:
        """The tokens of each slot: (B, H, L, E) to a view (B, H, T, E, kappa)."""
        padded = padded_to(x, self.stride, 2)
        return functional.pad(padded, (0, 0, 0, self.kernel - self.stride)).unfold(2, self.kernel, self.stride)

    def _shares(self, k: Tensor, v: Tensor, keep: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Weights of a slot's tokens in "ldconv": (B, H, T, kappa) for keys and for values."""
        if self.pooling != "ldconv":
            return None, None
        members = self._members(keep[:, None, :, None])[:, :, :, 0]  # (B, 1, T, kappa)
        centre = (self.kernel - 1) // 2
        found = []
        for tokens, layer in ((k, self.key_weights), (v, self.value_weights)):
            centres = self._members(tokens[:, None])[:, 0, :, :, centre]  # (B, T, H E)
            logits = layer(centres).unflatten(-1, (-1, self.kernel)).transpose(1, 2)
            found.append(softmax_weights(logits, members))
        return found[0], found[1]

    def _pooled(self, x: Tensor, keep: Tensor, shares: Tensor | None) -> Tensor:
        """Keys or values of the slots: (B, H, L, E) to (B, H, T, E)."""
        members, kept = self._members(x), self._members(keep[:, None, :, None])
        if self.pooling == "max":
            found = members.masked_fill(~kept, -torch.inf).amax(dim=-1)
            return found.masked_fill(~kept.any(dim=-1), 0.0)
        if shares is None:
            ones = kept[:, :, :, 0].to(wide_dtype(x))
            shares = ones / ones.sum(dim=-1, keepdim=True).clamp(min=1)
        return (members * shares[..., None, :].to(x.dtype)).sum(dim=-1)

    def _windows(
        self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, *, reach: int, stride: int, centre: int
    ) -> Tensor:
        """Each query i looks at the slots s with |s stride + centre - i| <= reach: (B, H, L, E).

        Queries are cut into n blocks of b, a multiple of the stride. A block takes the slots from `before` before its
        own first to `after` after it, S in all.
        """
        batch, heads, length, width = q.shape
        block = -(-length // max(1, length // max(reach, _SMALLEST_BLOCK)))  # blocks of about one size
        block = -(-block // stride) * stride
        step, count = block // stride, -(-length // block)
        before = min((reach + centre) // stride, (count - 1) * step)
        after = min(max(0, (block - 1 + reach - centre) // stride), count * step - 1)

        def stretches(slots: Tensor) -> Tensor:
            """(B, T, ...) to (B n, S, ...)."""
            right = count * step - slots.shape[1] + after + 1 - step
            around = functional.pad(slots, [0, 0] * (slots.ndim - 2) + [before, right])
            return around.unfold(1, before + after + 1, step).movedim(-1, 2).flatten(0, 1)

        queries = padded_to(q.transpose(1, 2), block, 1).reshape(-1, block, heads, width)
        place = torch.arange(-before, after + 1, device=q.device) * stride + centre
        near = (place - torch.arange(block, device=q.device)[:, None]).abs() <= reach  # (b, S)
        mixed = attend(
            queries.transpose(1, 2),
            stretches(k.transpose(1, 2)).transpose(1, 2),
            stretches(v.transpose(1, 2)).transpose(1, 2),
            stretches(keep)[:, None, None] & near,
            dropout=self.attention_dropout,
        )  # (B n, H, b, E)
        mixed = mixed.transpose(1, 2).reshape(batch, -1, heads, width)
        return torch.narrow(mixed, 1, 0, length).transpose(1, 2)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """The first level's weights, plus for layers with the second level, its weights for slots, times each slot's
        shares of its kept tokens (of the values in "ldconv", even ones in "mean" and "max"), times the first level's
        weights averaged over heads: rows sum to 2. The sum shows where the layer looks. It does not make the outputs
        from v, since the values of the second level are projections of y that mix heads.
        """
        keep = all_kept(x, keep)
        place = torch.arange(x.shape[1], device=x.device)
        _, q, k, v = self.project(x)
        near = ((place[:, None] - place).abs() <= self.window) & keep[:, None, None]
        first = softmax_weights(self.scaled_logits(q, k), near)
        if not self.has_pooling:
            return first
        y = first.to(v.dtype) @ v
        q, slot_keys, _, slots = self._second_level(y, keep)
        start = torch.arange(slots.shape[1], device=x.device) * self.stride
        seen = (start + (self.kernel - 1) // 2 - place[:, None]).abs() <= self.pooling_window
        second = softmax_weights(self.scaled_logits(q, slot_keys), seen & slots[:, None, None])
        member = place - start[:, None]  # (T, L)
        inside = (member >= 0) & (member < self.kernel) & keep[:, None, None]  # (B, 1, T, L)
        shares = inside.to(second.dtype)
        shares = shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)
        if self.pooling == "ldconv":
            tokens = joined(y.masked_fill(~keep[:, None, :, None], 0.0))
            _, by_value = self._shares(self.key_pooling(tokens), self.value_pooling(tokens), keep)
            assert by_value is not None
            index = member.clamp(0, self.kernel - 1).expand(*by_value.shape[:3], -1)
            shares = by_value.gather(-1, index) * inside
        return first + second @ shares @ first.mean(dim=1, keepdim=True)


ATTENTION = PoolingformerAttention
