"""Pieces: some layers of a stack as a stack of their own, and what comes to them from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from composer.components.inputs import Input as InputComponent
from composer.components.placed import Placed
from composer.diagnostics import Span
from composer.shapes import Axes

from .graph import Input, Layer, LayerKind, Node, Stack, State, Value
from .steps import in_step

Local = Callable[[State], State]
"""Gives what a state of the whole graph is called where it is read."""


class Carried(InputComponent):
    """A value that an earlier stage has made; nobody writes it."""

    kind: str


def carried_input(name: str, value: Value) -> Input:
    """What an earlier stage has made, as something that comes in."""
    placed = Placed(Carried(kind="carried"), Axes({}), {"": value.shape})
    return Input(name, Node(name, placed, Span("", 1, 1, 1)), value)


def piece(stack: Stack, numbers: Sequence[int], local: Local) -> Stack:
    """The layers of a stack with these numbers, which follow each other.

    Without the first one it goes on from a state and embeds nothing, without the last one it has no
    final norm.
    """
    first, count = numbers[0], len(stack.layers)
    ends = numbers[-1] + 1 == count
    layers = _layers(stack, numbers, local)
    read = {argument for layer in layers for argument in layer.reads}
    return replace(
        stack,
        source=local(State(stack.name, first - 1) if first else stack.source),
        embed=None if first else stack.embed,
        layers=layers,
        final_norm=stack.final_norm if ends else None,
        memories=tuple(
            replace(memory, sources=tuple(map(local, memory.sources)))
            for memory in stack.memories
            if memory.argument in read
        ),
        layer_sets=_sets(stack, numbers),
        result_read=stack.result_read or not ends,
        first=first,
        family=() if len(numbers) == count else stack.kinds,
    )


def _sets(stack: Stack, numbers: Sequence[int]) -> tuple[int, ...]:
    """For each layer the first one here that is one with it."""
    sets = [stack.layer_sets[number] for number in numbers]
    return tuple(sets.index(one) for one in sets)


def _layers(stack: Stack, numbers: Sequence[int], local: Local) -> tuple[Layer, ...]:
    """The layers, reading what their states are called here.

    Layers of one kind are called alike; those that read different values from outside are not.
    """
    kinds: dict[tuple[object, ...], LayerKind] = {}
    made = []
    for number in numbers:
        layer = stack.layers[number]
        reads = {
            argument: replace(state, layer=(state.layer or 0) - numbers[0])
            if in_step(stack, state)
            else local(state)
            for argument, state in layer.reads.items()
        }
        outside = tuple((a, s) for a, s in reads.items() if s.part and s.layer is None)
        inside = tuple(a for a, s in reads.items() if s.layer is not None)
        known = any(kind is layer.kind for kind in kinds.values())
        key = (id(layer.kind), outside, inside)
        kind = kinds.setdefault(key, replace(layer.kind) if known else layer.kind)
        made.append(Layer(kind, reads))
    return tuple(made)
