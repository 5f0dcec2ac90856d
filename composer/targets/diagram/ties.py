"""Dotted lines between neighbours that share parameters; what is far apart has letters only."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Graph, Stack

from .pen import Marked, Pen
from .plan import Column, in_order, sources


def draw_ties(pen: Pen, columns: Mapping[str, Column]) -> None:
    """A line for every two of one set at one height in columns that stand side by side."""
    order = {column.name: index for index, column in enumerate(in_order(pen.graph, columns))}
    for letter in dict.fromkeys(mark.letter for mark in pen.marked):
        marks = [m for m in pen.marked if m.letter == letter and m.column.name in order]
        marks.sort(key=lambda mark: order[mark.column.name])
        for left, right in zip(marks, marks[1:], strict=False):
            beside = order[right.column.name] - order[left.column.name] == 1
            if beside and left.height == right.height and _apart(pen.graph, left, right, columns):
                _tie(pen, left, right)


def _apart(graph: Graph, left: Marked, right: Marked, columns: Mapping[str, Column]) -> bool:
    """Whether nothing ties the heights of two columns to each other already."""
    ends = {left.column.name, right.column.name}
    for name, part in graph.parts.items():
        read = set(sources(part))
        if isinstance(part, Stack):
            read |= {s.part for layer in part.layers for s in layer.reads.values() if s.part}
            read |= {state.part for memory in part.memories for state in memory.sources}
        if any({columns[name].name, columns[other].name} == ends for other in read):
            return False
    return left.column.down == right.column.down


def _tie(pen: Pen, left: Marked, right: Marked) -> None:
    chip = pen.chip(f"{left.node} = {right.node}", "shared", left.letter, bold=False)
    pen.put_beside(chip, right.column)
    pen.sheet.row(left.node, chip, right.node)
    tail = {"ltail": left.cluster} if left.cluster else {}
    head = {"lhead": right.cluster} if right.cluster else {}
    pen.line("shared", None, left.node, chip, arrow=False, **tail)
    pen.line("shared", None, chip, right.node, arrow=False, **head)
