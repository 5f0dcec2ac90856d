"""The order of columns from left to right, held by rows of unseen nodes above or below them all."""

from __future__ import annotations

from .columns import Column, in_order
from .labels import PORT
from .scene import Scene


def keep_order(scene: Scene, title: str) -> None:
    """Puts the rows that are needed, the title at the left end of the upper one.

    What stands beside a column hangs from the row above; in a U, where it stands under everything,
    it rests on the row below.
    """
    columns = in_order(scene.graph, scene.columns)
    below = any(beside.below for beside in scene.beside)
    if below:
        _row(scene, columns, below=True)
    above = any(not beside.below for beside in scene.beside)
    row = _row(scene, columns, below=False) if above or (len(columns) > 1 and not below) else []
    if title:
        _put_title(scene, title, _end(scene, columns[0], below=False), row)


def _put_title(scene: Scene, title: str, first: str, row: list[str]) -> None:
    """The title above the first column, and every output below its rank."""
    scene.pen.sheet.line(first, f"{title}:{PORT}", style="invis")
    scene.pen.order(title, *row[:1])
    ends = [scene.places[output.name].exit for output in scene.graph.outputs]
    free = [end for end in ends if end != first and _above(end) not in row]
    scene.pen.sheet.row(title, *(_anchor(scene, end, None, below=False) for end in free))


def _row(scene: Scene, columns: list[Column], *, below: bool) -> list[str]:
    row: list[str] = []
    for column in columns:
        beside = [b for b in scene.beside if b.column == column.name and b.below == below]
        row += [_anchor(scene, b.node, None, below=below) for b in beside if not b.right]
        row.append(_anchor(scene, _end(scene, column, below=below), column, below=below))
        row += [_anchor(scene, b.node, None, below=below) for b in beside if b.right]
    scene.pen.order(*row)
    return row


def _end(scene: Scene, column: Column, *, below: bool) -> str:
    """The lowest or highest node of a column."""
    names = [name for name in scene.columns if scene.columns[name] == column]
    if below != column.down:
        return scene.places[names[0]].entry
    last = scene.places[names[-1]].exit
    return last if below else scene.tops.get(last, last)


def _anchor(scene: Scene, node: str, column: Column | None, *, below: bool) -> str:
    name = f"{node} below" if below else _above(node)
    anchor = scene.pen.anchor(name, column)
    ends = (anchor, node) if below else (node, anchor)
    scene.pen.sheet.line(*ends, style="invis", weight=0)
    return anchor


def _above(node: str) -> str:
    return f"{node} above"
