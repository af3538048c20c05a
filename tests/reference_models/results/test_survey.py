"""The survey's table: every row is a model here, or says why it is none."""

import json

from click.testing import CliRunner

from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.commands.main import cli
from reference_models.results.survey import SURVEY

# Of the survey's text, of the benchmark, or for comparison; not of the table.
NOT_IN_THE_TABLE = {"full", "local", "h_transformer", "mega", "no_attention", "s4d", "short_conv"}


def test_it_has_33_rows_of_which_27_are_here() -> None:
    assert len({row.name for row in SURVEY}) == 33
    assert sum(row.model is not None for row in SURVEY) == 27
    assert all((row.model is None) == bool(row.reason) for row in SURVEY)


def test_each_row_is_a_model_of_its_paper() -> None:
    for row in SURVEY:
        if row.model is not None:
            author, year = row.paper.split(" et al. ")
            paper = attention_class(row.model).paper
            assert author in paper, row.model
            # Of a preprint and its conference, the survey names one and the model the other.
            assert any(str(int(year[:4]) + later) in paper for later in (-1, 0, 1)), row.model


def test_each_model_is_in_the_table_or_known_not_to_be() -> None:
    assert set(attention_names()) - {row.model for row in SURVEY} == NOT_IN_THE_TABLE


def test_it_is_listed() -> None:
    lines = CliRunner().invoke(cli, ["list", "--survey"], catch_exceptions=False).output.splitlines()
    assert sum(not line.startswith(" ") for line in lines) == 35  # others continue the cells above
    assert lines[-1] == "33 rows: 27 are here, 6 are no token mixers"
    rows = json.loads(CliRunner().invoke(cli, ["list", "--survey", "--json"], catch_exceptions=False).output)
    assert [row["model"] for row in rows] == [row.model for row in SURVEY]
