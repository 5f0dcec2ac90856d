"""Cutting: a graph as stages that run one after another, each a graph of its own.

A stage has some of the steps, and the names of its tensors are those of the whole. Values that a
later stage reads are outputs of the one that makes them and inputs of the one that reads them; what
stands between passes them on. Inputs of the model and masks made of them alone go to every stage
that needs them. A tensor that several stages use is in each of them, and `Stage.tensors` says which
one of the whole it is.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from composer.diagnostics import Span

from .graph import Compression, Graph, Input, Module, Output, Stack, State, Value
from .pieces import carried_input, piece
from .steps import Step, sources, states_of, steps
from .tensors import first_names


@dataclass(frozen=True)
class Stage:
    """A part of a graph that runs whole: its number, and its steps as a graph of their own.

    `receives` and `sends` are the names of the values that come from the stage before and go to the
    next one, in one order on both sides. Of these, `reads` are taken by its forward, and `makes`
    are returned by it; all others pass through. `tensors` maps what it holds, by its own first
    names, to the first names in the whole graph.
    """

    number: int
    graph: Graph
    steps: tuple[Step, ...]
    receives: tuple[str, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    sends: tuple[str, ...]
    tensors: Mapping[str, str]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what its forward takes of the model's own inputs, masks with them."""
        own = [part for part in self.graph.inputs if part.name not in self.reads]
        masks = [f"{part.name}_mask" for part in own if part.padding == "mask"]
        return (*(part.name for part in own), *masks)


def cut(graph: Graph, starts: Sequence[int]) -> tuple[Stage, ...]:
    """The stages of a graph, cut before the steps with these numbers, in rising order."""
    bounds = [0, *starts, len(steps(graph))]
    assert all(a < b for a, b in pairwise(bounds)), "every stage has at least one step"
    cutter = _Cutter(graph, bounds)
    return tuple(cutter.stage(number) for number in range(len(bounds) - 1))


def held_by_several(stages: Iterable[Stage]) -> dict[str, tuple[int, ...]]:
    """First names of the tensors that several stages hold, and the numbers of these."""
    found: dict[str, list[int]] = {}
    for stage in stages:
        for name in dict.fromkeys(stage.tensors.values()):
            found.setdefault(name, []).append(stage.number)
    return {name: tuple(numbers) for name, numbers in found.items() if len(numbers) > 1}


class _Cutter:
    """What goes where, for one graph and the bounds of its stages."""

    def __init__(self, graph: Graph, bounds: Sequence[int]) -> None:
        self.graph, self.bounds = graph, bounds
        self.steps = steps(graph)
        self.last = len(bounds) - 2
        self.of = {
            (part, step.layer): number
            for number in range(len(bounds) - 1)
            for step in self.within(number)
            for part in step.parts
        }
        self.first_names = first_names(graph)

    def within(self, number: int) -> list[Step]:
        """The steps of a stage."""
        return self.steps[self.bounds[number] : self.bounds[number + 1]]

    def stage(self, number: int) -> Stage:
        """One of the stages."""
        graph = replace(
            self.graph,
            name=f"{self.graph.name}-stage-{number}",
            title=f"{self.graph.title}, stage {number} of 0 to {self.last}: {self._range(number)}",
            description="",
            parts=self._parts(number),
            values=self._values(number),
            shares=(),
        )
        graph, tensors = self._with_names(graph)
        wanted = self.wanted[number]
        return Stage(
            number,
            graph,
            tuple(self.within(number)),
            tuple(map(self.name, self.crossing(number - 1))),
            tuple(self.name(state) for state in wanted if self.made_before(state, number)),
            tuple(map(self.name, self.makes(number))),
            tuple(map(self.name, self.crossing(number))),
            tensors,
        )

    def _range(self, number: int) -> str:
        inside = self.within(number)
        names = dict.fromkeys([inside[0].name, inside[-1].name])
        return " to ".join(names)

    # What is read where

    def made_in(self, state: State) -> int:
        """The stage that makes a value; -1 for what comes in."""
        part = self.graph.parts[state.part]
        if isinstance(part, Input):
            return -1
        number = None
        if isinstance(part, Stack):
            number = len(part.layers) - 1 if state.layer is None else state.layer
        return self.of[state.part, number]

    def made_before(self, state: State, number: int) -> bool:
        """Whether an earlier stage makes a value."""
        return 0 <= self.made_in(state) < number

    @cached_property
    def wanted(self) -> list[list[State]]:
        """What each stage reads, masks with it, each value once; what comes in too."""
        found = []
        for number in range(self.last + 1):
            states = dict.fromkeys(self._read(number))
            masks = (self._mask(state) for state in self._masked(number, states))
            found.append(list(dict.fromkeys([*states, *(m for m in masks if m is not None)])))
        return found

    def _read(self, number: int) -> Iterator[State]:
        for step in self.within(number):
            yield from states_of(step, self.graph)
        if number == self.last:
            for output in self.graph.outputs:
                if output.head is None:
                    yield from sources(output)
                else:
                    yield State(output.name)

    def _masked(self, number: int, states: Iterable[State]) -> Iterator[State]:
        """Values whose padding a stage may need: what it reads, and its stacks' own."""
        yield from states
        yield from (State(part) for step in self.within(number) for part in step.parts)

    def _mask(self, state: State) -> State | None:
        """What the padding mask of a value comes from: an input, or a module's mask."""
        value = self.graph.values.get(State(state.part))
        if value is None or value.mask is None:
            return None
        name = value.mask.removesuffix("_mask")
        origin = self.graph.parts.get(name)
        return State(name, item="mask") if isinstance(origin, Module) else State(name)

    def crossing(self, number: int) -> list[State]:
        """What goes from a stage to the next: made there or before, and read later."""
        later = dict.fromkeys(s for wanted in self.wanted[number + 1 :] for s in wanted)
        return [state for state in later if 0 <= self.made_in(state) <= number]

    def makes(self, number: int) -> list[State]:
        """What a stage makes for later ones."""
        return [state for state in self.crossing(number) if self.made_in(state) == number]

    def name(self, state: State) -> str:
        """What a value is called between stages."""
        words = [state.part]
        words += [] if state.layer is None else ["layers", str(state.layer)]
        words += [word for word in (state.branch, state.item) if word]
        if len(words) == 1:
            words.append("result")
        name = "_".join(words)
        while name in self.graph.parts:
            name += "_"
        return name

    # A stage as a graph

    def _parts(self, number: int) -> dict[str, Input | Stack | Module | Output]:
        wanted = self.wanted[number]
        came = {state.part for state in wanted if self.made_in(state) < 0}
        made: dict[str, Input | Stack | Module | Output] = {
            part.name: part for part in self.graph.inputs if part.name in came
        }
        for state in wanted:
            if self.made_before(state, number):
                made[self.name(state)] = carried_input(self.name(state), self.value(state))
        ranges: dict[str, list[int]] = {}
        for step in self.within(number):
            for part in step.parts:
                ranges.setdefault(part, []).append(step.layer or 0)
        for name, numbers in ranges.items():
            made[name] = self._part(name, numbers, number)
        outputs = {self.name(state): self._carried(state) for state in self.makes(number)}
        return made | outputs | (self._results() if number == self.last else {})

    def _part(self, name: str, numbers: list[int], stage: int) -> Stack | Module | Output:
        part = self.graph.parts[name]
        if isinstance(part, Stack):
            return piece(part, numbers, lambda state: self.local(state, stage))
        assert not isinstance(part, Input), "what comes in is no step"
        if isinstance(part, Output):
            return replace(part, source=self.local(part.source, stage))
        reads = {
            port: tuple(self.local(state, stage) for state in states)
            for port, states in part.reads.items()
        }
        return replace(part, reads=reads)

    def _carried(self, state: State) -> Output:
        """An output of a stage for later ones."""
        stage = self.made_in(state)
        source = self.local(state, stage)
        if state.layer is not None and not state.item:
            after = self.of.get((state.part, state.layer + 1), stage)
            source = State(state.part) if after > stage else source
        return Output(self.name(state), source, None, self.value(state), Span("", 1, 1, 1))

    def _results(self) -> dict[str, Output]:
        """What the model returns, all from its last stage."""
        made = {}
        for output in self.graph.outputs:
            if output.head is None:
                layers = tuple(self.local(state, self.last) for state in output.layers)
                source = self.local(output.source, self.last)
                made[output.name] = replace(output, source=source, layers=layers)
            elif self.of[output.name, None] < self.last:
                source = self.local(State(output.name), self.last)
                made[output.name] = replace(output, source=source, head=None)
        return made

    def local(self, state: State, stage: int) -> State:
        """What a value is called in a stage that reads it or makes it."""
        if not state.part:
            return state
        if self.made_before(state, stage):
            return State(self.name(state))
        if isinstance(self.graph.parts[state.part], Stack) and state.layer is not None:
            return replace(state, layer=state.layer - self.start(state.part, stage))
        return state

    def start(self, stack: str, stage: int) -> int:
        """The first layer of a stack that a stage has."""
        return min(
            n for (p, n), s in self.of.items() if p == stack and s == stage and n is not None
        )

    def _values(self, number: int) -> dict[State, Value]:
        known = {s: v for s, v in self.graph.values.items() if s.layer is None or not s.part}
        return known | {self.local(s, number): self.value(s) for s in self.wanted[number]}

    def value(self, state: State) -> Value:
        """What is known of a value."""
        found = self.graph.values.get(state)
        if found is not None:
            return found
        of = self.graph.values[State(state.part)]
        if state.item == "mask":
            return Value(of.shape[:2])
        part = self.graph.parts[state.part]
        assert isinstance(part, Stack), "every other value has been inferred"
        return Value((*of.shape[:2], part.width), of.mask, of.sees)

    def _with_names(self, graph: Graph) -> tuple[Graph, dict[str, str]]:
        """A stage whose shared tensors are one, and which tensors of the whole its own are."""
        owners: dict[str, str] = {}
        aliases: dict[str, str] = {}
        for path, node in graph.nodes():
            for tensor in node.placed.state:
                name = f"{path}.{tensor}"
                owner = owners.setdefault(self.first_names[name], name)
                aliases |= {} if owner == name else {name: owner}
        frozen = frozenset(own for whole, own in owners.items() if whole in self.graph.frozen)
        made = replace(graph, aliases=aliases, frozen=frozen)
        tensors = {own: whole for whole, own in owners.items()}
        passes = (self._pass(each, {*tensors, *aliases}, aliases) for each in graph.compressions)
        return replace(made, compressions=tuple(each for each in passes if each.places)), tensors

    def _pass(
        self, whole: Compression, names: Container[str], aliases: Mapping[str, str]
    ) -> Compression:
        """A pass of the whole graph on the linear maps that a stage has."""
        places = {}
        for place in whole.places:
            weight = f"{place}.weight"
            if weight in names:
                places[place] = aliases.get(weight, weight).removesuffix(".weight")
        return replace(whole, places=places)
