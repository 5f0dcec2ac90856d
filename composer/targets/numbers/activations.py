"""Bytes that a training step keeps for its backward pass, from the inputs to the outputs.

A value is kept once, whoever needs it. What the loss keeps is its own, and padding masks that a
caller may leave out are left out. Attention is counted as torch runs it on a CPU: fused where it
can be, with a mask as numbers for each layer that has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from composer.components.costs import Kept
from composer.components.placed import Placed
from composer.graph.graph import Graph, Module, Output, Stack, State
from composer.shapes import Axes

from .flops import needing, trained_of
from .setting import Setting
from .trace import Call, Trace

INDEX_BYTES = 8


@dataclass(frozen=True)
class KeptBytes:
    """Bytes kept of a call for the backward pass, and those of results and of their gradients.

    A result of the model that the backward pass needs, too, is counted with the former.
    """

    activations: int = 0
    outputs: int = 0


def kept_by_call(graph: Graph, made: Trace, at: Setting) -> list[KeptBytes]:
    """Bytes kept of each call: what it keeps within, and its result where anything needs it."""
    masks = _always_masked(graph)
    gradients: set[int] = set()
    values: set[int] = set()
    known: dict[object, Kept] = {}
    within = []
    for call in made.calls:
        needs = trained_of(call, graph) or needing(call, gradients)
        if needs:
            gradients.add(call.makes)
        masked = call.path.partition(".")[0] in masks
        key = (id(call.placed), call.operation, call.shape, masked, call.weights)
        if needs and key not in known:
            known[key] = _kept(call, at, masked=masked)
        kept = known[key] if needs else Kept()
        values |= {value for port in kept.ports for value in call.reads.get(port, ())}
        values |= {call.makes} if kept.result else set()
        within.append(kept.numbers * at.bytes + kept.others)
    found = []
    for call, inner in zip(made.calls, within, strict=True):
        size, kept_result = _bytes(call, graph, at), call.makes in values
        held = size * (call.makes in made.results) * (2 - kept_result)
        found.append(KeptBytes(inner + size * kept_result, held))
    return found


def _kept(call: Call, at: Setting, *, masked: bool) -> Kept:
    if call.placed is not None:
        axes = _in_numbers(call.placed, at)
        kept = call.placed.component.kept(axes, masked=masked, weights=call.weights)
        added = [
            each.placed.component.kept(_in_numbers(each.placed, at))
            for each in call.placed.adapters
        ]
        return replace(
            kept,
            numbers=kept.numbers + sum(each.numbers for each in added),
            others=kept.others + sum(each.others for each in added),
        )
    if call.operation == "dropout":
        return Kept(numbers=prod(map(at.number, call.shape)))
    return Kept()


def _in_numbers(placed: Placed, at: Setting) -> Axes:
    return Axes({name: at.number(size) for name, size in placed.axes.items()})


def _bytes(call: Call, graph: Graph, at: Setting) -> int:
    part = graph.parts.get(call.path) if call.operation == "input" else None
    component = getattr(getattr(part, "node", None), "component", None)
    indices = getattr(component, "dtype", "float") == "int64"
    if call.operation == "table" and call.placed is not None:
        return sum(_table_bytes(call.placed, at))
    return prod(map(at.number, call.shape)) * (INDEX_BYTES if indices else at.bytes)


def _table_bytes(table: Placed, at: Setting) -> Iterator[int]:
    """Bytes of each result of a table, all of which are handed on."""
    for name, shape in table.outputs.items():
        indices = name in table.component.indices
        yield prod(map(at.number, shape)) * (INDEX_BYTES if indices else at.bytes)


def _always_masked(graph: Graph) -> set[str]:
    """Parts whose padding is told by a token, so that their attention always has a mask."""
    names = {f"{item.name}_mask" for item in graph.inputs if isinstance(item.padding, int)}
    found = set()
    for part in graph.parts.values():
        reads = [State(part.name)]
        if isinstance(part, Stack):
            reads += [State(s.part) for layer in part.layers for s in layer.reads.values()]
            reads += [State(s.part) for memory in part.memories for s in memory.sources]
        elif isinstance(part, Output):
            reads.append(State(part.source.part))
        elif isinstance(part, Module):
            reads += [State(s.part) for states in part.reads.values() for s in states]
        masks = {value.mask for state in reads if (value := graph.values.get(state)) is not None}
        if masks & names:
            found.add(part.name)
    return found
