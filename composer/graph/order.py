"""The order in which parts run, and the circles that leave none.

networkx finds the circles; it takes longer to import than a spec to check, so that a spec without
circles does without.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import pairwise

from composer.diagnostics import Note, Problems
from composer.language.document import value_span
from composer.language.spec import CrossSpec, ParallelSpec

from .wires import Wires

_TRIED = 64  # edges of a tangle that are tried for the shortest circle


def ordered(wires: Wires, problems: Problems) -> tuple[str, ...]:
    """The parts so that each comes after what it reads; stacks in step count as one.

    Empty where parts read each other in a circle; each tangle of parts is one problem.
    """
    unit = {name: "+".join(wires.lockstep.get(name, (name,))) for name in wires.parts}
    edges = list(_edges(wires, unit))
    order = _sorted(list(unit.values()), {(unit[a], unit[b]) for a, b in edges})
    if len(order) < len(set(unit.values())):
        _report_tangles(edges, unit, wires, problems)
        return ()
    return tuple(name for group in order for name in group.split("+"))


def _sorted(names: list[str], edges: set[tuple[str, str]]) -> list[str]:
    """Each name after those with an edge to it, else in the order of `names`.

    Names in a circle, and what comes after them, are left out.
    """
    position = {name: i for i, name in enumerate(names)}
    after: dict[str, list[str]] = {name: [] for name in position}
    waiting = dict.fromkeys(position, 0)
    for first, then in edges:
        after[first].append(then)
        waiting[then] += 1
    ready = [(position[name], name) for name, count in waiting.items() if not count]
    heapify(ready)
    order = []
    while ready:
        order.append(heappop(ready)[1])
        for then in after[order[-1]]:
            waiting[then] -= 1
            if not waiting[then]:
                heappush(ready, (position[then], then))
    return order


def _report_tangles(
    edges: list[tuple[str, str]], unit: dict[str, str], wires: Wires, problems: Problems
) -> None:
    """One problem for each set of parts that read each other."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph((unit[read], unit[reader]) for read, reader in edges)
    for component in nx.strongly_connected_components(graph):
        inside = [(a, b) for a, b in edges if unit[a] in component and unit[b] in component]
        if inside:
            _report_circle(inside, wires, problems)


def _edges(wires: Wires, unit: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of what is read and who reads it; what stacks in step exchange is none."""
    for name in wires.parts:
        direct = _direct(name, wires)
        for read in dict.fromkeys(state.part for state in wires.reads(name)):
            if unit[read] != unit[name] or read in direct:
                yield read, name


def _direct(name: str, wires: Wires) -> set[str]:
    """Parts that must be ready before a part starts, whether it runs in step with them or not."""
    direct = {s.part for states in wires.sources.get(name, {}).values() for s in states}
    for unit in wires.crosses.get(name, []):
        if isinstance(unit.spec, CrossSpec):
            direct |= set(unit.sources)
    for skip in wires.skips.get(name, []):
        direct |= {state.part for state in skip.layers.values()} - {name}
    return direct


def _report_circle(edges: list[tuple[str, str]], wires: Wires, problems: Problems) -> None:
    """One problem for the shortest circle among `edges`, told part by part."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph(edges)
    for names in {wires.lockstep.get(name, ()) for edge in edges for name in edge}:
        graph.add_edges_from((a, b) for a in names for b in names if a != b)
    ways = [nx.shortest_path(graph, reader, read) for read, reader in edges[:_TRIED]]
    position = {name: i for i, name in enumerate(wires.parts)}
    way = min(ways, key=len)
    start = min(range(len(way)), key=lambda i: position[way[i]])
    circle = [*way[start:], *way[:start], way[start]]
    notes = [
        _note(read, reader, (read, reader) in edges, wires) for read, reader in pairwise(circle)
    ]
    problems.add(
        "G203",
        f"these parts read each other in a circle: {' -> '.join(circle)}",
        wires.span_of(circle[0]),
        notes,
        "let one of them read something else",
    )


def _note(read: str, reader: str, reads: bool, wires: Wires) -> Note:
    if reads:
        place = wires.places.get((reader, read), wires.span_of(reader))
        return Note(f"'{reader}' reads '{read}'", place)
    connection = next(
        c
        for c in wires.spec.connections
        if isinstance(c, ParallelSpec) and c.exchange and {read, reader} <= set(c.stacks)
    )
    return Note(f"'{read}' and '{reader}' run in step", value_span(connection.tree, ("stacks",)))
