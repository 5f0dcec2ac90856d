"""The whole drawing: title, parts in their columns, connections, legend."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Graph, Input, Module, Output, Part, Stack

from . import labels
from .crosses import draw_crosses
from .describe import describe, subtitle
from .pen import Direction, Pen, place
from .plan import Column, columns_of, in_order
from .stack import Place, draw_stacks
from .theme import FONT, LEGEND, Theme, palette
from .wires import draw_wires


def draw(graph: Graph, *, theme: Theme = "light", depth: int = 1, direction: Direction = "up") -> str:
    """The drawing of a model as DOT.

    `depth` 0 shows stacks as single boxes, 1 one layer of each, 2 what stands inside attentions
    and feed-forwards too. A drawing for both themes is the light one; see `render`.
    """
    pen = Pen(graph, palette(theme), depth, direction)
    title = labels.heading(pen.palette, graph.title or graph.name, subtitle(graph))
    with pen.sheet.cluster(
        "cluster", **{"class": "title"}, peripheries=0, bgcolor="transparent", margin=6,
        labelloc=pen.top, labeljust="l", label=title, tooltip=graph.name,
    ):  # fmt: skip
        columns = columns_of(graph)
        places = _parts(pen, columns)
        draw_wires(pen, places)
        draw_crosses(pen, places)
        _keep_order(pen, columns, places)
    legend = labels.legend(pen.palette, [k for k in LEGEND if k in pen.kinds], pen.kinds)
    return pen.sheet.text(
        graph.name, rankdir="LR" if pen.right else "BT", newrank=True, compound=True,
        splines="spline", nodesep=0.42, ranksep=0.38, pad=0.25, bgcolor=pen.palette.canvas,
        fontname=FONT, fontcolor=pen.palette.title, fontsize=12, labelloc="b", labeljust="l",
        label=legend, tooltip=describe(graph),
    )  # fmt: skip


def _parts(pen: Pen, columns: Mapping[str, Column]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for name, part in pen.graph.parts.items():
        if name in places:
            continue  # drawn with the stacks that it runs in step with
        if isinstance(part, Stack):
            group = [s for s in pen.graph.stacks if s.name in (part.lockstep or (name,))]
            places |= draw_stacks(pen, group, columns)
        else:
            places[name] = _part(pen, name, part, columns[name])
    return places


def _keep_order(pen: Pen, columns: Mapping[str, Column], places: Mapping[str, Place]) -> None:
    """Holds columns in their order from left to right, by a row of unseen nodes above them all.

    Above and not below, where the lines to it would narrow the space of the residuals.
    """
    ordered = in_order(pen.graph, columns)
    if len(ordered) == 1 and not pen.between:
        return
    row: list[str] = []
    for column in ordered:
        names = [name for name in columns if columns[name] == column]
        last = places[names[0]].entry if column.down else places[names[-1]].exit
        last = pen.tops.get(last, last)
        row += [_above(pen, name, None) for name in pen.between.get((column.name, False), [])]
        row.append(_above(pen, last, column))
        row += [_above(pen, name, None) for name in pen.between.get((column.name, True), [])]
    pen.order(*row)


def _above(pen: Pen, node: str, column: Column | None) -> str:
    anchor = pen.anchor(f"{node} top", column)
    pen.sheet.line(node, anchor, style="invis", weight=0)
    return anchor


def _part(pen: Pen, name: str, part: Part, column: Column) -> Place:
    if isinstance(part, Input):
        return _input(pen, part, column)
    if isinstance(part, Module):
        return _module(pen, part, column)
    assert isinstance(part, Output), "stacks are drawn by draw_stacks"
    return _output(pen, part, column)


def _input(pen: Pen, part: Input, column: Column) -> Place:
    kind = part.node.component.kind
    title = part.name if kind in part.name or kind == "tensor" else f"{part.name} {kind}"
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
    detail = f"float {pen.shape(value)}"
    name = pen.io(part.name, part.name, detail, column, part.name, place(part.span))
    if part.head is None:
        return Place(name, name, column)
    letters = pen.marks.on_part(part.name)
    head = pen.component(f"{part.name}.head", part.head, part.name, column, letters)
    pen.flow(column, head, name)
    return Place(head, name, column)
