"""The whole drawing: title, parts in their columns, connections, legend."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Graph, Input, Module, Output, Part, Stack

from . import labels
from .crosses import draw_crosses
from .describe import describe, facts
from .pen import Direction, Pen, place
from .order import keep_order
from .plan import Column, columns_of
from .skips import draw_skips
from .stack import Place, draw_stack
from .ties import draw_ties
from .theme import FONT, LEGEND, Theme, palette
from .wires import draw_wires, note


def draw(graph: Graph, *, theme: Theme = "light", depth: int = 1, direction: Direction = "up") -> str:
    """The drawing of a model as DOT.

    `depth` 0 shows stacks as single boxes, 1 one layer of each, 2 what stands inside attentions
    and feed-forwards too. A drawing for both themes is the light one; see `render`.
    """
    pen = Pen(graph, palette(theme), depth, direction)
    columns = columns_of(graph)
    places = {name: _part(pen, name, part, columns[name]) for name, part in graph.parts.items()}
    draw_wires(pen, places)
    draw_crosses(pen, places)
    draw_skips(pen, places)
    draw_ties(pen, columns)
    heading = labels.heading(pen.palette, graph.title or graph.name, facts(graph))
    keep_order(pen, columns, places, "" if pen.right else pen.title(heading))
    legend = labels.legend(pen.palette, [k for k in LEGEND if k in pen.kinds], pen.kinds)
    return pen.sheet.text(
        graph.name, rankdir="LR" if pen.right else "BT", newrank=True, compound=True,
        splines="spline", nodesep=0.42, ranksep=0.38, pad=0.25, bgcolor=pen.palette.canvas,
        fontname=FONT, fontcolor=pen.palette.title, fontsize=12, labelloc="t" if pen.right else "b",
        labeljust="l", label=labels.stacked(heading, legend) if pen.right else legend,
        tooltip=describe(graph),
    )  # fmt: skip


def _part(pen: Pen, name: str, part: Part, column: Column) -> Place:
    if isinstance(part, Input):
        return _input(pen, part, column)
    if isinstance(part, Module):
        return _module(pen, part, column)
    return draw_stack(pen, part, column) if isinstance(part, Stack) else _output(pen, part, column)


def _input(pen: Pen, part: Input, column: Column) -> Place:
    kind = part.node.component.kind
    title = f"{part.name} tokens" if kind == "tokens" and part.name != "tokens" else part.name
    dtype = str(getattr(part.node.component, "dtype", "float"))
    detail = f"{dtype} {pen.shape(part.value.shape)}"
    name = pen.io(part.name, title, detail, column, part.name, kind, place(part.node.span))
    return Place(name, name, column)


def _module(pen: Pen, part: Module, column: Column) -> Place:
    component = part.node.component
    about = pen.about(part.name, part.node.placed, part.node.span)
    if component.role == "combine":
        text = component.label(part.node.placed.axes).title
        name = pen.circle(part.name, text, column, *about)
    else:
        letters = pen.marks.on_part(part.name)
        name = pen.component(part.name, part.node, part.name, column, letters)
    return Place(name, name, column)


def _output(pen: Pen, part: Output, column: Column) -> Place:
    value = part.value.shape
    detail = ", ".join([f"float {pen.shape(value)}", *note(part.layers or (part.source,))])
    name = pen.io(part.name, part.name, detail, column, part.name, place(part.span))
    if part.head is None:
        return Place(name, name, column)
    letters = pen.marks.on_part(part.name)
    head = pen.component(f"{part.name}.head", part.head, part.name, column, letters)
    pen.flow(column, head, name)
    return Place(head, name, column)
