"""The sheet: the statements of a drawing, whatever language they are written in afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


class Html(str):
    """A label in Graphviz's HTML, made by `labels` from escaped text; never from user text."""

    __slots__ = ()


Attribute = str | float | bool | tuple[str, ...]
"""The value of an attribute: an `Html` is written as such, any other text is quoted, a tuple is
the lines of a tooltip."""

Attributes = Mapping[str, Attribute]


@dataclass(frozen=True)
class Remark:
    """A comment."""

    text: str


@dataclass(frozen=True)
class Node:
    """A node."""

    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Block:
    """A cluster: what stands in it, and the clusters within it."""

    name: str
    attributes: Attributes
    items: list[Item] = field(default_factory=list)


Item = Remark | Node | Block


@dataclass(frozen=True)
class Line:
    """A line between two nodes, each with its port where it has one: `name:e`.

    One that is `turned` is written from its head to its tail.
    """

    tail: str
    head: str
    attributes: Attributes
    turned: bool = False


@dataclass(frozen=True)
class Row:
    """Nodes that stand in one rank."""

    names: tuple[str, ...]


class Sheet:
    """Statements of a drawing in the order in which they are written.

    Lines stand after all nodes: a line that is written within a cluster moves its ends into it.
    """

    def __init__(self) -> None:
        self.defaults: list[tuple[str, Attributes]] = []
        self.items: list[Item] = []
        self.lines: list[Line | Row] = []
        self._blocks: dict[str, Block] = {}
        self._open = [self.items]

    def default(self, of: str, **attributes: Attribute) -> None:
        """Attributes of every `node` or `edge`."""
        self.defaults.append((of, attributes))

    def node(self, name: str, **attributes: Attribute) -> None:
        """A node, within the cluster that is open."""
        self._open[-1].append(Node(name, attributes))

    def remark(self, text: str) -> None:
        """A comment."""
        self._open[-1].append(Remark(text))

    @contextmanager
    def cluster(self, name: str, **attributes: Attribute) -> Iterator[None]:
        """A cluster around the nodes that are put while it is open."""
        block = self._blocks[name] = Block(name, attributes)
        self._open[-1].append(block)
        with self.within(name):
            yield

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Opens a cluster again."""
        self._open.append(self._blocks[name].items)
        yield
        self._open.pop()

    def lead(self, name: str) -> None:
        """Puts a cluster before all that stands around it; Graphviz puts what is first right."""
        around = next(items for items in self._lists() if self._blocks[name] in items)
        around.remove(self._blocks[name])
        around.insert(0, self._blocks[name])

    def _lists(self) -> list[list[Item]]:
        return [self.items, *(block.items for block in self._blocks.values())]

    def line(self, tail: str, head: str, *, turned: bool = False, **attributes: Attribute) -> None:
        """A line between two nodes."""
        self.lines.append(Line(tail, head, attributes, turned))

    def row(self, *names: str) -> None:
        """Nodes that stand in one rank."""
        self.lines.append(Row(names))
