"""The most memory that a training step takes, by what torch's allocator is asked for.

Every request and release is recorded, so that the number is the same each time and on any machine.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.conformance.models import flat


def peak_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """The most bytes held at once in a step: parameters, moments, and all that comes and goes."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, fused=True)

    def step() -> None:
        outputs = [out for out in flat(model(**inputs)) if out.requires_grad]
        torch.autograd.backward(outputs, [torch.ones_like(out) for out in outputs])
        optimizer.step()
        optimizer.zero_grad()

    step()  # the moments are made in the first one
    moments = [t for s in optimizer.state.values() for t in s.values() if t.numel() > 1]
    held = sum(t.nbytes for t in [*model.parameters(), *moments])
    return held + sum(t.nbytes for t in inputs.values()) + _most_added(step)


def _most_added(run: Callable[[], None]) -> int:
    """The most bytes that are held at once beyond those from before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    assert recorded.profiler is not None
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
