"""Small sets of several shards, made once for all tests of loading."""

from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data.building import shard_job as building_shards
from lra_data.loading.dataset import Dataset
from tests.conftest import ALL_FORMATS
from tests.support.orders_of_batches import BLOCK, MANY, MINI, Sets


@pytest.fixture(scope="session")
def sets(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """`small`: two train shards of one record batch each; `many`: seven of three record batches."""
    many = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building_shards, "BATCH_ROWS", BLOCK)
        lra_data.build(MINI, many, num_shards=7, sizes=MANY, formats=ALL_FORMATS)
    return {"small": small_root, "many": many}


@pytest.fixture(scope="session")
def rows(sets: Sets) -> list[dict[str, Any]]:
    """All train rows of `small`, whose first are those of `many`: the same examples, counted on."""
    return list(lra_data.load(MINI, split="train", root=sets["small"])[:].to_pylist())


@pytest.fixture(scope="session")
def part(sets: Sets) -> Dataset:
    return lra_data.load(MINI, split="train[40:140]", root=sets["many"])
