"""The scene: a graph, the pen that draws it, and where its parts have come to stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import PurePath

from composer.components.placed import Placed
from composer.diagnostics import Span
from composer.graph.graph import Graph, Node, State
from composer.shapes import Shape, show

from . import extras, labels, words
from .changes import Changes
from .columns import Column, columns_of
from .folds import Fold
from .marks import Marks
from .pen import LOW, Box, Pen
from .sheet import Attributes
from .signs import Signs
from .theme import Palette
from .turns import Seam
from .view import View

_ROOM = 8
"""Characters of a size beside a line."""


@dataclass(frozen=True)
class Reader:
    """An attention into another stack: the node that its keys and values reach.

    `beside` tells that others stand beside it in one branch.
    """

    argument: str
    node: str
    rank: str
    beside: bool


@dataclass
class LayerPlace:
    """Where a drawn layer can be reached: what lines from and to elsewhere end at."""

    fold: Fold
    entry: str = ""
    exit: str = ""
    skips: list[str] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    attentions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a drawn part can be reached.

    `block` is the block of its layers, and `inside` tells whether `exit` stands in it; `border` is
    written beside the line that comes in. `start` is the column of the entry, if it is another one.
    """

    entry: str
    exit: str
    column: Column
    block: str = ""
    inside: bool = False
    layers: tuple[LayerPlace, ...] = ()
    border: str = ""
    start: Column | None = None

    @property
    def foot(self) -> Column:
        """The column in which it begins."""
        return self.start or self.column

    def tail(self, state: State) -> str:
        """The node at which a line from a state of this part starts."""
        if state.layer is None or not self.layers:
            return self.exit
        found = [layer for layer in self.layers if state.layer in layer.fold.numbers]
        if not found:
            return self.layers[0].entry  # the state before the first layer
        return found[0].attentions[state.branch] if state.item else found[0].exit


@dataclass(frozen=True)
class Beside:
    """A node that belongs to no column and stands beside one."""

    node: str
    column: str
    right: bool
    below: bool


@dataclass(frozen=True)
class Marked:
    """A node with a letter, or with a block around it that has one."""

    letter: str
    node: str
    column: Column
    block: str = ""


@dataclass(frozen=True)
class Spot:
    """Where the box of a component stands and what is said of it.

    `name` is that of its node, `path` the one it has in a spec; `title` stands in place of its own.
    `paths` are those of all that it stands for, where they are several; `padding` is the name of
    the padding mask of what it reads.
    """

    name: str
    path: str
    column: Column | None
    letters: str = ""
    title: str = ""
    attributes: Attributes = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    padding: str | None = None

    @property
    def every(self) -> tuple[str, ...]:
        """The paths of all that it stands for."""
        return self.paths or (self.path,)


class Scene:
    """What everything that draws a graph shares."""

    def __init__(
        self, graph: Graph, palette: Palette, view: View, changes: Changes | None = None,
        turns: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.graph = graph
        self.changes = changes or Changes()
        known = {path for path, _ in graph.nodes()} if self.changes else set()
        self.known = known | {name for name in graph.parts if self.changes}
        self.view = view
        self.pen = Pen(palette, view.direction)
        self.signs = Signs(graph)
        self.marks = Marks(graph)
        self.letters = words.letters_of(graph)
        self.columns: dict[str, Column] = columns_of(graph)
        self.turns = turns
        self.seams: list[Seam] = []
        self.places: dict[str, Place] = {}
        self.beside: list[Beside] = []
        self.marked: list[Marked] = []
        self.tops: dict[str, str] = {}

    def seam(self, name: str, column: Column, rank: int) -> Column:
        """The column in which what comes next stands: the same, or another one where this turns."""
        self.seams.append(Seam(name, self.pen.height(column), rank))
        if name not in self.turns:
            return column
        turned = Column(f"{column.name} {len(self.seams)}", column.down)
        later = [part for part in self.columns if part not in self.places]
        self.columns |= {part: turned for part in later if self.columns[part] == column}
        return turned

    def component(self, spot: Spot, node: Node) -> str:
        """The box of a component."""
        return self.placed(spot, node.placed, node.span)

    def placed(self, spot: Spot, placed: Placed, span: Span) -> str:
        """The box of a component that may stand inside another one."""
        label = placed.label
        more = self.more(spot, placed)
        text = labels.box(
            self.pen.palette, spot.title or label.title, label.detail, spot.letters,
            sign=self.sign(*spot.every), more=more,
        )  # fmt: skip
        low: Attributes = {} if label.detail or more else {"height": LOW}
        about = self.about(spot.path, placed, span)
        tint = self.tint(*spot.every)
        look = Box(placed.component.role, text, about, {**low, **spot.attributes, **tint})
        self.pen.box(spot.name, spot.column, look)
        self.mark(spot.letters, spot.name, spot.column)
        return spot.name

    def tint(self, *paths: str) -> Attributes:
        """The border of a box by what is done with the paths that it stands for, or has changed."""
        done = {} if self._on_block(paths) else self.signs.look(paths, self.pen.palette)
        return {**done, **self.changes.look(paths, self.known, self.pen.palette)}

    def sign(self, *paths: str) -> str:
        """The signs of a box; those of whole layers stand on their block."""
        return "" if self._on_block(paths) else self.signs.on(paths)

    def _on_block(self, paths: tuple[str, ...]) -> bool:
        """Whether a component stands in a block of layers that has its signs."""
        stack, layers, below = paths[0].partition(".layers.")
        return bool(below) and bool(self.signs.look((stack + layers[:-1],), self.pen.palette))

    def more(self, spot: Spot, placed: Placed) -> list[str]:
        """What is only said in full: options that the label does not name, and masks."""
        if self.view.detail == "plain":
            return []
        options = extras.rows(extras.unsaid(placed))
        return [*options, *filter(None, [extras.masks(placed, spot.padding)])]

    def circle(self, name: str, node: Node, path: str, column: Column | None) -> str:
        """The circle of an operator that is a component."""
        text = node.component.label(node.placed.axes).title
        return self.pen.circle(name, text, column, self.about(path, node.placed, node.span))

    def mark(self, letters: str, node: str, column: Column | None, block: str = "") -> None:
        """Remembers that letters stand on a node, or on the block around it."""
        if letters:
            self.pen.kinds["shared"] = ""
        if column is not None:
            self.marked += [Marked(letter, node, column, block) for letter in letters.split()]

    def put_beside(
        self, name: str, column: Column, *, right: bool = False, below: bool = False
    ) -> None:
        """Asks for a place beside a column for a node that belongs to none."""
        self.beside.append(Beside(name, column.name, right, below))

    def shape(self, sizes: Shape) -> str:
        """A shape with one letter a length."""
        return words.shape(sizes, self.letters)

    def border(self, sizes: Shape) -> str:
        """A shape beside a line, where there is no room for a long size."""
        texts = [words.size_text(size, self.letters) for size in sizes]
        return "[" + ", ".join(t if len(t) <= _ROOM else "…" for t in texts) + "]"

    def about(self, path: str, placed: Placed, span: Span) -> tuple[str, ...]:
        """What is shown when one points at a component."""
        kind = placed.component.kind
        held = f", {words.number(placed.parameters)} parameters" if placed.parameters else ""
        return path, kind + held, f"makes {show(placed.shape)}", written_at(span)


def written_at(span: Span) -> str:
    """Where something is written: `spec.yaml:12`."""
    return f"{PurePath(span.file).name}:{span.line}"
