"""Lines between parts: data, branches that are merged, attention weights."""

from __future__ import annotations

from collections.abc import Mapping

from composer.graph.graph import Input, Module, Output, Part, State

from . import words
from .pen import entering, leaving, noted
from .scene import Place, Scene
from .theme import LineKind


def draw_wires(scene: Scene) -> None:
    """Lines from each part to those that are made from it."""
    for name, part in scene.graph.parts.items():
        for port, states in _read(part).items():
            for state in _distinct(states):
                if isinstance(part, Output) and words.after(states):
                    scene.put_beside(part.name, scene.places[state.part].column)
                _wire(scene, state, scene.places[name], _kind(part, port, state), states)


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


def _wire(
    scene: Scene, state: State, place: Place, kind: LineKind, states: tuple[State, ...]
) -> None:
    source = scene.places[state.part]
    tail, straight = source.tail(state), source.column.name == place.foot.name
    weight = 20 if straight else 2
    if kind != "data":
        scene.pen.line(kind, tail, place.entry, {"weight": weight}, back=place.foot.down)
        return
    shape = ""
    if source.inside and straight:
        shape = scene.border(scene.graph.parts[state.part].value.shape)
    turned = scene.pen.turns(place.entry)
    if place.border and not straight and not source.column.down and not turned:
        # From the side, so that the shape would hang beside a slanted line.
        start = scene.pen.point(f"{place.entry} start", place.foot)
        scene.pen.flow(place.foot, tail, start, weight=weight)
        tail, weight = start, 20
    said = isinstance(scene.graph.parts.get(place.exit), Output)
    note = "" if said else " ".join(words.after(states))
    text = {**entering(place.border), **leaving(shape), **noted(note)}
    scene.pen.flow(place.foot, tail, place.entry, text, weight)
