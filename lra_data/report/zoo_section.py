"""The bundled models on the page, task by task: scores against the trivial predictors, and training curves.

What needs the models themselves, such as spans, is measured by `lra-zoo report` and given as `ZooFigures`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from lra_data.report.bundled_models import BundledModel
from lra_data.report.charts import Chart, Series

CONTROL, BASELINE = "no_attention", "full"


@dataclass(frozen=True, kw_only=True)
class ZooFigures:
    """What `lra-zoo report` measures.

    patterns: address (data:…) of each X-former's attention pattern, by name.
    spans: for each bundled model, such as "listops/mini/linear", the mean required attention span in tokens, that of
        uniform attention, and their ratio; a text where there is none.
    span_rule: how the spans were measured.
    efficiency: charts of training time and memory. efficiency_rule: how they were measured.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    spans: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    span_rule: str = ""
    efficiency: tuple[Chart, ...] = ()
    efficiency_rule: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model in a task's table. above_trivial, above_control: "above", "not above", or "" where nothing is known."""

    model: BundledModel
    above_trivial: str
    above_control: str


@dataclass(frozen=True, kw_only=True)
class TaskModels:
    """The models of one task, from the best."""

    task: str
    rows: tuple[ModelRow, ...]
    charts: tuple[Chart, ...]

    @property
    def anchor(self) -> str:
        """The section's id in the page."""
        return "zoo-" + self.task.replace("/", "-")


def zoo_sections(models: Sequence[BundledModel]) -> list[TaskModels]:
    """One section for each task; `models` are sorted by task."""
    return [_section(task, list(found)) for task, found in groupby(models, key=lambda model: model.card.task)]


def _section(task: str, found: Sequence[BundledModel]) -> TaskModels:
    control = max(
        (model.card.test.high for model in found if model.card.attention == CONTROL),
        default=None,
    )
    rows = [
        ModelRow(
            model=model,
            above_trivial="" if model.best_trivial is None else _above(model, model.best_trivial[1]),
            above_control="" if control is None or model.card.attention == CONTROL else _above(model, control),
        )
        for model in found
    ]
    marked = {found[0].name, *(model.name for model in found if model.card.attention in (BASELINE, CONTROL))}

    def chart(title: str, y: str, points: Mapping[str, tuple[tuple[int, float], ...]]) -> Chart:
        return Chart(
            kind="lines",
            title=f"{task}: {title}",
            x="training step",
            y=y,
            series=tuple(
                Series(
                    name=_label(model, found),
                    x=tuple(step for step, _ in points[model.name]),
                    y=tuple(value for _, value in points[model.name]),
                    shown=model.name in marked,
                )
                for model in found
            ),
            picker=task,
        )

    accuracies = {
        model.name: tuple((step, round(100 * share, 2)) for step, share in model.accuracies) for model in found
    }
    losses = {model.name: tuple((step, round(loss, 4)) for step, loss in model.losses) for model in found}
    return TaskModels(
        task=task,
        rows=tuple(rows),
        charts=(
            chart("validation accuracy while training", "accuracy, %", accuracies),
            chart("training loss", "cross entropy, nats", losses),
        ),
    )


def _label(model: BundledModel, found: Sequence[BundledModel]) -> str:
    """The X-former's name; with the folder's where a task has it twice."""
    same = [other for other in found if other.card.attention == model.card.attention]
    return model.card.attention if len(same) == 1 else model.name.rpartition("/")[2]


def _above(model: BundledModel, share: float) -> str:
    return "above" if model.card.test.low > share else "not above"
