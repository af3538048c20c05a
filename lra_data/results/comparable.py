"""Whether a user's result compares with the published scores, and why not: one rule for the list and for the report.

A result is comparable if it is a score on the whole test split of one of the benchmark's sets (FULL_SETS). How the
model was trained is not in a result file.
"""

from collections.abc import Iterable

from lra_data.catalogue import get_task
from lra_data.results.result_files import ModelResults, Result

# The column of each set whose test rows are the benchmark's, or follow its law. Retrieval needs LRA's own id lists.
FULL_SETS = {
    "listops/lra": "listops", "text/lra": "text", "text/holdout": "text", "retrieval/lra-pairs": "retrieval",
    "image/lra": "image", "pathfinder/32-hard": "pathfinder", "pathfinder/128-hard": "pathx",
    "pathfinder/256-hard": "path256",
}  # fmt: skip

_LARGE_PICTURES = {"128": "pathx", "256": "path256"}


def column(task: str) -> str:
    """The column of a set's scores, full or not: Pathfinder's pictures of 128 pixels are Path-X, of 256 Path-256."""
    family, _, variant = task.partition("/")
    return _LARGE_PICTURES.get(variant.partition("-")[0], family) if family == "pathfinder" else family


def differences(results: Iterable[Result]) -> list[str]:
    """Why results do not compare with the published scores, in order and once each; [] if they do."""
    return list(dict.fromkeys(reason for result in results for reason in _differences(result)))


def _differences(result: Result) -> list[str]:
    found = []
    if result.task not in FULL_SETS:
        found.append(f"{result.task} is not the benchmark's own set")
    if result.split != "test":
        found.append(f"scores on {result.split}, not on test" + (f", of {result.task}" if not found else ""))
    elif not found and list(result.rows) != [0, whole_test(result.task)]:
        start, end = result.rows
        found.append(f"{end - start:,} of {whole_test(result.task):,} test rows of {result.task}")
    return found


def draws(results: Iterable[Result]) -> list[str]:
    """What must be known of results on rows of another seed than 0: they are another draw of the set."""
    return [f"another draw of {result.task}, seed {result.seed}" for result in results if result.seed]


def said(entry: ModelResults) -> str:
    """What became of a model's results, in a line: their sets, whether they compare, and another draw."""
    reasons = differences(entry.results)
    facts = [
        f"1 row of {', '.join(result.task for result in entry.results)}",
        f"not comparable: {'; '.join(reasons)}" if reasons else "comparable",
        *draws(entry.results),
    ]
    return ", ".join(facts)


def whole_test(task: str) -> int:
    """Examples in the test split of a full set; all presets of a family have as many."""
    return get_task(task.partition("/")[0]).sizes["test"]
