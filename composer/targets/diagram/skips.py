"""Skips: an earlier state, a chip on its way, and the circle in which it meets a later one."""

from __future__ import annotations

from collections.abc import Sequence

from composer.graph.graph import Skip, Stack, State

from . import words
from .layer import LayerPlace
from .pen import Pen
from .wires import Places, tail_of


def draw_skips(pen: Pen, places: Places) -> None:
    """Every skip; layers that are drawn as one have one line."""
    for stack in pen.graph.stacks:
        for layer in places[stack.name].layers:
            for index, circle in enumerate(layer.skips):
                _draw(pen, places, stack, layer, index, circle)


def _draw(
    pen: Pen, places: Places, stack: Stack, layer: LayerPlace, index: int, circle: str
) -> None:
    skip, states = layer.fold.kind.skips[index], layer.fold.skips[index]
    source = places[states[0].part]
    name = f"{circle} <- {states[0].part}"
    chip = pen.chip(name, "skip", *_text(pen, stack, layer, skip, states), bold=False)
    head = _projected(pen, stack, skip, chip, circle)
    rule = skip.combine.component.kind
    column = places[stack.name].column
    pen.put_beside(chip, column, below=source.column.down)
    if states[0].part == stack.name:
        _arc(pen, source.of_layer(states[0].layer or 0), chip, head, rule)
        return
    tail, cluster = _tail(pen, places, states[0], name)
    pen.sheet.row(*dict.fromkeys((tail, chip, head, circle)))
    clip = {"ltail": cluster} if cluster else {}
    pen.line("skip", None, tail, chip, arrow=False, note=rule, **clip)
    pen.line("skip", None, chip, head, note=rule)


def _text(
    pen: Pen, stack: Stack, layer: LayerPlace, skip: Skip, states: Sequence[State]
) -> list[str]:
    """From which layers to which, and the shape of what is carried."""
    read = [state.layer for state in states if state.layer is not None]
    rule = words.pairs(list(zip(read, layer.fold.numbers, strict=True)))
    value = pen.graph.values.get(State(states[0].part))
    shape = pen.shape(stack.value.shape if value is None else value.shape)
    return [rule, shape, *(["resampled"] if skip.resample else [])]


def _projected(pen: Pen, stack: Stack, skip: Skip, chip: str, circle: str) -> str:
    """The linear map between chip and circle, where there is one."""
    if skip.project is None or pen.depth == 0:
        return circle
    path = f"{stack.name}.layers.*.{skip.project.name}"
    box = pen.component(f"{circle}.project", skip.project, path, None)
    pen.line("skip", None, box, circle)
    return box


def _arc(pen: Pen, source: LayerPlace | None, chip: str, head: str, rule: str) -> None:
    """A skip within one stack: past the layers between, on the left."""
    assert source is not None, "the layer that a skip reads is drawn"
    side = "n" if pen.right else "w"
    pen.line("skip", None, f"{source.exit}:{side}", chip, arrow=False, note=rule)
    pen.line("skip", None, chip, f"{head}:{side}", note=rule)


def _tail(pen: Pen, places: Places, state: State, name: str) -> tuple[str, str]:
    """Where a skip into another stack starts."""
    place = places[state.part]
    return tail_of(state, place), place.block
