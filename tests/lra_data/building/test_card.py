"""The dataset card and the Croissant description, read by the libraries they are for."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml

import lra_data
from lra_data.store.manifest import read_manifest
from tests.conftest import SMALL_SIZES


def header(set_folder: Path) -> dict[str, object]:
    _, front, _ = (set_folder / "README.md").read_text().split("---\n", 2)
    return dict(yaml.safe_load(front))


def test_plain_load_dataset_finds_splits_and_features(small_set: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(small_set), cache_dir=str(tmp_path))
    assert {split: len(rows) for split, rows in loaded.items()} == SMALL_SIZES
    assert loaded["train"].column_names == ["inputs", "label", "index", "length", "depth", "root_operator"]
    expected = lra_data.take("listops/mini", "validation", [59]).to_pylist()[0]
    assert loaded["validation"][59] == expected


def test_the_card_names_only_this_sets_shards(small_set: Path) -> None:
    configs = header(small_set)["configs"]
    assert configs == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "train-*-of-00002.arrow"},
                {"split": "validation", "path": "validation-*-of-00001.arrow"},
                {"split": "test", "path": "test-*-of-00001.arrow"},
            ],
        }
    ]


def test_the_card_tells_what_a_reader_asks(small_set: Path) -> None:
    text = (small_set / "README.md").read_text()
    for words in ("## Columns", "## Splits", "## Labels", "seed 0", "- max_args: 5", "arXiv:2011.04006"):
        assert words in text
    assert "| train | 1,500 | 17 | 127 |" in text
    row = lra_data.take("listops/mini", "train", [1]).to_pylist()[0]
    assert f"```text\n{lra_data.get_task('listops/mini').viewer.show(row)}\n```" in text


def test_loading_lines_of_the_card_work(small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line of the card's code block is run."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    block = (small_set / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    loaded = []
    for line in block.splitlines():
        if line.startswith("folder = "):
            names["folder"] = str(small_set)
        elif line.startswith("load_dataset("):
            loaded.append(eval(line, names))
        else:
            exec(line, names)
    assert [{split: len(rows) for split, rows in one.items()} for one in loaded] == [SMALL_SIZES] * 3


# rdflib and mlcroissant warn of their own future.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
class TestCroissant:
    def test_is_valid(self, small_set: Path, caplog: pytest.LogCaptureFixture) -> None:
        import mlcroissant

        dataset = mlcroissant.Dataset(str(small_set / "croissant.json"))
        assert not dataset.metadata.ctx.issues.errors
        assert not dataset.metadata.ctx.issues.warnings
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

    def test_lists_every_file_with_its_digest(self, small_set: Path) -> None:
        document = json.loads((small_set / "croissant.json").read_text())
        listed = {entry["contentUrl"]: entry["sha256"] for entry in document["distribution"]}
        assert listed == {shard.file: shard.sha256 for shard in read_manifest(small_set).shards}

    def test_records_are_the_rows(self, small_set: Path) -> None:
        import mlcroissant

        records = list(mlcroissant.Dataset(str(small_set / "croissant.json")).records("test-00000-of-00001"))
        expected = lra_data.generate("listops/mini", "test", 0, SMALL_SIZES["test"]).to_pylist()
        for record, row in zip(records, expected, strict=True):
            values = {name.rpartition("/")[2]: value for name, value in record.items()}
            assert {**values, "inputs": list(values["inputs"])} == row

    @pytest.mark.parametrize("format_name", ["arrow", "webdataset"])
    def test_is_valid_for_other_formats(self, format_name: str, tmp_path: Path) -> None:
        import mlcroissant

        lra_data.build("listops/mini", tmp_path, formats=[format_name], sizes=SMALL_SIZES)
        dataset = mlcroissant.Dataset(str(tmp_path / "listops" / "mini" / "croissant.json"))
        assert not dataset.metadata.ctx.issues.errors
