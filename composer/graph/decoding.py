"""How a graph is decoded: which input grows, what runs at each step, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from composer.components.component import Component
from composer.components.inputs import Tokens
from composer.components.placed import Placed
from composer.shapes import Size

from .graph import Graph, Input, LayerKind, Module, Output, Part, Stack, State


@dataclass(frozen=True)
class Decoding:
    """One way to decode a graph.

    `tokens` is the input that grows, `output` scores its next token. `graph` has only what this
    output needs; of its parts, `steps` depend on `tokens` and run at each step, the others once.
    `obstacle` says why these cannot keep a cache, and is empty where they can. `longest` is the
    number of steps that there are positions for, or None.
    """

    tokens: str
    output: str
    graph: Graph
    steps: frozenset[str]
    obstacle: str
    longest: int | None


def decoding_of(graph: Graph, output: str | None = None) -> Decoding:
    """How to decode a graph by its `output`, or by the only one that scores next tokens.

    Raises ValueError where there is none, or more than one.
    """
    found = [
        (item.name, tokens)
        for item in graph.outputs
        if output in {None, item.name} and (tokens := _grown(graph, item)) is not None
    ]
    if len(found) != 1:
        raise ValueError(_which([name for name, _ in found], output, graph))
    name, tokens = found[0]
    needed = _pruned(graph, name)
    steps = frozenset(n for n, part in needed.parts.items() if tokens in part_sees(part))
    others = [i.name for i in needed.inputs if i.name != tokens and _beside(i, tokens, needed)]
    if others:
        raise ValueError(f"'{name}' reads '{others[0]}' step by step, which nothing continues")
    made = Decoding(tokens, name, needed, steps, "", _longest(needed, tokens, steps))
    return replace(made, obstacle=next(_obstacles(made), ""))


def part_sees(part: Part) -> dict[str, str]:
    """What a part's result depends on."""
    return dict(part.value.sees)


def _grown(graph: Graph, output: Output) -> str | None:
    """The input whose next token an output scores at each of its steps."""
    if output.head is None or output.head.component.kind != "lm" or output.layers:
        return None
    names = [
        item.name
        for item in graph.inputs
        if isinstance(item.node.component, Tokens)
        and output.value.sees.get(item.name) == "past"
        and item.value.shape[1] == output.value.shape[1]
    ]
    return names[0] if names else None


def _which(found: list[str], output: str | None, graph: Graph) -> str:
    names = ", ".join(f"'{item.name}'" for item in graph.outputs)
    if output is not None and output not in graph.parts:
        return f"there is no output '{output}': there are {names}"
    if found:
        return f"several outputs score next tokens: choose one of {', '.join(map(repr, found))}"
    scores = f"output '{output}' does not score" if output else f"no output ({names}) scores"
    return f"{scores} the next token of an input whose later tokens it does not see"


def _beside(item: Input, tokens: str, graph: Graph) -> bool:
    """Whether an input has one value for each of the decoded steps."""
    output = graph.outputs[0]
    grown = graph.parts[tokens]
    assert isinstance(grown, Input)
    time = grown.value.shape[1]
    return (
        output.value.sees.get(item.name) == "past"
        and not isinstance(time, int)
        and len(item.value.shape) > 1
        and item.value.shape[1] == time
    )


def _pruned(graph: Graph, output: str) -> Graph:
    """The graph with one output, and only the parts that it needs."""
    needed: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop()
        part = graph.parts.get(name)
        if part is None or name in needed:
            continue
        needed.add(name)
        waiting += [state.part for state in reads_of(part)]
        waiting += list(part.lockstep) if isinstance(part, Stack) else []
    parts = {name: part for name, part in graph.parts.items() if name in needed}
    return replace(graph, parts=parts)


def reads_of(part: Part) -> Iterator[State]:
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
    elif isinstance(part, Output):
        yield part.source


def _longest(graph: Graph, tokens: str, steps: frozenset[str]) -> int | None:
    """The fewest positions that a part of a step has, or the length that an input is given."""
    grown = graph.parts[tokens]
    assert isinstance(grown, Input)
    found: list[Size | None] = [grown.value.shape[1]]
    waiting = [node.placed for path, node in graph.nodes() if path.split(".")[0] in steps]
    while waiting:
        placed = waiting.pop()
        found.append(getattr(placed.component, "max_length", None))
        waiting += placed.parts.values()
    known = [size for size in found if isinstance(size, int)]
    return min(known) if known else None


# What stands in the way of a cache


def _obstacles(made: Decoding) -> Iterator[str]:
    graph = made.graph
    grown = graph.parts[made.tokens]
    assert isinstance(grown, Input)
    for name, part in graph.parts.items():
        if name not in made.steps:
            continue
        if part.value.shape[1:2] != grown.value.shape[1:2]:
            yield f"'{name}' has other steps than '{made.tokens}'"
        if isinstance(part, Stack):
            yield from _of_stack(part, made)
        elif isinstance(part, Module):
            yield from _of_module(part, made)
        elif isinstance(part, Output) and part.head is not None:
            yield from _of_placed(part.head.placed, f"the head of '{name}'")
    for name, part in graph.parts.items():
        if name not in made.steps and part.value.shape[:1] != grown.value.shape[:1]:
            yield f"'{name}' has no batch"


def _of_stack(stack: Stack, made: Decoding) -> Iterator[str]:
    if stack.lockstep:
        yield f"'{stack.name}' runs in step with other stacks"
    if stack.source.part not in made.steps:
        yield f"'{stack.name}' starts from '{stack.source.part}'"
    for memory in stack.memories:
        if any(state.part in made.steps for state in memory.sources):
            yield f"'{stack.name}' attends to what depends on '{made.tokens}'"
    for layer in stack.layers:
        for argument, state in layer.reads.items():
            if _is_memory(argument, layer.kind) == (state.part in made.steps):
                part = state.part or argument
                yield f"'{stack.name}' reads '{part}' in another way than by attention"
    yield from _of_kinds(stack)


def _of_kinds(stack: Stack) -> Iterator[str]:
    """Obstacles in the components of a stack."""
    for kind in stack.kinds:
        if kind.weights:
            yield f"'{stack.name}' returns weights of attentions"
        for node in kind.nodes():
            yield from _of_placed(node.placed, f"'{stack.name}'")
    if stack.embed is not None:
        yield from _of_placed(stack.embed.placed, f"'{stack.name}'")


def _is_memory(argument: str, kind: LayerKind) -> bool:
    """Whether an argument of a layer is attended to, and no state that it goes on from."""
    return any(argument in body.reads for branch in kind.branches for body in branch.bodies)


def _of_module(module: Module, made: Decoding) -> Iterator[str]:
    component = module.node.component
    if component.cached or component.role == "operator" or module.tables:
        yield f"module '{module.name}' is {_a(component)}"
    if any(s.part not in made.steps for states in module.reads.values() for s in states):
        yield f"module '{module.name}' reads what does not depend on '{made.tokens}'"
    yield from _of_placed(module.node.placed, f"module '{module.name}'")


def _of_placed(placed: Placed, where: str) -> Iterator[str]:
    """A component that needs earlier steps, and has no form that keeps them."""
    component = placed.component
    if component.cached == f"Cached{component.half}":
        masks = placed.component.masks(placed.axes).values()
        memory = any(mask.causal and mask.over == "memory" for mask in masks)
        if memory or component.sees_future:
            yield f"{where} sees later steps in {_a(component)}"
        return
    if component.mixes_time or component.role == "position":
        yield f"{where} has {_a(component)}"
    for part in placed.parts.values():
        yield from _of_placed(part, where)


def _a(component: Component) -> str:
    article = "an" if component.kind[0] in "aeiou" else "a"
    return f"{article} {component.kind}, which keeps no cache"
