"""The Pathfinder tasks: pictures drawn here (`generated_task.py`), or read from a release's copy (`released/`)."""

from collections.abc import Mapping
from typing import Any

from lra_data.corpus import Corpus
from lra_data.family import Makers
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.pathfinder.released.converted_task import ReleasedPathfinder, open_release
from lra_data.task import Task


def _from_record(record: Mapping[str, Any], *, corpus: Corpus | None = None) -> Task:
    """The task that a plan or manifest describes."""
    return (ReleasedPathfinder if "release" in record else Pathfinder).from_record(record, corpus=corpus)


MAKERS = Makers(from_config=Pathfinder, from_record=_from_record, from_release=open_release)
