"""A sheet as a plain flowchart: boxes and blocks, and lines from one to another.

Points on a line, unseen anchors and words on a line are what Graphviz needs; here they are gone,
the words written on the line itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from .labels import lines_of
from .sheet import Attributes, Block, Html, Item, Line, Node, Sheet

_UNSEEN = {"anchor", "title"}


@dataclass(frozen=True)
class Arrow:
    """A line between two boxes: its kind, whether it ends in an arrow, words on it."""

    tail: str
    head: str
    kind: str
    pointed: bool = True
    words: tuple[str, ...] = ()


def arrows(sheet: Sheet) -> list[Arrow]:
    """Every line that is seen, from the box that it leaves to the one that it reaches."""
    classes = {node.name: kind_of(node.attributes) for node in nodes_in(sheet.items)}
    labels = {node.name: texts(node.attributes) for node in nodes_in(sheet.items)}
    lines = [line for line in sheet.lines if isinstance(line, Line)]
    found = [_arrow(line) for line in lines if line.attributes.get("style") != "invis"]
    last = dict(_last_boxes(sheet.items))
    found = [
        replace(arrow, tail=last.get(arrow.tail, arrow.tail), head=last.get(arrow.head, arrow.head))
        for arrow in found
    ]
    for name, kind in classes.items():
        if kind == "junction" or kind.startswith("chip"):
            found = _bridged(found, name, labels[name] if kind != "junction" else ())
    return found


def _last_boxes(items: Iterable[Item]) -> Iterator[tuple[str, str]]:
    """The name of each block and of the last box in it, from which its result comes."""
    for item in items:
        if isinstance(item, Block):
            yield from _last_boxes(item.items)
            boxed = [n.name for n in nodes_in(item.items) if kind_of(n.attributes) not in _UNSEEN]
            yield item.name, boxed[-1]


def boxes(items: Iterable[Item], drawn: Iterable[Arrow]) -> list[Node | Block]:
    """The boxes and blocks that are seen; of points and words on lines only those with a line."""
    used = {end for arrow in drawn for end in (arrow.tail, arrow.head)}
    parts = [item for item in items if isinstance(item, Node | Block)]
    return [part for part in parts if isinstance(part, Block) or _seen(part, used)]


def nodes_in(items: Iterable[Item]) -> Iterator[Node]:
    """Every node, those within blocks too."""
    for item in items:
        if isinstance(item, Node):
            yield item
        elif isinstance(item, Block):
            yield from nodes_in(item.items)


def kind_of(attributes: Attributes) -> str:
    """What a node, block or line is drawn for."""
    return str(attributes.get("class", ""))


def texts(attributes: Attributes) -> tuple[str, ...]:
    """The words of a node or a block, one text a line."""
    label = attributes.get("label", "")
    return tuple(lines_of(label)) if isinstance(label, Html) else (str(label),)


def _seen(item: Node, used: set[str]) -> bool:
    kind = kind_of(item.attributes)
    passing = kind == "junction" or kind.startswith("chip")
    return kind not in _UNSEEN and (not passing or item.name in used)


def _arrow(line: Line) -> Arrow:
    """A line in the direction of its data; where it is clipped at a block, that is its end."""
    given = line.attributes
    tail = given.get("ltail") or line.tail.partition(":")[0]
    head = given.get("lhead") or line.head.partition(":")[0]
    if line.turned:
        tail, head = head, tail
    notes = (str(given.get(key, "")).strip() for key in ("taillabel", "xlabel", "headlabel"))
    words = tuple(dict.fromkeys(note for note in notes if note))
    return Arrow(str(tail), str(head), kind_of(given), given.get("dir") != "none", words)


def _bridged(found: list[Arrow], name: str, words: tuple[str, ...]) -> list[Arrow]:
    """The arrows with those into and out of a point, or of words on a line, made one each."""
    into = [arrow for arrow in found if arrow.head == name]
    out = [arrow for arrow in found if arrow.tail == name]
    if not into or not out or (words and len(into) * len(out) > 1):
        return found
    both = [_joined(one, other, words, first=other is out[0]) for other in out for one in into]
    first = min(found.index(arrow) for arrow in (*into, *out))
    rest = [arrow for arrow in found if arrow not in into and arrow not in out]
    return [*rest[:first], *both, *rest[first:]]


def _joined(one: Arrow, other: Arrow, words: tuple[str, ...], *, first: bool) -> Arrow:
    """One arrow of two; what is said of the first stands on one of those that go on from it."""
    kind = one.kind if other.kind == "data" else other.kind
    every = tuple(dict.fromkeys((*(one.words if first else ()), *words, *other.words)))
    return replace(other, tail=one.tail, kind=kind, words=every)
