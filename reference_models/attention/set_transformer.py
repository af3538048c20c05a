"""The Set Transformer's attention through inducing points (ISAB), and its pooling (PMA).

    H = MHA(I, X, X)      m inducing points I, learned, look at the set
    O = MHA(X, H, H)      each element looks at H

    MHA(Y, Z, Z) = concat_h[softmax((Y W_Q)_h (Z W_K)_h^T / sqrt(E)) (Z W_V)_h] W_O

Lee et al., "Set Transformer", ICML 2019, section 3.1 (ISAB) and 3.2 (PMA). Time and memory O(L m).
Without positions in x it is equivariant under permutations, like all attention by content alone.

Differences from the paper: its block MAB(Y, Z) = LN(G + rFF(G)), G = LN(Y + MHA(Y, Z, Z)) has residuals, norms and a
feed-forward layer around each attention. Here the encoder has the residual (on x), the norm (pre-norm) and the
feed-forward layer of the outer block, and the inner block has none: H is the bare MHA, with an output projection of its
own. Attention is scaled by the width of a head; the authors' code divides by the root of the whole width. The authors
have no masks: here padding is masked in the first attention, so that H summarises the kept tokens alone.
"""

import torch
from torch import Tensor, nn

from lra_data import UsageError
from reference_models.attention.base import Attention, Projected, Shape
from reference_models.attention.operations import attend, joined, key_mask, projection, softmax_weights, split_heads


class SetTransformerAttention(Attention):
    """ISAB_m: `key` and `value` belong to the first attention, `query` and `output` to the second.

    num_inducing: m.

    Dropout is on the weights of both. torch.compile works (tests/reference_models).
    """

    family = "memory"
    # The rows of a product of two attentions sum to 1, but are not the weights of a head (see `written_out`).
    no_span = "heads look at inducing points, which have no place"
    cost = "L m"
    paper = "Lee et al. 2019, §3.1"

    def __init__(self, shape: Shape, *, num_inducing: int = 64) -> None:
        super().__init__(shape)
        if num_inducing < 1:
            raise UsageError(f"expected num_inducing >= 1, got {num_inducing}")
        width = shape.heads * shape.head_dim
        self.inducing = nn.Parameter(torch.empty(num_inducing, shape.dim))  # I
        nn.init.xavier_uniform_(self.inducing, generator=self.generator())
        self.inducing_query = projection(shape.dim, width)  # W_Q of the first attention
        self.inducing_output = projection(width, shape.dim)  # W_O of the first
        self.summary_key = projection(shape.dim, width)  # W_K of the second
        self.summary_value = projection(shape.dim, width)  # W_V of the second

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        dropout = self.attention_dropout
        looking = self._inducing_queries().expand(len(v), -1, -1, -1)  # (B, H, m, E)
        summary = self.inducing_output(joined(attend(looking, k, v, key_mask(keep), dropout=dropout)))  # H: (B, m, D)
        return attend(
            q, self.split(self.summary_key(summary)), self.split(self.summary_value(summary)), None, dropout=dropout
        )

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """The product of both attention matrices: the second attention's weights of head h for the inducing points,
        times the first attention's weights for the tokens, averaged over heads, since H mixes these. Rows sum to 1. The
        product shows where the layer looks. With one head the outputs are this times x W_V W_O W_V' (V' of the second
        attention); with more heads they are a sum of such terms, one for each head of the first attention.
        """
        scale = self.shape.head_dim**-0.5
        _, q, k, v = self.project(x)
        onto_tokens = softmax_weights(self._inducing_queries() @ k.transpose(-1, -2) * scale, key_mask(keep))
        summary = self.inducing_output(joined(onto_tokens.to(v.dtype) @ v))
        onto_points = softmax_weights(q @ self.split(self.summary_key(summary)).transpose(-1, -2) * scale, None)
        return onto_points @ onto_tokens.mean(dim=1, keepdim=True)

    def _inducing_queries(self) -> Tensor:
        """I W_Q: (1, H, m, E)."""
        return self.split(self.inducing_query(self.inducing[None]))


class PoolingByAttention(nn.Module):
    """PMA_k(X) = MAB(S, rFF(X)): k = num_seeds learned vectors S look at the set; (B, L, D) to (B, k, D).

    As in the paper, with its residuals and norms; rFF is one dense layer with ReLU. The order of the tokens does not
    matter, and padding is masked; for a set of only padding, the output depends on the seeds alone. No dropout.
    """

    def __init__(self, dim: int, heads: int, *, num_seeds: int = 1) -> None:
        super().__init__()
        if heads < 1 or dim % heads or num_seeds < 1:
            raise UsageError(f"expected heads that divide dim and num_seeds >= 1, got {dim=}, {heads=}, {num_seeds=}")
        self.heads = heads
        self.seeds = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_seeds, dim)))
        self.before = nn.Linear(dim, dim)  # rFF(X)
        self.query, self.key, self.value, self.output = (projection(dim, dim) for _ in range(4))
        self.after = nn.Linear(dim, dim)  # rFF(G)
        self.norm_attention, self.norm_output = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: (B, L, D). keep: bool (B, L), True for real tokens, or None. Returns (B, k, D)."""
        x = self.before(x).relu()
        seeds = self.seeds.expand(len(x), -1, -1)
        q, k, v = (split_heads(part, self.heads) for part in (self.query(seeds), self.key(x), self.value(x)))
        seen = self.norm_attention(seeds + self.output(joined(attend(q, k, v, key_mask(keep)))))
        pooled: Tensor = self.norm_output(seen + self.after(seen).relu())
        return pooled


ATTENTION = SetTransformerAttention
