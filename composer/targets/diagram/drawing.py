"""The whole drawing: parts in their columns, connections, title and legend."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from composer.graph.graph import Graph

from . import dot, labels, mermaid
from .changes import Changes
from .columns import in_order
from .crosses import draw_crosses
from .describe import describe, facts
from .order import keep_order
from .parts import draw_part
from .pen import Direction
from .scene import Scene
from .sheet import Attributes
from .skips import draw_skips
from .theme import FONT, LEGEND, LIGHT, Palette, Theme, palette
from .ties import draw_ties
from .turns import turns_at
from .view import Detail, View
from .wires import draw_wires

MOST = 60
"""Boxes and circles of a drawing that can still be read."""

_TITLE = "the title"
"""Name of the title's node; with a space, so that no part has it."""


def draw(
    graph: Graph, *, theme: Theme = "light", depth: int = 1, direction: Direction = "up",
    detail: Detail = "plain", depths: Mapping[str, int] | None = None,
    changes: Changes | None = None,
) -> str:  # fmt: skip
    """The drawing of a model as DOT; `View` says what `depth`, `depths` and `detail` show.

    With `changes`, what differs from another model has borders of other colours. A drawing for both
    themes is the light one; see `render`.
    """
    view = View(depth, direction, detail, depths or {})
    scene = _drawn(graph, palette(theme), view, changes)
    pen = scene.pen
    heading = labels.heading(pen.palette, graph.title or graph.name, facts(graph))
    keep_order(scene, "" if pen.right else pen.plain(_TITLE, "title", heading, (graph.name,)))
    legend = labels.legend(pen.palette, [kind for kind in LEGEND if kind in pen.kinds], pen.kinds)
    if scene.signs:
        legend = labels.stacked(legend, scene.signs.legend(pen.palette))
    if scene.changes:
        legend = labels.stacked(legend, scene.changes.legend(pen.palette))
    look: Attributes = {
        "class": "drawing", "rankdir": "LR" if pen.right else "BT", "newrank": True,
        "compound": True, "splines": "spline", "nodesep": 0.42, "ranksep": 0.38, "pad": 0.25,
        "bgcolor": pen.palette.canvas, "fontname": FONT, "fontcolor": pen.palette.title,
        "fontsize": 12, "labelloc": "t" if pen.right else "b", "labeljust": "l",
        "label": labels.stacked(heading, legend) if pen.right else legend,
        "tooltip": (describe(graph),),
    }  # fmt: skip
    return dot.text(pen.sheet, graph.name, look)


def draw_mermaid(
    graph: Graph, *, theme: Theme = "light", depth: int = 1, direction: Direction = "up",
    detail: Detail = "plain",
) -> str:  # fmt: skip
    """The drawing of a model as a Mermaid flowchart, which many pages show without a program.

    It has the boxes, blocks and lines of `draw`; where they stand, Mermaid decides.
    """
    scene = _drawn(graph, palette(theme), View(depth, direction, detail))
    head = mermaid.Head(graph.title or graph.name, describe(graph), direction)
    return mermaid.text(scene.pen.sheet, scene.pen.palette, head)


def fitting_depth(graph: Graph, depth: int = 1, detail: Detail = "plain") -> int:
    """The greatest depth up to `depth` at which a drawing can still be read."""
    for tried in range(depth, 0, -1):
        if _drawn(graph, LIGHT, View(tried, detail=detail)).pen.boxes <= MOST:
            return tried
    return 0


def _drawn(graph: Graph, colors: Palette, view: View, changes: Changes | None = None) -> Scene:
    """The scene with everything in it; the one column of a tall model turns where it must."""
    scene = _drawn_once(graph, colors, view, changes)
    if view.direction == "right" or len(in_order(graph, scene.columns)) > 1:
        return scene
    first = next(iter(scene.columns.values()))
    turns = turns_at(scene.seams, scene.pen.height(first))
    return _drawn_once(graph, colors, view, changes, turns) if turns else scene


def _drawn_once(
    graph: Graph, colors: Palette, view: View, changes: Changes | None,
    turns: Collection[str] = (),
) -> Scene:  # fmt: skip
    scene = Scene(graph, colors, view, changes, turns)
    for name, part in graph.parts.items():
        scene.places[name] = draw_part(scene, name, part)
    draw_wires(scene)
    draw_crosses(scene)
    draw_skips(scene)
    draw_ties(scene)
    return scene
