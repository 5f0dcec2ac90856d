"""Two models through torch's own code generator; minutes long, so only run by name.

python -m pytest tests/conformance/default_compiler.py
"""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.conformance.models import CASES, flat, graph_of, inputs_of, loss_of, model_of


@pytest.mark.parametrize("name", ["tests/specs/layers", "tests/specs/cross_which-aligned"])
def test_default_compiler_computes_the_model(name, tmp_path, monkeypatch):
    """Outputs and gradients; the code generator wants a C++ compiler."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    case = next(case for case in CASES if case.name == name)
    model, inputs = model_of(case).eval(), inputs_of(graph_of(case))
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True)
    results = []
    for run in (model, compiled):
        model.zero_grad()
        outputs = flat(run(**inputs))
        loss_of(outputs).backward()
        results.append([*outputs, *(p.grad.clone() for p in model.parameters())])

    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
