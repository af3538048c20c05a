"""Speed of a training loop over a virtual set, compared with the raw generator on the same examples.

Examples take different times to generate, so all contenders of a round generate the same range of rows.
"""

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import lra_data
from benchmarks.loading.contenders import BATCH
from benchmarks.loading.sets import PICTURES
from benchmarks.loading.targets import Judged, at_least
from lra_data.loading.frameworks.torch_batches import TorchLoader

CHUNK = 1024
PREFETCH = 8
LEAST = 0.7


def generator(start: int, stop: int) -> None:
    """Generate rows in chunks, as a build does."""
    for first in range(start, stop, CHUNK):
        lra_data.generate(PICTURES, "train", first, min(first + CHUNK, stop))


def loader(prefetch: int) -> Callable[[int, int], None]:
    """A loop over shuffled batches that does nothing with them."""

    def loop(start: int, stop: int) -> None:
        dataset = lra_data.load(PICTURES, split=f"train[{start}:{stop}]")
        for _ in TorchLoader(dataset.batches(BATCH, shuffle=True, prefetch=prefetch)):
            pass

    return loop


def virtual(rounds: int, examples: int) -> Iterator[tuple[str, Judged | None]]:
    """Lines of a table."""
    contenders = {"generate": generator, "prefetch=0": loader(0), f"prefetch={PREFETCH}": loader(PREFETCH)}
    for run in contenders.values():
        run(0, 2 * BATCH)
    turns = []
    for turn in range(rounds):
        start = turn * examples
        order = list(contenders) if turn % 2 == 0 else list(reversed(contenders))
        times = {}
        for contender in order:
            began = perf_counter()
            contenders[contender](start, start + examples)
            times[contender] = perf_counter() - began
        turns.append(times)
    for contender in contenders:
        ratio = median(times["generate"] / times[contender] for times in turns)
        speed = median(examples / times[contender] for times in turns)
        judged = at_least(f"virtual, {contender}, over the generator", ratio, LEAST)
        yield f"| {contender} | {speed:,.0f} | {ratio:.2f} |", None if contender == "generate" else judged
