"""Closed forms: operations and cache as polynomials of the batch and the lengths.

Widths, depths and other sizes of the spec are numbers in them; what the spec leaves open stays a
name.
"""

from __future__ import annotations

from dataclasses import dataclass

from composer.components.placed import Placed
from composer.graph.graph import Graph
from composer.shapes import Size
from composer.targets.summary import Row, summarize

from .count import row_of, rows_of
from .flops import Flops, flops_of_calls
from .trace import trace


@dataclass(frozen=True)
class Formula:
    """Operations of a part, and the numbers that it holds between steps of a generation."""

    row: Row
    forward: str
    backward: str
    cache: str


def formulas(graph: Graph) -> list[Formula]:
    """The closed forms of every part that computes or holds anything, and last of the whole."""
    summary, made = summarize(graph), trace(graph)
    rows = rows_of(summary)
    flops: dict[str, Flops] = {}
    held: dict[str, dict[str, Size]] = {}
    for call, cost in zip(made.calls, flops_of_calls(graph, made), strict=True):
        for row in (row_of(call.path, rows), ""):
            flops[row] = flops.get(row, Flops()) + cost
            for name, size in _cache(call.placed):
                known = held.setdefault(row, {})
                known[name] = known.get(name, 0) + size
    whole = Row(summary.name, "model", (), summary.parameters)
    found = [(row.path, row) for row in summary.rows] + [("", whole)]
    made_of = [_formula(row, flops.get(p, Flops()), held.get(p, {})) for p, row in found]
    return [one for one in made_of if one.forward != "0" or one.cache != "0"]


def _formula(row: Row, flops: Flops, held: dict[str, Size]) -> Formula:
    terms = [f"{steps}*({size})" if steps else str(size) for steps, size in held.items()]
    return Formula(row, str(flops.forward), str(flops.backward), " + ".join(terms) or "0")


def _cache(placed: Placed | None) -> list[tuple[str, Size]]:
    """What a component holds, by how many steps it holds it for; once where that is empty."""
    if placed is None:
        return []
    cache = placed.component.cache(placed.axes)
    found: list[tuple[str, Size]] = [] if cache.fixed == 0 else [("", cache.fixed)]
    if cache.step != 0 and cache.limit is None:
        found.append(("", cache.step * placed.axes["time"]))
    elif cache.step != 0:
        found.append((f"min({placed.axes['time']}, {cache.limit})", cache.step))
    for part in placed.parts.values():
        found += _cache(part)
    return found
