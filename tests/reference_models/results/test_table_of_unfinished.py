"""`lra-zoo table` over trainings of which some are not finished: the others, and a note for each that is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lra_data import UsageError
from reference_models.commands.main import cli
from reference_models.model.bundled import BUNDLED
from reference_models.model.checkpoint import CARD, STATE
from reference_models.training.loop import Training
from reference_models.training.run_log import LOG
from tests.support.training_process import small_training


def card_of(model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BUNDLED / "listops" / "mini" / model / CARD).read_text())
    return found


def put(folder: Path, card: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / CARD).write_text(json.dumps(card))
    (folder / LOG).touch()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished model, one without its last entries, one stopped after two steps, and one before the first."""
    put(tmp_path / "linear", card_of("linear"))
    put(tmp_path / "local", {k: v for k, v in card_of("local").items() if k not in ("recorded", "fresh", "trivial")})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / LOG).touch()
    one_step = Training._one_step

    def stepping(self: Training, *words: Any) -> None:
        if self.step == 3:
            raise KeyboardInterrupt
        one_step(self, *words)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_one_step", stepping)
        with pytest.raises(KeyboardInterrupt):
            small_training("performer", tmp_path / "performer", save_every=100)
    assert (tmp_path / "performer" / STATE).exists()
    return tmp_path


def test_unfinished_models_are_left_out_and_named(runs: Path) -> None:
    found = CliRunner().invoke(cli, ["table", str(runs), "--json"])
    assert found.exit_code == 0, found.output
    assert [row["model"] for row in json.loads(found.stdout)] == ["linear"]
    assert found.stderr.splitlines() == [
        f"left out {runs / 'full'}, which is not finished (no step is saved): run its training again",
        f"left out {runs / 'local'}, which is not finished (its weights are final, its card is not complete): "
        "run its training again",
        f"left out {runs / 'performer'}, which is not finished (step 2 is saved): run its training again",
    ]
    # A folder of unfinished ones alone is no error beside one with a result; alone it is.
    both = CliRunner().invoke(cli, ["table", str(runs / "linear"), str(runs / "local"), "--json"])
    assert [row["model"] for row in json.loads(both.stdout)] == ["linear"]
    alone = CliRunner().invoke(cli, ["table", str(runs / "local"), str(runs / "full")])
    assert isinstance(alone.exception, UsageError)
    assert str(alone.exception) == "expected a finished model, got 2 unfinished: run their trainings again"


def test_a_damaged_card_is_still_an_error(runs: Path) -> None:
    card = card_of("local")
    del card["trivial"]
    put(runs / "damaged", card)
    found = CliRunner().invoke(cli, ["table", str(runs)])
    assert isinstance(found.exception, UsageError)
    assert "damaged" in str(found.exception)
    assert "expected the entries recorded, fresh and trivial together" in str(found.exception)
