"""What a cell's process measures: memory and steps of one model, and of the two Transformers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from reference_models.attention.full import FullAttention
from reference_models.efficiency.cell import KINDS, NaiveAttention, Request, Trainer, build, main, out_of_memory, run
from reference_models.model.classifier import Classifier

REQUEST = Request(
    kinds=KINDS,
    model="linear",
    length=64,
    batch=1,
    dtype="float32",
    device="cpu",
    threads=1,
    warm_up=1,
    steps=2,
)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_naive_is_full_in_output_and_gradients() -> None:
    inputs = torch.randint(1, 257, (3, 1, 96), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([[96], [41], [1]])
    found = []
    for kind in ("naive", "sdpa"):
        model = build(kind, "local", 96).double().train()
        # logits come out in float32, in which the last digits of the two are not the same
        logits = model(inputs, lengths)
        logits.pow(2).sum().backward()
        found.append((type(model.attentions[0]), logits, {name: p.grad for name, p in model.named_parameters()}))
    (naive, one, gradients), (fused, two, expected) = found
    assert (naive, fused) == (NaiveAttention, FullAttention)
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7, msg=name)


def test_saved_bytes_of_linear_grow_with_the_length_and_of_naive_with_its_square() -> None:
    found = {}
    for kind in KINDS:
        for length in (512, 1024, 2048):
            found[kind, length] = Trainer(kind, replace(REQUEST, length=length)).saved_bytes(0)
    for kind in ("model", "sdpa"):
        assert found[kind, 2048] / found[kind, 1024] == pytest.approx(2, rel=0.01)
    # Two layers, two heads, one float32 matrix each, beside what grows with L.
    for length in (512, 1024, 2048):
        square = 2 * 2 * length**2 * 4
        assert square < found["naive", length] < square + found["sdpa", length]


def test_parameters_are_not_saved_bytes() -> None:
    """A long table of positions adds weights and no activations: 50,000 rows of which 2,048 are used."""
    trainer = Trainer("model", replace(REQUEST, length=2048))
    activations = trainer.saved_bytes(0)
    trainer.model.encoder.positions = torch.nn.Parameter(torch.zeros(50_000, 64))
    assert trainer.saved_bytes(0) == activations


def test_a_step_tells_its_number_then_trains_on_the_auxiliary_loss_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    forward, on_step = Classifier.forward, Classifier.on_step

    def heard_step(self: Classifier, step: int) -> None:
        calls.append(step)
        on_step(self, step)

    def heard_forward(self: Classifier, *texts: torch.Tensor) -> torch.Tensor:
        calls.append(texts)
        return forward(self, *texts)

    monkeypatch.setattr(Classifier, "on_step", heard_step)
    monkeypatch.setattr(Classifier, "forward", heard_forward)
    trainer = Trainer("model", replace(REQUEST, model="compressive", length=1024, batch=2))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.step(5)
    number, (inputs, lengths) = calls
    assert number == 5
    assert inputs.shape == (2, 1, 1024)
    assert (int(inputs.min()), int(inputs.max())) == (1, 256)
    assert lengths.tolist() == [[1024], [1024]]
    # The convolution that compresses memories learns by the attention's own loss, and by nothing but that.
    after = dict(trainer.model.named_parameters())
    assert any("convolution" in name for name in before)
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_every_step_has_other_texts_and_the_same_again() -> None:
    trainer, twin = (Trainer(kind, REQUEST) for kind in ("model", "naive"))
    assert torch.equal(trainer._texts(3)[0], twin._texts(3)[0])
    assert not torch.equal(trainer._texts(3)[0], trainer._texts(4)[0])


def test_autocast_keeps_less() -> None:
    wide, narrow = (Trainer("naive", replace(REQUEST, length=512, dtype=dtype)) for dtype in ("float32", "bfloat16"))
    assert narrow.saved_bytes(0) < wide.saved_bytes(0)
    assert narrow.timed_step(1) > 0


def test_rounds_are_interleaved_behind_the_memory_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    run(REQUEST)
    memory, *steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert memory.keys() == {"kind", "start_bytes", "saved_bytes", "peak_bytes"}
    assert [step["kind"] for step in steps] == [*KINDS, *KINDS]
    run(replace(REQUEST, kinds=("naive",), steps=0))
    assert [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()] == ["naive"]


def test_want_of_memory_is_a_finding_and_other_errors_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    text = {**REQUEST.__dict__, "length": 10**12}  # 256 TB of positions: more than a process can address
    main([json.dumps(text)])
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "out of memory"
    assert "memory" in found["error"]
    with pytest.raises(ValueError, match="unknown attention"):
        main([json.dumps({**text, "model": "linea"})])
    with pytest.raises(RuntimeError) as error:
        torch.ones(2) + torch.ones(3)
    assert not out_of_memory(error.value)
    assert out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 68.00 GiB"))
