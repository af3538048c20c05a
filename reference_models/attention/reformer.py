"""Reformer: a token looks at the tokens in its bucket of a locality-sensitive hash; queries and keys are shared.

    k_j  = q_j / |q_j|                               keys are the queries, of unit length
    h(x) = argmax [x R; -x R]                        bucket; R (E, b / 2) Gaussian, drawn for each round and head
    P_i  = kept j that in some round r have h_r(q_j) = h_r(q_i) and are in i's chunk or in the chunk before it
    o_i  = sum over P_i of v_j exp(q_i · k_j - 1e5 [j = i] - z_i),  z_i the logsumexp

In each of n rounds (`num_hashes`) tokens are sorted by (bucket, position) and cut into chunks of m (`chunk`). Rounds
are computed separately and merged, o_i = sum_r exp(z_i^r - z_i) o_i^r; the logit of a key that i sees in N rounds is
reduced by log N in each of them, so that the key counts once (the appendix on multi-round attention). A token sees
itself only if it sees nothing else.

Kitaev, Kaiser and Levskaya, "Reformer: the efficient Transformer", ICLR 2020, section 2. Time O(n L (m E + log L)) for
sorting and attention and O(n L b E) for the hash, memory O(n L (m + E)). With b = 2 L / m the hash is O(L^2 / m), which
is small below L = 10^5; `num_buckets` bounds it.

Differences from the paper:
- This is the encoder's form, without a causal mask. The first chunk has no chunk before it.
- Logits are q · k with unit keys, as in the paper and in the authors' code. Queries of length sqrt(E) then have the
  Transformer's temperature; with a further 1 / sqrt(E), as in some ports, weights would be nearly equal.
- b is 2 ceil(kept tokens / m), separately for each sequence: a chunk is twice an average bucket. Padding has a bucket
  of its own, the last one. So neither padding nor other examples of the batch change a sequence.
- 2 rounds and chunks of 64 are the usual setting on LRA outside its own code (the paper: 1 to 8 rounds).
- R is drawn by `on_step` and kept: the forward pass, a recomputation in the backward pass and evaluation use the
  same hash.

Not here: reversible layers (`reference_models/model/reversible.py`), feed-forward layers in chunks.
"""

import math

import torch
from torch import Tensor

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import all_kept, padded_to, softmax_weights, unit, wide_dtype

_SELF = 1e5  # section 2, "causal masking for shared-QK attention"


class ReformerAttention(Attention):
    """LSH attention with shared queries and keys.

    num_hashes: number of rounds n.
    chunk: m.
    num_buckets: b, even; None for 2 ceil(kept tokens / m).
    across_buckets: whether a query also looks at the keys of other buckets in its two chunks, as in the authors' later
        code.

    Dropout is on the weights of each round. torch.compile works (tests/reference_models).
    """

    family = "learnable pattern"
    cost = "L log L"
    paper = "Kitaev et al. 2020, §2"
    has_key = False
    rotations: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        num_hashes: int = 2,
        chunk: int = 64,
        num_buckets: int | None = None,
        across_buckets: bool = False,
    ) -> None:
        super().__init__(shape)
        if num_hashes < 1 or chunk < 1:
            raise UsageError(f"expected num_hashes and chunk >= 1, got {num_hashes} and {chunk}")
        if num_buckets is not None and (num_buckets < 2 or num_buckets % 2):
            raise UsageError(f"expected num_buckets even and >= 2, got {num_buckets}")
        self.num_hashes, self.chunk = num_hashes, chunk
        self.num_buckets, self.across_buckets = num_buckets, across_buckets
        columns = self._columns(shape.max_length)
        self.register_buffer("rotations", torch.empty(num_hashes, shape.heads, shape.head_dim, columns))
        self.on_step(0)

    def on_step(self, step: int) -> None:
        """Draws R again."""
        self.rotations.copy_(torch.randn(self.rotations.shape, generator=self.generator(step=step)))

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        length = projected.q.shape[2]
        m = min(self.chunk, length)
        q, v = padded_to(projected.q, m, 2), padded_to(projected.v, m, 2)
        keep = padded_to(all_kept(projected.x, keep), m, 1, value=False)
        bucket = self.buckets(q, keep)
        order = bucket.argsort(dim=-1, stable=True)  # (B, H, n, L): the token at each place
        place = order.argsort(dim=-1)  # the place of each token
        queries, values = _sorted(q, order, m), _sorted(v, order, m)  # (B, H, n, L / m, m, E)
        logits = (queries @ _looking_back(unit(queries).to(q.dtype)).transpose(-1, -2)).to(wide_dtype(q))
        logits = logits + self._bias(bucket, place // m, order, keep, m, logits.dtype)
        weights = logits.softmax(dim=-1)
        # The logsumexp is the greatest logit less the logarithm of its weight; exponentials that underflow are slow.
        most = logits.detach().argmax(dim=-1, keepdim=True)
        partition = (logits.gather(-1, most) - weights.gather(-1, most).log()).squeeze(-1)
        found = (self.drop(weights.to(v.dtype)) @ _looking_back(values)).flatten(3, 4)
        found = found.gather(3, place[..., None].expand(found.shape))
        shares = partition.flatten(3).gather(3, place).softmax(dim=2)
        return (shares[..., None] * found).sum(dim=2)[:, :, :length].to(v.dtype)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention. One softmax over the union of the rounds; ranks are counted, not sorted."""
        q = self.project(x).q
        keep = all_kept(x, keep)
        bucket = self.buckets(q, keep)
        one, other = bucket[..., :, None], bucket[..., None, :]
        position = torch.arange(x.shape[1], device=x.device)
        ahead = (other < one) | ((other == one) & (position[None, :] < position[:, None]))
        chunk = ahead.sum(dim=-1) // self.chunk
        apart = chunk[..., :, None] - chunk[..., None, :]
        met = ((apart == 0) | (apart == 1)) & ((one == other) | self.across_buckets)
        own = position[:, None] == position
        logits = q @ unit(q).to(q.dtype).transpose(-1, -2) - _SELF * own
        return softmax_weights(logits, (met.any(dim=2) | own) & keep[:, None, None])

    @torch.no_grad()
    def buckets(self, q: Tensor, keep: Tensor) -> Tensor:
        """Buckets (B, H, n, L) of queries (B, H, L, E); padding, where keep (B, L) is False, is in the last one."""
        columns = self._columns(q.shape[2])
        with torch.autocast(q.device.type, enabled=False):
            turned = torch.einsum(
                "bhle,rhec->bhrlc", q.to(wide_dtype(q)), self.rotations[..., :columns].to(wide_dtype(q))
            )
        size = turned.abs()  # the greatest of [x; -x] is the greatest |x|, with its sign
        if self.num_buckets is None:
            used = torch.arange(columns, device=q.device) < -(-keep.sum(dim=1) // self.chunk)[:, None]
            size = size.masked_fill(~used[:, None, None, None], -1.0)
        column = size.argmax(dim=-1, keepdim=True)
        bucket = (column + columns * (turned.gather(-1, column) < 0)).squeeze(-1)
        return bucket.masked_fill(~keep[:, None, None], 2 * columns)

    def _columns(self, length: int) -> int:
        """b / 2 for a sequence without padding."""
        return -(-length // self.chunk) if self.num_buckets is None else self.num_buckets // 2

    @torch.no_grad()
    def _bias(self, bucket: Tensor, chunk: Tensor, order: Tensor, keep: Tensor, m: int, dtype: torch.dtype) -> Tensor:
        """What is added to each logit, (B, H, n, L / m, m, keys): - log N if the query sees the key in N rounds;
        - infinity if it does not see it in this round, or if the key is padding; -1e5 if the key is the query itself,
        also for padding, so that no row is empty.
        """
        # A query sees a key in a round if the query's number less the key's is 0 or 1.
        chunks = order.shape[-1] // m
        numbers = chunk if self.across_buckets else bucket * (chunks + 1) + chunk
        if (2 * self._columns(order.shape[-1]) + 1) * (chunks + 1) < 2**31:  # half the memory to read
            numbers = numbers.int()
        kept = keep[:, None, None].expand(-1, bucket.shape[1], 1, -1)
        facts = _sorted(torch.cat([numbers, kept.to(numbers.dtype)], dim=2).transpose(2, 3), order, m)
        facts = facts.movedim(-1, 0).contiguous()  # (n + 1, B, H, n, L / m, m)
        seen, keys = [], [_looking_back(fact[..., None])[..., None, :, 0] for fact in facts]
        for number in range(self.num_hashes):
            seen.append((facts[number][..., None] - keys[number]).bitwise_right_shift_(1) == 0)
        bias = torch.ones(seen[0].shape, dtype=dtype, device=keep.device)  # log 0 would be slow
        for this in range(self.num_hashes):
            for other in range(self.num_hashes):
                if other != this:
                    bias[:, :, this] += seen[other][:, :, this]
        visible = torch.stack([met[:, :, number] for number, met in enumerate(seen)], dim=2) & keys[-1].bool()
        own = bias.diagonal(bias.shape[-1] - m, dim1=-2, dim2=-1)
        bias.log_().neg_().masked_fill_(~visible, -math.inf)
        own.fill_(-_SELF)
        return bias


def _sorted(x: Tensor, order: Tensor, m: int) -> Tensor:
    """x (B, H, L, F) in the order (B, H, n, L) of each round, in chunks: (B, H, n, L / m, m, F)."""
    wanted = order[..., None].expand(*order.shape, x.shape[-1])
    found = x[:, :, None].expand(wanted.shape).gather(3, wanted)
    return found.view(*order.shape[:3], -1, m, x.shape[-1])


def _looking_back(chunks: Tensor) -> Tensor:
    """Each chunk of (B, H, n, L / m, m, F) after the chunk before it: (B, H, n, L / m, 2 m, F); one alone unchanged."""
    return chunks if chunks.shape[3] == 1 else torch.cat([chunks.roll(1, dims=3), chunks], dim=4)


ATTENTION = ReformerAttention
