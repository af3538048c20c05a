"""The models that come with the package: whole, made by the recipes that are here, as good as the page says."""

import importlib

import pytest
import torch

import lra_data
import reference_models
from lra_data import Corpus
from reference_models.attention.catalogue import attention_names
from reference_models.drift.check import MOST_DIFFERENT
from reference_models.drift.fingerprint import BLOCK, RECORDED, answers, as_answers
from reference_models.efficiency.report import table
from reference_models.efficiency.row import read_rows
from reference_models.evaluation.significance import wilson
from reference_models.model.bundled import BUNDLED, bundled_names
from reference_models.model.checkpoint import CARD, WEIGHTS, load_model, read_card
from reference_models.model.presets import IN_LRA, preset
from reference_models.results.rows import read_cards
from reference_models.results.tables import markdown
from reference_models.training.recipes import recipe_for
from reference_models.training.runs import Source
from tests.conftest import ROOT
from tests.support.real_corpora import AAN, CIFAR_PYTHON, IMDB, real

PAGE = ROOT / "docs" / "baselines.md"
NAMES = bundled_names()
CONTROL = "no_attention"
TASKS = ("image/lra-partial", "listops/mini", "pathfinder/32-easy", "retrieval/by-pair-partial", "text/holdout")
CORPORA = {"image": CIFAR_PYTHON, "text": IMDB, "retrieval": AAN}
# Models whose interval is not above the best trivial predictor.
BELOW = {
    "retrieval/by-pair-partial": {"linformer", "sparse"},
    "text/holdout": {"linformer"},
}
ANSWERED = 200
QUICK = ("listops/mini/", "retrieval/by-pair-partial/linear", "pathfinder/32-easy/linear")


def test_sixteen_and_the_control_learned_each_task() -> None:
    """The benchmark's eleven, and five more; the others are not trained yet."""
    names = {*IN_LRA, "compressive", "image_transformer", "routing", "set_transformer", "transformer_xl", CONTROL}
    found = {task: {name.rpartition("/")[2] for name in NAMES if name.startswith(f"{task}/")} for task in TASKS}
    assert found == dict.fromkeys(TASKS, names)
    assert len(NAMES) == sum(map(len, found.values()))
    assert names < set(attention_names())


@pytest.mark.parametrize("name", NAMES)
def test_each_is_whole_small_and_made_by_its_preset(name: str) -> None:
    folder = BUNDLED / name
    model, card = load_model(folder)  # compares the weights with the card's digest
    assert card.encode() == (folder / CARD).read_bytes()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_500_000
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "log.jsonl", WEIGHTS]
    family, _, attention = name.partition("/")[0], *name.rpartition("/")[1:]
    assert card.task == name.rpartition("/")[0]
    pixels = lra_data.get_task(card.task).max_length if family == "pathfinder" else None
    assert model.config == preset("mini", task=family, attention=attention, pixels=pixels)
    assert card.recipe == recipe_for("mini", lra_data.get_task(card.task.removesuffix("-partial")))
    assert all(torch.isfinite(tensor).all() for tensor in model.state_dict().values())
    for split, rows in RECORDED.items():
        assert card.recorded is not None
        entry = card.recorded[split]
        found, there = as_answers(entry.predictions), min(rows, getattr(card.data.examples, split))
        assert (len(found), entry.examples) == (there, there)
        assert len(entry.rows) == len(entry.read) == -(-there // BLOCK)
    if family in CORPORA:  # a corpus has no rows of another seed, but other copies
        assert card.fresh is None
        assert all(entry.keys for entry in (card.recorded or {}).values())
    else:
        assert card.fresh is not None
        assert card.fresh.seed != card.data.seed


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("listops/mini/")])
def test_each_is_better_than_the_best_trivial_predictor(name: str) -> None:
    """All sixteen are; twelve would be enough."""
    _, card = load_model(BUNDLED / name)
    assert card.trivial is not None
    assert card.fresh is not None
    best = max(card.trivial.values())
    assert 0.24 < best < 0.28  # the root operator
    assert wilson(card.test.correct, card.test.examples).low > best
    assert wilson(card.fresh.correct, card.fresh.examples).low > best


@pytest.mark.parametrize("task", sorted({name.rpartition("/")[0] for name in NAMES}))
def test_nearly_all_are_better_than_the_trivial_predictors_of_their_task(task: str) -> None:
    """The others are named on the page with their curve. The control may be, or not."""
    below = set()
    for name in NAMES:
        if name.rpartition("/")[0] == task:
            card = read_card(BUNDLED / name)
            assert card.trivial is not None
            if wilson(card.test.correct, card.test.examples).low <= max(card.trivial.values()):
                below.add(name.rpartition("/")[2])
    assert below - {CONTROL} == BELOW.get(task, set())
    assert len(BELOW.get(task, set())) <= 2


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name.startswith(QUICK) else [pytest.mark.slow]) for name in NAMES],
)
def test_each_answers_what_its_card_says(name: str) -> None:
    model, card = load_model(BUNDLED / name)
    assert card.recorded is not None
    family = name.partition("/")[0]
    corpus = Corpus(real(CORPORA[family]), allow_partial=True) if family in CORPORA else None
    source = Source(target=card.task.removesuffix("-partial"), corpus=corpus)
    assert source.open("test").digest(0, BLOCK) == card.recorded["test"].rows[0]
    found = answers({name: model}, source.open(f"test[:{ANSWERED}]"), device=torch.device("cpu"))
    # Another machine rounds otherwise.
    recorded = as_answers(card.recorded["test"].predictions)[:ANSWERED]
    assert int((found.predicted[name] != recorded).sum()) <= MOST_DIFFERENT * ANSWERED


def test_a_score_can_be_measured_again() -> None:
    model, card = reference_models.bundled_model("listops/mini/local")
    found = reference_models.evaluate(model, lra_data.load("listops/mini", split="test"))
    # Another machine rounds otherwise, and an answer in 200 may be another.
    assert abs(found.correct - card.test.correct) <= 10


def test_the_page_has_the_table_of_the_bundled_models() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- lra-zoo table -->\n")[2].partition("<!-- end -->")[0]
    assert shown == markdown(read_cards([BUNDLED])), "paste what `lra-zoo table --format md` prints"


def test_the_page_has_the_table_of_the_measured_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition("<!-- lra-zoo efficiency -->\n")[2].partition("<!-- end -->")[0]
    assert shown == table(read_rows(PAGE.parent / "efficiency.jsonl")), "paste what `lra-zoo efficiency` prints"


def test_public_names() -> None:
    for name in reference_models.__all__:
        assert callable(getattr(reference_models, name)), name
    importlib.import_module("reference_models.training.trainer")
    assert callable(reference_models.train)  # and not the module
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        reference_models.trian  # noqa: B018
