"""One layer: its branches from bottom to top, each normed, run, and added back."""

from __future__ import annotations

import re
from dataclasses import replace

from composer.components.norms import LayerNorm
from composer.graph.graph import Body, Branch, Node, Skip, Stack

from . import labels, words
from .columns import Column
from .folds import Fold
from .inside import Ends, Inside, has_inside
from .pen import Box, noted
from .scene import LayerPlace, Reader, Scene, Spot

_RULES = {"+": "sum", "∑": "sum", "cat": "concat"}


def draw_layer(scene: Scene, stack: Stack, fold: Fold, prefix: str, column: Column) -> LayerPlace:
    """Draws a layer into the block that is open; `prefix` begins the names of its nodes."""
    return _LayerPen(scene, stack, fold, prefix, column).draw()


class _LayerPen:
    def __init__(self, scene: Scene, stack: Stack, fold: Fold, prefix: str, column: Column) -> None:
        self.scene, self.pen = scene, scene.pen
        self.stack, self.fold, self.prefix, self.column = stack, fold, prefix, column
        self.place = LayerPlace(fold)

    def draw(self) -> LayerPlace:
        """The layer, from its entry to its exit."""
        state = ""
        for skip in self.fold.kind.skips:
            state = self._skip(skip, state)
        if not state:
            state = self.place.entry = self.pen.point(self._name("in"), self.column)
        for index, branch in enumerate(self.fold.kind.branches):
            if index:
                state = self._turned(branch, state)
            state = self._branch(branch, state)
        self.place.exit = state
        return self.place

    def _turned(self, branch: Branch, state: str) -> str:
        """The state before a branch, at the foot of another column where this one turns."""
        name = self._name(branch.name, "in")
        column = self.scene.seam(name, self.column, 2)
        if column == self.column:
            return state
        self.column = column
        point = self.pen.point(name, column)
        self.pen.foot(self.place.entry, point)
        self.pen.flow(column, state, point)
        return point

    # Nodes

    def _name(self, *parts: str) -> str:
        return ".".join((self.prefix, *parts))

    def _path(self, node: Node) -> str:
        numbers = self.fold.numbers
        which = str(numbers[0]) if len(numbers) == 1 else "*"
        return f"{self.stack.name}.layers.{which}.{node.name}"

    def _paths(self, node: Node) -> tuple[str, ...]:
        """The paths of a component in each of these layers."""
        return tuple(f"{self.stack.name}.layers.{n}.{node.name}" for n in self.fold.numbers)

    def _letters(self, node: Node) -> str:
        marks, stack = self.scene.marks, self.stack
        tables = node.component.tables(node.placed.axes).values()
        letters = [
            marks.in_layers(stack.name, self.fold.numbers, node.name),
            *(marks.on_part(stack.name, stack.table_name(table)) for table in tables),
        ]
        return " ".join(filter(None, letters))

    def _spot(self, node: Node, column: Column | None, title: str = "") -> Spot:
        name, path = self._name(node.name), self._path(node)
        paths, padding = self._paths(node), self.stack.value.mask
        return Spot(
            name, path, column, self._letters(node), title, paths=paths, padding=padding
        )  # fmt: skip

    def _box(self, node: Node, column: Column | None, title: str = "") -> str:
        return self.scene.component(self._spot(node, column, title), node)

    def _circle(self, node: Node) -> str:
        return self.scene.circle(self._name(node.name), node, self._path(node), self.column)

    def _merge(self, node: Node) -> tuple[str, str]:
        """The circle in which several values meet, and the linear map that may end it."""
        circle = end = self._circle(node)
        if node.component.kind == "concat" and node.placed.tensors:
            widths = words.widths(node.placed.tensors["linear.weight"])
            text = labels.box(self.pen.palette, "Linear", widths)
            about = self.scene.about(self._path(node), node.placed, node.span)
            end = self.pen.box(f"{circle}.linear", self.column, Box("projection", text, about))
            self.pen.flow(self.column, circle, end)
        return circle, end

    # Branches

    def _skip(self, skip: Skip, state: str) -> str:
        """The circle in which an earlier state meets this one."""
        circle, end = self._merge(skip.combine)
        if state:
            self.pen.flow(self.column, state, circle)
        else:
            self.place.entry = circle
        self.place.skips.append(circle)
        return end

    def _branch(self, branch: Branch, state: str) -> str:
        """A branch from the state before it to the state after it."""
        at = state
        if branch.norm is not None and branch.placement in {"pre", "sandwich"}:
            at = self._then(at, self._box(branch.norm, self.column))
        at, right = self._lanes(branch, at) if branch.parallel else self._body(branch.bodies[0], at)
        for node in (branch.post_norm, branch.norm if branch.placement == "branch" else None):
            if node is not None:
                at = self._then(at, self._box(node, self.column))
        if branch.gate is not None:
            at = self._then(at, self._circle(branch.gate))
        if branch.scale != 1:
            name, text = self._name(branch.name, "scale"), f"× {branch.scale:g}"
            at = self._then(at, self.pen.circle(name, text, self.column, (f"the result {text}",)))
        if branch.dropout and self.scene.view.detail == "full":
            at = self._then(at, self._dropout(branch))
        return self._close(branch, state, at, right)

    def _dropout(self, branch: Branch) -> str:
        rate = f"{branch.dropout:g}"
        text = labels.box(self.pen.palette, "Dropout", rate)
        about = (f"{self._name(branch.name)}: dropout {rate}",)
        look = Box("operator", text, about, {"width": 0.9, "height": 0.4})
        return self.pen.box(self._name(branch.name, "dropout"), self.column, look)

    def _then(self, at: str, name: str, note: str = "") -> str:
        self.pen.flow(self.column, at, name, noted(note))
        return name

    def _close(self, branch: Branch, state: str, at: str, right: str) -> str:
        """The branch's result added to the state, and normed where the norm comes last."""
        norm = branch.norm if branch.placement == "post" else None
        if not branch.residual:
            return at if norm is None else self._then(at, self._box(norm, self.column))
        if norm is None:
            name = self._name(branch.name, "add")
            end = self.pen.circle(name, "+", self.column, ("residual sum",))
        else:
            plain = isinstance(norm.component, LayerNorm)
            title = "Norm" if plain else norm.component.label(norm.placed.axes).title
            end = self._box(norm, self.column, f"Add & {title}")
        self._then(at, end)
        self._residual(state, end, right)
        return end

    def _residual(self, state: str, end: str, right: str) -> None:
        """The line past a branch; past a large one it is led around by a word on it."""
        point = state == self._name("in") and not self.pen.right
        start = state if point else self.pen.side(state)
        down, free = self.column.down, {"weight": 0}
        if not right:
            self.pen.line("residual", start, self.pen.side(end), free, back=down)
            return
        chip = self.pen.chip(f"{end} identity", "residual", "identity")
        self.pen.order(right, chip)
        below, above = ("w", "e") if self.pen.right else ("n", "s") if down else ("s", "n")
        self.pen.line("residual", start, f"{chip}:{below}", free, back=down)
        self.pen.line("residual", f"{chip}:{above}", self.pen.side(end), free, back=down)

    def _body(self, body: Body, at: str) -> tuple[str, str]:
        """A component on the line; also the node for the residual to go around, if it is large."""
        ends = self._ends(body, middle=True)
        self._then(at, ends.entry, "Q" if body.reads else "")
        self._remember(body, ends, ends.memory, beside=False)
        return ends.exit, ends.right

    def _ends(self, body: Body, *, middle: bool) -> Ends:
        """A component as one box, or with what stands inside it."""
        node = body.node
        spot = self._spot(node, self.column if middle else None, _own_title(node))
        spot = replace(spot, padding=self._padding(body))
        if self.scene.view.depth_of(self.stack.name) > 1 and has_inside(node):
            return Inside(self.scene, node, spot, self.column).draw(memory=bool(body.reads))
        name = self.scene.component(spot, node)
        return Ends(name, name, name)

    def _padding(self, body: Body) -> str | None:
        """The name of the padding mask of what a component reads."""
        if not body.reads:
            return self.stack.value.mask
        memories = {memory.argument: memory.value.mask for memory in self.stack.memories}
        argument = body.reads[0]
        if argument in memories:
            return memories[argument]
        return self.scene.graph.parts[self.fold.reads[argument][0].part].value.mask

    def _remember(self, body: Body, ends: Ends, rank: str, *, beside: bool) -> None:
        self.place.attentions[body.node.name] = ends.exit
        self.place.readers += [Reader(name, ends.memory, rank, beside) for name in body.reads]

    def _lanes(self, branch: Branch, at: str) -> tuple[str, str]:
        """Bodies between a point where the line splits and a circle where they meet.

        Also the node for the residual to go around.
        """
        assert branch.combine is not None, "bodies side by side are merged"
        title = branch.combine.component.label(branch.combine.placed.axes).title
        rule = _RULES.get(title, branch.combine.component.kind)
        split = self._name(branch.name, "split")
        text = f"parallel, {len(branch.bodies)} branches, {rule}"
        with self.pen.lanes(f"cluster_{self._name(branch.name)}", text):
            self.pen.point(split, self.column)
            lanes = [self._lane(branch, index, split) for index in range(len(branch.bodies))]
            circle, end = self._merge(branch.combine)
        self._then(at, split)
        for ends in lanes:
            self.pen.line("parallel", ends.exit, circle, {"weight": 4}, back=self.column.down)
        self.pen.order(*(ends.entry for ends in lanes))
        return end, lanes[-1].right or lanes[-1].entry

    def _lane(self, branch: Branch, index: int, split: str) -> Ends:
        """One of several bodies, after its own norm if it has one."""
        body, middle = branch.bodies[index], 2 * index + 1 == len(branch.bodies)
        ends = self._ends(body, middle=middle)
        entry = ends.entry
        if body.norm is not None:
            entry = self._box(body.norm, self.column if middle else None)
            self.pen.flow(self.column, entry, ends.entry)
        self.pen.line("parallel", split, entry, {"weight": 4}, back=self.column.down)
        self._remember(body, ends, split, beside=True)
        return Ends(entry, ends.exit, ends.memory, ends.right)


def _own_title(node: Node) -> str:
    """The name that a spec gives to a branch, with what it is; empty where it is the usual one."""
    name = re.sub(r"_\d+$", "", node.name)
    usual = {node.component.kind, node.component.role, "attention", "feed_forward"}
    if name in usual or name.startswith("cross_attention"):
        return ""
    kind = node.component.label(node.placed.axes).title
    said = set(kind.lower().replace("-", " ").split()) & set(name.lower().split("_"))
    return name.replace("_", " ").title() if said else f"{kind} ({name})"
