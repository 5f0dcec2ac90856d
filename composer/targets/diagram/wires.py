"""Lines between parts: data, and branches that are merged."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Input, Module, Output, Part, State

from . import words
from .pen import Pen
from .stack import Place
from .theme import LineKind

Places = Mapping[str, Place]


def draw_wires(pen: Pen, places: Places) -> None:
    """Lines from each part to those that are made from it."""
    for name, part in pen.graph.parts.items():
        for port, states in _read(part).items():
            for state in _distinct(states):
                if isinstance(part, Output) and note(states):
                    pen.put_beside(places[name].exit, places[state.part].column)
                _wire(pen, places, state, places[name], _kind(part, port, state), note(states))


def _read(part: Part) -> Mapping[str, tuple[State, ...]]:
    if isinstance(part, Input):
        return {}
    if isinstance(part, Module):
        return part.reads
    return {"x": (part.layers if isinstance(part, Output) else ()) or (part.source,)}


def _distinct(states: tuple[State, ...]) -> list[State]:
    """One state of each part; which layers they stand after is written on the line."""
    return list({(s.part, s.item, s.branch): s for s in states}.values())


def _kind(part: Part, port: str, state: State) -> LineKind:
    if state.item == "weights":
        return "weights"
    if isinstance(part, Module):
        if part.merges:
            return "parallel"
        if part.node.component.role == "attention" and port != next(iter(part.reads)):
            return "cross"
    return "data"


def note(states: tuple[State, ...]) -> list[str]:
    """Which layers some states stand after, where it is not the last one."""
    numbers = [state.layer for state in states if state.layer is not None]
    return [("of " if states[0].item else "after ") + words.layers(numbers)] if numbers else []


def _wire(
    pen: Pen, places: Places, state: State, place: Place, kind: LineKind, notes: list[str]
) -> None:
    source = places[state.part]
    tail = tail_of(state, source)
    straight = source.column.name == place.column.name
    weight = 20 if straight else 2
    if kind != "data":
        pen.line(kind, place.column, tail, place.entry, weight=weight)
        return
    aside = {} if place.entry in pen.graph.parts or not notes else {"xlabel": f"{notes[0]}  "}
    shape = pen.shape(pen.graph.parts[state.part].value.shape)
    leaving = shape if source.inside and straight else ""
    pen.flow(
        place.column, tail, place.entry, label=place.border, leaving=leaving, arrow=place.arrow,
        weight=weight, **aside,
    )  # fmt: skip


def tail_of(state: State, place: Place) -> str:
    """The node at which a line from a state starts."""
    layer = None if state.layer is None else place.of_layer(state.layer)
    if layer is None:
        return place.exit if state.layer is None or not place.layers else place.layers[0].entry
    return layer.attentions.get(state.branch, layer.exit) if state.item else layer.exit
