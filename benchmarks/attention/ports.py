"""The ports: one entry each, with the sizes that make it compute the same amount as ours.

Adding a port is adding an entry. `make` is the class, "module:class", with its `arguments`, or a function of
`adapters.py` for a port that is not a layer from (B, L, D) to (B, L, D).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from benchmarks.attention import adapters
from benchmarks.attention.sizes import DIM, HEADS, LENGTH, WIDTH

_EINOPS = "einops==0.8.2"
_LOCAL = ("local-attention==1.9.15", _EINOPS)
_PERFORMER = (*_LOCAL, "axial-positional-embedding==0.3.12")
_KEYS = (*_PERFORMER, "product-key-memory==0.1.11")
_IDIAP = "pytorch-fast-transformers==0.4.0"
_BUILT = ("--no-build-isolation",)
_LAYER = {"dim": DIM, "heads": HEADS, "dim_head": WIDTH}
_REFORMER = {"dim": DIM, "heads": HEADS, "bucket_size": 64, "n_hashes": 2}
_SINKHORN = {"dim": DIM, "heads": HEADS, "bucket_size": 64, "max_seq_len": LENGTH}


@dataclass(frozen=True, kw_only=True)
class Port:
    """A public implementation of one of our models.

    model: our name of the model.
    ours: options of our model.
    package: `name==version` on PyPI, or the name of an installed package.
    make: "module:class", or a function that returns a layer.
    arguments: of `make`.
    mask: keyword of the layer that takes `keep` (B, L); "" where a port has no mask: ours gets none either.
    differs: what the port computes differently.
    variant: what distinguishes several entries of one package and model.
    needs: other packages that its import needs.
    flags: of pip.
    """

    model: str
    package: str
    make: str | Callable[..., nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)
    mask: str = ""
    ours: dict[str, Any] = field(default_factory=dict)
    differs: str
    variant: str = ""
    needs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


PORTS = [
    Port(
        model="full",
        package="torch",
        make=adapters.torch_full,
        mask="keep",
        differs="needs no weights, so its kernel is the fused one too",
    ),
    Port(
        model="full",
        package=_IDIAP,
        make=adapters.idiap,
        arguments={"attention": "FullAttention"},
        mask="keep",
        differs="writes all weights out",
        flags=_BUILT,
    ),
    Port(
        model="linear",
        package=_IDIAP,
        make=adapters.idiap,
        arguments={"attention": "LinearAttention", "query_dimensions": WIDTH},
        mask="keep",
        differs="elu(x) + 1, which rounds to 0; v under padding must be finite; no float32 sums under autocast",
        flags=_BUILT,
    ),
    Port(
        model="linear",
        package="linear-attention-transformer==0.19.1",
        make="linear_attention_transformer.linear_attention_transformer:SelfAttention",
        arguments={"dim": DIM, "heads": HEADS},
        mask="input_mask",
        differs="another kernel: softmax of q over features and of k over positions, no division by a sum",
        needs=("linformer==0.2.3", *_KEYS),
    ),
    Port(
        model="performer",
        package="performer-pytorch==1.1.4",
        make="performer_pytorch:SelfAttention",
        arguments={**_LAYER, "nb_features": 110},
        mask="mask",
        ours={"features": 110},
        differs="one maximum for all keys of a head, padding included; 1e-4 added to features; masks v alone, so "
        "padded keys still count in the denominator",
        needs=_PERFORMER,
    ),
    Port(
        model="performer",
        package=_IDIAP,
        make=adapters.idiap_favor,
        arguments={"features": 110},
        mask="keep",
        ours={"features": 110},
        differs="draws features in each forward pass in training",
        flags=_BUILT,
    ),
    Port(
        model="linformer",
        package="linformer==0.2.3",
        make="linformer:LinformerSelfAttention",
        arguments={"dim": DIM, "seq_len": LENGTH, "heads": HEADS, "k": 256},
        ours={"k": 256, "sharing": "headwise"},
        differs="no mask",
    ),
    Port(
        model="local",
        package="local-attention==1.9.15",
        make=adapters.local,
        arguments={"block": 64},
        mask="keep",
        ours={"block": 64},
        differs="its window of the own block alone (look_backward=0), without rotary positions",
        needs=(_EINOPS,),
    ),
    Port(
        model="longformer",
        package="transformers",
        make=adapters.longformer,
        arguments={"window": 512},
        mask="keep",
        ours={"window": 512, "num_global": 1},
        differs="writes the window's weights out; one projection of all tokens for each global query",
    ),
    Port(
        model="bigbird",
        package="transformers",
        make=adapters.bigbird,
        arguments={"block": 64, "num_random": 3},
        mask="keep",
        ours={"block": 64, "num_random": 3},
        differs="draws its graph in each forward pass",
    ),
    Port(
        model="set_transformer",
        package="isab-pytorch==0.3.0",
        make=adapters.isab,
        arguments={"points": 64},
        mask="keep",
        ours={"num_inducing": 64},
        differs="the inducing points are not projected by an output matrix of their own",
        needs=(_EINOPS,),
    ),
    Port(
        model="routing",
        package="routing-transformer==1.6.1",
        make="routing_transformer.routing_transformer:SelfAttention",
        arguments={
            "dim": DIM,
            "depth": 1,
            "max_seq_len": LENGTH,
            "heads": HEADS,
            "local_attn_heads": 1,
            "window_size": 64,
            "local_attn_window_size": 64,
            "rel_pos_emb": False,
        },
        mask="input_mask",
        ours={"num_clusters": 64, "window_size": 64, "local_window": 64},
        differs="top-k, whose ties are in any order; local heads see whole neighbouring blocks, ours |i - j| <= 64; "
        "plain q · k; padding counts in clusters, means and loss",
        needs=(*_KEYS, "mixture-of-experts==0.2.3"),
    ),
    Port(
        model="sinkhorn",
        package="sinkhorn-transformer==0.11.4",
        make="sinkhorn_transformer.sinkhorn_transformer:SinkhornSelfAttention",
        arguments={**_SINKHORN, "non_permutative": False, "use_simple_sort_net": True, "sinkhorn_iter": 8},
        mask="input_mask",
        ours={"block": 64},
        variant="Sinkhorn",
        differs="sorted values are sorted keys (a fault, which saves a product); masks a block as the one with the "
        "greatest weight is masked; new noise for each example",
        needs=_KEYS,
    ),
    Port(
        model="sinkhorn",
        package="sinkhorn-transformer==0.11.4",
        make=adapters.mended_sinkhorn,
        arguments={**_SINKHORN, "non_permutative": False, "use_simple_sort_net": True, "sinkhorn_iter": 8},
        mask="input_mask",
        ours={"block": 64},
        variant="Sinkhorn, fault mended",
        differs="as above, but sorted values are sorted values",
        needs=_KEYS,
    ),
    Port(
        model="sinkhorn",
        package="sinkhorn-transformer==0.11.4",
        make="sinkhorn_transformer.sinkhorn_transformer:SinkhornSelfAttention",
        arguments={**_SINKHORN},
        mask="input_mask",
        ours={"block": 64},
        variant="default",
        differs="no Sinkhorn normalisation and no sort network: takes the block with the greatest q · k; and as above",
        needs=_KEYS,
    ),
    Port(
        model="reformer",
        package="reformer-pytorch==1.4.4",
        make="reformer_pytorch:LSHSelfAttention",
        arguments={
            **_REFORMER,
            "attend_across_buckets": False,
            "allow_duplicate_attention": False,
            "random_rotations_per_head": True,
        },
        mask="input_mask",
        variant="the paper's",
        differs="draws rotations in each forward pass; a second 1 / sqrt(E); chunks wrap round; padding is hashed",
        needs=_KEYS,
    ),
    Port(
        model="reformer",
        package="reformer-pytorch==1.4.4",
        make="reformer_pytorch:LSHSelfAttention",
        arguments=_REFORMER,
        mask="input_mask",
        ours={"across_buckets": True},
        variant="default",
        differs="as above; counts a key in each round in which it is seen",
        needs=_KEYS,
    ),
    Port(
        model="reformer",
        package=_IDIAP,
        make=adapters.idiap,
        arguments={"attention": "ReformerAttention", "chunk_size": 64, "bits": 6, "rounds": 2, "masked": False},
        mask="keep",
        ours={"across_buckets": True, "num_buckets": 64},
        differs="averages the rounds' outputs; draws rotations in each forward pass",
        flags=_BUILT,
    ),
    Port(
        model="compressive",
        package="compressive-transformer-pytorch==0.4.0",
        make=adapters.compressive,
        arguments={"segment": 1024},
        mask="keep",
        ours={"segment": 1024, "memory": 1024, "compressed": 1024, "rate": 4},
        differs="learned positions; its auxiliary loss is part of the forward pass in training",
        needs=(_EINOPS, "mogrifier==0.0.5"),
    ),
    Port(
        model="nystromformer",
        package="nystrom-attention==0.0.14",
        make="nystrom_attention:NystromAttention",
        arguments={**_LAYER, "num_landmarks": 64},
        mask="mask",
        differs="one maximum for the whole batch in the pseudo-inverse",
        needs=(_EINOPS,),
    ),
    Port(
        model="memory_compressed",
        package="memory-compressed-attention==0.0.7",
        make="memory_compressed_attention:MemoryCompressedAttention",
        arguments={"dim": DIM, "heads": HEADS, "compression_factor": 3},
        mask="input_mask",
        differs="a null key; with a mask, kept queries see the null key alone",
    ),
    Port(
        model="axial",
        package="axial-attention==0.6.1",
        make=adapters.axial,
        ours={"mode": "sum"},
        differs="no mask; rows and columns have output projections of their own",
        needs=("axial-positional-embedding==0.3.12",),
    ),
    Port(
        model="h_transformer",
        package="h-transformer-1d==0.1.9",
        make="h_transformer_1d.h_transformer_1d:HAttention1D",
        arguments={**_LAYER, "block_size": 16},
        mask="mask",
        ours={"rank": 16},
        differs="a maximum for each level, and no counts: rows do not sum to 1",
        needs=(_EINOPS, "rotary-embedding-torch==0.2.3"),
    ),
    Port(
        model="long_short",
        package="long-short-transformer==0.0.5",
        make="long_short_transformer.long_short_transformer:LongShortAttention",
        arguments={**_LAYER, "window_size": 128, "segment_size": 16, "r": 1, "causal": True},
        mask="mask",
        differs="causal, with segments of 16; rotary positions; keys are values",
        needs=(_EINOPS, "rotary-embedding-torch==0.2.3"),
    ),
    Port(
        model="perceiver",
        package="perceiver-pytorch==0.11.0",
        make=adapters.perceiver,
        arguments={"latents": 64},
        mask="keep",
        differs="its cross attention into 64 latents and back, without norms",
        needs=(_EINOPS,),
    ),
    Port(
        model="adaptive_sparse",
        package="entmax==1.3",
        make=adapters.entmax,
        mask="keep",
        differs="only α-entmax by bisection, in our projections",
    ),
    Port(
        model="mega",
        package="mega-pytorch==0.1.0",
        make="mega_pytorch.mega_pytorch:MegaLayer",
        arguments={"dim": DIM, "ema_heads": 16, "attn_dim_qk": WIDTH, "attn_dim_value": 2 * DIM, "causal": False},
        differs="no mask; averages have one decay for all channels",
        needs=(_EINOPS,),
    ),
]
