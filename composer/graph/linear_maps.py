"""Every linear map of a graph, each layer with its own, and which of them are one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from composer.components.component import LinearMap
from composer.diagnostics import Problems, Span
from composer.language.paths import Chosen

from .graph import Graph, Node
from .selecting import select
from .tensors import first_names, nodes_of


@dataclass(frozen=True)
class FoundMap:
    """A linear map in a graph: the component that holds it, by its path, and its attribute."""

    path: str
    holder: str
    node: Node
    linear: str
    map: LinearMap

    @property
    def suffixes(self) -> list[str]:
        """Names of its tensors, below its own."""
        prefix = f"{self.linear}." if self.linear else ""
        names = [n for n in self.node.placed.tensors if n.startswith(prefix)]
        return [n[len(prefix) :] for n in names if "." not in n[len(prefix) :]]

    @property
    def is_result(self) -> bool:
        """Whether its result is that of its attention or feed-forward."""
        own = self.linear in self.node.component.linears(self.node.placed.axes)
        return own and self.map.role in {"o", "ffn_out"}

    @property
    def shape(self) -> tuple[int, ...]:
        """Width of the result, width of what it reads."""
        return self.node.placed.tensors[f"{self.linear}.weight".lstrip(".")]


class LinearMaps:
    """The linear maps of a graph by their paths, the first place of each, and names of tensors."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.found = {found.path: found for found in _linear_maps(graph)}
        self.first = first_names(graph)
        self.owners = {
            path: self.first[f"{path}.weight"].removesuffix(".weight") for path in self.found
        }
        self.names: dict[str, list[str]] = {}
        for name, first in self.first.items():
            self.names.setdefault(first, []).append(name)

    def at(self, chosen: Chosen, problems: Problems) -> dict[str, str]:
        """The first places, by path, of linear maps at or below some paths; without one, of all."""
        if not chosen.paths:
            return self.owners
        return select(chosen.paths, self.owners, self.graph, problems, "linear maps") or {}

    def chosen(self, chosen: Chosen, span: Span, problems: Problems) -> list[str]:
        """Paths of the linear maps that a change is for; what finds nothing is a problem."""
        inside = self.at(chosen, problems)
        if not chosen.roles or not inside:
            return list(inside)
        for role in chosen.roles:
            if all(self.found[path].map.role != role for path in inside):
                why = f"no linear map here is for '{role}'"
                roles = dict.fromkeys(self.found[path].map.role for path in inside)
                problems.add("G212", why, span, fix=f"roles here: {', '.join(roles)}")
        return [path for path in inside if self.found[path].map.role in chosen.roles]

    def places(self, path: str) -> list[str]:
        """Every place of a linear map's weight, which may be that of something else."""
        return [n.removesuffix(".weight") for n in self.names[f"{self.owners[path]}.weight"]]


def _linear_maps(graph: Graph) -> Iterator[FoundMap]:
    for part in graph.parts.values():
        for path, node in nodes_of(part):
            for linear, each in node.placed.linears.items():
                yield FoundMap(f"{path}.{linear}".rstrip("."), path, node, linear, each)
