"""What is decided before anything is drawn: layers that are drawn as one, and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.graph.graph import Branch, Graph, Input, LayerKind, Module, Output, Part, Stack, State


@dataclass(frozen=True)
class Fold:
    """Layers of a stack that look the same and are drawn once.

    `reads` are the states that each of them reads, by argument and in the order of `numbers`.
    """

    kind: LayerKind
    numbers: tuple[int, ...]
    reads: Mapping[str, tuple[State, ...]]


@dataclass(frozen=True)
class Column:
    """A line of parts, one above the other; where `down` is true data flows downwards in it."""

    name: str
    down: bool = False


def folds_of(stack: Stack) -> tuple[Fold, ...]:
    """The layers of a stack, equal ones together, in order of appearance."""
    looks: dict[int, LayerKind] = {}
    found: dict[LayerKind, list[int]] = {}
    for number, layer in enumerate(stack.layers):
        key = id(layer.kind)
        if key not in looks:
            looks[key] = _known(_look(layer.kind), found)
        found.setdefault(looks[key], []).append(number)
    return tuple(_fold(stack, numbers) for numbers in found.values())


def _known(look: LayerKind, found: Mapping[LayerKind, list[int]]) -> LayerKind:
    return next((known for known in found if known == look), look)


def _fold(stack: Stack, numbers: list[int]) -> Fold:
    kind = stack.layers[numbers[0]].kind
    renamed = {
        number: dict(zip(stack.layers[number].kind.arguments, kind.arguments, strict=True))
        for number in numbers
    }
    return kind, renamed  # type: ignore[return-value]
