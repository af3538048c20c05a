"""What the code bases say of the tasks, which sets their protocols refuse, and how a new code base is found."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from lra_data import UsageError, get_task
from lra_data.catalogue import families
from lra_data.interop.code_bases import code_bases, get_protocol, protocol_names
from lra_data.interop.protocol import lines_of
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.store.row_access import VirtualRows
from tests.support.commands import run
from tests.support.foreign_sets import (
    LISTOPS_SIZES,
    Exported,
    all_rows,
    corpus_rows,
)

DESCRIBED = {
    ("s4", "retrieval"), ("s4", "text"), ("nystromformer", "listops"), ("nystromformer", "retrieval"),
    ("nystromformer", "text"), ("mega", "listops"), ("mega", "retrieval"), ("mega", "text"),
}  # fmt: skip


def test_what_is_exact_and_what_is_described() -> None:
    described = {
        (name, family)
        for name in protocol_names()
        for family, reading in get_protocol(name).items()
        if not reading.exact
    }
    assert described == DESCRIBED
    assert all(get_protocol(name)[family].differences for name, family in described)
    assert all(len(get_protocol(name)) == 5 for name in protocol_names())


def test_code_bases_have_names_of_their_own_and_read_tasks_that_exist() -> None:
    found = code_bases()
    assert len(found) >= 5
    names = [code_base.name for code_base in found]
    layout_names = [layout.name for code_base in found for layout in code_base.layouts]
    assert len({*names}) == len(names)
    assert len({*layout_names}) == len(layout_names)
    for code_base in found:
        assert code_base.readings or code_base.layouts
        assert {*code_base.readings} <= {*families()}
        for layout in code_base.layouts:
            assert {*layout.tasks, *layout.absent} <= {*families()}
            assert not {*layout.tasks} & {*layout.absent}


@pytest.mark.parametrize("name", protocol_names())
def test_a_reading_reaches_another_process(name: str) -> None:
    for reading in get_protocol(name).values():
        assert lines_of(pickle.loads(pickle.dumps(reading))) == lines_of(reading)


def test_a_view_that_has_learned_reaches_another_process(listops: Exported) -> None:
    view = open_protocol("s4", listops.rows)
    read = view.take("test", [3, 1])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(view)).take("test", [3, 1]).inputs, read.inputs)


@pytest.mark.parametrize(("protocol", "family"), sorted(DESCRIBED))
def test_a_task_that_a_protocol_only_describes_is_refused(
    protocol: str, family: str, request: pytest.FixtureRequest
) -> None:
    rows = all_rows(family, request)
    with pytest.raises(UsageError, match=family) as caught:
        open_protocol(protocol, rows)
    assert protocol in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "name", "hint"),
    [
        ("s4", "image/lra", "image/rgb"),
        ("lra-2020", "image/rgb", "image/lra"),
        ("nystromformer", "image/rgb", "image/lra"),
        ("s4", "pathfinder/32-easy", "hard"),
        ("s4", "pathfinder/32-intermediate", "hard"),
        ("nystromformer", "pathfinder/64-hard", "pathfinder/64-hard"),
    ],
)
def test_a_set_that_the_reader_never_read_is_refused(
    protocol: str, name: str, hint: str, corpora: dict[str, Path]
) -> None:
    rows = corpus_rows(name, corpora["image"]) if name.startswith("image") else VirtualRows(get_task(name), 0)
    with pytest.raises(UsageError) as caught:
        open_protocol(protocol, rows)
    assert hint in str(caught.value)
    assert protocol in str(caught.value)


def test_an_unknown_protocol_names_the_known_ones(listops: Exported) -> None:
    with pytest.raises(UsageError, match="unknown protocol 's5'") as caught:
        open_protocol("s5", listops.rows)
    assert all(name in str(caught.value) for name in ("lra-2020", "s4", "mega", "nystromformer"))
    result = run("info", "--protocol", "s5")
    assert (result.returncode, result.stdout) == (2, "")
    assert "lra-2020, mega, nystromformer, s4" in result.stderr


def test_a_position_outside_the_split_is_refused(listops: Exported) -> None:
    view = open_protocol("s4", listops.rows)
    with pytest.raises((IndexError, UsageError)):
        view.take("test", [LISTOPS_SIZES["test"]])


def test_the_command_line_says_where_two_protocols_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    greys = ("torchvision Grayscale, which is Pillow's convert('L')", "tf.image.rgb_to_grayscale on integers")
    command = ("info", "--protocol", "s4", "--diff", "lra-2020")
    lines = run(*command).stdout.splitlines()
    image = lines[lines.index("image: s4 | lra-2020") + 1 : lines.index("listops: s4 | lra-2020")]
    assert [line.split() for line in image if line.startswith("  grey")] == [["grey", *" | ".join(greys).split()]]
    found = json.loads(run(*command, "--json").stdout)
    assert found["image"]["grey"] == list(greys)
    assert "padding" not in found["image"]
    assert found["listops"]["end mark"] == ["<eos>", "none"]
    same = json.loads(run("info", "--protocol", "s4", "--diff", "s4", "--json").stdout)
    assert not any(same.values())


def test_the_command_line_tells_a_protocol() -> None:
    facts = json.loads(run("info", "--protocol", "nystromformer", "--json").stdout)
    assert list(facts) == ["image", "listops", "pathfinder", "retrieval", "text"]
    assert facts["image"]["exact"] == "exact"
    assert facts["text"]["exact"] != "exact"
    assert "image: nystromformer" in run("info", "--protocol", "nystromformer").stdout.splitlines()
