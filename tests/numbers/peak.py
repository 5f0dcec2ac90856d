"""The most memory that a step takes, by what torch's allocator is asked for.

Every request and release is recorded, so that the number is the same each time and on any machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.conformance.models import flat


@dataclass(frozen=True)
class Memory:
    """Bytes that something holds beyond those from before: at once at most, and when it is done."""

    most: int
    left: int


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
    return held + sum(t.nbytes for t in inputs.values()) + memory_of(step).most


def forward_bytes(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """The most bytes held at once in a forward pass that keeps nothing, parameters included."""

    def step() -> None:
        with torch.inference_mode():
            model(**inputs)

    held = sum(t.nbytes for t in [*model.parameters(), *inputs.values()])
    return held + memory_of(step).most


def memory_of(run: Callable[[], None]) -> Memory:
    """What `run` holds, by every request and release of the allocator."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    assert recorded.profiler is not None
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return Memory(most, held)
