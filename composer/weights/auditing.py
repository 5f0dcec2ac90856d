"""What becomes of every tensor of a model: loaded, new or frozen, told before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from composer.graph.covering import covering, starred
from composer.graph.graph import Graph
from composer.graph.tensors import first_names

from .readings import Maps, Weights, readings


@dataclass(frozen=True)
class Audit:
    """The first names of tensors: those that each map fills, those that start anew, the frozen.

    `ignored` are names of the sources. As text it is a table for people, parts at a time.
    """

    loaded: Mapping[str, tuple[str, ...]]
    new: tuple[str, ...]
    frozen: tuple[str, ...]
    ignored: Mapping[str, tuple[str, ...]]
    graph: Graph = field(repr=False)

    def __str__(self) -> str:
        """One line for each source, then what is new, frozen, ignored."""
        rows = [("loaded", self._told(names, name)) for name, names in self.loaded.items()]
        rows += [("new", self._told(self.new))] if self.new else []
        rows += [("frozen", self._told(self.frozen))] if self.frozen else []
        rows += [
            ("ignored", f"{name}: {', '.join(names)}")
            for name, names in self.ignored.items()
            if names
        ]
        return "\n".join(f"{word:<8} {text}" for word, text in rows)

    def _told(self, names: Collection[str], source: str = "") -> str:
        count = sum(prod(self.graph.tensors[name]) for name in names if name in self.graph.tensors)
        paths = ", ".join(self._paths(set(names)))
        return f"{f'{source}: ' if source else ''}{count:,} parameters: {paths}"

    def _paths(self, chosen: set[str]) -> Iterator[str]:
        first = {n: f in chosen for n, f in first_names(self.graph).items()}
        counts = {stack.name: len(stack.layers) for stack in self.graph.stacks}
        yield from (path or "everything" for path in starred(covering(first), counts))


def audit(graph: Graph, maps: Maps, weights: Weights) -> Audit:
    """What `weights` fill of a graph; no tensor is read. Raises WeightError."""
    found = readings(graph, maps, weights)
    loaded = {each.name or graph.name: tuple(each.plan.targets) for each in found}
    filled = {name for names in loaded.values() for name in names}
    return Audit(
        loaded,
        tuple(name for name in graph.state if name not in filled),
        tuple(name for name in graph.tensors if name in graph.frozen),
        {each.name or graph.name: each.plan.ignored for each in found},
        graph,
    )
