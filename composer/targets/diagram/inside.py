"""What stands inside an attention and a feed-forward, for those who ask for every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from composer.graph.graph import Node

from .pen import Pen
from .plan import Column


@dataclass(frozen=True)
class Ends:
    """Where lines reach a component: where data goes in and comes out, where keys and values do.

    `rank` is a node at the height of the memory, `right` the one on the right of a wide component.
    """

    entry: str
    exit: str
    memory: tuple[str, ...]
    rank: str
    right: str = ""
    arrow: bool = True


def body_ends(
    pen: Pen, box: Callable[[Node, Column | None], str], node: Node, name: str, column: Column | None
) -> Ends:
    """A component as one box, or with what stands inside it."""
    made = box(node, column)
    return Ends(made, made, (made,), made)
