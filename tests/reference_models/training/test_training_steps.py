"""What a training step is, and which weights are kept."""

from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import lra_data
from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.devices import World
from reference_models.evaluation.scoring import Evaluation
from reference_models.model.checkpoint import (
    load_model,
)
from reference_models.model.classifier import Classifier
from reference_models.training.loop import Training
from reference_models.training.trainer import train
from tests.support.training_process import (
    STEPS,
    ranks_config,
    small_config,
    small_recipe,
    small_splits,
    small_training,
)
from tests.support.trainings import Stop, assert_same, distances, final_weights, stop_before


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Training, TorchBatch, float]]:
    """What every step was given: its training, the batch, and the learning rate that it went by."""
    seen: list[tuple[Training, TorchBatch, float]] = []
    one_step = Training._one_step

    def watching(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        one_step(self, model, batch)
        seen.append((self, batch, self.optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(Training, "_one_step", watching)
    return seen


@pytest.mark.parametrize("num_workers", [0, 2])
def test_order_and_rate_of_every_step(
    num_workers: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, recipe, dataset = watched(monkeypatch), small_recipe(), small_splits().train
    small_training("linear", tmp_path, num_workers=num_workers)
    assert_same(tmp_path, whole)
    expected = [
        indices
        for epoch in (0, 1)
        for batch in dataset.batches(8, shuffle=True, seed=recipe.seed, epoch=epoch, remainder="drop")
        if len(indices := batch.indices.tolist()) == 8
    ]
    assert [batch.indices.tolist() for _, batch, _ in seen] == expected[:STEPS]
    assert [rate for _, _, rate in seen] == [recipe.rate(step) for step in range(1, STEPS + 1)]
    for _, batch, _ in seen:
        assert batch.inputs.shape == (8, 1, 127)


def test_a_step_is_adamw_on_the_mean_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, written out with torch alone; the auxiliary loss counts."""
    seen, recipe = watched(monkeypatch), small_recipe(steps=2, clip_norm=0.1, weight_decay=0.3, beta1=0.8)
    config = ranks_config("compressive")
    train(config, recipe, small_splits(), tmp_path, device="cpu")
    torch.manual_seed(recipe.seed)
    model = Classifier(config)
    # Fused as the trainer's: a gradient near 0 is divided by its own size, so that another last bit is another step.
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.98), eps=1e-9, weight_decay=0.3, fused=True)
    for step, (_, batch, _) in enumerate(seen, start=1):
        loss = nn.functional.cross_entropy(model(batch.inputs, batch.lengths), batch.labels)
        auxiliary = model.auxiliary_loss()
        assert auxiliary is not None
        (loss + auxiliary).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.param_groups[0]["lr"] = 5e-3 * step / 4
        optimizer.step()
        optimizer.zero_grad()
    expected = dict(model.state_dict())
    assert max(distances(tmp_path, expected).values()) < 1e-6


def test_what_is_drawn_is_a_function_of_seed_step_and_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout differs from step to step and between ranks, whatever was drawn before."""
    drawn: dict[int, list[float]] = {0: [], 1: []}
    one_step = Training._one_step

    def drawing(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        forward = self.model.forward

        def first(inputs: Tensor, lengths: Tensor) -> Tensor:
            drawn[self.world.rank].append(float(torch.rand(())))
            logits: Tensor = forward(inputs, lengths)
            return logits

        with monkeypatch.context() as patch:
            patch.setattr(self.model, "forward", first)
            one_step(self, model, batch)
        torch.rand(5)

    monkeypatch.setattr(Training, "_one_step", drawing)
    for rank in (0, 1):
        world = World(rank, 2, torch.device("cpu"))
        training = Training(
            small_config("linear"), small_recipe(), small_splits(), tmp_path, world, None, num_workers=0, window=None
        )
        for step, batch in zip(range(1, 6), training.loader, strict=False):
            training.step = step
            training._one_step(training.model, cast(TorchBatch, batch))
    assert len({*drawn[0], *drawn[1]}) == 10


@pytest.mark.parametrize("name", ["reformer", "sinkhorn"])
def test_attentions_are_told_of_every_step(name: str, tmp_path: Path) -> None:
    """Weights are kept with what was drawn for the step that made them, the first of which is step 0."""
    small_training(name, tmp_path, recipe=small_recipe(evaluate_every=STEPS))
    expected = Classifier(small_config(name))
    expected.on_step(STEPS - 1)
    weights = final_weights(tmp_path)
    drawn = {part for part in weights if part.endswith(("rotations", "noise"))}
    assert len(drawn) == 2
    assert all(torch.equal(weights[part], expected.state_dict()[part]) for part in drawn)


def test_ranks_begin_with_the_same_weights(tmp_path: Path) -> None:
    models = [
        Training(
            small_config("linformer"),
            small_recipe(),
            small_splits(),
            tmp_path,
            World(rank, 2, torch.device("cpu")),
            None,
            num_workers=0,
            window=None,
        ).model.state_dict()
        for rank in (0, 1)
    ]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_fresh_examples_go_beyond_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, splits = watched(monkeypatch), small_splits()
    train(small_config("linear"), small_recipe(steps=20, fresh=True), splits, tmp_path, device="cpu")
    indices = [batch.indices.tolist() for _, batch, _ in seen]
    first, second = (list(chain(*indices[a:b])) for a, b in ((0, 8), (8, 16)))
    assert max(first) < 70
    whole_split = len(lra_data.load("listops/mini", split="train"))
    assert min(second) >= whole_split
    assert len({*first, *second}) == 128
    tokens = {bytes(row.numpy().tobytes()) for _, batch, _ in seen[:16] for row in batch.inputs[:, 0]}
    assert len(tokens) > 120  # the shortest expressions may come twice


# Which weights are kept


def scripted(monkeypatch: pytest.MonkeyPatch, correct: list[int]) -> list[dict[str, Tensor]]:
    """Let the looks at validation find so many right answers; gives the weights that each of them saw."""
    seen: list[dict[str, Tensor]] = []
    score = Training._score

    def scoring(self: Training, dataset: Any) -> Evaluation:
        if dataset is not self.splits.validation:
            return score(self, dataset)
        seen.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        return Evaluation(examples=30, correct=correct[len(seen) - 1], loss=float(len(seen)))

    monkeypatch.setattr(Training, "_score", scoring)
    return seen


@pytest.mark.parametrize(
    ("correct", "best"), [([3, 7, 7, 5], 2), ([9, 1, 9, 9], 1), ([0, 1, 2, 3], 4), ([0, 0, 0, 0], 1)]
)
def test_the_earliest_of_the_best_weights_are_kept(
    correct: list[int], best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scripted(monkeypatch, correct)
    found = train(
        small_config("performer"), small_recipe(evaluate_every=3), small_splits(), tmp_path, device="cpu", save_every=4
    )
    assert found.selected_step == 3 * best
    assert found.validation.correct == correct[best - 1]
    assert found.validation.loss == best
    model, _ = load_model(tmp_path)
    assert all(torch.equal(tensor, seen[best - 1][name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(seen[best - 1]["encoder.norm.weight"], seen[best % 4]["encoder.norm.weight"])
    assert found.test.examples == 20


def test_the_best_weights_survive_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        before = scripted(patch, [7])
        stop_before(patch, 5)
        with pytest.raises(Stop):
            train(
                small_config("linear"),
                small_recipe(evaluate_every=3),
                small_splits(),
                tmp_path,
                device="cpu",
                save_every=4,
            )
    scripted(monkeypatch, [1, 7, 2])
    found = train(
        small_config("linear"), small_recipe(evaluate_every=3), small_splits(), tmp_path, device="cpu", save_every=4
    )
    assert found.selected_step == 3
    weights = final_weights(tmp_path)
    assert all(torch.equal(weights[name], tensor) for name, tensor in before[0].items())
