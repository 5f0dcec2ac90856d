"""Turns: a column that would be too tall goes on at the foot of another one, on its right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TALL = 18
"""Nodes of a column that is nearly three times as tall as wide; columns beside each other bear
more each, as the drawing is wider."""

MOST = 150
"""Nodes of a column that no one reads anyway; Graphviz would take long to put it side by side."""

_FEW = 2
"""Nodes that are not worth a column."""


@dataclass(frozen=True)
class Seam:
    """A place at which a column may turn: before a part, a kind of layers, or a branch.

    `below` is the number of nodes under it; a seam with a low `rank` cuts less apart.
    """

    name: str
    below: int
    rank: int


def turns_at(seams: Sequence[Seam], nodes: int) -> frozenset[str]:
    """The seams at which a column of so many nodes turns; none where it is not too tall.

    >>> turns_at([Seam("a", 3, 0), Seam("b", 12, 1), Seam("c", 20, 0)], 24)
    frozenset({'b'})
    """
    if nodes > MOST:
        return frozenset()
    count = 1
    while nodes > TALL * (2 * count - 1):
        count += 1
    return frozenset(_nearest(seams, nodes, nodes * i / count) for i in range(1, count)) - {""}


def _nearest(seams: Sequence[Seam], nodes: int, height: float) -> str:
    """The seam that is nearest to a height; those of a low rank may be further away."""
    near = [seam for seam in seams if _FEW < seam.below < nodes - _FEW]
    best = min(near, key=lambda s: abs(s.below - height) + 4 * s.rank, default=None)
    return best.name if best is not None else ""
