"""The rows of the survey's table, and which of them are models here.

Tay, Dehghani, Bahri and Metzler, "Efficient Transformers: A Survey", version 3, 2022, table 1. Class and cost are as it
prints them; its text sometimes gives another cost. FP: fixed pattern. M: memory. LP: learnable pattern. LR: low rank.
KR: kernel. RC: recurrence. DS: downsampling. Sparse: conditional computation.

Six of the 33 rows mix no tokens in another way than the Transformer does, so that they are no X-formers.
"""

from typing import NamedTuple


class SurveyRow(NamedTuple):
    """A row of the survey's table.

    name, paper: as the survey names them.
    cost: printed cost, N for the length.
    classes: printed classes.
    model: name of the model here; None for a row that is no token mixer.
    reason: why it is none; "" for a model.
    """

    name: str
    paper: str
    cost: str
    classes: str
    model: str | None
    reason: str = ""


_EXPERTS = "a mixture of experts in the feed-forward layer; its attention is the Transformer's"

SURVEY = (
    SurveyRow("Memory Compressed", "Liu et al. 2018", "N_c²", "FP+M", "memory_compressed"),
    SurveyRow("Image Transformer", "Parmar et al. 2018", "N·m", "FP", "image_transformer"),
    SurveyRow("Set Transformer", "Lee et al. 2019", "kN", "M", "set_transformer"),
    SurveyRow("Transformer-XL", "Dai et al. 2019", "N²", "RC", "transformer_xl"),
    SurveyRow("Sparse Transformer", "Child et al. 2019", "N√N", "FP", "sparse"),
    SurveyRow("Reformer", "Kitaev et al. 2020", "N log N", "LP", "reformer"),
    SurveyRow("Routing Transformer", "Roy et al. 2020", "N√N", "LP", "routing"),
    SurveyRow("Axial Transformer", "Ho et al. 2019", "N√N", "FP", "axial"),
    SurveyRow("Compressive Transformer", "Rae et al. 2020", "N²", "RC", "compressive"),
    SurveyRow("Sinkhorn Transformer", "Tay et al. 2020b", "B²", "LP", "sinkhorn"),
    SurveyRow("Longformer", "Beltagy et al. 2020", "n(k+m)", "FP+M", "longformer"),
    SurveyRow("ETC", "Ainslie et al. 2020", "N_g²+N N_g", "FP+M", "etc"),
    SurveyRow("Synthesizer", "Tay et al. 2020a", "N²", "LR+LP", "synthesizer"),
    SurveyRow("Performer", "Choromanski et al. 2020", "N", "KR", "performer"),
    SurveyRow("Funnel Transformer", "Dai et al. 2020", "N²", "FP+DS", "funnel"),
    SurveyRow("Linformer", "Wang et al. 2020c", "N", "LR", "linformer"),
    SurveyRow("Linear Transformer", "Katharopoulos et al. 2020", "N", "KR", "linear"),
    SurveyRow("Big Bird", "Zaheer et al. 2020", "N", "FP+M", "bigbird"),
    SurveyRow("Random Feature Attention", "Peng et al. 2021", "N", "KR", "random_feature"),
    SurveyRow("Long-Short Transformer", "Zhu et al. 2021", "kN", "FP+LR", "long_short"),
    SurveyRow("Poolingformer", "Zhang et al. 2021", "N", "FP+M", "poolingformer"),
    SurveyRow("Nyströmformer", "Xiong et al. 2021", "kN", "M+DS", "nystromformer"),
    SurveyRow("Perceiver", "Jaegle et al. 2021", "kN", "M+DS", "perceiver"),
    SurveyRow("Clusterformer", "Wang et al. 2020b", "N log N", "LP", "cluster_former"),
    SurveyRow("Luna", "Ma et al. 2021", "kN", "M", "luna"),
    SurveyRow("TokenLearner", "Ryoo et al. 2021", "k²", "DS", "token_learner"),
    SurveyRow("Adaptive Sparse Transformer", "Correia et al. 2019", "N²", "Sparse", "adaptive_sparse"),
    SurveyRow(
        "Product Key Memory", "Lample et al. 2019", "N²", "Sparse", None,
        "a memory that each token reads on its own, in place of a feed-forward layer",
    ),
    SurveyRow("Switch Transformer", "Fedus et al. 2021", "N²", "Sparse", None, _EXPERTS),
    SurveyRow("ST-MoE", "Zoph et al. 2022", "N²", "Sparse", None, _EXPERTS),
    SurveyRow("GShard", "Lepikhin et al. 2020", "N²", "Sparse", None, _EXPERTS),
    SurveyRow(
        "Scaling Transformer", "Jaszczur et al. 2021", "N²", "Sparse", None,
        "sparse feed-forward and projection layers; its attention is the Transformer's",
    ),
    SurveyRow("GLaM", "Du et al. 2021", "N²", "Sparse", None, _EXPERTS),
)  # fmt: skip
