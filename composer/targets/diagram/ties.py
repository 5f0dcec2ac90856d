"""Dotted lines between neighbours that share parameters; what is far apart has letters only."""

from __future__ import annotations

from itertools import pairwise

from composer.graph.graph import Part, Stack

from .columns import in_order, made_from
from .scene import Marked, Scene


def draw_ties(scene: Scene) -> None:
    """A line for every two of one set at one height in columns that stand side by side."""
    columns = in_order(scene.graph, scene.columns)
    order = {column.name: index for index, column in enumerate(columns)}
    heights = scene.pen.heights
    for letter in dict.fromkeys(mark.letter for mark in scene.marked):
        marks = [m for m in scene.marked if m.letter == letter and m.column.name in order]
        marks.sort(key=lambda mark: order[mark.column.name])
        for left, right in pairwise(marks):
            beside = order[right.column.name] - order[left.column.name] == 1
            level = heights[left.node] == heights[right.node]
            if beside and level and _apart(scene, left, right):
                _tie(scene, left, right)


def _apart(scene: Scene, left: Marked, right: Marked) -> bool:
    """Whether nothing ties the heights of two columns to each other already."""
    ends = {left.column.name, right.column.name}
    for name, part in scene.graph.parts.items():
        between = ({scene.columns[name].name, scene.columns[read].name} for read in _read(part))
        if ends in between:
            return False
    return left.column.down == right.column.down


def _read(part: Part) -> set[str]:
    """Names of all parts that a part reads."""
    read = set(made_from(part))
    if isinstance(part, Stack):
        read |= {s.part for layer in part.layers for s in layer.reads.values() if s.part}
        read |= {state.part for memory in part.memories for state in memory.sources}
    return read


def _tie(scene: Scene, left: Marked, right: Marked) -> None:
    chip = scene.pen.chip(f"{left.node} = {right.node}", "shared", left.letter)
    scene.put_beside(chip, right.column)
    scene.pen.sheet.row(left.node, chip, right.node)
    scene.pen.line("shared", left.node, chip, {"ltail": left.block} if left.block else {})
    scene.pen.line("shared", chip, right.node, {"lhead": right.block} if right.block else {})
