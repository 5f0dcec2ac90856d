"""The order in which parts run, and the circles that leave none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import networkx as nx

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
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(dict.fromkeys(unit.values()))
    graph.add_edges_from((unit[read], unit[reader]) for read, reader in edges)
    tangled = False
    for component in nx.strongly_connected_components(graph):
        some = next(iter(component))
        if len(component) > 1 or graph.has_edge(some, some):
            tangled = True
            inside = [(a, b) for a, b in edges if unit[a] in component and unit[b] in component]
            _report_circle(inside, wires, problems)
    if tangled:
        return ()
    position = {name: i for i, name in enumerate(unit.values())}
    order = nx.lexicographical_topological_sort(graph, key=lambda name: position[name])
    return tuple(name for group in order for name in group.split("+"))


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
