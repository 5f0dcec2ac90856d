"""Attention from one stack into another: from a block through a chip to the attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from composer.graph.graph import Memory, Stack, State

from . import words
from .columns import before
from .scene import LayerPlace, Reader, Scene, Spot

_SIDES = 2


def draw_crosses(scene: Scene) -> None:
    """Every cross connection and every exchange between stacks in step."""
    crosses = _Crosses(scene)
    for stack in scene.graph.stacks:
        for layer in scene.places[stack.name].layers:
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
        return f"{self.reader.node} <- {self.reader.argument}"

    def text(self, scene: Scene) -> list[str]:
        """Which layers read which states, and the shape of these."""
        memory, fold = self.memory, self.layer.fold
        value = scene.graph.values[State(self.source)] if memory is None else memory.value
        which = "" if len(fold.numbers) == len(self.stack.layers) else _which(fold.numbers)
        rule = _rule(fold.numbers, self.states)
        if memory is not None:
            rule = "" if memory.mix is None else f"learned mix of {len(memory.sources)} states"
        return [line for line in (which, rule, scene.shape(value.shape)) if line]


class _Crosses:
    """Remembers who reads what, so that no two lines run over each other."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.pen = scene, scene.pen
        self.readers: dict[str, list[str]] = {}
        self.waiting: dict[tuple[str, str], Reader] = {}

    def draw(self, cross: _Cross) -> None:
        """The line into one attention; words alone where it would run over others."""
        readers = self.readers.setdefault(cross.source, [])
        if self._mutual(cross):
            self._exchange(cross)
        elif cross.stack.name not in readers and len(readers) < _SIDES:
            readers.append(cross.stack.name)
            chip = self.pen.chip(cross.name, "cross", "K, V", *cross.text(self.scene), bold=True)
            self._connect(cross, chip, left=len(readers) == _SIDES)
        elif self.scene.view.depth_of(cross.stack.name) > 0 or cross.stack.name not in readers:
            self._words(cross)

    def _words(self, cross: _Cross) -> None:
        """A chip that names its source, without a line to it."""
        text = f"K, V of {cross.reader.argument}"
        chip = self.pen.chip(cross.name, "cross", text, *cross.text(self.scene), bold=True)
        self._beside(chip, cross)
        self.pen.sheet.row(chip, cross.reader.rank)
        self.pen.line("cross", chip, cross.reader.node)

    def _beside(self, node: str, cross: _Cross, *, right: bool = False) -> None:
        self.scene.put_beside(node, self.scene.places[cross.stack.name].column, right=right)

    # Lines

    def _connect(self, cross: _Cross, chip: str, *, left: bool) -> None:
        """From the source to the chip to the attention, in one rank where that stands alone."""
        memory, reader = cross.memory, cross.reader
        block, route = "", [chip]
        if memory is not None:
            route.insert(0, self._memory(cross, memory))
        for node in reversed(route) if left else route:
            self._beside(node, cross, right=left)
        if memory is None or memory.mix is not None:
            state = cross.states[0] if memory is None else State(cross.source, item="mix")
            tail, block = self._tail(state, cross.name)
            route.insert(0, tail)
        if not reader.beside and not self._below(cross):
            row = [*route, reader.rank]
            self.pen.sheet.row(*(reversed(row) if left else row))
        for one, other in zip(route, [*route[1:], reader.node], strict=True):
            self._line(one, other, block, left=left)
            block = ""

    def _below(self, cross: _Cross) -> bool:
        """Whether a stack is made from what it attends to, which then stands under it."""
        return cross.source in before(cross.stack.name, self.scene.graph)

    def _line(self, tail: str, head: str, block: str, *, left: bool = False) -> None:
        self.pen.line("cross", tail, head, {"ltail": block} if block else {}, back=left)

    def _tail(self, state: State, name: str) -> tuple[str, str]:
        """Where the line starts: a box, or a place within the block of a stack."""
        place = self.scene.places[state.part]
        between = state.layer is not None or bool(state.item)
        if not place.block or not (between or place.inside):
            return place.tail(state), ""
        last = place.layers[-1].exit
        with self.pen.sheet.within(place.block):
            anchor = self.pen.anchor(f"{name} start", place.column)
        if not place.column.down:
            self.pen.sheet.line(last, anchor, style="invis", weight=20)
            if place.inside:
                self.scene.tops[last] = anchor
            else:
                self.pen.sheet.line(anchor, place.exit, style="invis")
        return anchor, place.block

    def _memory(self, cross: _Cross, memory: Memory) -> str:
        """The circle in which a stack makes one memory of several states."""
        path = f"{cross.stack.name}.{memory.argument}"
        if memory.mix is not None:
            return self.scene.circle(path, memory.mix, path, None)
        circle = self.pen.circle(path, "cat", None, (path, "one after the other"))
        for index, state in enumerate(memory.sources):
            tail, block = self._tail(state, f"{path}.{index}")
            project = memory.projects[index] if memory.projects else None
            if project is not None:
                name = f"{cross.stack.name}.{project.name}"
                column = self.scene.places[state.part].column
                self.scene.component(Spot(name, name, column), project)
                self._line(tail, name, block)
                tail, block = name, ""
            self._line(tail, circle, block)
        return circle

    # Stacks in step that read each other

    def _mutual(self, cross: _Cross) -> bool:
        readers = (r for layer in self.scene.places[cross.source].layers for r in layer.readers)
        reads = any(reader.argument == cross.stack.name for reader in readers)
        return cross.source in cross.stack.lockstep and reads

    def _exchange(self, cross: _Cross) -> None:
        """Two stacks share one chip between them; where there are more, words."""
        stack, reader = cross.stack, cross.reader
        if len(stack.lockstep) > _SIDES or len(self.scene.places[cross.source].layers) > 1:
            self._words(cross)
            return
        other = self.waiting.pop((cross.source, stack.name), None)
        if other is None:
            self.waiting[stack.name, cross.source] = reader
            return
        rule = _rule(cross.layer.fold.numbers, cross.states)
        chip = self.pen.chip(cross.name, "cross", "K, V of the other", rule, bold=True)
        self._beside(chip, cross)
        self.pen.sheet.row(other.rank, chip, reader.rank)
        self._line(chip, other.node, "", left=True)
        self._line(chip, reader.node, "")


def _rule(numbers: Sequence[int], states: Sequence[State]) -> str:
    """Which state each layer reads, where it is not the last one."""
    read = [state.layer for state in states]
    if read[0] is None:
        return ""
    both = zip(numbers, read, strict=True)
    shifts = {number - state for number, state in both if state is not None}
    if shifts == {0}:
        return "layer i reads layer i"
    return "step i reads step i - 1" if shifts == {1} else f"after layer {read[0]}"


def _which(numbers: Sequence[int]) -> str:
    """The reading layers, where they are not all."""
    steps = {b - a for a, b in pairwise(numbers)}
    if numbers[0] == 0 and len(steps) == 1 and steps != {1}:
        (step,) = steps
        return f"every {words.ordinal(step)} layer"
    return words.layers(numbers)
