"""The floating point operations of a whole model, from what its components declare."""

from __future__ import annotations

from collections.abc import Iterator

from composer.components.component import Placed
from composer.shapes import Size, evaluate, lengths_in

from .graph import Graph, LayerKind, Module, Output, Part, Stack


def flops(graph: Graph) -> Size:
    """Operations of one forward pass as torch counts them, over the lengths of the inputs.

    A layer that is applied several times counts each time, unlike its parameters.
    """
    total: Size = 0
    for placed in applied(graph):
        total = total + placed.flops()
    return total


def flops_per_token(graph: Graph, steps: int) -> float:
    """Operations of one forward pass over `steps` steps of every input, by the step."""
    total = flops(graph)
    lengths = dict.fromkeys(lengths_in(total), steps) | {"batch": 1}
    return evaluate(total, lengths) / steps


def applied(graph: Graph) -> Iterator[Placed]:
    """Every component as often as one forward pass applies it."""
    for part in graph.parts.values():
        yield from _in_part(part)


def _in_part(part: Part) -> Iterator[Placed]:
    if isinstance(part, Stack):
        yield from _in_stack(part)
    elif isinstance(part, Module):
        yield part.node.placed
        for table in part.tables.values():
            yield table.placed
    elif isinstance(part, Output) and part.head is not None:
        yield part.head.placed


def _in_stack(stack: Stack) -> Iterator[Placed]:
    for node in (stack.embed, stack.final_norm):
        if node is not None:
            yield node.placed
    for table in stack.tables:
        yield table.placed
    for memory in stack.memories:
        for node in (memory.mix, *memory.projects):
            if node is not None:
                yield node.placed
    for layer in stack.layers:
        yield from _in_layer(layer.kind)


def _in_layer(kind: LayerKind) -> Iterator[Placed]:
    for node in kind.nodes():
        yield node.placed
