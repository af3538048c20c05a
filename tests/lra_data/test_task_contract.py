"""Contracts over the catalogue: every task and preset is tested unasked; and the public names."""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lra_data
from lra_data import LraDataError, UsageError, get_task, take, task_names
from lra_data.arrow_columns import features_of
from lra_data.catalogue import families, task_from_record
from lra_data.corpora.corpus_task import CorpusTask
from lra_data.corpus import Corpus
from lra_data.splits import SPLITS, parse_split, split_name
from lra_data.task import Task
from tests.conftest import ALL_FORMATS


def test_public_names() -> None:
    assert set(lra_data.__all__) == {
        "BuildError", "Corpus", "LraDataError", "SetError", "UsageError", "__version__", "build", "build_part",
        "build_status", "finish_build", "generate", "get_task", "load", "load_as", "score",
        "take", "task_names",
        "trivial_predictors", "verify",
    }  # fmt: skip
    for name in lra_data.__all__:
        assert getattr(lra_data, name) is not None
    # Importing the room of the same purpose must not replace the function.
    importlib.import_module("lra_data.building.build_set")
    importlib.import_module("lra_data.results.score")
    assert callable(lra_data.build)
    assert callable(lra_data.score)


def test_names() -> None:
    assert task_names()[:4] == ["image/lra", "image/rgb", "listops/lra", "listops/mini"]
    assert get_task("listops").name == "listops/lra"
    with pytest.raises(UsageError, match=r"unknown task 'listop/mini'. Did you mean 'listops/mini'\? Known: "):
        get_task("listop/mini")
    with pytest.raises(UsageError, match="expected a task name, a task or its configuration, got 3"):
        get_task(3)


@pytest.mark.parametrize("name", task_names())
class TestEveryTask:
    def test_is_described(self, name: str, corpora: dict[str, Path]) -> None:
        task = get_task(name)
        assert task.name == name
        assert get_task(task.config).name == name
        assert get_task(task) is task
        assert set(task.sizes) == set(SPLITS)
        assert set(task.card.columns) == set(task.schema.names)
        assert len(task.card.label_names) == task.num_classes
        assert task.version in task.card.history
        assert task.vocab_size > len(task.vocabulary or ())
        task = with_corpus(name, corpora)
        assert task_from_record(task.family, task.version, json.loads(json.dumps(task.record()))).name == task.name
        assert list(features_of(task.schema)) == task.schema.names
        assert features_of(task.schema)["label"]["names"] == list(task.card.label_names)

    def test_rows(self, name: str, corpora: dict[str, Path]) -> None:
        task = with_corpus(name, corpora)
        batch = task.generate("train", 5, 25)
        assert batch.schema.equals(task.schema, check_metadata=True)
        assert batch["label"].type == batch["index"].type == pa.int64()
        assert batch["index"].to_pylist() == list(range(5, 25))
        assert task.take("train", [11, 7]).to_pylist() == [batch.to_pylist()[6], batch.to_pylist()[2]]
        for column in inputs_of(batch):
            assert max(len(row) for row in batch[column].to_pylist()) <= task.max_length
        assert task.problems(batch, split="train", seed=0) == []
        assert len(task.take("val", [])) == 0
        for values in [*task.statistics.measures(batch).values(), *task.statistics.shortcuts(batch).values()]:
            assert len(values) == len(batch)
        for row in batch.slice(0, 2).to_pylist():
            assert task.viewer.show(row)
            assert task.viewer.explain(row)

    def test_splits_and_seeds_differ(self, name: str, corpora: dict[str, Path]) -> None:
        task = with_corpus(name, corpora)
        seeds = (0, 1) if not isinstance(task, CorpusTask) else (0,)
        splits = ("train", "test") if task.converted else SPLITS
        rows = []
        for split in splits:
            for seed in seeds:
                batch = task.take(split, [0], seed=seed)
                rows.append(str([batch[column].to_pylist() for column in inputs_of(batch)]))
        assert len(set(rows)) == len(rows)

    def test_can_be_built_at_its_own_sizes(self, name: str, corpora: dict[str, Path]) -> None:
        task = with_corpus(name, corpora)
        task.check_buildable(task.sizes)

    def test_builds_and_verifies_in_every_format(self, name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
        task = with_corpus(name, corpora)
        sizes = {"train": 12, "validation": 4, "test": 4}
        manifest = lra_data.build(task, tmp_path, formats=ALL_FORMATS, sizes=sizes, num_shards=2)
        folder = tmp_path / task.family / task.variant
        assert lra_data.verify(folder) == []
        rows = lra_data.load(folder, split="validation")
        assert rows[1:3].equals(task.take("validation", [1, 2]))
        assert lra_data.build(task, tmp_path, formats=ALL_FORMATS, sizes=sizes, num_shards=2) == manifest


def with_corpus(name: str, corpora: dict[str, Path]) -> Task:
    """The task, over the tests' own corpus if it converts one."""
    task = get_task(name)
    return task.over(Corpus(corpora[task.family], allow_partial=True)) if isinstance(task, CorpusTask) else task


def inputs_of(batch: pa.RecordBatch) -> list[str]:
    return [name for name in batch.schema.names if name.startswith("inputs")]


def test_variants_of_custom_configurations() -> None:
    config = get_task("listops/mini").config
    custom = get_task(dataclasses.replace(config, max_depth=9))
    assert custom.preset is None
    assert custom.variant == "custom-" + custom.variant[-8:]
    assert custom.variant != get_task(dataclasses.replace(config, max_depth=8)).variant
    assert custom.sizes == get_task("listops/lra").sizes


@pytest.mark.parametrize(
    ("split", "indices", "seed", "message"),
    [
        ("training", [0], 0, r"unknown split 'training'. Did you mean 'train'\? Known: train, "),
        ("train", [-1], 0, "indices from 0 to .*, got -1"),
        ("train", [2**63], 0, "indices from 0 to"),
        ("train", [1.5], 0, "expected integers as indices, got 1.5"),
        ("train", [0], -1, "a seed from 0 to 18446744073709551615, got -1"),
        ("train", [0], 1.5, "a seed from 0"),
        ("train", [0], True, "a seed from 0 to 18446744073709551615, got True"),
    ],
)
def test_bad_requests(split: str, indices: list[Any], seed: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        take("listops/mini", split, indices, seed=seed)


def test_a_generated_task_takes_no_corpus() -> None:
    with pytest.raises(UsageError, match="is generated and takes no corpus"):
        lra_data.generate("listops", "train", 0, 1, corpus="corpus.tar.gz")


def test_another_version_is_refused() -> None:
    config = get_task("listops/lra").keyed_config()
    with pytest.raises(UsageError, match="holds version 99 of listops, this package makes version 1"):
        task_from_record("listops", 99, config)
    with pytest.raises(UsageError, match=r"expected a configuration of listops with .*, got .*max_width"):
        task_from_record("listops", 1, {**config, "max_width": 3})
    with pytest.raises(UsageError, match=r"expected a configuration of listops with .*, got max_args, max_depth"):
        task_from_record("listops", 1, {name: config[name] for name in ("max_depth", "max_args")})


def test_families_are_folders() -> None:
    assert families() == sorted(families())
    assert "listops" in families()
    assert issubclass(UsageError, LraDataError)
    assert issubclass(UsageError, ValueError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train", ("train", range(1000))),
        ("val", ("validation", range(200))),
        ("dev[:10%]", ("validation", range(20))),
        ("train[80%:90%]", ("train", range(800, 900))),
        ("train[1_00:-500]", ("train", range(100, 500))),
        ("test[5:]", ("test", range(5, 200))),
        ("test[:9999]", ("test", range(200))),
    ],
)
def test_split_slices(text: str, expected: tuple[str, range]) -> None:
    assert parse_split(text, {"train": 1000, "validation": 200, "test": 200}) == expected


@pytest.mark.parametrize("text", ["train[", "train[1]", "train[_:5]", "train[a:b]", "train[:5%"])
def test_bad_split_slices(text: str) -> None:
    with pytest.raises(UsageError, match="expected a split such as"):
        parse_split(text, {"train": 10, "validation": 10, "test": 10})


def test_split_aliases() -> None:
    assert {split_name(name) for name in ("validation", "val", "valid", "dev", "eval")} == {"validation"}
