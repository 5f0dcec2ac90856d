"""What is decided before anything is drawn: layers that are drawn as one, and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.graph.graph import (
    Branch,
    Graph,
    Input,
    Layer,
    LayerKind,
    Module,
    Output,
    Part,
    Stack,
    State,
)


@dataclass(frozen=True)
class Fold:
    """Layers of a stack that look the same and are drawn once.

    `skips` and `reads` hold the state that each layer reads, in the order of `numbers`: by skip,
    and by argument of the attentions into other stacks.
    """

    kind: LayerKind
    numbers: tuple[int, ...]
    skips: tuple[tuple[State, ...], ...]
    reads: Mapping[str, tuple[State, ...]]


@dataclass(frozen=True)
class Column:
    """Parts one above the other; where `down` is true data flows downwards."""

    name: str
    down: bool = False


def folds_of(stack: Stack) -> tuple[Fold, ...]:
    """The layers of a stack, equal ones together, in order of appearance."""
    looks: list[object] = []
    groups: list[list[int]] = []
    known: dict[object, int] = {}
    for number, layer in enumerate(stack.layers):
        parts = tuple(layer.reads[skip.argument].part for skip in layer.kind.skips)
        key = (id(layer.kind), parts)
        if key not in known:
            look = (parts, _look(layer.kind))
            known[key] = looks.index(look) if look in looks else len(looks)
            if known[key] == len(looks):
                looks.append(look)
                groups.append([])
        groups[known[key]].append(number)
    return tuple(_fold([stack.layers[n] for n in group], tuple(group)) for group in groups)


def _look(kind: LayerKind) -> object:
    """What of a kind is drawn: not the names of its skips, nor whether weights are returned."""
    skips = [
        (skip.combine.component, skip.resample, skip.project is None) for skip in kind.skips
    ]
    return kind.type, skips, [_plain(branch) for branch in kind.branches]


def _plain(branch: Branch) -> Branch:
    return replace(branch, bodies=tuple(replace(b, returns_weights=False) for b in branch.bodies))


def _fold(layers: list[Layer], numbers: tuple[int, ...]) -> Fold:
    kind = layers[0].kind
    skips = tuple(
        tuple(layer.reads[layer.kind.skips[i].argument] for layer in layers)
        for i in range(len(kind.skips))
    )
    names = [name for b in kind.branches for body in b.bodies for name in body.reads]
    reads = {name: tuple(layer.reads[name] for layer in layers) for name in names}
    return Fold(kind, numbers, skips, reads)


def sources(part: Part) -> list[str]:
    """Names of the parts that a part is made from, without those that its layers attend to."""
    if isinstance(part, Input):
        return []
    if isinstance(part, Module):
        return [state.part for states in part.reads.values() for state in states]
    return [part.source.part]


def columns_of(graph: Graph) -> dict[str, Column]:
    """The column of every part: that of what it is made from, where nothing continues it yet."""
    descending = set(_descending(graph))
    found: dict[str, Column] = {}
    continued: set[str] = set()
    for name, part in graph.parts.items():
        before = _main(part)
        if before is None or before in continued or _turns(name, before, descending) or _aside(part):
            found[name] = Column(name, name in descending)
        else:
            continued.add(before)
            found[name] = found[before]
    return found


def _main(part: Part) -> str | None:
    """The part that another one stands above: what it is made from, or what it attends to."""
    made_from = list(dict.fromkeys(sources(part)))
    attends = isinstance(part, Module) and part.node.component.role == "attention"
    return made_from[-1] if len(made_from) == 1 or (made_from and attends) else None


def _turns(name: str, before: str, descending: set[str]) -> bool:
    return (name in descending) != (before in descending)


def _aside(part: Part) -> bool:
    """Whether a part stands beside what it reads: attention weights, states between layers."""
    return isinstance(part, Output) and (bool(part.source.item) or part.source.layer is not None)


def _descending(graph: Graph) -> Iterator[str]:
    """The parts of the left arm of a U: all before a stack that skips into one made from it."""
    for stack in graph.stacks:
        before = _before(stack.name, graph)
        read = {state.part for fold in folds_of(stack) for skip in fold.skips for state in skip}
        for name in read & before:
            if name != stack.name:
                yield from {name, *_before(name, graph)}
                yield from _between(name, stack.name, graph)


def _before(name: str, graph: Graph) -> set[str]:
    """Everything that a part is made from."""
    found: set[str] = set()
    waiting = sources(graph.parts[name])
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += sources(graph.parts[source])
    return found


def _between(first: str, last: str, graph: Graph) -> Iterator[str]:
    for name in _before(last, graph):
        if first in _before(name, graph):
            yield name


def in_order(graph: Graph, columns: Mapping[str, Column]) -> list[Column]:
    """The columns that begin with an input or hold a stack, from left to right.

    What a stack attends to stands left of it; a second stack that attends to the same stands on
    the other side.
    """
    found: list[Column] = []
    read: set[str] = set()
    for name, part in graph.parts.items():
        column = columns[name]
        if not isinstance(part, Input | Stack):
            continue
        if column not in found:
            found.append(column)
        if isinstance(part, Stack):
            attended = [columns[n] for n in _attended(part) if n not in part.lockstep]
            _move(found, column, attended, read)
    return found


def _move(found: list[Column], column: Column, attended: list[Column], read: set[str]) -> None:
    sources = [c for c in dict.fromkeys(attended) if c in found and c != column]
    if not sources:
        return
    found.remove(column)
    if all(source.name in read for source in sources):
        found.insert(found.index(sources[0]), column)
        return
    for source in [c for c in sources if c.name not in read]:
        found.remove(source)
        found.append(source)
        read.add(source.name)
    found.append(column)


def _attended(stack: Stack) -> Iterator[str]:
    """Parts that a stack attends to, from left to right.

    What is attended to first stands nearest, so that no line crosses a block; what is attended to
    side by side stands in the order of the attentions.
    """
    memories = {memory.argument: memory for memory in stack.memories}
    found: list[str] = []
    for fold in folds_of(stack):
        for branch in fold.kind.branches:
            names = [name for body in branch.bodies for name in body.reads]
            states = [fold.reads[n][:1] if n not in memories else memories[n].sources for n in names]
            found = [state.part for group in states for state in group] + found
    yield from dict.fromkeys(found)
