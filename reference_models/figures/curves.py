"""The figure of training curves: accuracy and loss on validation over the steps, from the logs of trainings.

    [NAME=]FOLDER       all trainings in a folder, finished or not, by `log.jsonl`

A training that runs is drawn as far as it is. A mark is on the step whose weights were kept. Not here: what a log has
(`training/run_log.py`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_data import UsageError, paths
from reference_models.figures.labels import End, label_ends, strokes
from reference_models.figures.style import highlighted, new_figure, settings
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import CARD, STATE, read_card, read_tensors
from reference_models.results.rows import same_rows
from reference_models.training.run_log import LOG, read_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST, _NAME = 1.5, 0.125  # inches: the height of a panel, and of a name
_PANELS = {"accuracy": "validation accuracy (%)", "loss": "validation loss (nats)"}
METRICS = tuple(_PANELS)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The evaluations of one training.

    name: what the figure calls it.
    folder: of the training, relative to the folder that was named.
    task: name of the set; "" for a training that is not finished.
    identity: of the rows of the validation split; "" if the training has written neither a card nor a state.
    steps: of the evaluations.
    accuracy: shares. loss: nats.
    selected: the step of the kept weights; None for a training that is not finished.
    """

    name: str
    folder: str
    task: str
    identity: str
    steps: tuple[int, ...]
    accuracy: tuple[float, ...]
    loss: tuple[float, ...]
    selected: int | None


def read_curves(folder: Path, name: str | None = None) -> list[Curve]:
    """The curves of all trainings in a folder and its subfolders that were evaluated at least once.

    name: instead of the folders' names, or in front of them if there are several trainings. Raises UsageError if there
    is none, and CheckpointError for a log or a card that is broken.
    """
    beneath = paths.local_path(folder, "a folder of trainings")
    found = [curve for path in sorted(beneath.rglob(LOG)) if (curve := _curve(path.parent, beneath)) is not None]
    if not found:
        raise UsageError(f"{folder}: expected a {LOG} with an evaluation beneath, got none: train a model there first")
    if name is None:
        return found
    return [replace(curve, name=name if len(found) == 1 else f"{name}, {curve.name}") for curve in found]


def _curve(run: Path, beneath: Path) -> Curve | None:
    scored = [(event["step"], event["validation"]) for event in read_log(run / LOG) if "validation" in event]
    if not scored:
        return None
    task, identity, selected = _of_files(run)
    try:
        return Curve(
            name=run.resolve().name,
            folder=run.relative_to(beneath).as_posix(),
            task=task,
            identity=identity,
            steps=tuple(step for step, _ in scored),
            accuracy=tuple(float(score["accuracy"]) for _, score in scored),
            loss=tuple(float(score["loss"]) for _, score in scored),
            selected=selected,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{run / LOG}: expected accuracy and loss of each evaluation, got none: {error}"
        ) from error


def _of_files(run: Path) -> tuple[str, str, int | None]:
    """Task, identity of validation, and selected step; "" and None for what no file says yet."""
    if (run / CARD).exists():
        card = read_card(run)
        return card.task, card.data.identities.validation, card.selected_step
    if (run / STATE).exists():
        data = read_tensors(run / STATE, names=())[1].get("plan", {}).get("data", {})
        return "", str(data.get("validation", "")), None
    return "", "", None


def together(curves: Iterable[Curve]) -> list[Curve]:
    """The curves with different names: where two have the same, each is called by its folder.

    Raises UsageError for trainings that were evaluated on different rows, and for names that remain the same.
    """
    found = list(curves)
    same_rows((curve.name, "validation", curve.identity) for curve in found if curve.identity)
    names = [curve.name for curve in found]
    found = [
        replace(curve, name=curve.folder if names.count(curve.name) > 1 and curve.folder != "." else curve.name)
        for curve in found
    ]
    for curve in found:
        if sum(other.name == curve.name for other in found) > 1:
            raise UsageError(
                f"expected different names of the trainings, got {curve.name} twice: name them as NAME=FOLDER"
            )
    return found


def chosen(curves: Sequence[Curve], models: Sequence[str] | None) -> list[Curve]:
    """The curves with these names, or all for None; raises UsageError for a name that no curve has."""
    known = [curve.name for curve in curves]
    for model in models or ():
        if model not in known:
            raise UsageError(f"--models must be trainings: {', '.join(known)}; got {model!r}")
    return [curve for curve in curves if models is None or curve.name in models]


def figure(
    curves: Sequence[Curve],
    *,
    width: float,
    highlight: Sequence[str] | None = None,
    metrics: Sequence[str] = METRICS,
) -> "Figure":
    """A panel for each metric, one above the other, over the same steps.

    width: of the figure in inches.
    highlight: names of trainings in the accent colour; None is no training.
    metrics: "accuracy", "loss" or both.

    Raises UsageError without curves, and for an unknown metric or name.
    """
    if not curves:
        raise UsageError("expected at least one training, got none")
    for metric in metrics:
        if metric not in METRICS:
            raise UsageError(f"--metrics must be of {', '.join(METRICS)}, got {metric!r}")
    marked = highlighted({curve.name: False for curve in curves}, highlight)
    height = 0.35 + len(metrics) * max(_LEAST, _NAME * len(curves) + 0.15)
    with settings():
        drawing, panels = new_figure(width, height, rows=len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            _panel(axes, metric, curves, marked)
        for axes in panels[:-1]:
            axes.tick_params(labelbottom=False)
        panels[0].set_title(", ".join(dict.fromkeys(curve.task for curve in curves if curve.task)), weight="bold")
        panels[-1].set_xlabel("training step")
        for axes, metric in zip(panels, metrics, strict=True):
            label_ends(axes, [_end(curve, metric, curve.name in marked) for curve in curves])
    return drawing


def values(curve: Curve, metric: str) -> list[float]:
    """What a panel shows of a curve: accuracies in percent, or losses in nats."""
    return [100 * share for share in curve.accuracy] if metric == "accuracy" else list(curve.loss)


def _end(curve: Curve, metric: str, own: bool) -> End:
    return End(curve.name, curve.steps[-1], values(curve, metric)[-1], own)


def _panel(axes: Any, metric: str, curves: Sequence[Curve], marked: frozenset[str]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    look = strokes([curve.name for curve in curves], marked)
    last = max(curve.steps[-1] for curve in curves)
    for curve in curves:
        heights = values(curve, metric)
        axes.plot(curve.steps, heights, label=curve.name, **look[curve.name])
        if curve.selected in curve.steps:
            place = curve.steps.index(curve.selected)
            mark = {"marker": "o", "markersize": 3, "color": look[curve.name]["color"], "zorder": 4, "clip_on": False}
            axes.plot(curve.selected, heights[place], **mark)
    axes.set_xlim(min(0, *(curve.steps[0] for curve in curves)), last)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel(_PANELS[metric])
