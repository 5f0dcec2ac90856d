"""Columns: which parts stand one above the other, and which columns stand side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from composer.graph.graph import Graph, Input, Module, Output, Part, Stack

from .folds import folds_of


@dataclass(frozen=True)
class Column:
    """Parts one above the other; where `down` is true data flows downwards."""

    name: str
    down: bool = False


def columns_of(graph: Graph) -> dict[str, Column]:
    """The column of every part: that of what it is made from, where nothing continues it yet."""
    descending = set(_descending(graph))
    found: dict[str, Column] = {}
    continued: set[str] = set()
    for name, part in graph.parts.items():
        before = _main(part)
        turns = before is not None and (name in descending) != (before in descending)
        if before is None or before in continued or turns or _aside(part):
            found[name] = Column(name, name in descending)
        else:
            continued.add(before)
            found[name] = found[before]
    return found


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


def made_from(part: Part) -> list[str]:
    """Names of the parts that a part is made from, without those that its layers read."""
    if isinstance(part, Input):
        return []
    if isinstance(part, Module):
        return [state.part for states in part.reads.values() for state in states]
    return [part.source.part]


def _main(part: Part) -> str | None:
    """The part that another one stands above: what it is made from, or what it attends to."""
    names = list(dict.fromkeys(made_from(part)))
    attends = isinstance(part, Module) and part.node.component.role == "attention"
    return names[-1] if len(names) == 1 or (names and attends) else None


def _aside(part: Part) -> bool:
    """Whether a part stands beside what it reads: attention weights, states between layers."""
    return isinstance(part, Output) and (bool(part.source.item) or part.source.layer is not None)


def _move(found: list[Column], column: Column, attended: list[Column], read: set[str]) -> None:
    """Puts a stack's column right of what it attends to, or left if that has a reader already."""
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
            states = [memories[n].sources if n in memories else fold.reads[n][:1] for n in names]
            found = [state.part for group in states for state in group] + found
    yield from dict.fromkeys(found)


def _descending(graph: Graph) -> Iterator[str]:
    """The parts of the left arm of a U: a stack that skips into a later one, and all around it."""
    for stack in graph.stacks:
        under = before(stack.name, graph)
        states = [state for fold in folds_of(stack) for skip in fold.skips for state in skip]
        for name in {state.part for state in states} & under - {stack.name}:
            yield name
            yield from before(name, graph)
            yield from (between for between in under if name in before(between, graph))


def before(name: str, graph: Graph) -> set[str]:
    """Everything that a part is made from."""
    found: set[str] = set()
    waiting = made_from(graph.parts[name])
    while waiting:
        source = waiting.pop()
        if source not in found:
            found.add(source)
            waiting += made_from(graph.parts[source])
    return found
