"""Attention from one stack into another: from the source's block through a chip to the attention."""

from __future__ import annotations

from collections.abc import Sequence

from composer.graph.graph import Memory, Node, Stack, State

from . import words
from .layer import LayerPlace, Reader
from .pen import Pen
from .plan import Fold
from .wires import Places, tail_of


def draw_crosses(pen: Pen, places: Places) -> None:
    """Every cross connection and every exchange between stacks in step."""
    crosses = _Crosses(pen, places)
    for stack in pen.graph.stacks:
        for layer in places[stack.name].layers:
            for reader in layer.readers:
                crosses.draw(stack, layer, reader)


class _Crosses:
    """Remembers who reads what, so that no two lines run over each other."""

    def __init__(self, pen: Pen, places: Places) -> None:
        self.pen, self.places = pen, places
        self.readers: dict[str, list[str]] = {}
        self.exchanged: dict[tuple[str, str], Reader] = {}

    def draw(self, stack: Stack, layer: LayerPlace, reader: Reader) -> None:
        """The line into one attention; words alone where it would run over others."""
        states = layer.fold.reads[reader.argument]
        memory = next((m for m in stack.memories if m.argument == reader.argument), None)
        source = reader.argument if memory is not None else states[0].part
        text = self._text(stack, layer.fold, states, memory)
        name = f"{reader.nodes[0]} <- {source}"
        if source in stack.lockstep:
            self._exchange(stack, source, reader, name, text)
            return
        readers = self.readers.setdefault(source, [])
        if stack.name in readers or len(readers) > 1:
            self._words(reader, name, source, text)
            return
        readers.append(stack.name)
        chip = self.pen.chip(name, "cross", "K, V", *text)
        self.pen.put_beside(chip, self.places[stack.name].column, right=len(readers) > 1)
        if memory is None:
            tail, cluster = self._tail(states[0], name)
        else:
            tail, cluster = self._memory(stack, memory, name), ""
        self._connect(tail, cluster, chip, reader, left=len(readers) > 1)

    def _words(self, reader: Reader, name: str, source: str, text: list[str]) -> None:
        chip = self.pen.chip(name, "cross", f"K, V of {source}", *text)
        self.pen.put_beside(chip, self.places[stack.name].column)
        self.pen.sheet.row(chip, reader.rank)
        self._into(chip, reader)

    # What stands on the chip

    def _text(
        self, stack: Stack, fold: Fold, states: Sequence[State], memory: Memory | None
    ) -> list[str]:
        """Which layers read which states, and their shape."""
        value = memory.value if memory is not None else self.pen.graph.values.get(State(states[0].part))
        shape = [self.pen.shape(value.shape)] if value is not None else []
        if memory is not None and memory.mix is not None:
            rule = f"learned mix of {len(memory.sources)} states"
        else:
            rule = _rule(fold.numbers, states)
        which = "" if len(fold.numbers) == len(stack.layers) else _which(fold.numbers)
        return [line for line in (which, rule, *shape) if line]

    # Where it starts

    def _tail(self, state: State, name: str) -> tuple[str, str]:
        """Where the line starts: a box, or a place within the block of a stack."""
        place = self.places[state.part]
        between = state.layer is not None or bool(state.item)
        cluster = place.block if between or place.inside else ""
        if not cluster:
            return tail_of(state, place), ""
        last = place.layers[-1].exit
        with self.pen.sheet.within(cluster):
            anchor = self.pen.anchor(f"{name}.start", place.column)
        if not place.column.down:
            self.pen.sheet.line(last, anchor, style="invis", weight=20)
            self.pen.tops[last] = anchor
        return anchor, cluster

    def _memory(self, stack: Stack, memory: Memory, name: str) -> str:
        """What a stack makes of several states for its layers to read."""
        path = f"{stack.name}.{memory.argument}"
        if memory.mix is not None:
            mix = memory.mix
            circle = self.pen.circle(path, _title(mix), None, *self.pen.about(path, mix.placed, mix.span))
            tail, cluster = self._tail(State(memory.sources[0].part, item="mix"), name)
            self.pen.sheet.row(tail, circle)
            self._line(tail, circle, cluster)
            return circle
        circle = self.pen.circle(path, "cat", None, path, "one after the other")
        for index, state in enumerate(memory.sources):
            tail, cluster = self._tail(state, f"{name}.{index}")
            project = memory.projects[index] if memory.projects else None
            if project is not None:
                box = self.pen.component(f"{stack.name}.{project.name}", project, f"{stack.name}.{project.name}", None)
                self._line(tail, box, cluster)
                tail, cluster = box, ""
            self._line(tail, circle, cluster)
        return circle

    # The line itself

    def _connect(self, tail: str, cluster: str, chip: str, reader: Reader, *, left: bool) -> None:
        """From tail to chip to attention, in one rank where the attention stands alone."""
        if reader.beside:
            self._line(tail, chip, cluster)
        elif left:
            self.pen.sheet.row(reader.rank, chip, tail)
            self.pen.line("cross", None, chip, tail, arrow=False, **_clip("lhead", cluster))
            for node in reader.nodes:
                self.pen.line("cross", None, node, chip, dir="back")
            return
        else:
            self.pen.sheet.row(tail, chip, reader.rank)
            self._line(tail, chip, cluster, arrow=False)
        self._into(chip, reader)

    def _line(self, tail: str, head: str, cluster: str, *, arrow: bool = True) -> None:
        self.pen.line("cross", None, tail, head, arrow=arrow, **_clip("ltail", cluster))

    def _into(self, chip: str, reader: Reader) -> None:
        for node in reader.nodes:
            self.pen.line("cross", None, chip, node)

    # Stacks in step

    def _exchange(self, stack: Stack, source: str, reader: Reader, name: str, text: list[str]) -> None:
        """Two stacks that read each other share one chip between them."""
        other = self.exchanged.pop((source, stack.name), None)
        if len(stack.lockstep) > 2 or len(self.places[source].layers) > 1:  # noqa: PLR2004 - a pair
            self._words(reader, name, source, text)
        elif other is not None:
            self._both(other, reader, name, text)
        elif self._mutual(stack.name, source):
            self.exchanged[stack.name, source] = reader
        else:
            chip = self.pen.chip(name, "cross", "K, V", *text)
            tail, cluster = self._tail(State(source, 0), name)
            self._connect(tail, cluster, chip, reader, left=False)

    def _mutual(self, stack: str, source: str) -> bool:
        readers = (r for layer in self.places[source].layers for r in layer.readers)
        return any(r.argument == stack for r in readers)

    def _both(self, left: Reader, right: Reader, name: str, text: list[str]) -> None:
        chip = self.pen.chip(name, "cross", "K, V of the other", *text)
        self.pen.sheet.row(left.rank, chip, right.rank)
        for node in left.nodes:
            self.pen.line("cross", None, node, chip, dir="back")
        self._into(chip, right)


def _clip(end: str, cluster: str) -> dict[str, str]:
    return {end: cluster} if cluster else {}


def _title(node: Node) -> str:
    return node.component.label(node.placed.axes).title


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


def _which(numbers: Sequence[int]) -> str:
    """The reading layers, where they are not all."""
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if numbers[0] == 0 and len(steps) == 1 and steps != {1}:
        (step,) = steps
        return f"every {step}{_ending(step)} layer"
    return words.layers(numbers)


def _ending(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
