"""What becomes of each tensor of a checkpoint when it is loaded into another model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from composer.graph.graph import Graph

Shape = tuple[int, ...]
What = Literal["carried", "sliced", "grown", "reshaped", "new", "dropped"]


@dataclass(frozen=True)
class Fate:
    """A tensor and what becomes of it.

    `carried` has the same shape; `sliced` is smaller along some axes and larger along none;
    `grown` is larger along some, so that only part of it is filled; `reshaped` has another number
    of axes and is `new` in all but name; `dropped` is in the checkpoint and used nowhere. `source`
    is its name in the checkpoint, where that differs.
    """

    name: str
    what: What
    before: Shape | None = None
    after: Shape | None = None
    source: str | None = None


def fates(a: Graph, b: Graph) -> list[Fate]:
    """Every tensor of `b` in order, and then those of `a` that `b` has not.

    A tensor with several names is found by any of them, on both sides.
    """
    found = list(_of_second(a, b))
    used = {fate.source or fate.name for fate in found if fate.before is not None}
    dropped = [
        Fate(name, "dropped", before=shape) for name, shape in a.tensors.items() if name not in used
    ]
    return found + dropped


def _of_second(a: Graph, b: Graph) -> Iterator[Fate]:
    further: dict[str, list[str]] = {}
    for alias, first in b.aliases.items():
        further.setdefault(first, []).append(alias)
    for name, shape in b.tensors.items():
        owners = (_owner(a, other) for other in (name, *further.get(name, ())))
        source = next((owner for owner in owners if owner is not None), None)
        if source is None:
            yield Fate(name, "new", after=shape)
        else:
            before = a.tensors[source]
            other = source if source != name else None
            yield Fate(name, _what(before, shape), before, shape, other)


def _owner(graph: Graph, name: str) -> str | None:
    """The first name of a tensor, or None where the model has no such tensor."""
    first = graph.aliases.get(name, name)
    return first if first in graph.tensors else None


def _what(before: Shape, after: Shape) -> What:
    if before == after:
        return "carried"
    if len(before) != len(after):
        return "reshaped"
    larger = any(new > old for old, new in zip(before, after, strict=True))
    return "grown" if larger else "sliced"
