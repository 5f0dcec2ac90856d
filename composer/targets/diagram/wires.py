"""Lines between parts: data, and branches that are merged."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Module, Output, Part, State

from . import words
from .pen import Pen
from .stack import Place

Places = Mapping[str, Place]


def draw_wires(pen: Pen, places: Places) -> None:
    """Lines from each part to those that are made from it."""
    for name, part in pen.graph.parts.items():
        place = places[name]
        for port, states in _read(part).items():
            for state in _distinct(states):
                _wire(pen, places, state, place, part, port, note=_note(states))


def _read(part: Part) -> Mapping[str, tuple[State, ...]]:
    if isinstance(part, Module):
        return part.reads
    if isinstance(part, Output):
        return {"x": part.layers or (part.source,)}
    return {"x": (part.source,)} if hasattr(part, "source") else {}


def _distinct(states: tuple[State, ...]) -> list[State]:
    """One state of each part; that of which layers is written on its line."""
    return list({(s.part, s.item, s.branch): s for s in states}.values())


def _note(states: tuple[State, ...]) -> str:
    """Which layers the states stand after, where it is not the last one."""
    numbers = [state.layer for state in states if state.layer is not None]
    return f"after {words.layers(numbers)}" if numbers else ""


def _wire(
    pen: Pen, places: Places, state: State, place: Place, part: Part, port: str, *, note: str
) -> None:
    source = places[state.part]
    tail = tail_of(state, source)
    straight = source.column.name == place.column.name
    del port, note
    if isinstance(part, Module) and part.merges:
        pen.line("parallel", place.column, tail, place.entry, weight=2)
        return
    leaving = pen.shape(pen.graph.parts[state.part].value.shape) if source.inside and straight else ""
    pen.flow(
        place.column, tail, place.entry, label=place.border, leaving=leaving, arrow=place.arrow,
        weight=20 if straight else 2,
    )  # fmt: skip


def tail_of(state: State, place: Place) -> str:
    """The node at which a line from a state starts."""
    layer = None if state.layer is None else place.of_layer(state.layer)
    if layer is None:
        return place.exit if state.layer is None or not place.layers else place.layers[0].entry
    return layer.attentions.get(state.branch, layer.exit) if state.item else layer.exit
