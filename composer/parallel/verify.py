"""A plan compared with what torch makes of it, in one process and without memory.

The process group is torch's fake one, which has any number of ranks and sends nothing, and the
model is on the meta device, so that a plan for thousands of devices is checked on a laptop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from composer.targets.module import build_module

from .apply import parallelize
from .plan import Place, Plan


@dataclass(frozen=True)
class Difference:
    """A parameter whose shape on a device is not the planned one."""

    rank: int
    name: str
    planned: tuple[int, ...]
    found: tuple[int, ...]


def verify(layout: Plan, ranks: Iterable[int] | None = None) -> list[Difference]:
    """Where the shapes that torch gives some ranks are not those of the plan; nothing is right.

    By default the first rank, the last one, and the one that holds most.
    """
    last = len(layout.places) - 1
    fullest = layout.places.index(layout.fullest)
    chosen = sorted({0, fullest, last} if ranks is None else set(ranks))
    return [one for rank in chosen for one in _differences(layout, rank)]


def local_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of what this rank holds of each parameter, by its first name."""
    return {
        name: tuple((p.to_local() if hasattr(p, "to_local") else p).shape)
        for name, p in model.named_parameters()
    }


def _differences(layout: Plan, rank: int) -> Iterator[Difference]:
    place: Place = layout.places[rank]
    with _fake_group(rank, layout.mesh.world):
        with torch.device("meta"):
            model = build_module(layout.graph)
        found = local_shapes(parallelize(model, layout.graph, asked=layout.asked))
    for name, planned in layout.shapes(place).items():
        if found[name] != planned:
            yield Difference(rank, name, planned, found[name])


@contextmanager
def _fake_group(rank: int, world: int) -> Iterator[None]:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world)
    try:
        yield
    finally:
        dist.destroy_process_group()
