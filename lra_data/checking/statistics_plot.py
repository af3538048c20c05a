"""Plots what `lra-data stats` prints: labels, the spread of each measure, and the trivial predictors."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_data.optional_import import require
from lra_data.paths import png_path
from lra_data.store.atomic_files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES, _DOTS_PER_INCH = (4.8, 3.6), 100
_COLUMNS = 3


def plot(figures: Mapping[str, Any], path: Path | str) -> Path:
    """Write the result of `statistics` as a PNG; raises UsageError without matplotlib, and for another suffix."""
    file = png_path(path)
    drawn = figure(figures)
    data = BytesIO()
    # Without the library's version, which would change the file's bytes but not the picture.
    drawn.savefig(data, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    write_whole(file, data.getvalue())
    return file


def figure(figures: Mapping[str, Any]) -> "Figure":
    """The picture, with one drawing for the labels, one for each measure, and one for the trivial predictors."""
    require("matplotlib", "plots")
    from matplotlib.figure import Figure

    splits = figures["splits"]
    measures = list(next(iter(splits.values()))["measures"])
    count = len(measures) + 2
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    drawn = Figure(figsize=(columns * _INCHES[0], rows * _INCHES[1]), layout="constrained")
    drawn.suptitle(f"{figures['task']}, seed {figures['seed']}")
    axes = list(drawn.subplots(rows, columns, squeeze=False).flat)
    _labels(axes[0], splits)
    for place, name in zip(axes[1:], measures, strict=False):
        _measure(place, name, {split: facts["measures"][name] for split, facts in splits.items()})
    _predictors(axes[count - 1], figures["trivial_predictors"])
    for place in axes[count:]:
        place.axis("off")
    return drawn


def _labels(axes: "Axes", splits: Mapping[str, Any]) -> None:
    width = 0.8 / len(splits)
    for number, (split, facts) in enumerate(splits.items()):
        shares = facts["label_shares"]
        places = [place + (number - (len(splits) - 1) / 2) * width for place in range(len(shares))]
        axes.bar(places, [100 * share for share in shares.values()], width, label=f"{split}, {facts['examples']:,}")
    names = list(next(iter(splits.values()))["label_shares"])
    long = max(map(len, names)) * len(names) > 40
    axes.set_xticks(range(len(names)), names, rotation=90 if long else 0)
    axes.set(title="labels", ylabel="share of the split (%)")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize="small", loc="upper center", ncols=len(splits))


def _measure(axes: "Axes", name: str, found: Mapping[str, Mapping[str, float]]) -> None:
    boxes = [
        {"label": split, "whislo": of["p5"], "q1": of["p25"], "med": of["p50"], "q3": of["p75"], "whishi": of["p95"],
         "mean": of["mean"], "fliers": [of["min"], of["max"]]}
        for split, of in found.items()
    ]  # fmt: skip
    axes.bxp(boxes, showmeans=True, flierprops={"marker": ".", "markersize": 4})
    axes.set_title(name)
    axes.set_xlabel("box 25 to 75 %, whiskers 5 to 95 %, triangle mean, dots least and greatest", fontsize="x-small")


def _predictors(axes: "Axes", found: Mapping[str, Mapping[str, float]]) -> None:
    names = list(found)[::-1]
    for place, name in enumerate(names):
        score = found[name]
        low, middle, high = (100 * score[key] for key in ("low", "accuracy", "high"))
        axes.errorbar(middle, place, xerr=[[middle - low], [high - middle]], fmt="o", color="black", capsize=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.5, len(names) - 0.5)
    if "majority class" in found:
        axes.axvline(100 * found["majority class"]["accuracy"], color="grey", linestyle=":")
    axes.set(title="trivial predictors", xlabel="accuracy on validation and test (%), 95 % interval")
