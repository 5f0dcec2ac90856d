"""A stack: its embedding, its layers in a block with their number, its last norm."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from composer.components.component import Placed
from composer.graph.graph import Node, Stack

from . import labels, words
from .layer import LayerPen, LayerPlace
from .pen import Pen
from .plan import Column, Fold, folds_of


@dataclass(frozen=True)
class Place:
    """Where a drawn part can be reached.

    `cluster` is the block that a line starts at if `exit` stands within one.
    """

    entry: str
    exit: str
    column: Column
    cluster: str = ""
    layers: tuple[LayerPlace, ...] = ()

    def of_layer(self, number: int) -> LayerPlace | None:
        """The drawn layer that stands for the one with this number."""
        return next((layer for layer in self.layers if number in layer.fold.numbers), None)


def draw_stack(pen: Pen, stack: Stack, column: Column) -> Place:
    """Draws a stack into its column."""
    pen.sheet.remark(stack.name)
    embed = None if stack.embed is None else _embedding(pen, stack, stack.embed, column)
    if pen.depth == 0:
        name = pen.whole(stack, column)
        place = Place(name, name, column)
    else:
        place = _layers(pen, stack, column)
    entry, exit_ = place.entry, place.exit
    if embed is not None:
        arrow = pen.depth == 0 or bool(place.layers[0].skips)
        pen.flow(column, embed[1], entry, label=_border(pen, stack), arrow=arrow)
        entry = embed[0]
    cluster = place.cluster
    if stack.final_norm is not None and pen.depth > 0:
        exit_, cluster = _final_norm(pen, stack, stack.final_norm, exit_, column), ""
    return Place(entry, exit_, column, cluster, place.layers)
