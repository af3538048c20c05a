"""Golden digests of every preset that converts a corpus. They change only together with the task's version.

The first three are of the tests' own corpus, whole; the others of the first 300, 100 and 100 rows from a real archive.
"""

from pathlib import Path

import pytest

import lra_data
from lra_data.corpus import Corpus
from tests.support.real_corpora import AAN, CIFAR_PYTHON, IMDB, real

pytestmark = pytest.mark.long

ARCHIVES = {"text": IMDB, "image": CIFAR_PYTHON, "retrieval": AAN}
GOLDEN = {
    "text/lra": (
        ["6b204020fc4bc3e9", "90a2221f4ccd4a30", "90a2221f4ccd4a30"],
        ["78e152ef5b9ae343", "4cc67e0ff2e6c791", "4cc67e0ff2e6c791"],
    ),
    "text/holdout": (
        ["6852acbb3c0a84d6", "13d587722b40c8ee", "90a2221f4ccd4a30"],
        ["a53e5a247c217844", "ec6919aa59d250c3", "4cc67e0ff2e6c791"],
    ),
    "image/lra": (
        ["5c15f6a77ecb4f9c", "36ad90913b8e58a1", "5a9c8be8bd74b54a"],
        ["65ce6a6d528239af", "ef01808407b94fb0", "0cd4161b3490df9a"],
    ),
    "image/rgb": (
        ["a419a8c2a86387f8", "907df809a750ed23", "88f07104ae610541"],
        ["e35cc1979f36ccdc", "5a248bfa61b6efd6", "eaa9a3a4acdac154"],
    ),
    "retrieval/by-pair": (
        ["31941e243b01fcf9", "7d2497cf08a10236", "acbb32ab55ed3df3"],
        ["4c39ea490432cea2", "df119579b9669736", "f406f3f5c0c4203a"],
    ),
    "retrieval/by-paper": (
        ["8ad60722bde181d2", "41f28f329f2490ed", "dfdc42e076fa0b96"],
        ["58d6f06517d38b48", "c144e645e8372765", "566c6dae4c8be545"],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_of_the_tests_own_corpus(name: str, corpora: dict[str, Path], tmp_path: Path) -> None:
    raw = corpora[name.partition("/")[0]]
    manifest = lra_data.build(name, tmp_path, corpus=Corpus(raw, allow_partial=True), num_shards=1)
    assert [shard.logical[:16] for shard in manifest.shards] == GOLDEN[name][0]


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_of_the_real_corpus(name: str, tmp_path: Path) -> None:
    raw = real(ARCHIVES[name.partition("/")[0]])
    sizes = {"train": 300, "validation": 100, "test": 100}
    manifest = lra_data.build(name, tmp_path, corpus=Corpus(raw, allow_partial=True), sizes=sizes, num_shards=1)
    assert [shard.logical[:16] for shard in manifest.shards] == GOLDEN[name][1]
