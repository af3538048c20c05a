"""The named models: `lra-paper`, `lra-release`, `xiong`, `mini`, each for a task and an attention.

Of pictures there is also `mini-pixels`, of documents `mini-bytes`, and of models whose authors published settings
`published`.

Sources: the appendix of "Long Range Arena" (Tay et al. 2021) for `lra-paper`; the configuration files of
google-research/long-range-arena at cd31e5c for `lra-release`; mlpen/Nystromformer at 5689313, `LRA/code/lra_config.py`,
for `xiong`, the model of most GPU comparisons (Xiong et al. 2021). `mini`, `mini-pixels` and `mini-bytes` are ours and
train on a CPU core in minutes: `mini` reads patches of pictures by convolutions and groups of four bytes, and
standardises what it pools; the other two have the benchmark's own form, a token for each pixel or byte.

The release's settings for an attention and a task are used where our module has such an option. Where the release's
code differs from its option, or never read the configuration, a comment says so.
"""

from dataclasses import replace
from typing import Any

from lra_data import UsageError, errors
from reference_models.attention.catalogue import attention_class
from reference_models.model.config import ModelConfig
from reference_models.model.preset_options import options_of
from reference_models.model.published import changes_of_xiong, published_model

# Those of every model and task, and one of the models whose authors published settings for a task.
PRESETS = ("lra-paper", "lra-release", "xiong", "mini")
PUBLISHED = "published"
PIXELS, BYTES = "mini-pixels", "mini-bytes"
PRESET_NAMES = (*PRESETS, PIXELS, BYTES, PUBLISHED)
PICTURES, DOCUMENTS = ("image", "pathfinder"), ("text", "retrieval")
TASKS = ("listops", "text", "retrieval", "image", "pathfinder")

# The models that the benchmark compares.
IN_LRA = (
    "bigbird", "full", "linear", "linformer", "local", "longformer", "performer", "reformer", "sinkhorn", "sparse",
    "synthesizer",
)  # fmt: skip

_VOCABULARY = {
    "listops": {"vocab_size": 16, "num_classes": 10},
    "text": {"vocab_size": 257, "num_classes": 2},
    "retrieval": {"vocab_size": 257, "num_classes": 2},
    "image": {"vocab_size": 256, "num_classes": 10},
    "pathfinder": {"vocab_size": 256, "num_classes": 2},
}

_RELEASE: dict[str, dict[str, Any]] = {
    # The release counts an id for unknown words, which never occur.
    "listops": {
        "vocab_size": 17,
        "max_length": 2000,
        "dim": 512,
        "heads": 8,
        "qkv_dim": 512,
        "mlp_dim": 1024,
        "num_layers": 4,
    },
    "text": {"max_length": 1000, "dim": 256, "heads": 4, "qkv_dim": 256, "mlp_dim": 1024, "num_layers": 4},
    # Its encoders get no classifier, so there is no CLS token; "CLS" pooling takes the first byte. We use the mean.
    "retrieval": {
        "max_length": 4000,
        "dim": 128,
        "heads": 4,
        "qkv_dim": 128,
        "mlp_dim": 512,
        "num_layers": 4,
        "pooling": "mean",
        "head": "concat",
    },
    "image": {
        "max_length": 1024,
        "dim": 128,
        "heads": 8,
        "qkv_dim": 64,
        "mlp_dim": 128,
        "num_layers": 1,
        "positions": "learned",
        "dropout": 0.3,
        "attention_dropout": 0.2,
    },
    "pathfinder": {
        "max_length": 1024,
        "dim": 32,
        "heads": 4,
        "qkv_dim": 16,
        "mlp_dim": 32,
        "num_layers": 4,
        "pooling": "mean",
        "dropout": 0.2,
    },
}

# Changes to the release's settings for single attentions, mostly for pictures.
_RELEASE_CHANGES: dict[tuple[str, str], dict[str, Any]] = {
    ("image", "bigbird"): {"heads": 1},
    ("image", "local"): {"heads": 2, "pooling": "mean"},
    ("image", "longformer"): {"heads": 4, "num_layers": 4, "pooling": "mean"},
    ("image", "reformer"): {"dim": 64, "qkv_dim": 64, "mlp_dim": 64, "num_layers": 4},
    ("image", "sinkhorn"): {"dim": 32, "heads": 1, "qkv_dim": 32, "mlp_dim": 32, "pooling": "mean", "dropout": 0.1},
    ("pathfinder", "bigbird"): {"dim": 64, "heads": 2, "qkv_dim": 32, "mlp_dim": 64},
    ("pathfinder", "linear"): {"dim": 128, "heads": 2, "qkv_dim": 64, "mlp_dim": 128, "num_layers": 1},
    ("pathfinder", "linformer"): {"heads": 2, "num_layers": 1},
    ("pathfinder", "local"): {"dim": 64, "qkv_dim": 32, "mlp_dim": 64, "num_layers": 2},
    ("pathfinder", "longformer"): {"heads": 2, "num_layers": 2},
    ("pathfinder", "performer"): {"heads": 8},
    ("pathfinder", "reformer"): {"dim": 64, "heads": 8, "qkv_dim": 64, "mlp_dim": 64, "num_layers": 2},
    ("pathfinder", "sinkhorn"): {"num_layers": 2},
    ("pathfinder", "sparse"): {"heads": 8, "num_layers": 1},
    ("pathfinder", "synthesizer"): {"dim": 64, "qkv_dim": 32, "mlp_dim": 64, "num_layers": 2},
    **{(task, "sinkhorn"): {"pooling": "mean"} for task in ("listops", "text")},
}

_PAPER: dict[str, dict[str, Any]] = {
    "listops": {"max_length": 2000, "dim": 512, "heads": 8, "qkv_dim": 512, "mlp_dim": 2048, "num_layers": 6},
    "text": {"max_length": 4000, "dim": 512, "heads": 8, "qkv_dim": 512, "mlp_dim": 2048, "num_layers": 6},
    "retrieval": {
        "max_length": 4000,
        "dim": 128,
        "heads": 4,
        "qkv_dim": 128,
        "mlp_dim": 512,
        "num_layers": 4,
        "pooling": "mean",
        "head": "four-way",
    },
    # The paper gives three layers, four heads, feed-forward 128 and keys of 64; the width is the release's.
    "image": {
        "max_length": 1024,
        "dim": 128,
        "heads": 4,
        "qkv_dim": 64,
        "mlp_dim": 128,
        "num_layers": 3,
        "positions": "learned",
        "dropout": 0.3,
        "attention_dropout": 0.2,
    },
    "pathfinder": {
        "max_length": 1024,
        "dim": 128,
        "heads": 8,
        "qkv_dim": 128,
        "mlp_dim": 128,
        "num_layers": 4,
        "pooling": "mean",
        "dropout": 0.2,
    },
}

_XIONG: dict[str, int] = {"listops": 2000, "text": 4000, "retrieval": 4000, "image": 1024, "pathfinder": 1024}


def preset(name: str, *, task: str, attention: str, pixels: int | None = None) -> ModelConfig:
    """A preset's model for a task (a family of `lra_data`) and an attention.

    pixels: number of pixels of a picture, for `mini` and `mini-pixels`; 1,024 if it is not given.

    Raises UsageError for unknown names, and for a task that the preset does not have.
    """
    check_preset(name, task)
    kind = attention_class(attention)
    if name == PUBLISHED:
        changes = changes_of_xiong(attention, task)
        if changes is not None:
            return replace(preset("xiong", task=task, attention=attention), **changes)
        own: dict[str, Any] = {**_VOCABULARY[task], **published_model(attention, task)}
        return ModelConfig(attention=attention, **own)
    settings = {"attention": attention, **_VOCABULARY[task], **_SETTINGS[name](task, attention)}
    if name.startswith("mini") and task in PICTURES and pixels is not None:
        settings["max_length"] = pixels
    notes = [settings.pop("note", "")]
    if not kind.mixes:
        settings["pooling"] = "mean"  # a CLS token would learn of no other
    if attention not in IN_LRA and name.startswith("lra"):
        notes.append("not among the benchmark's models: it has the task's Transformer configuration")
    model = ModelConfig(**settings, note="; ".join(note for note in notes if note))
    vectors = model.vectors(model.max_length)
    return replace(model, options=options_of(name, task, attention, cls=model.pooling == "cls", vectors=vectors))


def check_preset(name: str, task: str) -> None:
    """Raise UsageError for unknown names, and for a task that the preset does not have."""
    for what, given, known in (("preset", name, PRESET_NAMES), ("task", task, TASKS)):
        if given not in known:
            raise errors.unknown_name(what, given, known)
    for own, kind, tasks in ((PIXELS, "pictures", PICTURES), (BYTES, "documents", DOCUMENTS)):
        if name == own and task not in tasks:
            raise UsageError(f"expected a task of {kind} with the preset {own}, {' or '.join(tasks)}, got {task}")


def _lra_release(task: str, attention: str) -> dict[str, Any]:
    return {**_RELEASE[task], **_RELEASE_CHANGES.get((task, attention), {})}


def _lra_paper(task: str, attention: str) -> dict[str, Any]:
    notes = {"text": "the paper takes the best of 1,000 to 4,000 bytes; this is 4,000"}
    return {**_PAPER[task], "note": notes.get(task, "")}


def _xiong(task: str, attention: str) -> dict[str, Any]:
    return {
        "max_length": _XIONG[task],
        "dim": 64,
        "heads": 2,
        "qkv_dim": 64,
        "mlp_dim": 128,
        "num_layers": 2,
        "pooling": "mean",
        "positions": "learned",
        "head": "four-way" if task == "retrieval" else "single",
    }


_PATCHES = {"positions": "grid", "stem": "convolution", "stride": 4, "standardised": True}
_MINI: dict[str, dict[str, Any]] = {
    "listops": {"max_length": 128},
    "text": {"max_length": 512, "stem": "strided", "stride": 4, "standardised": True},
    "retrieval": {"max_length": 256, "stem": "strided", "stride": 4, "standardised": True},
    # Few pictures, of which each is seen many times. Grey values by their mean and deviation.
    "image": {**_PATCHES, "grey_mean": 122.0, "grey_deviation": 61.0, "dropout": 0.1},
    # Black is 0: most of a picture is, and what differs from it is to be large (docs/log.md).
    "pathfinder": {**_PATCHES, "grey_mean": 0.0, "grey_deviation": 64.0},
}


def _mini(task: str, attention: str) -> dict[str, Any]:
    """Sequences short enough to train on a core: listops/mini, the first bytes of documents, patches of 4 x 4 pixels.

    Positions are fixed: learned ones begin at 1/50 of a token's own vector, and hardly grow in so few steps.
    """
    return {**_xiong(task, attention), "positions": "sinusoidal", "dropout": 0.0, **_MINI[task]}


def _mini_pixels(task: str, attention: str) -> dict[str, Any]:
    """One vector for each pixel, of its grey value as a number."""
    return {**_mini(task, attention), "stem": "grey", "stride": 1}


def _mini_bytes(task: str, attention: str) -> dict[str, Any]:
    """One vector for each byte: without attention, a model sees each byte and its place alone."""
    return {**_mini(task, attention), "stem": "tokens", "stride": 1}


_SETTINGS = {
    "lra-paper": _lra_paper,
    "lra-release": _lra_release,
    "xiong": _xiong,
    "mini": _mini,
    PIXELS: _mini_pixels,
    BYTES: _mini_bytes,
}
