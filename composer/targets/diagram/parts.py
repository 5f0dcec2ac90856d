"""Inputs, modules and outputs."""

from __future__ import annotations

from math import prod

from composer.graph.graph import Input, Module, Output, Part, Stack
from composer.shapes import Shape, evaluate, lengths_in

from . import words
from .columns import Column
from .labels import box
from .pen import Box
from .scene import Place, Scene, Spot, written_at
from .sheet import Attributes, Html
from .stack import draw_stack

_ANY_LENGTH = 5040
"""A length that many numbers divide, to compare sizes that are known later."""


def draw_part(scene: Scene, name: str, part: Part) -> Place:
    """Draws a part into its column."""
    before = scene.columns[name]
    column = scene.seam(name, before, 0)
    place = _drawn(scene, part, column)
    if column != before:
        scene.pen.foot(_first(scene, before), place.entry)
    return place


def _first(scene: Scene, column: Column) -> str:
    """The node at the foot of a column."""
    return next(place.entry for place in scene.places.values() if place.foot == column)


def _drawn(scene: Scene, part: Part, column: Column) -> Place:
    if isinstance(part, Stack):
        return draw_stack(scene, part, column)
    if isinstance(part, Input):
        return _input(scene, part, column)
    if isinstance(part, Module):
        return _module(scene, part, column)
    return _output(scene, part, column)


def _input(scene: Scene, part: Input, column: Column) -> Place:
    component = part.node.component
    title = f"{part.name} tokens" if component.kind == "tokens" != part.name else part.name
    detail = f"{getattr(component, 'dtype', 'float')} {scene.shape(part.value.shape)}"
    about = (part.name, component.kind, written_at(part.node.span))
    return _io(scene, part.name, column, box(scene.pen.palette, title, detail), about)


def _io(scene: Scene, name: str, column: Column, label: Html, about: tuple[str, ...]) -> Place:
    scene.pen.box(name, column, Box("input", label, about, scene.tint(name), class_="io"))
    return Place(name, name, column)


def _module(scene: Scene, part: Module, column: Column) -> Place:
    name, role = part.name, part.node.component.role
    if role == "combine":
        scene.circle(name, part.node, name, column)
    else:
        shape = _trapezium(scene, part, column) if role == "resample" else {}
        letters = scene.marks.on_part(name)
        padding = _padding(scene, part)
        spot = Spot(name, name, column, letters, attributes=shape, padding=padding)
        scene.component(spot, part.node)
    return Place(name, name, column)


def _padding(scene: Scene, part: Module) -> str | None:
    """The name of the padding mask of what a module reads; of the last, if it reads several."""
    read = [states[0].part for states in part.reads.values()]
    return scene.graph.parts[read[-1]].value.mask if read else None


def _trapezium(scene: Scene, part: Module, column: Column) -> Attributes:
    """The shape of a change of resolution: the wide side is that of the larger grid."""
    if scene.pen.right:
        return {}
    ((first, *_),) = list(part.reads.values())[:1]
    before = scene.graph.values.get(first)
    grows = before is not None and _steps(part.value.shape) > _steps(before.shape)
    shape = "invtrapezium" if grows != column.down else "trapezium"
    return {"shape": shape, "style": "filled", "fixedsize": True, "width": 2.35, "height": 0.46}


def _steps(shape: Shape) -> int:
    """Number of places in a sequence or an image, were every length the same."""
    sizes = shape[1:-1] if len(shape) == 3 else shape[2:]  # noqa: PLR2004 - batch, time, width
    lengths = {name: _ANY_LENGTH for size in sizes for name in lengths_in(size)}
    return prod(evaluate(size, lengths) for size in sizes)


def _output(scene: Scene, part: Output, column: Column) -> Place:
    which = words.after(part.layers or (part.source,))
    detail = ", ".join([f"float {scene.shape(part.value.shape)}", *which])
    about = (part.name, written_at(part.span))
    made = _io(scene, part.name, column, box(scene.pen.palette, part.name, detail), about)
    if part.head is None:
        return made
    letters = scene.marks.on_part(part.name)
    head = scene.component(Spot(f"{part.name}.head", part.name, column, letters), part.head)
    scene.pen.flow(column, head, part.name)
    return Place(head, part.name, column)
