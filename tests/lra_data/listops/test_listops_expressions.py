"""Reading, solving and writing expressions: the seed example, spellings, the stack machine, the release's shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lra_data import UsageError, get_task
from lra_data.interop.lra_2020 import listops_source
from lra_data.listops.solver import EMPTY_OPERATOR, SOUND, STRAY_TOKEN, UNBALANCED, solve
from lra_data.listops.tree import draw_tree, evaluate, parse_tree
from lra_data.listops.vocabulary import VOCABULARY, format_tokens, parse_tokens

SLIDE = "[MAX 4 3 [MIN 2 3] 1 0 [MEDIAN 1 5 8 9 2]]"


def solved(ids: list[int]) -> tuple[int, int]:
    """(fault, value) from the stack machine."""
    found = np.zeros((1, 6), dtype=np.int64)
    solve(np.array(ids, dtype=np.uint8), np.array([0, len(ids)], dtype=np.int32), found)
    return int(found[0, 0]), int(found[0, 1])


def test_vocabulary_is_frozen() -> None:
    assert ("[MIN", "[MAX", "[MED", "[SM", "]", *"0123456789") == VOCABULARY
    task = get_task("listops")
    assert (task.vocabulary, task.vocab_size, task.num_classes, task.max_length) == (VOCABULARY, 16, 10, 1999)


def test_the_seed_slide() -> None:
    assert evaluate(SLIDE) == 5
    assert solved(parse_tokens(SLIDE)) == (SOUND, 5)


def test_spellings() -> None:
    assert parse_tokens("[MEDIAN 1 2 ]") == parse_tokens("[MED 1 2]") == parse_tokens("( ( ( [MED 1 ) 2 ) ] )")
    assert parse_tokens("[SUM_MOD 9 [MAX 1 2] ]") == parse_tokens("[SM 9[MAX 1 2]]")
    with pytest.raises(UsageError, match="word 1 of the expression is '10'; expected one of"):
        parse_tokens("[MIN 10 2 ]")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[MED 1 2 ]", 1),
        ("[MED 9 0 5 ]", 5),
        ("[MED 8 9 1 2 ]", 5),
        ("[SM 9 9 9 ]", 7),
        ("[MIN 3 1 ]", 1),
        ("[MAX 3 1 ]", 3),
    ],
)
def test_operators(text: str, value: int) -> None:
    assert evaluate(text) == value
    assert solved(parse_tokens(text)) == (SOUND, value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[MIN 1 2", UNBALANCED),
        ("1 2", UNBALANCED),
        ("1 ]", UNBALANCED),
        ("[MIN ]", EMPTY_OPERATOR),
        ("", UNBALANCED),
    ],
)
def test_what_is_no_expression(text: str, fault: int) -> None:
    ids = parse_tokens(text)
    assert solved(ids)[0] == fault
    with pytest.raises(UsageError):
        parse_tree(ids)


@pytest.mark.parametrize("stray", [0, 16, 255])
def test_stray_tokens(stray: int) -> None:
    assert solved([1, 7, stray, 5])[0] == STRAY_TOKEN


def expressions() -> st.SearchStrategy[str]:
    digits = st.integers(0, 9).map(str)
    return st.recursive(
        digits,
        lambda inner: st.builds(
            lambda operator, arguments: f"[{operator} {' '.join(arguments)} ]",
            st.sampled_from(["MIN", "MAX", "MED", "SM"]),
            st.lists(inner, min_size=1, max_size=6),
        ),
        max_leaves=40,
    )


@given(expressions())
def test_tree_stack_machine_and_text_agree(text: str) -> None:
    ids = parse_tokens(text)
    assert format_tokens(ids) == text
    assert solved(ids) == (SOUND, evaluate(text))
    source = listops_source(ids)
    assert parse_tokens(source) == ids
    assert source.count("(") == source.count(")") == len(ids) - 1


def test_the_release_pairs_arguments() -> None:
    assert listops_source(parse_tokens("[SM 3 6 [MIN 1 2 ] ]")) == "( ( ( ( [SM 3 ) 6 ) ( ( ( [MIN 1 ) 2 ) ] ) ) ] )"


def test_explain_shows_every_value() -> None:
    assert draw_tree(parse_tree(parse_tokens(SLIDE))).splitlines() == [
        "[MAX 4 3 (2) 1 0 (5) ] = 5",
        "  [MIN 2 3 ] = 2",
        "  [MED 1 5 8 9 2 ] = 5",
    ]


def test_problems_name_the_row() -> None:
    task = get_task("listops/mini")
    rows = task.generate("train", 10, 13).to_pylist()
    rows[1]["label"] = (rows[1]["label"] + 1) % 10
    rows[2]["depth"] += 1
    import pyarrow as pa

    problems = task.problems(pa.RecordBatch.from_pylist(rows, schema=task.schema), split="train", seed=0)
    assert [index for index, _ in problems] == [11, 12]
    assert problems[0][1].startswith("expected label")
    assert problems[1][1].startswith("expected depth")
