"""What stands inside an attention and a feed-forward, for those who ask for every step."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from composer.components.feed_forward import TITLES
from composer.graph.graph import Node

from . import labels, words
from .columns import Column
from .pen import Box
from .scene import Scene, Spot
from .theme import LineKind

_ATTENTION = {"q.weight", "k.weight", "v.weight", "o.weight"}
_FEED_FORWARD = {"up.weight", "down.weight"}


@dataclass(frozen=True)
class Ends:
    """Where lines reach a component: where data goes in and comes out, where keys and values do.

    `right` is a node that the residual must go around, in a component that is drawn large.
    """

    entry: str
    exit: str
    memory: str
    right: str = ""


def has_inside(node: Node) -> bool:
    """Whether the parts of a component are known by the names of its parameters."""
    names = set(node.placed.tensors)
    return names >= _ATTENTION or names >= _FEED_FORWARD


@dataclass(frozen=True)
class Inside:
    """Draws what stands inside one component, in a column or beside it."""

    scene: Scene
    node: Node
    spot: Spot
    column: Column

    def draw(self, *, memory: bool) -> Ends:
        """The component as a block around its steps; `memory` tells that it reads another stack."""
        placed, spot = self.node.placed, self.spot
        label = placed.label
        palette = self.scene.pen.palette
        text = labels.inside(
            palette, spot.title or label.title, label.detail, spot.letters,
            self.scene.sign(*spot.every), self.scene.more(spot, placed),
        )  # fmt: skip
        about = self.scene.about(spot.path, placed, self.node.span)
        box = Box(placed.component.role, text, about)
        with self.scene.pen.shell(f"cluster_{spot.name}", box):
            if "q.weight" in placed.tensors:
                return self._attention(memory=memory)
            return self._gated() if "gate.weight" in placed.tensors else self._plain()

    def _attention(self, *, memory: bool) -> Ends:
        """Keys and values stand left of the queries, so that the column stays straight."""
        group = self.spot.column
        start = source = self._point("in", group)
        values, keys = self._linear("v", None), self._linear("k", None)
        queries = self._linear("q", group)
        scores = self._step("attend", *self._scores(), group)
        end = self._linear("o", group)
        kind: LineKind = "data"
        if memory:
            kind, source = "cross", self._point("memory", None)
            self.scene.pen.order(source, start)
        for name in (values, keys):
            self.scene.pen.line(kind, source, name, back=self.column.down)
            self._chain(name, scores)
        self._chain(start, queries, scores, end)
        self.scene.pen.order(values, keys, queries)
        return Ends(start, end, source, queries)

    def _scores(self) -> tuple[str, str]:
        """What is done with queries, keys and values; in full with the mask and dropout."""
        if not self._full:
            return "softmax(q kᵀ) v", ""
        masked = " + mask" if self.node.component.masks(self.node.placed.axes) else ""
        return f"softmax(q kᵀ{masked}) v", self._dropout

    @property
    def _full(self) -> bool:
        return self.scene.view.detail == "full"

    @property
    def _dropout(self) -> str:
        rate = getattr(self.node.component, "dropout", None)
        return f"dropout {rate:g}" if rate and self._full else ""

    def _plain(self) -> Ends:
        group = self.spot.column
        up, activation = self._linear("up", group), self._activation(group)
        down = self._linear("down", group)
        self._chain(up, activation, down)
        return Ends(up, down, up, activation)

    def _gated(self) -> Ends:
        group = self.spot.column
        start, gate = self._point("in", group), self._linear("gate", None)
        up, activation = self._linear("up", group), self._activation(None)
        product = self.scene.pen.circle(f"{self.spot.name}.product", "×", group, ("the product",))
        down = self._linear("down", group)
        self._chain(start, gate, activation, product)
        self._chain(start, up, product, down)
        self.scene.pen.order(gate, up)
        return Ends(start, down, start, up)

    def _chain(self, *names: str) -> None:
        for one, other in pairwise(names):
            self.scene.pen.flow(self.column, one, other)

    def _point(self, name: str, column: Column | None) -> str:
        return self.scene.pen.point(f"{self.spot.name}.{name}", column)

    def _linear(self, name: str, column: Column | None) -> str:
        widths = words.widths(self.node.placed.tensors[f"{name}.weight"])
        return self._step(name, name, widths, column, self._heads(name))

    def _heads(self, name: str) -> str:
        """How the result is split into heads, or what is joined of them before it."""
        axes = self.node.placed.axes
        if not self._full or name not in "qkvo" or not {"num_heads", "head_dim"} <= set(axes):
            return ""
        count = axes.get("num_kv_heads", axes.num_heads) if name in "kv" else axes.num_heads
        width = count * axes.head_dim
        one, heads = f"[…, {words.number(width)}]", f"[{count}, …, {axes.head_dim}]"
        return f"{heads} → {one} first" if name == "o" else f"{one} → {heads}"

    def _activation(self, column: Column | None) -> str:
        name = str(getattr(self.node.component, "activation", "activation"))
        return self._step("activation", TITLES.get(name, name), self._dropout, column)

    def _step(
        self, name: str, title: str, detail: str, column: Column | None, more: str = ""
    ) -> str:
        rows = [more] if more else []
        text = labels.box(self.scene.pen.palette, title, detail, more=rows)
        look = Box("operator", text, (f"{self.spot.path}.{name}",), {"width": 0.9, "height": 0.4})
        return self.scene.pen.box(f"{self.spot.name}.{name}", column, look)
