"""Tables of a stack: what it computes once for all of its layers, such as rotary angles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from composer.components.placed import Placed

if TYPE_CHECKING:
    from .graph import LayerKind


def tables_of(kinds: Iterable[LayerKind]) -> dict[str, Placed]:
    """The tables of a stack's kinds of layers by their names in it; equal ones are one.

    A table is called by its use, such as `rope`; where there are several of one use, after the
    layer type that each is for.
    """
    types: dict[tuple[object, ...], str] = {}
    tables: dict[tuple[object, ...], Placed] = {}
    for kind, table in _handed(kinds):
        tables.setdefault(table.construction, table)
        if kind.type:
            types.setdefault(table.construction, kind.type)
    uses = {key: next(iter(table.outputs)) for key, table in tables.items()}
    named = {}
    for key, table in tables.items():
        use = uses[key]
        alike = [other for other, its in uses.items() if its == use]
        name = f"{types[key]}_{use}" if key in types else f"{use}_{alike.index(key) + 1}"
        named[use if len(alike) == 1 else name] = table
    return named


def _handed(kinds: Iterable[LayerKind]) -> Iterator[tuple[LayerKind, Placed]]:
    """Every table that a component of a layer is handed, with the layer's kind."""
    for kind in kinds:
        for branch in kind.branches:
            for body in branch.bodies:
                placed = body.node.placed
                for table in placed.component.tables(placed.axes).values():
                    yield kind, table
