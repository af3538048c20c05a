"""Published Long Range Arena scores of models here, as their tables print them: accuracy in percent.

Every figure was read in the table that is named with it. Other models are left out, and so are figures without such a
table. Nothing is corrected: averages are as printed, errors included.

Not here: our own results (`tables.py`). Light: neither torch nor numpy is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lra_data import errors

TASKS = ("listops", "text", "retrieval", "image", "pathfinder", "path-x")

# "FAIL" in LRA's Table 1 means at most this accuracy in percent. No source gives a chance level for the other tasks.
CHANCE: Mapping[str, float] = {"path-x": 50.0}

# To be printed with any of these scores.
AUDIT = (
    "Convolutions that see a bounded part of the sequence recover most of what is published for these tasks "
    "(Miralles-González et al. 2025, arXiv:2501.14850): a score alone does not show that a model uses the long range."
)


class Scores(NamedTuple):
    """One model's accuracies in percent; `average` is the table's printed average of the five."""

    listops: float
    text: float
    retrieval: float
    image: float
    pathfinder: float
    average: float


@dataclass(frozen=True, kw_only=True)
class Source:
    """One table of one paper.

    label: short name, for a heading.
    citation: authors, year, title, table.
    note: remark for readers of the numbers.
    scores: by our name of the model.
    decimals: number of printed digits after the point.
    path_x_fails: whether the table reports a failure of every model on Path-X.
    """

    label: str
    citation: str
    note: str
    scores: Mapping[str, Scores]
    decimals: int = 2
    path_x_fails: bool = False


SOURCES: Mapping[str, Source] = {
    "lra": Source(
        label="LRA",
        citation='Tay et al. 2021, "Long Range Arena", Table 1',
        note="as released, most of these models do not compute what their papers say (docs/xformers.md)",
        path_x_fails=True,
        scores={
            "full": Scores(36.37, 64.27, 57.46, 42.44, 71.40, 54.39),
            "local": Scores(15.82, 52.98, 53.39, 41.46, 66.63, 46.06),
            "sparse": Scores(17.07, 63.58, 59.59, 44.24, 71.71, 51.24),
            "longformer": Scores(35.63, 62.85, 56.89, 42.22, 69.71, 53.46),
            "linformer": Scores(35.70, 53.94, 52.27, 38.56, 76.34, 51.36),
            "reformer": Scores(37.27, 56.10, 53.40, 38.07, 68.50, 50.67),
            # A misprint: the average of the five is 51.48. The repository's README prints 51.29.
            "sinkhorn": Scores(33.67, 61.20, 53.83, 41.23, 67.45, 51.39),
            "synthesizer": Scores(36.99, 61.68, 54.67, 41.61, 69.45, 52.88),
            "bigbird": Scores(36.05, 64.02, 59.29, 40.83, 74.87, 55.01),
            "linear": Scores(16.13, 65.90, 53.09, 42.34, 75.30, 50.55),
            "performer": Scores(18.01, 65.40, 53.82, 42.77, 77.05, 51.41),
        },
    ),
    "nystromformer": Source(
        label="Nyströmformer",
        citation='Xiong et al. 2021, "Nyströmformer", Table 3',
        note="PyTorch, 2 layers of width 64; `full` is its row Softmax",
        scores={
            "full": Scores(37.10, 65.02, 79.35, 38.20, 74.16, 58.77),
            "reformer": Scores(19.05, 64.88, 78.64, 43.29, 69.36, 55.04),
            "linformer": Scores(37.25, 55.91, 79.37, 37.84, 67.60, 55.59),
            "performer": Scores(18.80, 63.81, 78.62, 37.07, 69.87, 53.63),
            "nystromformer": Scores(37.15, 65.52, 79.56, 41.58, 70.94, 58.95),
        },
    ),
    "skyformer": Source(
        label="Skyformer",
        citation='Chen et al. 2021, "Skyformer", Table 1',
        note="PyTorch, 50,000 steps, 3 seeds, 128 features; `full` is its row Softmax",
        scores={
            "full": Scores(38.37, 61.95, 80.69, 40.57, 65.26, 57.37),
            "linformer": Scores(37.45, 58.93, 78.19, 37.96, 60.93, 54.69),
            "performer": Scores(38.02, 64.19, 80.04, 41.43, 66.30, 58.00),
            "reformer": Scores(37.68, 62.93, 78.99, 48.87, 66.49, 58.99),
            "bigbird": Scores(39.25, 63.86, 80.28, 43.16, 68.72, 59.05),
            "nystromformer": Scores(38.51, 64.83, 80.52, 41.30, 69.48, 58.93),
        },
    ),
    "flashattention": Source(
        label="FlashAttention",
        citation='Dao et al. 2022, "FlashAttention", Table 3',
        note="PyTorch; `full` is its row Transformer, `linear` its Linear Attention, `local` its Local Attention",
        decimals=1,
        scores={
            "full": Scores(36.0, 63.6, 81.6, 42.3, 72.7, 59.3),
            "linformer": Scores(35.6, 55.9, 77.7, 37.8, 67.6, 54.9),
            "linear": Scores(38.8, 63.2, 80.7, 42.6, 72.5, 59.6),
            "performer": Scores(36.8, 63.6, 82.2, 42.1, 69.9, 58.9),
            "local": Scores(36.1, 60.2, 76.7, 40.6, 66.6, 56.0),
            "reformer": Scores(36.5, 63.8, 78.5, 39.6, 69.4, 57.6),
        },
    ),
    "mega": Source(
        label="MEGA",
        citation='Ma et al. 2023, "Mega", Table 2',
        note="fairseq; `full` is its reproduced Transformer (XFM), `luna` its Luna-256",
        scores={
            "full": Scores(37.11, 65.21, 79.14, 42.94, 71.83, 59.24),
            "luna": Scores(37.98, 65.78, 79.56, 47.86, 78.55, 61.95),
        },
    ),
}


def published(source: str, model: str, task: str) -> float | None:
    """A published accuracy in percent; None where the table has no such model, or no number for it (see `fails`).

    task is one of TASKS; raises UsageError for an unknown source or task. A model's name is not checked, since most
    models are in few tables.
    """
    scores = _known(source, task).scores.get(model)
    return None if scores is None or task == "path-x" else float(getattr(scores, task))


def fails(source: str, model: str, task: str) -> bool:
    """Whether the table prints a failure instead of a number: a result no better than CHANCE. Raises as `published`."""
    found = _known(source, task)
    return task == "path-x" and found.path_x_fails and model in found.scores


def _known(source: str, task: str) -> Source:
    for what, given, known in (("source", source, tuple(SOURCES)), ("task", task, TASKS)):
        if given not in known:
            raise errors.unknown_name(what, given, known)
    return SOURCES[source]
