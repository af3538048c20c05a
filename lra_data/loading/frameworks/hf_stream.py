"""A stream of single examples for Hugging Face `datasets`, in the order of `Batches`. Each pass is an epoch."""

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from lra_data.arrow_columns import sequence_names
from lra_data.loading.batch_making.collate import Batch, ProtocolBatch
from lra_data.loading.batches import Batches
from lra_data.loading.epoch.ranks import in_torch_worker
from lra_data.loading.frameworks.worker_epochs import WorkerPasses
from lra_data.loading.passes.shared_twice import refuse_second_sharing
from lra_data.optional_import import require

require("datasets", "hf")

import datasets  # noqa: E402


class EpochStream(datasets.IterableDataset):  # type: ignore[misc]
    """A datasets.IterableDataset that begins another epoch each time it is iterated, also after `map`, `with_format`
    and other methods. `set_epoch` chooses the epoch of the next pass; the state contains the epoch.
    """

    _lra_data: "_Examples"
    _starting_state_dict: dict[str, Any] | None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass: see Batches."""
        refuse_second_sharing(lambda: self._lra_data.batches.ranks)  # Accelerate sets the epoch of each pass
        self._lra_data.batches.set_epoch(epoch)
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        resumed = empty = self._starting_state_dict is not None
        for example in super().__iter__():
            self._starting_state_dict, empty = None, False  # its place is valid only for this pass
            yield example
        if resumed and empty:  # no example was left
            self._starting_state_dict = None
            self._lra_data.leave()
            yield from super().__iter__()

    def state_dict(self) -> dict[str, Any]:
        """The state of `datasets`, and the state of `Batches` at the start of the pass."""
        return {**super().state_dict(), "lra_data": self._lra_data.start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume in the next pass where a state was taken."""
        rest = dict(state_dict)
        start = rest.pop("lra_data", None)
        if start is not None:  # states of other streams of `datasets` have no start: the place is in the next pass
            self._lra_data.load(start)
        super().set_epoch(rest["epoch"])
        super().load_state_dict(rest)


def _keeps_epochs(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a stream, changed so that its result is a stream of the same epochs."""

    @wraps(method)
    def call(self: EpochStream, *arguments: Any, **options: Any) -> Any:
        made = method(self, *arguments, **options)
        return _adopt(made, self._lra_data) if type(made) is datasets.IterableDataset else made

    return call


for _name, _method in inspect.getmembers(datasets.IterableDataset, inspect.isfunction):
    if "IterableDataset" in str(inspect.signature(_method).return_annotation) and not _name.startswith("__"):
        setattr(EpochStream, _name, _keeps_epochs(_method))


def _adopt(made: Any, examples: "_Examples") -> EpochStream:
    made.__class__ = EpochStream
    made._lra_data = examples
    stream: EpochStream = made
    return stream


def open_stream(batches: Batches) -> EpochStream:
    """See `hf_datasets.stream_hf`."""
    names = sequence_names(batches.task.schema)
    width = datasets.Value("int32")
    features = datasets.Features(
        {name: datasets.List(width) for name in names}
        | {
            "label": datasets.ClassLabel(names=list(batches.task.card.label_names)),
            "index": datasets.Value("int64"),
        }
    )
    examples = _Examples(batches.copy())
    made = datasets.IterableDataset.from_generator(_rows, features=features, gen_kwargs={"examples": examples})
    return _adopt(made, examples)


class _Examples:
    """The passes of a stream, in this process or in the only worker of a PyTorch loader that gets examples."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self._in_workers = batches, WorkerPasses(batches)
        self.start = batches.state_dict()
        self._begun = False  # since `load`

    def load(self, start: dict[str, Any]) -> None:
        """Begin the next pass where another pass began."""
        self.batches.load_state_dict(start)
        self.start, self._begun = self.batches.state_dict(), False

    def leave(self) -> None:
        """Move on to the next pass, as the resumed pass has no examples left."""
        if not self._begun:  # `datasets` knew it without drawing an example
            self.batches.set_epoch(self.batches.next_pass().after)

    def begin(self) -> Iterator[Batch | ProtocolBatch]:
        """The batches of the next pass."""
        self._begun = True
        if in_torch_worker():
            refuse_second_sharing(lambda: self.batches.ranks)
            position = self._in_workers.begin(0, sure=False).position
            self.start = self.batches.state_of(position)
            return position.rest()
        one = iter(self.batches)
        position, _ = one.begin()
        self.start = self.batches.state_of(position)
        return one


def _rows(examples: _Examples) -> Iterator[dict[str, Any]]:
    names = sequence_names(examples.batches.task.schema)
    for batch in examples.begin():
        for row in range(len(batch.labels)):
            sequences = {
                name: batch.inputs[row, place, : batch.lengths[row, place]] for place, name in enumerate(names)
            }
            yield {**sequences, "label": int(batch.labels[row]), "index": int(batch.indices[row])}
