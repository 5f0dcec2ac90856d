"""Layers that look the same and are drawn once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from composer.graph.graph import Branch, Layer, LayerKind, Stack, State

from .marks import Marks


@dataclass(frozen=True)
class Fold:
    """Layers of a stack that look the same.

    `skips` and `reads` hold the state that each layer reads, in the order of `numbers`: by skip,
    and by argument of the attentions into other stacks.
    """

    kind: LayerKind
    numbers: tuple[int, ...]
    skips: tuple[tuple[State, ...], ...]
    reads: Mapping[str, tuple[State, ...]]


def folds_of(stack: Stack, marks: Marks | None = None) -> tuple[Fold, ...]:
    """The layers of a stack, equal ones together, in order of appearance.

    With `marks`, layers that have other letters are not equal.
    """
    looks: list[object] = []
    groups: list[list[int]] = []
    known: dict[object, int] = {}
    for number, layer in enumerate(stack.layers):
        parts = tuple(layer.reads[skip.argument].part for skip in layer.kind.skips)
        names = [node.name for node in layer.kind.nodes()]
        letters = marks and marks.of_layer(stack.name, number, names)
        key = (id(layer.kind), parts, letters)
        if key not in known:
            look = (parts, _look(layer.kind), letters)
            if look not in looks:
                looks.append(look)
                groups.append([])
            known[key] = looks.index(look)
        groups[known[key]].append(number)
    return tuple(_fold([stack.layers[n] for n in group], tuple(group)) for group in groups)


def _look(kind: LayerKind) -> object:
    """What of a kind is drawn: not the names of its skips, nor whether weights are returned."""
    skips = [(s.combine.component, s.resample, s.project is None) for s in kind.skips]
    return kind.type, skips, [_plain(branch) for branch in kind.branches]


def _plain(branch: Branch) -> Branch:
    return replace(branch, bodies=tuple(replace(b, returns_weights=False) for b in branch.bodies))


def _fold(layers: list[Layer], numbers: tuple[int, ...]) -> Fold:
    kind = layers[0].kind
    skips = tuple(
        tuple(layer.reads[layer.kind.skips[i].argument] for layer in layers)
        for i in range(len(kind.skips))
    )
    names = [name for branch in kind.branches for body in branch.bodies for name in body.reads]
    reads = {name: tuple(layer.reads[name] for layer in layers) for name in names}
    return Fold(kind, numbers, skips, reads)
