"""Which drawings a page holds, so that each stack can be folded and unfolded by itself."""

from __future__ import annotations

from itertools import product

from composer.graph.graph import Graph

Depths = tuple[int, ...]
"""The depth of the drawing, then that of each stack."""

MOST = 27
"""The most drawings of a page: all foldings of three stacks."""

_DEPTHS = (0, 1, 2)


def foldings(graph: Graph) -> tuple[Depths, ...]:
    """The views of a page: all stacks at each depth first, then those that differ by stack.

    Where all foldings would be too many, each stack can still differ from all the others; where
    that would be too many, too, as for many stacks, these fold together.
    """
    count = len(graph.stacks)
    whole = [(depth,) * (count + 1) for depth in _DEPTHS]
    if count < 2:  # noqa: PLR2004 - one stack is all of them
        return tuple(whole)
    every = product(_DEPTHS, repeat=count) if len(_DEPTHS) ** count <= MOST else _single(count)
    mixed = [(1, *depths) for depths in every if len(set(depths)) > 1]
    return (*whole, *mixed) if len(mixed) <= 2 * MOST else tuple(whole)


def _single(count: int) -> list[Depths]:
    """Views in which one stack differs from the others."""
    return [
        tuple(own if index == stack else others for index in range(count))
        for others in _DEPTHS
        for stack in range(count)
        for own in _DEPTHS
    ]
