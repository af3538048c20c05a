"""Runs in its own process: measures the memory of one model at one length, then times its steps and those of others.

    python -m reference_models.efficiency.cell '{"kinds": ["model", "naive"], …}'        the fields of `Request`

prints one JSON object a line as soon as it is known, so that a killed process has printed its measurements:

    {"kind": "model", "start_bytes": …, "saved_bytes": …, "peak_bytes": …}
    {"kind": "naive", "seconds": 0.31}                                     a timed step
    {"outcome": "out of memory", "error": "…"}                             then it ends, with status 0

Memory is measured for the first kind, before the others are built: the peak of a process never falls, and the naive
Transformer's would hide that of every other model.

Not here: processes, time limits, files (`measure.py`).
"""

import json
import math
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from reference_models.attention.base import Projected
from reference_models.attention.full import FullAttention
from reference_models.attention.operations import key_mask
from reference_models.attention.registration import load
from reference_models.model.classifier import Classifier
from reference_models.model.encoder import AttentionLayer
from reference_models.model.presets import preset

# The model; the Transformer with its L x L weights materialised; the Transformer with PyTorch's fused kernels.
KINDS = ("model", "naive", "sdpa")
DTYPES = ("float32", "bfloat16")
# Bytes of text are ids 1 to 256; 0 is padding.
_LAST_BYTE = 256
# A process that was started with vfork (Python's subprocess does) inherits its parent's peak as its own ru_maxrss.
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A measurement for a process.

    kinds: of KINDS, in the order of a round; memory is measured for the first.
    model: an X-former's name.
    place: where the code of an attention from elsewhere is, as `--attention` takes it; "" for a model of the zoo.
    length: L, in tokens; also the model's `max_length`.
    batch: B.
    dtype: "float32", or "bfloat16" for autocast over float32 weights.
    device: "cpu" or "cuda".
    threads: number of CPU threads.
    warm_up: number of rounds before the timed ones.
    steps: number of timed rounds; 0 measures memory alone.
    """

    kinds: tuple[str, ...]
    model: str
    length: int
    batch: int
    dtype: str
    device: str
    threads: int
    warm_up: int
    steps: int
    place: str = ""


class NaiveAttention(FullAttention):
    """`full` with softmax(Q K^T / sqrt(E)) materialised, (B, H, L, L), like the Transformer that LRA timed.

    It is made as fast as this allows: the query is divided instead of the logits, as in flax, and the mask is applied
    in place. Every sequence must have a token.
    """

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        _, q, k, v = projected
        logits = q / self.shape.head_dim**0.5 @ k.transpose(-1, -2)
        mask = key_mask(keep)
        if mask is not None:
            logits.masked_fill_(~mask, -math.inf)
        weights = functional.dropout(logits.softmax(dim=-1), self.shape.dropout, self.training)
        return weights.to(v.dtype) @ v


def options_at(model: str, length: int) -> dict[str, Any]:
    """The model's options as JSON values: the preset's, except for the Sparse Transformer.

    Its stride is √L, as in its paper and for its stated cost (Child et al. 2019, section 4.2, with c = 8); with a fixed
    stride its cost is quadratic.
    """
    if model == "sparse":
        return {"pattern": "fixed", "stride": math.isqrt(length), "summary": min(8, math.isqrt(length))}
    options: dict[str, Any] = json.loads(json.dumps(dict(preset("xiong", task="text", attention=model).options)))
    return options


def build(kind: str, model: str, length: int) -> Classifier:
    """The `xiong` classifier of bytes for one kind, without dropout; "naive" and "sdpa" have the same weights."""
    name = model if kind == "model" else "full"
    config = replace(
        preset("xiong", task="text", attention=name),
        options=options_at(name, length),
        max_length=length,
        dropout=0.0,
        attention_dropout=0.0,
    )
    torch.manual_seed(0)
    built = Classifier(config)
    if kind == "naive":
        for layer in built.encoder.attentions:
            _make_naive(cast(AttentionLayer, layer))
    return built


def _make_naive(layer: AttentionLayer) -> None:
    naive = NaiveAttention(layer.attention.shape)
    naive.load_state_dict(layer.attention.state_dict())
    layer.attention = naive


class Trainer:
    """One kind of model with its optimiser."""

    def __init__(self, kind: str, request: Request) -> None:
        self.request = request
        self.model = build(kind, request.model, request.length).to(request.device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def step(self, number: int) -> None:
        """Take a step on texts drawn from its number: on_step, forward, loss with auxiliary loss, backward, AdamW."""
        self._step(number, *self._texts(number))

    def timed_step(self, number: int) -> float:
        """Seconds of `step`, without the drawing of texts."""
        texts = self._texts(number)
        self._synchronize()
        begin = time.perf_counter()
        self._step(number, *texts)
        self._synchronize()
        return time.perf_counter() - begin

    def saved_bytes(self, number: int) -> int:
        """Bytes that a forward pass keeps for the backward pass: each storage once, without parameters and buffers."""
        sizes: dict[int, int] = {}
        held: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            held.append(tensor)  # otherwise another tensor may get the address of a freed one
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        own = {part.untyped_storage().data_ptr() for part in (*self.model.parameters(), *self.model.buffers())}
        self.model.on_step(number)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self._loss(*self._texts(number))
        return sum(size for address, size in sizes.items() if address not in own)

    def _step(self, number: int, inputs: Tensor, lengths: Tensor, labels: Tensor) -> None:
        self.model.on_step(number)
        self.optimizer.zero_grad(set_to_none=True)
        # torch's own function is not annotated
        self._loss(inputs, lengths, labels).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _loss(self, inputs: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        with self._autocast():
            loss = functional.cross_entropy(self.model(inputs, lengths), labels)
            auxiliary = self.model.auxiliary_loss()
            return loss if auxiliary is None else loss + auxiliary

    def _texts(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """inputs (B, 1, L), lengths (B, 1), labels (B,): all of full length, a function of the step's number."""
        request = self.request
        generator = torch.Generator().manual_seed(number)
        inputs = torch.randint(1, _LAST_BYTE + 1, (request.batch, 1, request.length), generator=generator)
        labels = torch.randint(0, 2, (request.batch,), generator=generator)
        lengths = torch.full((request.batch, 1), request.length)
        return inputs.int().to(request.device), lengths.int().to(request.device), labels.to(request.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.request.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.request.device, torch.bfloat16)

    def _synchronize(self) -> None:
        if self.request.device == "cuda":
            torch.cuda.synchronize()


def run(request: Request) -> None:
    """Measure, and print each figure."""
    torch.set_num_threads(request.threads)
    first, *others = request.kinds
    trainers = {first: Trainer(first, request)}
    # Libraries, weights and the modules that an optimiser imports (100 MB): the same for all, and no activations yet.
    start = peak_bytes(request.device)
    _say({"kind": first, "start_bytes": start, **_memory(trainers[first])})
    if request.steps:
        trainers |= {kind: Trainer(kind, request) for kind in others}
        _time(trainers, request)


def _memory(trainer: Trainer) -> dict[str, int]:
    request = trainer.request
    for number in range(request.warm_up):
        trainer.step(number)
    if request.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    # AdamW's moments exist after the first step, so the next step needs the most memory.
    trainer.step(request.warm_up)
    peak = peak_bytes(request.device)
    return {"saved_bytes": trainer.saved_bytes(request.warm_up + 1), "peak_bytes": peak}


def _time(trainers: Mapping[str, Trainer], request: Request) -> None:
    """Time rounds of one step per kind, so that other load on the machine affects all kinds alike."""
    for number in range(request.warm_up + request.steps):
        for kind, trainer in trainers.items():
            seconds = trainer.timed_step(number)
            if number >= request.warm_up:
                _say({"kind": kind, "seconds": seconds})


def peak_bytes(device: str) -> int:
    """CPU: the peak resident memory of this process, libraries included. CUDA: the peak memory of tensors."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    # Other systems have only this figure, in bytes on macOS, in KiB elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _say(found: Mapping[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def main(arguments: list[str]) -> None:
    """One argument: the request. Lack of memory is a finding; any other error ends the process with its traceback."""
    (text,) = arguments
    fields = json.loads(text)
    if fields["place"]:
        load(fields["place"])
    try:
        run(Request(**{**fields, "kinds": tuple(fields["kinds"])}))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        _say({"outcome": "out of memory", "error": str(error).split("\n", 1)[0]})


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means lack of memory; the CPU allocator's error is known only by its text."""
    texts = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in texts)


if __name__ == "__main__":
    main(sys.argv[1:])
