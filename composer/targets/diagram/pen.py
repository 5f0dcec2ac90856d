"""The pen: nodes, blocks and lines in the house style, on one sheet."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from math import atan2, cos, degrees, hypot, radians, sin
from typing import Literal

from composer.components.component import Role

from . import labels
from .columns import Column
from .sheet import Attribute, Attributes, Html, Sheet
from .theme import FONT, STYLES, WIDTHS, LineKind, Palette

Direction = Literal["up", "right"]

LOW = 0.34
"""Height of a box with one line of text."""

_SWAPPED = {
    "headlabel": "taillabel",
    "taillabel": "headlabel",
    "ltail": "lhead",
    "lhead": "ltail",
}


@dataclass(frozen=True)
class Box:
    """How a box looks: the colours of a role, a label, what is shown when one points at it."""

    role: Role
    label: Html
    about: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict)
    class_: str = ""


class Pen:
    """Draws on a sheet and remembers what it has drawn: kinds of lines, nodes of each column."""

    def __init__(self, palette: Palette, direction: Direction) -> None:
        self.palette = palette
        self.right = direction == "right"
        self.sheet = _sheet(palette)
        self.kinds: dict[LineKind, str] = {}
        self.heights: dict[str, int] = {}
        self.boxes = 0
        self._columns: dict[str, int] = {}
        self._passing: set[str] = set()
        self._feet: set[str] = set()

    # Nodes

    def box(self, name: str, column: Column | None, box: Box) -> str:
        """A box."""
        fill, stroke = self.palette.box(box.role)
        self.boxes += 1
        self._node(
            name, box.class_ or box.role, column,
            **{"label": box.label, "fillcolor": fill, "color": stroke, **box.attributes},
            tooltip=box.about,
        )  # fmt: skip
        return name

    def circle(self, name: str, text: str, column: Column | None, about: tuple[str, ...]) -> str:
        """An operator: a circle, or a small box where its text is longer."""
        shape = _CIRCLES.get(len(text), {"width": 0.5, "height": 0.28, "fontsize": 10})
        if text == "+":
            shape = {**shape, "fontsize": 15}
        return self.box(name, column, Box("operator", labels.plain(text), about, shape))

    def point(self, name: str, column: Column | None) -> str:
        """A place where a line is tapped."""
        side, color = 0.045, self.palette.data
        self._passing.add(name)
        self._node(
            name, "junction", column, shape="point", width=side, height=side, color=color, label=""
        )
        return name

    def anchor(self, name: str, column: Column | None = None) -> str:
        """A place that is not seen."""
        self._node(
            name, "anchor", column, shape="point", style="invis", width=0.01, height=0.01, label=""
        )
        return name

    def chip(self, name: str, kind: LineKind, *lines: str, bold: bool = False) -> str:
        """Words on a line."""
        self._passing.add(name)
        label = labels.chip(self.palette.line(kind), *lines, bold=bold)
        return self.plain(name, f"chip {kind}", label, lines)

    def plain(self, name: str, class_: str, label: Html, about: tuple[str, ...]) -> str:
        """Words without a border."""
        self._node(name, class_, None, shape="plain", style="", label=label, tooltip=about)
        return name

    def _node(self, name: str, class_: str, column: Column | None, **attributes: Attribute) -> None:
        given: dict[str, Attribute] = {"class": class_}
        if column is not None:
            given["group"] = column.name
            self.heights[name] = self._columns[column.name] = self._columns.get(column.name, 0) + 1
        self.sheet.node(name, **given, **attributes)

    # Blocks

    def block(
        self, name: str, label: Html, about: tuple[str, ...], *, nested: bool = False,
        look: Attributes | None = None,
    ) -> AbstractContextManager[None]:  # fmt: skip
        """A block around layers; `look` stands in place of its usual border."""
        fill = self.palette.nested if nested else self.palette.block
        usual: Attributes = {
            "color": self.palette.border,
            "fillcolor": fill,
            "penwidth": 1.2,
            "margin": 18,
        }
        return self._cluster(
            name, "block repeat", label, about, labeljust="r", style="rounded,filled",
            **{**usual, **(look or {})},
        )  # fmt: skip

    def lanes(self, name: str, text: str) -> AbstractContextManager[None]:
        """A dashed block around what runs side by side."""
        color = self.palette.parallel
        return self._cluster(
            name, "block parallel", Html(labels.font(text, color, 9)), (text,), labeljust="l",
            style="rounded,filled,dashed", color=color, fillcolor=self.palette.canvas,
            penwidth=1.1, margin=12,
        )  # fmt: skip

    def shell(self, name: str, box: Box) -> AbstractContextManager[None]:
        """A block around what stands inside a component, in the colours of its role."""
        fill, stroke = self.palette.box(box.role)
        return self._cluster(
            name, f"block inside {box.role}", box.label, box.about, labeljust="l",
            style="rounded,filled", color=stroke, fillcolor=fill, penwidth=1.2, margin=12,
        )  # fmt: skip

    def _cluster(
        self, name: str, class_: str, label: Html, about: tuple[str, ...], **attributes: Attribute
    ) -> AbstractContextManager[None]:
        # With data running upwards Graphviz swaps top and bottom of a cluster's label.
        top = "t" if self.right else "b"
        return self.sheet.cluster(
            name, **{"class": class_}, peripheries=1, **attributes, labelloc=top, label=label,
            tooltip=about,
        )  # fmt: skip

    # Lines

    def flow(
        self, column: Column, tail: str, head: str, text: Attributes | None = None, weight: int = 20
    ) -> None:
        """A line of data in a column; for texts beside it see `entering`, `leaving` and `noted`.

        One to the foot of a column that goes on from another one runs down between the two.
        """
        given: dict[str, Attribute] = {"weight": weight, **(text or {})}
        if head in self._feet:
            self._turn(tail, head)
        else:
            self.line("data", tail, head, given, back=column.down)

    def _turn(self, tail: str, head: str) -> None:
        """A line from the top of a column down to the foot of the one on its right."""
        top, foot = f"{head} top", f"{head} foot"
        self.sheet.row(tail, top)
        self.line("data", tail, top)
        self.line("data", top, foot, {"weight": 20}, back=True)
        self.line("data", foot, head, {"dir": "forward"})

    def line(
        self, kind: LineKind, tail: str, head: str, attributes: Attributes | None = None, *,
        back: bool = False,
    ) -> None:  # fmt: skip
        """A line; one that runs down or to the left (`back`) is written from its head to its tail.

        A line into a point or a chip goes on from there, so that it has no arrowhead.
        """
        given: dict[str, Attribute] = {"class": kind, **self._style(kind), **(attributes or {})}
        if kind == "shared" or head.partition(":")[0] in self._passing:
            given.setdefault("dir", "none")
        if back:
            tail, head = head, tail
            given = {_SWAPPED.get(key, key): value for key, value in given.items()}
            given.setdefault("dir", "back")
        self.sheet.line(tail, head, turned=back, **given)
        self.kinds.setdefault(kind, "")

    def _style(self, kind: LineKind) -> dict[str, Attribute]:
        if kind == "data":
            return {}
        color = self.palette.line(kind)
        style: dict[str, Attribute] = {"style": STYLES[kind]} if kind in STYLES else {}
        return {"color": color, "fontcolor": color, "penwidth": WIDTHS[kind], **style}

    def foot(self, beside: str, name: str, block: str = "") -> None:
        """Makes a node the first of a column that goes on from another, whose node is `beside`.

        The line to it turns in the block in which it stands: Graphviz keeps the order of nodes
        within a block, and puts those beside one anywhere.
        """
        self._feet.add(name)
        between = Column(f"before {name}")
        with self.sheet.within(block) if block else nullcontext():
            self.point(f"{name} top", between)
            self.point(f"{name} foot", between)
        (self.sheet.row if block else self.order)(beside, f"{name} foot", name)

    def turns(self, name: str) -> bool:
        """Whether a node is the first of a column that goes on from another one."""
        return name in self._feet

    def height(self, column: Column) -> int:
        """The number of nodes that stand in a column."""
        return self._columns.get(column.name, 0)

    def order(self, *names: str) -> None:
        """Puts nodes into one rank, in this order."""
        self.sheet.row(*names)
        for left, right in pairwise(names):
            # A flat line of weight 0 would not count for the order.
            self.sheet.line(left, right, style="invis")

    def side(self, name: str) -> str:
        """The side of a node at which residuals start and end."""
        return f"{name}:{'s' if self.right else 'e'}"


def entering(shape: str) -> Attributes:
    """A shape beside the head of a line, inside the block that it enters."""
    return {"headlabel": shape, **_beside(shape)} if shape else {}


def leaving(shape: str) -> Attributes:
    """A shape beside the tail of a line, inside the block that it leaves."""
    place = _beside(shape)
    return {"taillabel": shape, **place, "labelangle": -place["labelangle"]} if shape else {}


def _beside(shape: str) -> dict[str, float]:
    """Where the middle of a shape stands, from the end of its line: so far that it ends before it."""
    angle, distance = 72.0, 3.4  # degrees, and tens of points
    away = distance * cos(radians(angle))
    across = 0.225 * len(shape) + 0.4
    if across > distance * sin(radians(angle)):
        angle, distance = round(degrees(atan2(across, away)), 1), round(hypot(across, away), 2)
    return {"labelangle": angle, "labeldistance": distance}


def noted(text: str) -> Attributes:
    """A note beside the middle of a line."""
    return {"xlabel": f"{text}  "} if text else {}


_CIRCLES: dict[int, Attributes] = {
    length: {"shape": "circle", "width": side, "height": side, "fixedsize": True, "fontsize": size}
    for length, side, size in ((1, 0.28, 13), (2, 0.36, 10), (3, 0.36, 10), (4, 0.44, 10))
}
"""Circles by the number of characters in them."""


def _sheet(palette: Palette) -> Sheet:
    """A sheet with the house style for nodes and lines."""
    sheet = Sheet()
    sheet.default(
        "node", shape="box", style="rounded,filled", penwidth=1.2, height=0.5, width=2.05,
        margin="0.14,0.055", fontname=FONT, fontsize=12, fontcolor=palette.title,
        color=palette.io, fillcolor=palette.block,
    )  # fmt: skip
    sheet.default(
        "edge", color=palette.data, penwidth=1.3, arrowsize=0.65, fontname=FONT, fontsize=10,
        fontcolor=palette.data,
    )  # fmt: skip
    return sheet
