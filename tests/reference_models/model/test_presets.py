"""Presets: the release's parameter counts, exact where our module has its parameters, else with the difference."""

import pytest
import torch

from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.model.classifier import Classifier, count_parameters
from reference_models.model.config import ModelConfig
from reference_models.model.presets import IN_LRA, PRESETS, TASKS, preset
from reference_models.model.published import published_tasks
from reference_models.training.recipes import recipe

# A formula over the released configurations; it gives the two counts that google-research/long-range-arena#2 quotes
# (CIFAR Performer 248,458, Retrieval 1,087,618).
SAME = ("full", "local", "sparse", "bigbird", "linear", "performer")
RELEASED: dict[str, dict[str, int]] = {
    "listops": dict.fromkeys(SAME, 8_948_746) | {"linformer": 9_076_810, "longformer": 12_094_474},
    "text": dict.fromkeys(SAME, 3_486_722) | {"linformer": 3_550_786, "longformer": 4_273_154},
    "retrieval": dict.fromkeys(SAME, 1_087_618) | {"linformer": 1_343_618, "longformer": 1_284_226},
    "image": dict.fromkeys(SAME, 248_458) | {"local": 248_202, "linformer": 264_858, "longformer": 545_418},
    "pathfinder": {
        "full": 26_530, "linear": 116_098, "performer": 26_530, "sparse": 13_666, "local": 54_338, "bigbird": 87_874,
        "linformer": 30_050, "longformer": 21_026,
    },
}  # fmt: skip


def parameters(config: ModelConfig) -> int:
    with torch.device("meta"):
        return count_parameters(Classifier(config))


@pytest.mark.parametrize("task", TASKS)
def test_counts_are_the_releases(task: str) -> None:
    found = {name: parameters(preset("lra-release", task=task, attention=name)) for name in RELEASED[task]}
    assert found == RELEASED[task]


@pytest.mark.parametrize(("task", "released"), [("listops", 6_851_594), ("text", 2_962_434), ("retrieval", 956_546)])
def test_reformer_has_an_output_projection_which_the_release_lacks(task: str, released: int) -> None:
    config = preset("lra-release", task=task, attention="reformer")
    assert parameters(config) == released + config.num_layers * config.qkv_dim * config.dim


@pytest.mark.parametrize(
    ("task", "released"), [("listops", 137_076_778), ("text", 19_518_738), ("retrieval", 257_087_618)]
)
def test_random_synthesizer_has_no_queries_and_keys_which_the_release_keeps(task: str, released: int) -> None:
    """The release adds its matrix to dot products; a Random Synthesizer has none (Tay et al. 2021, section 3)."""
    config = preset("lra-release", task=task, attention="synthesizer")
    assert parameters(config) == released - config.num_layers * 2 * config.qkv_dim * config.dim


@pytest.mark.parametrize(("task", "released"), [("listops", 8_424_202), ("text", 3_228_162), ("retrieval", 1_090_818)])
def test_sinkhorn_has_a_sort_net_for_each_head_and_the_others_head(task: str, released: int) -> None:
    """The release sorts all heads alike, at most 25 blocks, by keys; its head for one document is one dense layer."""
    config = preset("lra-release", task=task, attention="sinkhorn")
    blocks = -(-config.positions_count // 50)
    theirs = config.qkv_dim // config.heads * 25
    difference = config.num_layers * (config.dim * config.heads * blocks - theirs)
    if config.num_sequences == 1:
        two_layers = (config.dim + 1) * config.mlp_dim + (config.mlp_dim + 1) * config.num_classes
        difference += two_layers - (config.dim + 1) * config.num_classes
    assert parameters(config) == released + difference


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "mini" else [pytest.mark.slow]) for name in PRESETS],
)
@pytest.mark.parametrize("task", TASKS)
def test_every_model_has_every_preset(name: str, task: str) -> None:
    for attention in attention_names():
        config = preset(name, task=task, attention=attention)
        assert (config.attention, config.num_sequences) == (attention, 2 if task == "retrieval" else 1)
        assert ("not among the benchmark's" in config.note) == (attention not in IN_LRA and name.startswith("lra"))
        assert parameters(config) > 0


def test_there_are_thirty_and_four_for_comparison() -> None:
    contrasts = {name for name in attention_names() if attention_class(name).family == "not attention"}
    assert contrasts == {"mega", "no_attention", "s4d", "short_conv"}
    assert len(attention_names()) == 34
    assert set(IN_LRA) < set(attention_names())


@pytest.mark.parametrize("task", ["image", "pathfinder"])
def test_pictures_have_two_forms_of_any_size(task: str) -> None:
    patches, pixels = (preset(name, task=task, attention="full", pixels=576) for name in ("mini", "mini-pixels"))
    assert (patches.stem, patches.vectors(576), pixels.stem, pixels.vectors(576)) == ("convolution", 36, "grey", 576)
    for config in (patches, pixels):
        assert (config.positions, config.standardised, config.max_length) == ("grid", True, 576)
    axial = [preset(name, task=task, attention="axial", pixels=576) for name in ("mini", "mini-pixels")]
    assert [config.options["grid"] for config in axial] == [(6, 6), (24, 24)]
    assert preset("mini", task=task, attention="full").max_length == 1024
    assert preset("xiong", task=task, attention="full", pixels=576).max_length == 1024


def test_documents_are_read_in_groups_of_bytes() -> None:
    for task, block in (("text", 16), ("retrieval", 8)):
        config = preset("mini", task=task, attention="local")
        assert (config.stem, config.stride, config.standardised) == ("strided", 4, True)
        assert (config.positions_count, config.options["block"]) == (8 * block, block)
        with pytest.raises(ValueError, match="expected a task of pictures with the preset mini-pixels"):
            preset("mini-pixels", task=task, attention="local")
        bytewise = preset("mini-bytes", task=task, attention="local")
        assert (bytewise.stem, bytewise.stride, bytewise.standardised) == ("tokens", 1, True)
        assert bytewise.positions_count == {"text": 512, "retrieval": 256}[task]
    for task in ("listops", "image"):
        expected = f"expected a task of documents with the preset mini-bytes, text or retrieval, got {task}"
        with pytest.raises(ValueError, match=expected):
            preset("mini-bytes", task=task, attention="local")


def test_the_control_pools_the_mean_in_every_preset() -> None:
    for name in PRESETS:
        for task in TASKS:
            assert preset(name, task=task, attention="no_attention").pooling == "mean"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match="unknown preset 'lra'; known: lra-paper, lra-release, xiong, mini, mini-pixels, mini-bytes, published",
    ):
        preset("lra", task="listops", attention="full")
    with pytest.raises(ValueError, match="unknown task 'cifar'"):
        preset("mini", task="cifar", attention="full")
    with pytest.raises(ValueError, match=r"unknown attention 'perfomer'.*Did you mean 'performer'"):
        preset("mini", task="image", attention="perfomer")


def test_published_settings_are_of_models_whose_authors_have_some() -> None:
    found = {name: published_tasks(name) for name in attention_names() if published_tasks(name)}
    assert set(found) == {"long_short", "luna", "mega", "nystromformer", "s4d"}
    for name, tasks in found.items():
        for task in tasks:
            config = preset("published", task=task, attention=name)
            assert parameters(config) > 0
            assert recipe("published", task=task, attention=name).steps >= 5000
    assert found["long_short"] == ("listops", "text", "retrieval")
    # Xiong et al. 2021: the harness's own model, with 64 landmarks and a convolution of 35.
    theirs = preset("published", task="text", attention="nystromformer")
    assert (theirs.options, theirs.dim, theirs.num_layers) == ({"num_landmarks": 64, "kernel": 35}, 64, 2)
    # fairseq's inverse square root peaks at the rate that it is given.
    assert recipe("published", task="image", attention="luna").rate(4000) == pytest.approx(5e-3)


def test_other_models_have_no_published_settings() -> None:
    with pytest.raises(ValueError, match=r"expected a model with published settings: nystromformer, .* got 'full'"):
        preset("published", task="text", attention="full")
    with pytest.raises(ValueError, match="of long_short: listops, text, retrieval; got 'image'"):
        preset("published", task="image", attention="long_short")
    with pytest.raises(ValueError, match="expected the model's name with the preset published, got none"):
        recipe("published", task="text")
