"""Layers from (B, L, D) to (B, L, D) around ports that have another form. Each imports its port when it is made."""

import inspect
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.attention.sizes import DIM, HEADS, LENGTH, WIDTH


class Layer(nn.Module):
    """Calls `mix(q, k, v, keep)` of heads (B, H, L, E) between projections as ours; `core` holds its parameters."""

    def __init__(self, core: Any, mix: Any) -> None:
        super().__init__()
        self.core, self.mix = core, mix
        self.query, self.key, self.value, self.output = (nn.Linear(DIM, DIM, bias=False) for _ in range(4))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        q, k, v = (
            linear(x).view(*x.shape[:2], HEADS, WIDTH).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        mixed: Tensor = self.output(self.mix(q, k, v, keep).transpose(1, 2).flatten(2))
        return mixed


class Whole(nn.Module):
    """Calls `forward(x, keep)` of a port's layer; `core` holds its parameters."""

    def __init__(self, core: nn.Module, call: Any) -> None:
        super().__init__()
        self.core, self.call = core, call

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        mixed: Tensor = self.call(x, keep)
        return mixed


def torch_full() -> nn.Module:
    core = nn.MultiheadAttention(DIM, HEADS, batch_first=True, bias=False)
    return Whole(core, lambda x, keep: core(x, x, x, key_padding_mask=~keep, need_weights=False)[0])


def idiap(*, attention: str, **options: Any) -> nn.Module:
    """Ports of fast_transformers take masks as objects, and (B, L, H, E)."""
    module = {"FullAttention": "full_attention", "LinearAttention": "linear_attention"}.get(attention)
    module = module or {"ReformerAttention": "reformer_attention"}[attention]
    core = getattr(import_module(f"fast_transformers.attention.{module}"), attention)(**options)
    masking, layers = (import_module(f"fast_transformers.{name}") for name in ("masking", "attention"))
    layer = layers.AttentionLayer(core, DIM, HEADS)
    full = masking.FullMask(LENGTH, LENGTH)

    def call(x: Tensor, keep: Tensor) -> Any:
        lengths = masking.LengthMask(keep.sum(dim=1), max_len=LENGTH)
        return layer(x, x, x, full, lengths, lengths)

    return Whole(layer, call)


def idiap_favor(*, features: int) -> nn.Module:
    maps = import_module("fast_transformers.feature_maps")
    favor = maps.Favor.factory(n_dims=features, stabilize=True)
    return idiap(attention="LinearAttention", query_dimensions=WIDTH, feature_map=favor)


def local(*, block: int) -> nn.Module:
    core = import_module("local_attention").LocalAttention(
        window_size=block, look_backward=0, look_forward=0, autopad=True, use_rotary_pos_emb=False
    )
    return Layer(core, lambda q, k, v, keep: core(q, k, v, mask=keep))


def mended_sinkhorn(**options: Any) -> nn.Module:
    """lucidrains' layer with one letter changed, so that sorted values are made of values and not of keys."""
    module = import_module("sinkhorn_transformer.sinkhorn_transformer")
    source = inspect.getsource(module.SinkhornAttention)
    fault = "b_v_r = b_k_r.reshape(bh, buckets"
    if source.count(fault) != 1:
        raise RuntimeError("expected the fault in sorted values once")
    names = dict(vars(module))
    exec(source.replace(fault, fault.replace("b_k_r", "b_v_r")), names)
    layer: nn.Module = module.SinkhornSelfAttention(**options)
    layer.sinkhorn_attention.__class__ = names["SinkhornAttention"]
    return layer


def longformer(*, window: int) -> nn.Module:
    modeling = import_module("transformers.models.longformer.modeling_longformer")
    config = import_module("transformers").LongformerConfig(
        hidden_size=DIM, num_attention_heads=HEADS, attention_window=[window], num_hidden_layers=1,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    core, output = modeling.LongformerSelfAttention(config, layer_id=0), nn.Linear(DIM, DIM)

    def call(x: Tensor, keep: Tensor) -> Any:
        is_global = torch.arange(LENGTH) < 1
        mask = torch.where(keep, 10000.0 * is_global, -10000.0)
        found = core(
            x, attention_mask=mask, is_index_masked=mask < 0, is_index_global_attn=mask > 0, is_global_attn=True
        )
        return output(found[0])

    return Whole(nn.ModuleList([core, output]), call)


def bigbird(*, block: int, num_random: int) -> nn.Module:
    modeling = import_module("transformers.models.big_bird.modeling_big_bird")
    config = import_module("transformers").BigBirdConfig(
        hidden_size=DIM, num_attention_heads=HEADS, num_hidden_layers=1, block_size=block, num_random_blocks=num_random,
        max_position_embeddings=LENGTH, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    core, output = modeling.BigBirdBlockSparseAttention(config, seed=0), nn.Linear(DIM, DIM)

    def call(x: Tensor, keep: Tensor) -> Any:
        blocks, band, rows, columns = modeling.BigBirdModel.create_masks_for_block_sparse_attn(keep.float(), block)
        return output(core(x, band, rows, columns, blocks, blocks)[0])

    return Whole(nn.ModuleList([core, output]), call)


def isab(*, points: int) -> nn.Module:
    module = import_module("isab_pytorch.isab_pytorch")
    core = module.ISAB(dim=DIM, heads=HEADS, num_latents=points)
    core.attn1, core.attn2 = (module.Attention(DIM, HEADS, WIDTH) for _ in range(2))  # ISAB has no option for E
    return Whole(core, lambda x, mask: core(x, mask=mask)[0])


def compressive(*, segment: int) -> nn.Module:
    core = import_module("compressive_transformer_pytorch.compressive_transformer_pytorch").SelfAttention(
        DIM, segment, segment, segment, heads=HEADS
    )
    positions = nn.Parameter(torch.randn(HEADS, 3 * segment, WIDTH))

    def call(x: Tensor, keep: Tensor) -> Tensor:
        memories, found = None, []
        for part, kept in zip(torch.split(x, segment, dim=1), torch.split(keep, segment, dim=1), strict=True):
            out, memory, _ = core(part, memories=memories, pos_emb=positions, input_mask=kept)
            memories = (memory.mem, memory.compressed_mem)
            found.append(out)
        return torch.cat(found, dim=1)

    layer = Whole(core, call)
    layer.register_parameter("positions", positions)
    return layer


def axial() -> nn.Module:
    core = import_module("axial_attention").AxialAttention(
        DIM, num_dimensions=2, heads=HEADS, dim_index=-1, sum_axial_out=True
    )
    side = int(LENGTH**0.5)
    return Whole(core, lambda x, _: core(x.view(len(x), side, side, DIM)).reshape(x.shape))


def perceiver(*, latents: int) -> nn.Module:
    module = import_module("perceiver_pytorch.perceiver_pytorch")
    read, answer = (module.Attention(DIM, heads=HEADS, dim_head=WIDTH) for _ in range(2))
    points = nn.Embedding(latents, DIM)
    return Whole(
        nn.ModuleList([read, answer, points]),
        lambda x, keep: answer(x, read(points.weight.expand(len(x), -1, -1), context=x, mask=keep)),
    )


def entmax() -> nn.Module:
    core = SimpleNamespace(alpha=nn.Parameter(torch.tensor(1.5)))
    bisect = import_module("entmax").entmax_bisect

    def mix(q: Tensor, k: Tensor, v: Tensor, keep: Tensor) -> Any:
        logits = (q @ k.transpose(-1, -2) / WIDTH**0.5).masked_fill(~keep[:, None, None], -1e9)
        return bisect(logits, core.alpha) @ v

    layer = Layer(None, mix)
    layer.alpha = core.alpha
    return layer
