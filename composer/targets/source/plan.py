"""What the emitted text needs to know of a graph before a line is written: names and uses."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from composer.components.placed import Placed
from composer.graph.decoding import Decoding
from composer.graph.graph import Graph, Input, LayerKind, Module, Stack, State
from composer.shapes import Shape

Given = Literal["tensor", "maybe"]
"""Whether an argument is surely a tensor, or None at times."""


@dataclass
class Plan:
    """Names of classes and variables, and how the torch halves are called.

    With `decoding` the text is that of single steps, whose halves are the cached ones.
    """

    graph: Graph
    classes: dict[int | str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    uses: dict[str, list[dict[str, Given]]] = field(default_factory=dict)
    masks: dict[str, Given] = field(default_factory=dict)
    decoding: Decoding | None = None

    def steps(self, part: str) -> bool:
        """Whether a part runs at each step of decoding, with a cache."""
        return self.decoding is not None and part in self.decoding.steps

    def name_class(self, key: int | str, wanted: str) -> str:
        """A class name of its own for `key`."""
        name, number = wanted, 2
        while name in self.taken:
            name, number = f"{wanted}{number}", number + 1
        self.taken.add(name)
        self.classes[key] = name
        return name

    def use(self, placed: Placed, given: Mapping[str, Given]) -> None:
        """Records that a component is called with these arguments beside its input."""
        self.uses.setdefault(placed.component.half, []).append(dict(given))
        for part in placed.parts.values():
            passed = {
                n: g for n, g in given.items() if n == "mask" and part.component.masks(part.axes)
            }
            self.use(part, passed)


def plan(graph: Graph, library: Iterable[str], decoding: Decoding | None = None) -> Plan:
    """Names for everything in `graph`; none of `library` is taken again."""
    made = Plan(graph, taken=set(library), decoding=decoding)
    for part in graph.parts.values():
        if isinstance(part, Input) and part.padding is not None:
            made.masks[f"{part.name}_mask"] = "maybe" if part.padding == "mask" else "tensor"
        if isinstance(part, Module) and part.value.mask == f"{part.name}_mask":
            made.masks[part.value.mask] = "maybe"
    made.name_class("model", camel(graph.name) or "Model")
    made.name_class("output", f"{made.classes['model']}Output")
    for stack in graph.stacks:
        made.name_class(stack.name, camel(stack.name))
    return made


def camel(name: str) -> str:
    """A name as a class is called: `transformer-base` is TransformerBase."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    return f"Model{joined}" if joined[:1].isdigit() else joined


def layer_name(stack: Stack, kind: LayerKind) -> str:
    """What the class of a kind of layers would be called."""
    crossing = any(body.reads for branch in kind.branches for body in branch.bodies)
    some = crossing and len({k.type for k in stack.kinds}) < len(stack.kinds)
    skipping = kind.skips and any(not k.skips for k in stack.kinds)
    words = [kind.type, "cross" if some else "", "skip" if skipping else "", "layer"]
    return camel(stack.name) + "".join(camel(word) for word in words)


def memory_mask(graph: Graph, stack: Stack, argument: str) -> str | None:
    """The name of the padding mask of what the layers of a stack call `argument`."""
    for memory in stack.memories:
        if memory.argument == argument:
            return memory.value.mask
    for layer in stack.layers:
        if argument in layer.reads:
            return graph.values[State(layer.reads[argument].part)].mask
    return None


def local(name: str, graph: Graph) -> str:
    """The variable of a part: its name, unless that would hide a function of Python.

    An input keeps its name, by which callers give it.
    """
    if not hasattr(builtins, name) or isinstance(graph.parts.get(name), Input):
        return name
    while name in graph.parts:
        name += "_"
    return name


def variable(state: State, graph: Graph) -> str:
    """What a value is called in the model's forward."""
    if state.item == "weights" and state.layer is not None:
        layers = weight_layers(graph, state)
        return f"{state.part}_{state.branch}_weights[{layers.index(state.layer)}]"
    if state.item:
        return f"{state.part}_{state.item}"
    return (
        local(state.part, graph) if state.layer is None else f"{state.part}_states[{state.layer}]"
    )


def several(states: Sequence[State], graph: Graph) -> list[str]:
    """Several values as items of a list: all that a stack returns, or one by one."""
    first = states[0]
    stack = graph.parts[first.part]
    if isinstance(stack, Stack) and first.layer is not None:
        kept = weight_layers(graph, first) if first.item else list(range(len(stack.layers)))
        if list(states) == [replace(first, layer=number) for number in kept]:
            return [f"*{variable(first, graph).partition('[')[0]}"]
    return [variable(state, graph) for state in states]


def weight_layers(graph: Graph, state: State) -> list[int]:
    """The layers of a stack whose weights of one attention are returned."""
    stack = graph.parts[state.part]
    assert isinstance(stack, Stack)
    return [i for i, layer in enumerate(stack.layers) if state.branch in layer.kind.weights]


def states_read(graph: Graph) -> set[str]:
    """Stacks whose states after single layers are read, by themselves too."""
    found: set[str] = set()
    for part in graph.parts.values():
        for state in reads_of(part):
            live = (
                isinstance(part, Stack) and state.part in part.lockstep and part.name != state.part
            )
            if state.layer is not None and not state.item and not live:
                found.add(state.part)
    return found


def reads_of(part: object) -> Iterable[State]:
    """Every state that a part reads."""
    if isinstance(part, Stack):
        yield part.source
        for layer in part.layers:
            yield from layer.reads.values()
        for memory in part.memories:
            yield from memory.sources
    elif isinstance(part, Module):
        for states in part.reads.values():
            yield from states
    else:
        yield from (s for s in (getattr(part, "source", None), *getattr(part, "layers", ())) if s)


def axes_text(shape: Shape) -> str:
    """A shape in a comment or docstring: (batch, target, 512)."""
    return "(" + ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "") + ")"
