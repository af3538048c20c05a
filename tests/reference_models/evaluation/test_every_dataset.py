"""Every model learns from every dataset: small forms of both go the whole way, from archive or generator to a card.

Each run takes 50 steps over 8 examples, which a model that sees its input learns by heart. One that does not cannot
come below the entropy of the 8 labels, so the loss must come below half of that, and no weight may be as it was drawn.

Pathfinder is built. The corpora of the quick runs are those of `tests/support/tiny_corpora.py`; the slow runs read the
real archives where they are at hand. The quick runs are one a form, with models that cost little; the slow runs are all
models with all forms. That every weight of every model learns is also in tests/reference_models/attention.

Not here: how well a model does on what it has not seen, and whether each attention computes what its paper says.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lra_data
from lra_data.corpus import Corpus
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchBatch, to_device
from reference_models.attention.catalogue import attention_names
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import evaluate
from reference_models.model.card import Card
from reference_models.model.checkpoint import load_model, save_model
from reference_models.model.classifier import Classifier
from reference_models.model.config import Head, ModelConfig
from reference_models.model.encoder import AttentionLayer
from reference_models.model.preset_options import options_of
from reference_models.model.presets import preset
from reference_models.model.train_config import TrainConfig
from reference_models.training import loop
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
from tests.support.real_corpora import AAN, CIFAR_PYTHON, IMDB, real
from tests.support.tiny_corpora import cifar_arrays, write_tar

SPLITS = ("train", "validation", "test")
EXAMPLES, STEPS, LOGGED = 8, 50, 10
# Chosen so that the end is quiet. With a constant rate or a short memory of squared gradients (beta2 0.99), single
# losses leap when gradients are nearly 0; with a higher rate synthesizer may stay where it is on Pathfinder; with half
# of the examples a step, reformer there and others on the tiny archive's noise are too slow.
RECIPE = TrainConfig(
    steps=STEPS,
    batch_size=EXAMPLES,
    learning_rate=1e-2,
    schedule="cosine",
    warmup=5,
    beta2=0.999,
    weight_decay=0.0,  # which would move weights that have no gradient
    clip_norm=1.0,
    evaluate_every=STEPS,
)
# Greatest loss at the end, as a share of the labels' entropy.
MOST = 0.5


@dataclass(frozen=True)
class Form:
    """A dataset as these tests read it: its family, the head, the greatest length of a sequence."""

    family: str
    head: Head = "single"
    length: int = 1024


FORMS = {
    "text": Form("text", length=256),
    "pathfinder": Form("pathfinder"),
    "retrieval-concat": Form("retrieval", head="concat", length=256),
    "image": Form("image"),
    "retrieval-four-way": Form("retrieval", head="four-way", length=256),
}
NAMES = attention_names()
QUICK = [
    ("routing", "text"),
    ("local", "pathfinder"),
    ("longformer", "retrieval-concat"),
    ("performer", "image"),
    ("linear", "retrieval-four-way"),
]
LONG_FORMS = ("pathfinder", "image", "retrieval-concat")

# The preset's memories are for 512 bytes: in 256 little would come to be compressed.
DOCUMENT_OPTIONS = {
    "transformer_xl": {"segment": 64, "memory": 64},
    "compressive": {"segment": 64, "memory": 64, "compressed": 32},
}
# Each step has a draw of its own: with 64 features, an evaluation's is far from those that 50 steps have seen.
MORE_FEATURES = {"random_feature": {"features": 512}}

Open = Callable[[str, str], Dataset]


def small(name: str, form: str) -> ModelConfig:
    """The preset `mini` for a form, narrower and of one layer, with a token for each byte and pixel."""
    chosen = FORMS[form]
    config = preset("mini", task=chosen.family, attention=name)
    config = replace(
        config,
        stem="tokens",
        stride=1,
        positions="sinusoidal",
        standardised=False,
        options=options_of("mini", chosen.family, name, cls=False, vectors=config.max_length),
    )
    if chosen.length < config.max_length:
        config = replace(config, options={**config.options, **DOCUMENT_OPTIONS.get(name, {})})
    config = replace(config, options={**config.options, **MORE_FEATURES.get(name, {})})
    return replace(
        config,
        max_length=chosen.length,
        head=chosen.head,
        dim=32,
        heads=2,
        qkv_dim=32,
        mlp_dim=64,
        num_layers=1,
    )


@pytest.fixture(scope="module")
def open_split(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Open:
    """From a family and a split, or a slice of one, to its rows."""
    return _opener(corpora, tmp_path_factory)


@pytest.fixture(scope="module")
def open_real_split(corpora: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Open:
    """The same, from the real archives that are at hand."""
    archives = {"text": IMDB, "retrieval": AAN, "image": CIFAR_PYTHON}
    return _opener({name: _archive(archives[name], tiny) for name, tiny in corpora.items()}, tmp_path_factory)


def _opener(archives: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Open:

    @cache
    def built() -> Path:
        root = tmp_path_factory.mktemp("built")
        lra_data.build("pathfinder/32-easy", root, sizes={"train": 64, "validation": 8, "test": 8})
        return root

    def opened(family: str, split: str) -> Dataset:
        if family == "pathfinder":
            return lra_data.load("pathfinder/32-easy", split=split, root=built())
        return lra_data.load(family, split=split, corpus=Corpus(archives[family], allow_partial=True))

    return opened


def _archive(name: str, tiny: Path) -> Path:
    """The real archive if it is at hand; these tests have something to say without it."""
    try:
        return real(name)
    except pytest.skip.Exception:
        return tiny


@dataclass(frozen=True)
class Run:
    """A finished run. first, last: mean losses of its first and last ten steps; entropy: of the labels, in nats;
    again: loss of the stored model on what it learned. untouched: weights that are as they were drawn.
    """

    first: float
    last: float
    entropy: float
    again: float
    untouched: list[str]
    card: Card = field(repr=False)

    @property
    def faults(self) -> set[str]:
        """What a run that learned does not have."""
        found = {
            "not finite": not all(map(math.isfinite, (self.first, self.last, self.again, self.card.test.loss))),
            "did not fall": not self.last < MOST * self.first,
            "does not see its input": not self.last < MOST * self.entropy,
            "stored another model": not self.again < MOST * self.entropy,
            "untouched weights": bool(self.untouched),
        }
        return {text for text, there in found.items() if there}


def learned(name: str, form: str, open_split: Open, folder: Path, patch: pytest.MonkeyPatch) -> Run:
    """Train a small model on the first examples of a form, store it, and read it again."""
    config, family = small(name, form), FORMS[form].family
    splits = Splits(**{split: open_split(family, f"{split}[:{EXAMPLES}]") for split in SPLITS})
    assert len(splits.train) == EXAMPLES
    events: list[dict[str, Any]] = []
    patch.setattr(loop, "LOG_EVERY", LOGGED)
    card = train(config, RECIPE, splits, folder, device="cpu", report=lambda event: events.append(dict(event)))
    losses = [event["loss"] for event in events if "loss" in event]
    assert len(losses) == STEPS // LOGGED
    patch.undo()  # what is broken on purpose is broken in training alone
    model, _ = load_model(folder)
    torch.manual_seed(RECIPE.seed)
    drawn = dict(Classifier(config).named_parameters())
    counts = Counter(int(splits.train[place]["label"]) for place in range(EXAMPLES))
    return Run(
        first=losses[0],
        last=losses[-1],
        entropy=-sum(n / EXAMPLES * math.log(n / EXAMPLES) for n in counts.values()),
        again=evaluate(model, splits.train).loss,
        untouched=[
            name
            for name, weight in model.named_parameters()
            if torch.equal(weight, drawn[name]) and name not in model.never_trained
        ],
        card=card,
    )


def check_run(name: str, form: str, open_split: Open, folder: Path, patch: pytest.MonkeyPatch) -> None:
    run = learned(name, form, open_split, folder, patch)
    assert run.entropy > 0.5, "labels that are nearly all the same: a constant answer would do"
    assert run.faults == set(), run
    assert run.card.task.partition("/")[0] == FORMS[form].family
    assert run.card.data.cut_to == FORMS[form].length


@pytest.mark.parametrize(
    ("name", "form"),
    [pytest.param(name, form, marks=[pytest.mark.slow] if form in LONG_FORMS else []) for name, form in QUICK],
)
def test_a_model_learns(
    name: str, form: str, open_split: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_run(name, form, open_split, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_every_model_learns_from_every_dataset(
    name: str, form: str, open_real_split: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_run(name, form, open_real_split, tmp_path, monkeypatch)


def test_the_quick_runs_are_all_forms() -> None:
    assert [form for _, form in QUICK] == list(FORMS)
    assert {name for name, _ in QUICK} < set(NAMES)


def _noise(batch: TorchBatch, device: torch.device | str) -> TorchBatch:
    """Other labels each time."""
    return to_device(batch._replace(labels=torch.randint_like(batch.labels, 2)), device)


def _blind(batch: TorchBatch, device: torch.device | str) -> TorchBatch:
    """The same input for all."""
    return to_device(batch._replace(inputs=torch.ones_like(batch.inputs)), device)


def _silent(layer: AttentionLayer, x: Tensor, keep: Tensor | None) -> Tensor:
    return layer.attention(layer.norm(x), keep) * 0  # type: ignore[no-any-return]


def _frozen(embedding: nn.Embedding, tokens: Tensor) -> Tensor:
    return nn.functional.embedding(tokens, embedding.weight).detach()


def _stores_another(folder: Path, model: Classifier, card: Card) -> Card:
    return save_model(folder, Classifier(model.config), card)


def _at_rest(optimizer: torch.optim.AdamW) -> None:
    """A step that is none."""


# What is broken, by what, and what the check says of it.
BROKEN: dict[str, tuple[list[tuple[Any, str, Any]], set[str]]] = {
    "labels of noise": (
        [(loop, "to_device", _noise)],
        {"did not fall", "does not see its input", "stored another model"},
    ),
    "one input for all": (
        [(loop, "to_device", _blind)],
        {"did not fall", "does not see its input", "stored another model"},
    ),
    "attention of zeros": ([(AttentionLayer, "forward", _silent)], {"untouched weights"}),
    "embedding without gradient": ([(nn.Embedding, "forward", _frozen)], {"untouched weights"}),
    "attention of zeros, embedding without gradient": (
        [(AttentionLayer, "forward", _silent), (nn.Embedding, "forward", _frozen)],
        {"untouched weights"},
    ),
    "other weights stored": ([(loop, "save_model", _stores_another)], {"stored another model"}),
    "no step": (
        [(torch.optim.AdamW, "step", _at_rest)],
        {"did not fall", "does not see its input", "stored another model", "untouched weights"},
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_seen(what: str, open_split: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replacements, expected = BROKEN[what]
    for target, attribute, broken in replacements:
        monkeypatch.setattr(target, attribute, broken)
    run = learned("linear", "text", open_split, tmp_path, monkeypatch)
    assert expected <= run.faults, run


@pytest.mark.parametrize("family", ["pathfinder", "image"])
def test_image_transformer_sees_pictures_in_two_dimensions(family: str) -> None:
    config = small("image_transformer", family)
    assert config.options["mode"] == "2d"
    torch.manual_seed(0)
    model = Classifier(config)
    (attention,) = model.attentions
    x = torch.randn(1, 1024, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    attention(x)[0, 0].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum(dim=-1).view(32, 32) > 0
    # The first pixel's block of 8 x 8, and 8 more to the right and below. In 1-D it would be whole rows.
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[:16, :16] = True
    assert torch.equal(seen, expected)


def _ids(inputs: Tensor, length: Tensor) -> set[int]:
    return set(inputs[: int(length)].tolist())


@pytest.mark.parametrize("head", ["concat", "four-way"])
@pytest.mark.parametrize("name", NAMES)
def test_both_documents_reach_the_logits(name: str, head: str, open_split: Open) -> None:
    """By the embeddings of bytes that stand in one of them only; 64 bytes, so that there are such."""
    config = replace(small(name, f"retrieval-{head}"), max_length=64)
    rows = open_split("retrieval", "train[:50]")
    batch = next(batch for batch in read(config, rows, 1) if all(_only(batch)))
    torch.manual_seed(0)
    model = Classifier(config)
    model(batch.inputs, batch.lengths)[0, 0].backward()
    gradient = model.get_parameter("encoder.embedding.weight").grad
    assert gradient is not None
    reached = gradient.abs().sum(dim=1) > 0
    for own in _only(batch):
        assert reached[sorted(own)].all()
    absent = set(range(config.vocab_size)) - _ids(*_document(batch, 0)) - _ids(*_document(batch, 1))
    assert not reached[sorted(absent)].any()


def _document(batch: TorchBatch, number: int) -> tuple[Tensor, Tensor]:
    return batch.inputs[0, number], batch.lengths[0, number]


def _only(batch: TorchBatch) -> tuple[set[int], set[int]]:
    """The ids that the first example has in one of its documents only."""
    first, second = (_ids(*_document(batch, number)) for number in (0, 1))
    return first - second, second - first


@pytest.fixture(scope="module")
def black_below(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Image of pictures whose lower half is black, as padding would be."""
    files = {}
    for name, (labels, values) in cifar_arrays().items():
        values.reshape(-1, 3, 1024)[:, :, 512:] = 0
        files[f"cifar-10-batches-bin/{name}.bin"] = np.hstack([labels[:, None], values]).tobytes()
    archive = write_tar(tmp_path_factory.mktemp("black") / "cifar.tar.gz", files)
    return lra_data.load("image", split="train[:1]", corpus=Corpus(archive, allow_partial=True))


@pytest.mark.parametrize("family", ["pathfinder", "image"])
@pytest.mark.parametrize("name", NAMES)
def test_black_pixels_are_no_padding(name: str, family: str, open_split: Open, black_below: Dataset) -> None:
    config = small(name, family)
    rows = black_below if family == "image" else open_split(family, "train[:1]")
    (batch,) = read(config, rows, 1)
    black = batch.inputs[0, 0] == 0
    assert black.sum() >= 512
    assert batch.lengths.tolist() == [[1024]]
    torch.manual_seed(0)
    model = Classifier(config)
    embedded: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    model.encoder.embedding.register_forward_hook(keep)
    model(batch.inputs, batch.lengths)[0, 0].backward()
    gradient = embedded[0].grad
    assert gradient is not None
    assert (gradient[0].abs().sum(dim=1)[black] > 0).all()
