"""Randomness: published answers, NumPy's own Philox, and streams that nobody shares."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from lra_data import generate, get_task
from lra_data.catalogue import families
from lra_data.catalogue import family as family_of
from lra_data.listops.config import PRESETS, Config
from lra_data.random_bits import philox4x64, stream_key
from tests.oracles import philox_oracle

WORDS = st.integers(0, 2**64 - 1)


@njit
def kernel_blocks(counters: NDArray[np.uint64], key: NDArray[np.uint64], blocks: NDArray[np.uint64]) -> None:
    for row in range(len(counters)):
        blocks[row, 0], blocks[row, 1], blocks[row, 2], blocks[row, 3] = philox4x64(
            counters[row, 0], counters[row, 1], counters[row, 2], counters[row, 3], key[0], key[1]
        )


def run_kernel(counters: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    blocks = np.empty_like(counters)
    kernel_blocks(counters, key, blocks)  # type: ignore[call-arg, type-var]
    return blocks


@pytest.mark.parametrize(("counter", "key", "expected"), philox_oracle.KNOWN_ANSWERS)
def test_oracle_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    block = philox_oracle.philox4x64(np.array([counter], dtype=np.uint64), np.array(key, dtype=np.uint64))
    assert block[0].tolist() == list(expected)


@pytest.mark.parametrize(("counter", "key", "expected"), philox_oracle.KNOWN_ANSWERS)
def test_kernel_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    block = run_kernel(np.array([counter], dtype=np.uint64), np.array(key, dtype=np.uint64))
    assert block[0].tolist() == list(expected)


@given(st.lists(WORDS, min_size=4, max_size=4), st.tuples(WORDS, WORDS))
def test_kernel_oracle_and_numpy_agree(counter: list[int], key: tuple[int, int]) -> None:
    counters = np.array([counter], dtype=np.uint64)
    keys = np.array(key, dtype=np.uint64)
    block = run_kernel(counters, keys)[0].tolist()
    assert block == philox_oracle.philox4x64(counters, keys)[0].tolist()
    # NumPy counts up before it makes a block, so it is started one below.
    before = (sum(word << 64 * place for place, word in enumerate(counter)) - 1) % 2**256
    words = [before >> 64 * place & (2**64 - 1) for place in range(4)]
    numpy_philox = np.random.Philox(counter=np.array(words, dtype=np.uint64), key=keys)
    assert block == numpy_philox.random_raw(4).tolist()


def test_neighbours_share_no_words() -> None:
    """Neighbouring seeds, splits, versions, configurations, indices, attempts and draws: all words are distinct."""
    config = get_task("listops/lra").keyed_config()
    configs = [config, {**config, "max_depth": 11}, {**config, "min_length": 501}]
    words = []
    for seed, split, version, chosen in product(range(8), ("train", "validation", "test"), (1, 2), configs):
        key = np.array(stream_key("listops", version, chosen, seed, split), dtype=np.uint64)
        counters = np.array(
            [[draw, attempt, index, 0] for draw, attempt, index in product(range(3), range(4), range(6))],
            dtype=np.uint64,
        )
        words.append(run_kernel(counters, key).ravel())
    everything = np.concatenate(words)
    # 41,472 words of 64 bits: chance predicts 5e-11 repeats.
    assert len(np.unique(everything)) == len(everything) == 8 * 3 * 2 * 3 * 3 * 4 * 6 * 4


def test_seed_plus_index_is_not_shared() -> None:
    """The fault of packages that seed with seed + index: row i + 1 of one seed is row i of the next."""
    one, two = (generate("listops/mini", "train", 0, 200, seed=seed)["inputs"].to_pylist() for seed in (41, 42))
    assert not {tuple(row) for row in one} & {tuple(row) for row in two}


def test_key_is_pinned() -> None:
    """A change here moves every example of every set: it needs a new task version."""
    key = stream_key("listops", 1, get_task("listops/lra").keyed_config(), 0, "train")
    assert [int(word) for word in key] == [17043252570063242807, 15231155851065224374]


def test_every_field_of_a_configuration_is_in_the_key() -> None:
    for family in families():
        fields = dataclasses.fields(family_of(family).config)
        keyed = {field.name for field in fields if field.metadata.get("keyed", True)}
        assert set(get_task(family).keyed_config()) == keyed | ({"tables"} if family == "pathfinder" else set())
        assert {field.name for field in fields} - keyed <= {"geometry"}


def test_a_changed_field_changes_the_examples() -> None:
    base = PRESETS["mini"].config
    changed = {
        "max_depth": 9,
        "min_args": 3,
        "max_args": 6,
        "min_length": 15,
        "max_length": 129,
        "operators": ("MIN", "MAX"),
    }
    assert set(changed) == {field.name for field in dataclasses.fields(Config)}
    row = generate(base, "train", 0, 1)["inputs"].to_pylist()
    for name, value in changed.items():
        assert generate(dataclasses.replace(base, **{name: value}), "train", 0, 1)["inputs"].to_pylist() != row
