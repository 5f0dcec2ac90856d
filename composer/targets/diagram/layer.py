"""One layer: its branches from bottom to top, each normed, run, and added back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from composer.components.norms import LayerNorm
from composer.graph.graph import Body, Branch, Node, Skip, Stack

from . import labels
from .inside import body_ends
from .pen import NORM_HEIGHT, Pen
from .plan import Column, Fold


@dataclass
class LayerPlace:
    """Where a drawn layer can be reached: what its lines from and to elsewhere end at."""

    fold: Fold
    cluster: str
    entry: str = ""
    exit: str = ""
    skips: list[str] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    attentions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reader:
    """An attention into another stack: the nodes that keys and values reach.

    `rank` is a node of the rank that its keys and values come in at; `beside` tells that others
    stand beside it in one branch.
    """

    argument: str
    nodes: tuple[str, ...]
    rank: str
    beside: bool


class LayerPen:
    """Draws the layers of one fold into the cluster that is open."""

    def __init__(self, pen: Pen, stack: Stack, fold: Fold, prefix: str, column: Column) -> None:
        self.pen, self.stack, self.fold = pen, stack, fold
        self.prefix, self.column = prefix, column
        self.place = LayerPlace(fold, f"cluster_{prefix}")

    def draw(self) -> LayerPlace:
        """The layer, from its entry to its exit."""
        state = ""
        for skip in self.fold.kind.skips:
            state = self._skip(skip, state)
        self.place.entry = self.place.skips[0] if state else self.pen.point(self._name("in"), self.column)
        state = state or self.place.entry
        for branch in self.fold.kind.branches:
            state = self._branch(branch, state)
        self.place.exit = state
        return self.place

    def _name(self, *parts: str) -> str:
        return ".".join((self.prefix, *parts))

    def _path(self, node: Node) -> str:
        numbers = self.fold.numbers
        which = str(numbers[0]) if len(numbers) == 1 else "*"
        return f"{self.stack.name}.layers.{which}.{node.name}"

    def _box(self, node: Node, column: Column | None, title: str = "") -> str:
        title = title or _own_title(node)
        letters = self.pen.marks.in_layers(self.stack.name, self.fold.numbers, node.name)
        path = self._path(node)
        return self.pen.component(self._name(node.name), node, path, column, letters, title)

    def _circle(self, node: Node) -> str:
        about = self.pen.about(self._path(node), node.placed, node.span)
        text = node.component.label(node.placed.axes).title
        name = self.pen.circle(self._name(node.name), text, self.column, *about)
        if node.component.kind == "concat" and node.placed.tensors:
            linear = labels.box(self.pen.palette, "Linear", _widths(node))
            self.pen.step(f"{name}.linear", "projection", linear, self.column, *about)
            self.pen.flow(self.column, name, f"{name}.linear")
        return name

    def _skip(self, skip: Skip, state: str) -> str:
        """The circle in which an earlier state meets this one."""
        circle = self._circle(skip.combine)
        if state:
            self.pen.flow(self.column, state, circle)
        self.place.skips.append(circle)
        return _after(skip.combine, circle)

    def _branch(self, branch: Branch, state: str) -> str:
        """A branch from the state before it to the state after it."""
        at = state
        if branch.norm is not None and branch.placement in {"pre", "sandwich"}:
            at = self._then(at, self._box(branch.norm, self.column))
        if branch.parallel:
            at, wide = self._side_by_side(branch, at)
        else:
            at, wide = self._body(branch.bodies[0], at)
        for node in (branch.post_norm, branch.norm if branch.placement == "branch" else None):
            if node is not None:
                at = self._then(at, self._box(node, self.column))
        if branch.gate is not None:
            at = self._then(at, self._circle(branch.gate))
        if branch.scale != 1:
            about = f"the branch's result times {branch.scale:g}"
            circle = self.pen.circle(self._name(branch.name, "scale"), f"× {branch.scale:g}", self.column, about)
            at = self._then(at, circle)
        return self._close(branch, state, at, wide)

    def _then(self, at: str, name: str, *, arrow: bool = True) -> str:
        self.pen.flow(self.column, at, name, arrow=arrow)
        return name

    def _close(self, branch: Branch, state: str, at: str, wide: str) -> str:
        """The branch's result added to the state, and normed where the norm comes last."""
        norm = branch.norm if branch.placement == "post" else None
        if not branch.residual:
            return at if norm is None else self._then(at, self._box(norm, self.column))
        if norm is None:
            end = self.pen.circle(self._name(branch.name, "add"), "+", self.column, "the residual sum")
        else:
            plain = isinstance(norm.component, LayerNorm)
            title = "Norm" if plain else norm.component.label(norm.placed.axes).title
            end = self._box(norm, self.column, f"Add & {title}")
        self._then(at, end)
        self._residual(state, end, wide)
        return end

    def _residual(self, state: str, end: str, wide: str) -> None:
        """The line past a branch; past a wide one it is led around by a word on it."""
        start = state if state == self.place.entry else self.pen.side(state)
        if not wide:
            self.pen.line("residual", self.column, start, self.pen.side(end), weight=0)
            return
        chip = self.pen.chip(f"{end} identity", "residual", "identity", bold=False)
        self.pen.order(wide, chip)
        tail, head = ("s", "n") if not self.column.down else ("n", "s")
        if self.pen.right:
            tail, head = "w", "e"
        self.pen.line("residual", self.column, start, f"{chip}:{tail}", arrow=False, weight=0)
        self.pen.line("residual", self.column, f"{chip}:{head}", self.pen.side(end), weight=0)

    def _body(self, body: Body, at: str) -> tuple[str, str]:
        """A component on the line; also the node to its right, where it is drawn wide."""
        ends = body_ends(self.pen, self._box, body.node, self._name(body.node.name), self.column)
        self._then(at, ends.entry, arrow=ends.arrow)
        self._remember(body, ends.memory, ends.rank, beside=False)
        self.place.attentions[body.node.name] = ends.exit
        return ends.exit, ends.right

    def _remember(self, body: Body, nodes: tuple[str, ...], rank: str, *, beside: bool) -> None:
        self.place.readers += [Reader(name, nodes, rank, beside) for name in body.reads]

    def _side_by_side(self, branch: Branch, at: str) -> tuple[str, str]:
        """Bodies between a point where the line splits and a circle where they meet."""
        assert branch.combine is not None
        merge = branch.combine.component.label(branch.combine.placed.axes).title
        rule = {"+": "sum", "∑": "sum", "cat": "concat"}.get(merge, branch.combine.component.kind)
        text = f"parallel, {len(branch.bodies)} branches, {rule}"
        split = self._name(branch.name, "split")
        with self.pen.dashed(f"cluster_{self._name(branch.name)}", text):
            self.pen.point(split, self.column)
            names = [self._lane(body, split, index, branch) for index, body in enumerate(branch.bodies)]
            circle = self._circle(branch.combine)
        self._then(at, split, arrow=False)
        for _, exit_ in names:
            self.pen.line("parallel", self.column, exit_, circle, weight=4)
        self.pen.order(*(first for first, _ in names))
        return _after(branch.combine, circle), names[-1][0]

    def _lane(self, body: Body, split: str, index: int, branch: Branch) -> tuple[str, str]:
        """One of several bodies; its first and last node."""
        middle = 2 * index + 1 == len(branch.bodies)
        column = self.column if middle else None
        ends = body_ends(self.pen, self._box, body.node, self._name(body.node.name), column)
        first = ends.entry
        if body.norm is not None:
            first = self._box(body.norm, column)
            self.pen.flow(self.column, first, ends.entry, arrow=ends.arrow)
        self.pen.line("parallel", self.column, split, first, weight=4)
        self._remember(body, ends.memory, split, beside=True)
        self.place.attentions[body.node.name] = ends.exit
        return first, ends.exit


def _own_title(node: Node) -> str:
    """The name that the spec gives to a branch; empty where it is the usual one."""
    name = re.sub(r"_\d+$", "", node.name)
    usual = {node.component.kind, node.component.role, "attention", "feed_forward"}
    if name in usual or name.startswith("cross_attention") or node.component.role in {"norm", "gate"}:
        return ""
    return name.replace("_", " ").title()


def _after(combine: Node, circle: str) -> str:
    """Where the line goes on after a circle that may end in a linear map."""
    return f"{circle}.linear" if combine.component.kind == "concat" and combine.placed.tensors else circle


def _widths(node: Node) -> str:
    ((wide, narrow),) = [shape for shape in node.placed.tensors.values() if len(shape) == 2]  # noqa: PLR2004
    return f"{narrow} → {wide}"
