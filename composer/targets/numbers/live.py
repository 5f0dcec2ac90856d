"""How long the values of a forward pass are held: by the variables of its source, not by gradients.

The model holds what one part makes for another, a stack the states of its layers where any of them
is read, and the weights that its layers return. A layer holds what it is given until its end, and
what a branch gave a name, until another branch takes that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from composer.graph.graph import Graph
from composer.targets.source.layers import naming_branches
from composer.targets.source.plan import plan, states_read

from .trace import Call, Trace, Value


def waiting_values(graph: Graph, made: Trace) -> dict[Value, list[Value]]:
    """The values that are let go after each call."""
    waiting: dict[Value, list[Value]] = {}
    for value, end in _ends(graph, made).items():
        waiting.setdefault(end, []).append(value)
    return waiting


def _ends(graph: Graph, made: Trace) -> dict[Value, Value]:
    """The call after which a value is let go; those that are held until the end are left out."""
    layers = {call.makes: _layer(call) for call in made.calls}
    closing = {layer: value for value, layer in layers.items() if layer}
    ends = {call.makes: call.makes for call in made.calls}
    held = {*made.results, *(c.makes for c in made.calls if c.operation == "input")}
    held |= set(_listed(graph, made))
    for call in made.calls:
        here = layers[call.makes]
        for value in (value for values in call.reads.values() for value in values):
            if made.calls[value].path.partition(".")[0] != call.path.partition(".")[0]:
                held.add(value)
            end = closing[here] if here and layers[value] != here else call.makes
            ends[value] = max(ends[value], end)
    for value, end in _named(graph, made):
        ends[value] = max(ends[value], end)
    return {value: end for value, end in ends.items() if value not in held}


def _listed(graph: Graph, made: Trace) -> Iterator[Value]:
    """Values that stand in a list: states of layers, and weights that layers return."""
    listed = states_read(graph)
    for state, value in made.states.items():
        if state.layer is not None and (state.item or state.part in listed):
            yield value


def _named(graph: Graph, made: Trace) -> Iterator[tuple[Value, Value]]:
    """What branches give a name, and the last call at which it still has that."""
    known, names = plan(graph, ()), dict[int, tuple[bool, ...]]()
    for stack in graph.stacks:
        for number, layer in enumerate(stack.layers):
            ends = made.branches[stack.name, number]
            if id(layer.kind) not in names:
                names[id(layer.kind)] = naming_branches(layer.kind, stack, known)
            until = ends[-1] if ends else 0
            for index, naming in reversed(list(enumerate(names[id(layer.kind)]))):
                if not naming:
                    continue
                reads = [v for values in made.calls[ends[index]].reads.values() for v in values]
                yield reads[-1], until
                until = ends[index - 1] + 1 if index else until


def _layer(call: Call) -> str:
    """The layer that a call stands in, "" outside."""
    stack, _, rest = call.path.partition(".layers.")
    return f"{stack}.{rest.partition('.')[0]}" if rest else ""
