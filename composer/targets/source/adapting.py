"""Adapters in emitted source: one statement a linear map, and one loop for those of many layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from composer.components.placed import Adapter
from composer.graph.graph import Graph, Node, Stack

from .freezing import attribute, layers_of
from .ties import held_ties, module_ties
from .writing import WIDTH, call, constructor, split

Adapted = tuple[str, tuple[Adapter, ...]]
"""A linear map by its path, and what adapts it."""


def adapters(graph: Graph) -> list[str]:
    """The statements that put adapters into a model, for its `__init__` when all else is done."""
    if not graph.added:
        return []
    nodes = dict(graph.nodes())
    own = [each for each in _adapted(nodes) if not _shared(each, graph)]
    # A map with places of its own is there anew; in a component that is shared whole it is at once.
    again = module_ties(graph, {path for path, _ in _adapted(nodes)})
    return [*_statements(own, graph), *again, *held_ties(graph)]


def _adapted(nodes: Mapping[str, Node]) -> Iterator[Adapted]:
    for path, node in nodes.items():
        for linear in dict.fromkeys(a.linear for a in node.placed.adapters):
            several = tuple(a for a in node.placed.adapters if a.linear == linear)
            yield f"{path}.{linear}".rstrip("."), several


def _shared(each: Adapted, graph: Graph) -> bool:
    path, several = each
    return f"{path}.{several[0].name}.{next(iter(several[0].placed.tensors))}" in graph.aliases


def _statements(maps: list[Adapted], graph: Graph) -> Iterator[str]:
    """Statements for maps; those of several layers with equal adapters stand in one loop."""
    loops: dict[tuple[str, str, tuple[Adapter, ...]], list[int]] = {}
    for path, several in maps:
        found = re.fullmatch(r"(\w+)\.layers\.(\d+)\.(.+)", path)
        if found:
            loops.setdefault((found[1], found[3], several), []).append(int(found[2]))
        else:
            yield from _statement(f"self{attribute(path)}", several, 0)
    grouped: dict[tuple[str, tuple[int, ...]], list[tuple[str, tuple[Adapter, ...]]]] = {}
    for (name, inner, several), numbers in loops.items():
        grouped.setdefault((name, tuple(numbers)), []).append((inner, several))
    for (name, chosen), inside in grouped.items():
        stack = graph.parts[name]
        assert isinstance(stack, Stack), "only stacks have layers"
        yield f"for layer in {layers_of(stack, chosen)}:"
        for inner, several in inside:
            yield from _statement(f"layer{attribute(inner)}", several, 4)


def _statement(target: str, several: tuple[Adapter, ...], indent: int) -> Iterator[str]:
    """`target = LoraLinear(target, lora=Lora(...))`, wrapped where it is long."""
    made = [f"{a.name}={constructor(a.placed)}" for a in several]
    pad, holder = " " * indent, several[0].placed.component.holder
    around = [] if several[0].placed.component.held else [target]
    one = f"{pad}{target} = {holder}({', '.join([*around, *made])})"
    if len(one) + 8 <= WIDTH:
        yield one
        return
    yield f"{pad}{target} = {holder}("
    yield from (f"{pad}    {each}," for each in around)
    for text in made:
        head, _, rest = text.partition("(")
        lines = call(head, split(rest[:-1]), indent + 12, ",")
        yield from (line[8:] for line in lines)  # they stand in `__init__`
    yield f"{pad})"
