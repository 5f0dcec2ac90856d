"""Attention from one stack into another: from the source's block through a chip to the attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from composer.graph.graph import Memory, Stack, State

from . import words
from .layer import LayerPlace, Reader
from .pen import Pen
from .plan import Fold
from .wires import Places, tail_of

_SIDES = 2


def draw_crosses(pen: Pen, places: Places) -> None:
    """Every cross connection and every exchange between stacks in step."""
    crosses = _Crosses(pen, places)
    for stack in pen.graph.stacks:
        for layer in places[stack.name].layers:
            for reader in layer.readers:
                crosses.draw(_Cross(stack, layer, reader))


@dataclass(frozen=True)
class _Cross:
    """An attention of a stack, and what it reads."""

    stack: Stack
    layer: LayerPlace
    reader: Reader

    @property
    def states(self) -> tuple[State, ...]:
        """The state that each of the layers reads."""
        return self.layer.fold.reads[self.reader.argument]

    @property
    def memory(self) -> Memory | None:
        """What the stack makes of several states first, if it does."""
        return next((m for m in self.stack.memories if m.argument == self.reader.argument), None)

    @property
    def source(self) -> str:
        """The part that the line comes from; the first of several."""
        return (self.states if self.memory is None else self.memory.sources)[0].part

    @property
    def name(self) -> str:
        """What its chip is called."""
        return f"{self.reader.nodes[0]} <- {self.reader.argument}"


class _Crosses:
    """Remembers who reads what, so that no two lines run over each other."""

    def __init__(self, pen: Pen, places: Places) -> None:
        self.pen, self.places = pen, places
        self.readers: dict[str, list[str]] = {}
        self.waiting: dict[tuple[str, str], Reader] = {}

    def draw(self, cross: _Cross) -> None:
        """The line into one attention; words alone where it would run over others."""
        if self._mutual(cross):
            self._exchange(cross)
            return
        readers = self.readers.setdefault(cross.source, [])
        if cross.stack.name in readers or len(readers) == _SIDES:
            self._words(cross)
            return
        readers.append(cross.stack.name)
        chip = self.pen.chip(cross.name, "cross", "K, V", *self._text(cross))
        self._connect(cross, chip, left=len(readers) == _SIDES)

    def _words(self, cross: _Cross) -> None:
        """A chip that names its source, without a line to it."""
        chip = self.pen.chip(cross.name, "cross", f"K, V of {cross.reader.argument}", *self._text(cross))
        self._beside(chip, cross)
        self.pen.sheet.row(chip, cross.reader.rank)
        self._into(chip, cross.reader)

    def _beside(self, node: str, cross: _Cross, *, right: bool = False) -> None:
        self.pen.put_beside(node, self.places[cross.stack.name].column, right=right)

    def _text(self, cross: _Cross) -> list[str]:
        """Which layers read which states, and their shape."""
        memory, fold = cross.memory, cross.layer.fold
        value = memory.value if memory is not None else self.pen.graph.values.get(State(cross.source))
        rule = _rule(fold.numbers, cross.states)
        if memory is not None:
            rule = f"learned mix of {len(memory.sources)} states" if memory.mix is not None else ""
        which = "" if len(fold.numbers) == len(cross.stack.layers) else _which(fold)
        shape = "" if value is None else self.pen.shape(value.shape)
        return [line for line in (which, rule, shape) if line]

    # Lines

    def _connect(self, cross: _Cross, chip: str, *, left: bool) -> None:
        """From the source to the chip to the attention, in one rank where that stands alone."""
        memory, reader = cross.memory, cross.reader
        route = [chip]
        if memory is not None:
            route = [self._memory(cross, memory), chip]
        for node in route if not left else reversed(route):
            self._beside(node, cross, right=left)
        if memory is None or memory.mix is not None:
            state = cross.states[0] if memory is None else State(cross.source, item="mix")
            tail, cluster = self._tail(state, cross.name)
            route = [tail, *route]
        else:
            cluster = ""
        if not reader.beside:
            self.pen.sheet.row(*(reversed([*route, reader.rank]) if left else [*route, reader.rank]))
        for one, other in zip(route, route[1:], strict=False):
            self._line(one, other, cluster if one == route[0] else "", left=left, arrow=other != chip)
        self._into(chip, reader, left=left)

    def _line(self, tail: str, head: str, cluster: str, *, left: bool = False, arrow: bool = True) -> None:
        """A line in a rank; one that runs to the left is written from its head to its tail."""
        clip = {"lhead" if left else "ltail": cluster} if cluster else {}
        ends = (head, tail) if left else (tail, head)
        back = {"dir": "back"} if left else {}
        self.pen.line("cross", None, *ends, arrow=arrow, **back, **clip)

    def _into(self, chip: str, reader: Reader, *, left: bool = False) -> None:
        for node in reader.nodes:
            self._line(chip, node, "", left=left)

    def _tail(self, state: State, name: str) -> tuple[str, str]:
        """Where the line starts: a box, or a place within the block of a stack."""
        place = self.places[state.part]
        between = state.layer is not None or bool(state.item)
        if not place.block or not (between or place.inside):
            return tail_of(state, place), ""
        last = place.layers[-1].exit
        with self.pen.sheet.within(place.block):
            anchor = self.pen.anchor(f"{name} start", place.column)
        if not place.column.down:
            self.pen.sheet.line(last, anchor, style="invis", weight=20)
            if place.exit == last:
                self.pen.tops[last] = anchor
            else:
                self.pen.sheet.line(anchor, place.exit, style="invis")
        return anchor, place.block

    def _memory(self, cross: _Cross, memory: Memory) -> str:
        """The circle in which a stack makes one memory of several states."""
        path = f"{cross.stack.name}.{memory.argument}"
        if (mix := memory.mix) is not None:
            title = mix.component.label(mix.placed.axes).title
            return self.pen.circle(path, title, None, *self.pen.about(path, mix.placed, mix.span))
        circle = self.pen.circle(path, "cat", None, path, "one after the other")
        for index, state in enumerate(memory.sources):
            tail, cluster = self._tail(state, f"{path}.{index}")
            project = memory.projects[index] if memory.projects else None
            if project is not None:
                name = f"{cross.stack.name}.{project.name}"
                self.pen.component(name, project, name, self.places[state.part].column)
                self._line(tail, name, cluster)
                tail, cluster = name, ""
            self._line(tail, circle, cluster)
        return circle

    # Stacks in step that read each other

    def _mutual(self, cross: _Cross) -> bool:
        readers = (r for layer in self.places[cross.source].layers for r in layer.readers)
        return cross.source in cross.stack.lockstep and any(r.argument == cross.stack.name for r in readers)

    def _exchange(self, cross: _Cross) -> None:
        """Two stacks share one chip between them; where there are more, words."""
        stack, reader = cross.stack, cross.reader
        if len(stack.lockstep) > _SIDES or len(self.places[cross.source].layers) > 1:
            self._words(cross)
            return
        other = self.waiting.pop((cross.source, stack.name), None)
        if other is None:
            self.waiting[stack.name, cross.source] = reader
            return
        chip = self.pen.chip(cross.name, "cross", "K, V of the other", *self._text(cross)[:-1])
        self._beside(chip, cross)
        self.pen.sheet.row(other.rank, chip, reader.rank)
        self._into(chip, other, left=True)
        self._into(chip, reader)


def _rule(numbers: Sequence[int], states: Sequence[State]) -> str:
    """Which state each layer reads, where it is not the last one."""
    read = [state.layer for state in states]
    if read[0] is None:
        return ""
    shifts = {number - state for number, state in zip(numbers, read, strict=True) if state is not None}
    if shifts == {0}:
        return "layer i reads layer i"
    if shifts == {1}:
        return "step i reads step i − 1"
    return f"after layer {read[0]}"


def _which(fold: Fold) -> str:
    """The reading layers, where they are not all."""
    numbers = fold.numbers
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if numbers[0] == 0 and len(steps) == 1 and steps != {1}:
        (step,) = steps
        return f"every {words.ordinal(step)} layer"
    return words.layers(numbers)
