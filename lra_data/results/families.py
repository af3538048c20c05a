"""The kind of each model that a score is printed for, so that a board can be filtered by it.

The kinds are ours, by what mixes the tokens; the papers do not all use these words. A name that is not listed is OTHER.
"""

import re
from collections.abc import Mapping

OTHER = "other"

_NAMES: Mapping[str, tuple[str, ...]] = {
    "full attention": (
        "Transformer", "Transformer (self-attention)", "Transformer (standard)", "Transformer (MHFA + RoPE)",
        "Transformer + RoPE", "Transformer + FlashAttention", "Transformer + causal self-pretraining",
        "AdaWavSpA (Transformer)", "full", "transformer_xl", "compressive",
    ),
    "sparse attention": (
        "Local Attention", "Sparse Transformer", "Longformer", "Sinkhorn Transformer", "Reformer", "BigBird", "Smyrf",
        "Informer", "Transformer + block-sparse FlashAttention", "H-Transformer-1D", "ZETA", "local", "sparse",
        "sinkhorn", "routing", "image_transformer", "adaptive_sparse", "axial", "cluster_former", "etc",
        "h_transformer", "long_short", "poolingformer",
    ),
    "low-rank or kernel attention": (
        "Linformer", "Linformer-seq/4", "Synthesizer", "Linear Transformer", "Linear Attention", "Performer",
        "Performer (Favor-256, redraw)", "Nystromformer", "Nystromformer-128", "Orthoformer-32", "Skyformer",
        "Kernelized Attention", "Luna-256", "cosFormer", "Hrrformer", "PolaFormer", "Hedgehog", "MetaLA", "MTLA",
        "LION-D", "LION-LIT", "LION-S", "LOTFormer", "LUNA (linear attention, 2025)", "Lambda", "linear",
        "random_feature", "luna", "set_transformer", "memory_compressed", "perceiver", "funnel", "token_learner",
    ),
    "attention with recurrence": ("Mega", "Mega-chunk", "Megalodon", "Megalodon-chunk", "FLASH", "Griffin"),
    "state space": (
        "S4", "S4 (original)", "S4 + best reparameterisation", "S4++", "S4-FouT", "S4-LegS", "S4-LegS/FouT", "S4D",
        "S4D-FT (frequency tuned)", "S4D-Inv", "S4D-LegS", "S4D-Lin", "Regularised S4D", "DSS", "DSS (Diagonal)",
        "DSS-exp", "DSS-exp no scale", "DSS-softmax", "S5", "S5-PTD", "S7", "Liquid-S4", "H3", "Mamba", "B2S6",
        "HOPE-SSM", "MS-SSM (S4)", "MS-SSM (S6)", "SpaceTime", "Spectral SSM (STU)", "RTF", "FRACTAL", "LSSO",
    ),
    "recurrent": (
        "LRU", "Diagonal linear RNN", "HGRN", "RWKV-4", "xLSTM", "RNN-Lin (dense)", "RNN-ReLU", "RNN-Tanh",
        "LMUFormer", "Temporal Latent Bottleneck (TLB)", "suGRU (binary)", "PCR only", "PCR + complex screening",
    ),
    "convolution or fixed mixing": (
        "CCNN", "CDIL-CNN", "SGConv", "MultiResNet", "TNN", "IGLOO", "ChordMixer", "FNet", "FourierMix (FNet)",
        "short_conv",
    ),
    "spiking or neuron model": (
        "SpikingSSM", "SpikingSSM-VF", "SpikingSSM-VT", "Spiking LMUFormer", "S6-based SNN", "Binary S4D",
        "Binary S4D + GSU & GeLU", "D-RF", "ELM neuron", "SD-TCM (PRF)",
    ),
    "control": ("Random", "no_attention"),
}  # fmt: skip

FAMILIES = (*_NAMES, OTHER)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.casefold())


_FAMILY_OF = {_plain(name): family for family, names in _NAMES.items() for name in names}


def family_of(model: str) -> str:
    """The kind of a model by its name, whatever its capitals, spaces and hyphens; OTHER for an unknown name."""
    return _FAMILY_OF.get(_plain(model), OTHER)
