"""The order of columns from left to right, held by rows of unseen nodes above or below them all."""

from __future__ import annotations

from collections.abc import Mapping

from .labels import PORT
from .pen import Pen
from .plan import Column, in_order
from .stack import Place


def keep_order(pen: Pen, columns: Mapping[str, Column], places: Mapping[str, Place], title: str) -> None:
    """Puts the rows that are needed, the title at the left end of the upper one.

    What stands beside a column hangs from the row above, since a line to it takes space from the
    residuals that it passes; in a U it stands on the row below, for the same reason.
    """
    ordered = in_order(pen.graph, columns)
    below = any(beside.below for beside in pen.beside)
    if below:
        _row(pen, ordered, columns, places, below=True)
    several = any(not beside.below for beside in pen.beside) or (len(ordered) > 1 and not below)
    row = _row(pen, ordered, columns, places, below=False) if several else []
    if title:
        first = _end(pen, ordered[0], columns, places, below=False)
        pen.sheet.line(first, f"{title}:{PORT}", style="invis")
        pen.order(*[title, *row][:2])
        ends = [places[output.name].exit for output in pen.graph.outputs]
        free = [end for end in ends if end != first and _above(end) not in row]
        pen.sheet.row(title, *(_anchor(pen, end, None, below=False) for end in free))


def _row(
    pen: Pen, ordered: list[Column], columns: Mapping[str, Column], places: Mapping[str, Place],
    *, below: bool,
) -> list[str]:  # fmt: skip
    row: list[str] = []
    for column in ordered:
        beside = [b for b in pen.beside if b.column == column.name and b.below == below]
        row += [_anchor(pen, b.node, None, below=below) for b in beside if not b.right]
        row.append(_anchor(pen, _end(pen, column, columns, places, below=below), column, below=below))
        row += [_anchor(pen, b.node, None, below=below) for b in beside if b.right]
    pen.order(*row)
    return row


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
    anchor = pen.anchor(f"{node} below" if below else _above(node), column)
    ends = (anchor, node) if below else (node, anchor)
    pen.sheet.line(*ends, style="invis", weight=0)
    return anchor


def _above(node: str) -> str:
    return f"{node} above"
