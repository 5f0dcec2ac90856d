"""How long the values of a forward pass are held: by the variables of its source, not by gradients.

The model holds what one part makes for another, a stack the states of its layers where any of them
is read, and the weights that its layers return. A layer holds what it is given until its end, and
what a branch gave a name, until another branch takes that name.
"""

from __future__ import annotations

from collections.abc import Iterator

from composer.graph.graph import Graph
from composer.targets.source.layers import names_given
from composer.targets.source.plan import plan, reads_of, states_read

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
    step = {stack.name: stack.lockstep for stack in graph.stacks}
    ends = {call.makes: call.makes for call in made.calls}
    held = {*made.results, *(c.makes for c in made.calls if c.operation == "input")}
    for call in made.calls:
        here, part = layers[call.makes], _part(call)
        for value in (value for values in call.reads.values() for value in values):
            end = closing[here] if here and layers[value] != here else call.makes
            other = _part(made.calls[value])
            if other != part and here and layers[value] and other in step.get(part, ()):
                end = max(closing[f"{each}{here[len(part) :]}"] for each in step[part])
            elif other != part:
                held.add(value)
            ends[value] = max(ends[value], end)
    for value, end in (*_listed(graph, made), *_named(graph, made)):
        ends[value] = max(ends[value], end)
    return {value: end for value, end in ends.items() if value not in held}


def _listed(graph: Graph, made: Trace) -> Iterator[tuple[Value, Value]]:
    """Values that stand in a list, states of layers and returned weights, and until when."""
    listed = states_read(graph)
    outside = {
        state.part
        for part in graph.parts.values()
        for state in reads_of(part)
        if state.layer is not None and state.part != getattr(part, "name", "")
    }
    last = {_part(call): call.makes for call in made.calls}
    for state, value in made.states.items():
        if state.layer is not None and (state.item or state.part in listed):
            whole = state.item or state.part in outside
            yield value, len(made.calls) if whole else last[state.part]


def _named(graph: Graph, made: Trace) -> Iterator[tuple[Value, Value]]:
    """What a layer gives a name, and the last call at which it still has that."""
    known, names = plan(graph, ()), dict[int, tuple[frozenset[str], ...]]()
    for stack in graph.stacks:
        for number, layer in enumerate(stack.layers):
            kind, ends = layer.kind, made.branches[stack.name, number]
            if not ends:
                continue
            yield from ((value, ends[-1]) for value in made.skips[stack.name, number])
            if id(kind) not in names:
                names[id(kind)] = names_given(kind, stack, known)
            until = ends[-1]
            for index, given in reversed(list(enumerate(names[id(kind)]))):
                if "h" in given:
                    yield _read(made.calls[ends[index]])[-1], until
                    until = ends[index - 1] + 1 if index else until
                merged = kind.branches[index].combine
                if merged is None or not given - {"h"}:
                    continue
                before = ends[index - 1] if index else 0
                for call in made.calls[before + 1 : ends[index] + 1]:
                    if call.path.endswith(f".{merged.name}"):
                        yield from ((value, ends[-1]) for value in _read(call))


def _read(call: Call) -> list[Value]:
    return [value for values in call.reads.values() for value in values]


def _part(call: Call) -> str:
    return call.path.partition(".")[0]


def _layer(call: Call) -> str:
    """The layer that a call stands in, "" outside."""
    stack, _, rest = call.path.partition(".layers.")
    return f"{stack}.{rest.partition('.')[0]}" if rest else ""
