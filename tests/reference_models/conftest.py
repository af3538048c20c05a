"""A fresh compiler for each test that compiles: what others compiled counts against torch's limit of recompiling."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _fresh_compiler(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "compile" in request.node.name:
        torch.compiler.reset()
