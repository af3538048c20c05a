"""The trainings whose weights are not bundled: their cards are read, and docs/baselines.md says what they say."""

from itertools import groupby

from reference_models.model.bundled import BUNDLED
from reference_models.model.card import Card
from reference_models.results.rows import read_cards, rows
from reference_models.results.tables import percent_interval, summary
from tests.conftest import ROOT

TRAINED = ROOT / "trained"
BASELINES = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")


def spreads() -> list[str]:
    """A line for each model with several seeds, as `lra-zoo table` prints it, after its task."""
    cards: list[Card] = read_cards([BUNDLED, TRAINED / "seeds"])
    return [
        f"- {task}: {said}"
        for task, found in groupby(rows(cards), key=lambda row: str(row["task"]))
        for said in summary(list(found))[2:]
    ]


def test_the_page_has_the_spread_of_every_model_with_several_seeds() -> None:
    shown = BASELINES.partition("<!-- seeds -->\n")[2].partition("<!-- end of seeds -->")[0]
    assert spreads() != []
    assert shown.splitlines() == spreads(), "paste what `spreads` gives"


def test_every_card_is_of_a_finished_training() -> None:
    logs = {path.parent for path in TRAINED.rglob("log.jsonl")}
    assert logs == {path.parent for path in TRAINED.rglob("card.json")} != set()
    assert len(read_cards([TRAINED])) == len(logs)
    assert all(card.recorded is not None for card in read_cards([TRAINED]))


def test_the_page_has_the_score_of_every_head_and_of_models_of_bytes() -> None:
    heads, of_bytes = (rows(read_cards([TRAINED / folder])) for folder in ("heads", "bytes"))
    assert all(f"| {100 * row['accuracy']:.2f} |" in BASELINES for row in heads)
    assert all(f"| {100 * row['accuracy']:.2f} {percent_interval(row)} |" in BASELINES for row in of_bytes)
