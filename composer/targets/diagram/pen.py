"""The pen: boxes, circles, chips and lines in one style, on one sheet."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from composer.components.component import Placed, Role
from composer.diagnostics import Span
from composer.graph.graph import Graph, Node
from composer.shapes import Shape, show

from . import labels, words
from .dot import Attribute, Html, Sheet
from .marks import Marks
from .plan import Column
from .theme import FONT, STYLES, WIDTHS, LineKind, Palette

Direction = Literal["up", "right"]

NORM_HEIGHT = 0.34
TITLE = "the title"
"""Name of the title's node; with a space, so that no part has it."""

_NARROW = 1  # characters in the smallest circle
_WIDE = 4  # characters in the widest


@dataclass(frozen=True)
class Beside:
    """A node that belongs to no column and stands beside one."""

    node: str
    column: str
    right: bool
    below: bool


@dataclass(frozen=True)
class Marked:
    """A drawn thing with a letter; `height` is the number of nodes below it in its column."""

    letter: str
    node: str
    column: Column
    height: int
    cluster: str = ""


class Pen:
    """What everything that draws shares; it remembers which kinds of lines it has drawn."""

    def __init__(self, graph: Graph, palette: Palette, depth: int, direction: Direction) -> None:
        self.graph = graph
        self.palette = palette
        self.depth = depth
        self.right = direction == "right"
        self.marks = Marks(graph)
        self.letters = words.letters_of(graph)
        self.kinds: dict[LineKind, str] = {}
        self.tops: dict[str, str] = {}
        self.heights: dict[str, int] = {}
        self.filled: dict[str, int] = {}
        self.marked: list[Marked] = []
        self.beside: list[Beside] = []
        self.sheet = sheet_for(palette)

    # Nodes

    def component(
        self, name: str, node: Node, path: str, column: Column | None, letters: str = "",
        title: str = "", **attributes: Attribute,
    ) -> str:  # fmt: skip
        """The box of a component."""
        return self.placed(name, node.placed, path, node.span, column, letters, title, **attributes)

    def placed(
        self, name: str, placed: Placed, path: str, span: Span, column: Column | None,
        letters: str = "", title: str = "", **attributes: Attribute,
    ) -> str:  # fmt: skip
        """The box of a component that may stand inside another one."""
        label = placed.component.label(placed.axes)
        fill, stroke = self.palette.box(placed.component.role)
        text = labels.box(self.palette, title or label.title, label.detail, letters)
        if not label.detail:
            attributes = {"height": NORM_HEIGHT, **attributes}
        self._node(
            name, placed.component.role, column, label=text, fillcolor=fill, color=stroke,
            **attributes, tooltip=self.about(path, placed, span),
        )  # fmt: skip
        if letters:
            self.mark(letters, name, column)
        return name

    def step(self, name: str, role: Role, label: Html, column: Column | None, *about: str) -> str:
        """A box for something that is no component of its own."""
        fill, stroke = self.palette.box(role)
        self._node(name, role, column, label=label, fillcolor=fill, color=stroke, tooltip=about)
        return name

    def io(self, name: str, title: str, detail: str, column: Column | None, *about: str) -> str:
        """The box of an input or output."""
        text = labels.box(self.palette, title, detail)
        fill, stroke = self.palette.box("input")
        self._node(name, "io", column, label=text, fillcolor=fill, color=stroke, tooltip=about)
        return name

    def circle(self, name: str, text: str, column: Column | None, *about: str) -> str:
        """An operator: a circle, or a small box where its text is longer."""
        fill, stroke = self.palette.box("operator")
        if len(text) > _WIDE:
            shape: dict[str, Attribute] = {"width": 0.5, "height": 0.28, "fontsize": 10}
        else:
            side = 0.28 if len(text) == _NARROW else 0.36 if len(text) < _WIDE else 0.44
            size = 15 if text == "+" else 13 if len(text) == _NARROW else 10
            shape = {"shape": "circle", "width": side, "height": side, "fixedsize": True, "fontsize": size}
        self._node(
            name, "operator", column, label=labels.plain(text), **shape, fillcolor=fill,
            color=stroke, tooltip=about or (text,),
        )  # fmt: skip
        return name

    def point(self, name: str, column: Column | None) -> str:
        """A place where a line is tapped."""
        color = self.palette.data
        self._node(name, "junction", column, shape="point", width=0.045, height=0.045, color=color, label="")
        return name

    def anchor(self, name: str, column: Column | None = None) -> str:
        """A place that is not seen."""
        self._node(name, "anchor", column, shape="point", style="invis", width=0.01, height=0.01, label="")
        return name

    def chip(self, name: str, kind: LineKind, *lines: str, bold: bool = True) -> str:
        """Words on a line."""
        text = labels.chip(self.palette.line(kind), *lines, bold=bold)
        self._node(name, f"chip {kind}", None, shape="plain", style="", label=text, tooltip=lines)
        return name

    def title(self, label: Html) -> str:
        """The title, as a node that stands above all others."""
        self._node(TITLE, "title", None, shape="plain", style="", label=label, tooltip=self.graph.name)
        return TITLE

    def _node(self, name: str, class_: str, column: Column | None, **attributes: Attribute) -> None:
        group = {} if column is None else {"group": column.name}
        if column is not None:
            self.heights[name] = self.filled[column.name] = self.filled.get(column.name, 0) + 1
        self.sheet.node(name, **{"class": class_}, **group, **attributes)

    # Blocks

    def block(self, name: str, class_: str, label: Html, *about: str, nested: bool = False) -> AbstractContextManager[None]:
        """A block around layers."""
        fill = self.palette.nested if nested else self.palette.block
        return self.sheet.cluster(
            name, **{"class": class_}, peripheries=1, style="rounded,filled", color=self.palette.border,
            fillcolor=fill, penwidth=1.2, margin=18, labelloc=self.top, labeljust="r", label=label,
            tooltip=about,
        )  # fmt: skip

    def dashed(self, name: str, text: str) -> AbstractContextManager[None]:
        """A dashed block around what runs side by side."""
        color = self.palette.parallel
        label = Html(labels.font(text, color, 9))
        return self.sheet.cluster(
            name, **{"class": "block parallel"}, peripheries=1, style="rounded,filled,dashed",
            color=color, fillcolor=self.palette.canvas, penwidth=1.1, margin=12, labelloc=self.top,
            labeljust="l", label=label, tooltip=text,
        )  # fmt: skip

    @property
    def top(self) -> str:
        """Where the title of a cluster stands; with data running upwards Graphviz swaps the two."""
        return "t" if self.right else "b"

    def mark(self, letters: str, node: str, column: Column | None, cluster: str = "") -> None:
        """Remembers that letters stand on a node, or on the block that it stands in."""
        self.kinds["shared"] = ""
        if column is not None:
            height = self.heights[node]
            self.marked += [Marked(letter, node, column, height, cluster) for letter in letters.split()]

    # Lines

    def flow(
        self, column: Column | None, tail: str, head: str, *, label: str = "", leaving: str = "",
        arrow: bool = True, weight: int = 20, **attributes: Attribute,
    ) -> None:  # fmt: skip
        """A line of data; shapes are written beside its head (`label`) and its tail (`leaving`)."""
        given: dict[str, Attribute] = {"weight": weight, **attributes}
        if label:
            given |= {"headlabel": label, "labelangle": 72, "labeldistance": 3.4}
        if leaving:
            given |= {"taillabel": leaving, "labelangle": -72, "labeldistance": 3.4}
        self.line("data", column, tail, head, arrow=arrow, **given)

    def line(
        self, kind: LineKind, column: Column | None, tail: str, head: str, *, arrow: bool = True,
        note: str = "", **attributes: Attribute,
    ) -> None:  # fmt: skip
        """A line of any kind; in a column that runs down it is written from its head to its tail."""
        given: dict[str, Attribute] = {"class": kind}
        if kind != "data":
            color = self.palette.line(kind)
            given |= {"color": color, "fontcolor": color, "penwidth": WIDTHS[kind]}
        if kind in STYLES:
            given["style"] = STYLES[kind]
        given |= attributes
        if not arrow:
            given["dir"] = "none"
        if column is not None and column.down:
            tail, head = head, tail
            given = {_SWAPPED.get(key, key): value for key, value in given.items()}
            given.setdefault("dir", "back")
        self.sheet.line(tail, head, **given)
        self.kinds.setdefault(kind, note)

    def put_beside(self, name: str, column: Column, *, right: bool = False, below: bool = False) -> None:
        """Asks for a place beside a column for a node that belongs to none."""
        self.beside.append(Beside(name, column.name, right, below))

    def order(self, *names: str) -> None:
        """Fixes the order of nodes in one rank."""
        self.sheet.row(*names)
        for left, right in zip(names, names[1:], strict=False):
            self.sheet.line(left, right, style="invis")

    def side(self, name: str) -> str:
        """The side of a node at which residuals start and end."""
        return f"{name}:{'s' if self.right else 'e'}"

    # Words

    def shape(self, sizes: Shape) -> str:
        """A shape with one letter a length."""
        return words.shape(sizes, self.letters)

    def about(self, path: str, placed: Placed, span: Span) -> tuple[str, ...]:
        """What is shown when one points at a component."""
        kind = placed.component.kind
        held = f", {words.number(placed.parameters)} parameters" if placed.parameters else ""
        return path, kind + held, f"makes {show(placed.shape)}", place(span)


_SWAPPED = {"headlabel": "taillabel", "taillabel": "headlabel", "ltail": "lhead", "lhead": "ltail"}


def place(span: Span) -> str:
    """Where something is written: `spec.yaml:12`."""
    return f"{PurePath(span.file).name}:{span.line}"


def sheet_for(palette: Palette) -> Sheet:
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
