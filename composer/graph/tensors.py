"""The names of all tensors, and what stands below a path of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from .graph import Graph, Module, Node, Output, Part, Stack


def first_names(graph: Graph) -> dict[str, str]:
    """The first name of every tensor, buffers too, by each of its names."""
    return {
        name: graph.aliases.get(own, own)
        for part in graph.parts.values()
        for name, _ in _tensors(part)
        for own in [set_owner(name, graph.parts)]
    }


def set_owner(name: str, parts: Mapping[str, Part]) -> str:
    """A tensor's name in the first layer of its set."""
    match = re.match(r"(\w+)\.layers\.(\d+)\.", name)
    stack = parts.get(match[1]) if match else None
    if match is None or not isinstance(stack, Stack):
        return name
    number = int(match[2]) - stack.first
    if number not in range(len(stack.layers)):
        return name
    first = stack.first + stack.layer_sets[number]
    return f"{match[1]}.layers.{first}.{name[match.end() :]}"


class TensorNames:
    """Every tensor of some parts by its full name, each layer with its own."""

    def __init__(self) -> None:
        self._parts: set[str] = set()
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._below: dict[str, list[str]] = {}

    def add(self, part: Part) -> None:
        """Learns the tensors of a part."""
        if part.name in self._parts:
            return
        self._parts.add(part.name)
        for name, shape in _tensors(part):
            self._shapes[name] = shape
            end = len(name)
            while end > 0:
                self._below.setdefault(name[:end], []).append(name)
                end = name.rfind(".", 0, end)

    def below(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """Shapes of the tensors below a path, by what follows it."""
        return {name[len(prefix) :]: self._shapes[name] for name in self._below.get(prefix, ())}


def nodes_of(part: Part) -> Iterator[tuple[str, Node]]:
    """Every component of a part by its path, those of each layer even where layers are one."""
    if isinstance(part, Stack):
        whole = replace(part, layer_sets=tuple(range(len(part.layers))))
        yield from ((f"{part.name}.{path}", node) for path, node in whole.nodes())
    elif isinstance(part, Module):
        yield from ((node.name, node) for node in (part.node, *part.tables.values()))
    elif isinstance(part, Output) and part.head is not None:
        yield part.name, part.head


def _tensors(part: Part) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a part's tensors."""
    for path, node in nodes_of(part):
        for name, shape in node.placed.state.items():
            yield f"{path}.{name}", shape
