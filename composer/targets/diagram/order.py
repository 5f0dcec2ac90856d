"""The order of columns from left to right, held by rows of unseen nodes above or below them all."""

from __future__ import annotations

from collections.abc import Mapping

from .pen import Pen
from .plan import Column, in_order
from .stack import Place


def keep_order(pen: Pen, columns: Mapping[str, Column], places: Mapping[str, Place]) -> None:
    """Puts the rows that are needed: above for most, below for what hangs under all columns.

    A line to a row takes space from the residuals that it passes, so it must not pass any.
    """
    ordered = in_order(pen.graph, columns)
    below = any(beside.below for beside in pen.beside)
    if below:
        _row(pen, ordered, columns, places, below=True)
    if any(not beside.below for beside in pen.beside) or (len(ordered) > 1 and not below):
        _row(pen, ordered, columns, places, below=False)


def _row(
    pen: Pen, ordered: list[Column], columns: Mapping[str, Column], places: Mapping[str, Place],
    *, below: bool,
) -> None:  # fmt: skip
    row: list[str] = []
    for column in ordered:
        beside = [b for b in pen.beside if b.column == column.name and b.below == below]
        row += [_anchor(pen, b.node, None, below=below) for b in beside if not b.right]
        row.append(_anchor(pen, _end(pen, column, columns, places, below=below), column, below=below))
        row += [_anchor(pen, b.node, None, below=below) for b in beside if b.right]
    pen.order(*row)


def _end(
    pen: Pen, column: Column, columns: Mapping[str, Column], places: Mapping[str, Place], *, below: bool
) -> str:
    """The lowest or highest node of a column."""
    names = [name for name in columns if columns[name] == column]
    if below == column.down:
        last = places[names[-1]].exit
        return last if below else pen.tops.get(last, last)
    return places[names[0]].entry


def _anchor(pen: Pen, node: str, column: Column | None, *, below: bool) -> str:
    anchor = pen.anchor(f"{node} {'below' if below else 'above'}", column)
    ends = (anchor, node) if below else (node, anchor)
    pen.sheet.line(*ends, style="invis", weight=0)
    return anchor
