"""Small trainings of all models, and what the tests of the trainer start as processes of their own.

    training_process.py kill FOLDER SEED        trains each model twice: undisturbed, and killed in mid-training; then
                                                one, killed within each of its writes
    training_process.py logits FOLDER           prints what each model in FOLDER answers, as a digest of its logits
    training_process.py disk FOLDER BYTES EVERY trains where no file may grow beyond so many bytes, with a state after
                                                so many steps
    torchrun … training_process.py ranks FOLDER trains each model, on all ranks together
    torchrun … training_process.py options FOLDER [compiled]
                                                trains one with standardised vectors and easier rows, also compiled
    torchrun … training_process.py pretrain FOLDER
                                                pre-trains one, on all ranks together

Models are small, and read 127 tokens as listops/mini has them, so that every attention has several blocks or segments.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

import lra_data
from lra_data.loading.frameworks.torch_batches import TorchLoader
from reference_models.attention.catalogue import attention_names
from reference_models.devices import leave
from reference_models.evaluation.scoring import evaluate
from reference_models.model.card import Card
from reference_models.model.checkpoint import CARD, STATE, load_model
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.presets import preset
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import Pretraining
from reference_models.training.pretraining import pretrain
from reference_models.training.splits import Splits
from reference_models.training.trainer import train

STEPS = 12


def small_config(attention: str, **changes: Any) -> ModelConfig:
    """The mini model of ListOps, narrower, with dropout of both kinds."""
    small = {"dim": 16, "qkv_dim": 16, "mlp_dim": 32, "dropout": 0.2, "attention_dropout": 0.1, "seed": 3}
    return replace(preset("mini", task="listops", attention=attention), **{**small, **changes})


def small_recipe(**changes: Any) -> TrainConfig:
    """Twelve steps with three looks at validation, the last of them at a step of its own."""
    settings = {"steps": STEPS, "batch_size": 8, "learning_rate": 5e-3, "warmup": 4, "seed": 3, "evaluate_every": 5}
    return TrainConfig(**{**settings, **changes})


def small_splits() -> Splits:
    """Virtual rows of listops/mini; twelve batches of eight are more than an epoch of train."""
    return Splits(
        train=lra_data.load("listops/mini", split="train[:70]"),
        validation=lra_data.load("listops/mini", split="validation[:30]"),
        test=lra_data.load("listops/mini", split="test[:20]"),
    )


def small_training(attention: str, run: Path, *, recipe: TrainConfig | None = None, **words: Any) -> Card:
    """Train one of the above on the CPU, with a state after every second step; returns the card."""
    given = {"device": "cpu", "save_every": 2, **words}
    return train(small_config(attention), recipe or small_recipe(), small_splits(), run, **given)


def pretraining(attention: str, run: Path) -> Pretraining:
    """Pre-train one of the above on the CPU, without dropout, with a state after every second step."""
    config, splits = replace(small_config(attention), dropout=0.0, attention_dropout=0.0), small_splits()
    return pretrain(config, small_recipe(), splits.train, splits.validation, run, ratio=0.2, device="cpu", save_every=2)


def kill(folder: Path, seed: int) -> None:
    """Prints as JSON what was killed: `random` by model, `writes` by the number of the write."""
    # What a first training imports and compiles; no gradient, since autograd's threads do not live through a fork.
    torch.optim.AdamW([torch.zeros(1)])
    next(iter(small_splits().train.batches(8, shuffle=True)))
    found = undisturbed_and_killed(folder, seed)
    print(json.dumps({"random": found, "writes": killed_in_writes(folder, "linear")}))


def undisturbed_and_killed(folder: Path, seed: int) -> dict[str, dict[str, int]]:
    """FOLDER/whole/NAME and FOLDER/killed/NAME of every model; says of each how often it was killed, and how often a
    state was left then.

    This process only imports: trainings are its children by fork, so that a new one costs no second import. Each is
    killed once or twice at a random moment of the time that an undisturbed one took; one that was quicker than that is
    begun anew.
    """
    rng = random.Random(seed)
    found = {}
    for name in attention_names():
        began = time.perf_counter()
        if _in_child(None, small_training, name, folder / "whole" / name) != 0:
            raise RuntimeError(f"{name}: the undisturbed training failed")
        seconds, run = time.perf_counter() - began, folder / "killed" / name
        wanted, kills, states = rng.randint(1, 2), 0, 0
        while True:
            after = rng.uniform(0.1, 0.8) * seconds if kills < wanted else None
            code = _in_child(after, small_training, name, run)
            if code == -signal.SIGKILL:
                kills += 1
                states += (run / STATE).exists()
                if (run / CARD).exists():  # between the card and the child's end
                    kills, states = 0, 0
                    shutil.rmtree(run)
            elif code != 0:
                raise RuntimeError(f"{name}: a training ended with {code}")
            elif kills == 0:
                seconds *= 0.7
                shutil.rmtree(run)
            else:
                break
        found[name] = {"kills": kills, "states": states}
    return found


def killed_in_writes(folder: Path, name: str) -> list[list[str]]:
    """FOLDER/writes/N: a training that was killed within its write N, from 1 on, and then went on undisturbed. Says of
    each what files it left when it was killed.
    """
    left: list[list[str]] = []
    while True:
        run = folder / "writes" / str(len(left) + 1)
        if _in_child(None, _die_in_write, name, run, len(left) + 1) == 0:
            shutil.rmtree(run)  # it has fewer writes
            return left
        left.append(sorted(path.name for path in run.iterdir()))
        if _in_child(None, small_training, name, run) != 0:
            raise RuntimeError(f"{run}: the training did not go on")


def _die_in_write(name: str, run: Path, write: int) -> None:
    """Train until the file of a write is complete but for its name."""
    calls = iter(range(1, write))

    def sync(descriptor: int) -> None:
        # Lines of the log are appended: what was there before them stays.
        appended = not os.readlink(f"/proc/self/fd/{descriptor}").endswith(".tmp")
        if not appended and next(calls, None) is None:
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)  # what a machine may leave that stops
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = sync  # type: ignore[assignment]
    small_training(name, run)


def _in_child(kill_after: float | None, work: Callable[..., object], *arguments: object) -> int:
    """Do work in a fork of this process; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)  # one that has ended is still there until it is waited for
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def ranks_config(attention: str) -> ModelConfig:
    """Without dropout: the ranks' dropout is not that of one process."""
    return small_config(attention, dropout=0.0, attention_dropout=0.0)


def ranks_recipe(**changes: Any) -> TrainConfig:
    """Ten steps; the only look at validation is after the last, so that the card's weights are the final ones.

    Adam divides a gradient by its own size. Where that is nearly 0 the quotient of rounding errors is any number; an
    epsilon far above rounding (1e-8 of gradients) and far below true gradients leaves such weights where they are.
    """
    return small_recipe(**{"steps": 10, "evaluate_every": 10, "epsilon": 1e-3, **changes})


def scores(rank: int, world_size: int) -> dict[str, Any]:
    """What `evaluate` says of a new model on splits of which ranks get unequal shares, or nothing."""
    torch.manual_seed(0)
    model, found = Classifier(small_config("linear")), {}
    for split in ("test[:1]", "test[:7]", "validation[:41]"):
        dataset = lra_data.load("listops/mini", split=split)
        found[split] = evaluate(model, dataset, batch_size=5, rank=rank, world_size=world_size).record()
    return found


def last_step(model: torch.nn.Module, rank: int, world_size: int) -> dict[str, torch.Tensor]:
    """A user's own step on a split of one example, which the first rank gets: the gradients, and the buffers after it.

    model: of `ranks_config`, or the same in DistributedDataParallel.
    """
    own = model.module if isinstance(model, DistributedDataParallel) else model
    assert isinstance(own, Classifier)
    batches = lra_data.load("listops/mini", split="train[:1]").batches(2, rank=rank, world_size=world_size)
    (batch,) = TorchLoader(batches)
    own.train().on_step(0)
    for _ in range(2):  # DistributedDataParallel notices in the next step what got no gradient
        model.zero_grad()
        logits = model(batch.inputs, batch.lengths)
        loss = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum") * world_size
        extra = own.auxiliary_loss()
        torch.autograd.backward(loss if extra is None else loss + extra)
    none = [name for name, parameter in own.named_parameters() if parameter.grad is None]
    assert none == [], none
    return {name: p.grad for name, p in own.named_parameters() if p.grad is not None} | dict(own.named_buffers())


def new_model(name: str) -> Classifier:
    """The model of `ranks_config` as a training begins it."""
    torch.manual_seed(0)
    return Classifier(ranks_config(name))


def all_ranks(folder: Path, *names: str) -> None:
    """FOLDER/NAME of these models, trained by all ranks of torchrun together; FOLDER/RANK.json: `scores`, and the
    threads that the group had and left; FOLDER/NAME/RANK.pt: `last_step`.
    """
    for name in names:
        train(ranks_config(name), ranks_recipe(), small_splits(), folder / name, device="cpu", save_every=4)
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    found = {"scores": scores(rank, size), "threads": _gloo_threads()}
    for name in names:
        model = DistributedDataParallel(new_model(name))
        torch.save(last_step(model, rank, size), folder / name / f"{rank}.pt")
        del model  # its reducer outlives the group otherwise
    leave()
    (folder / f"{rank}.json").write_text(json.dumps({**found, "left": _gloo_threads()}))


def with_options(folder: Path, *, compiled: bool) -> None:
    """A training in FOLDER with all options that depend on whole batches or on the place of a step."""
    easier = {"easier": {"max_depth": 4}, "easier_steps": 4}
    config = small_config("linear", dropout=0.0, attention_dropout=0.0, standardised=True)
    recipe = ranks_recipe(**easier, compile=compiled)
    train(config, recipe, small_splits(), folder, device="cpu", save_every=4)
    leave()


def _gloo_threads() -> list[str]:
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return sorted(name for name in names if "gloo" in name)


def answers(folder: Path) -> None:
    """Print each model's logits on the same rows, as JSON of digests."""
    found = {}
    batch = next(iter(small_splits().test.batches(20, pad_to=127)))
    for path in sorted(folder.iterdir()):
        model, _ = load_model(path)
        with torch.no_grad():
            logits = model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths))
        found[path.name] = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
    print(json.dumps(found))


def small_disk(folder: Path, size: int, save_every: int) -> None:
    """Train with a limit on the size of a file: what the system says is not that the disk is full, but comes the same
    way. Prints the error.
    """
    sys.dont_write_bytecode = True  # it would be cut off
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        small_training("linear", folder, save_every=save_every)
    except lra_data.LraDataError as error:
        print(f"{type(error).__name__}: {error}")


def main() -> None:
    torch.set_num_threads(1)
    what, folder, *rest = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    if what == "kill":
        kill(folder, int(rest[0]))
    elif what == "disk":
        small_disk(folder, *map(int, rest))
    elif what == "ranks":
        all_ranks(folder, *rest)
    elif what == "options":
        with_options(folder, compiled=rest == ["compiled"])
    elif what == "pretrain":
        pretraining("linear", folder / "linear-pretrained")
        leave()
    elif what == "logits":
        answers(folder)
    else:
        raise ValueError(what)


if __name__ == "__main__":
    main()
