"""The steps of a graph: what runs one after another, and between which it may be cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .graph import Graph, Input, Output, Part, Stack, State


@dataclass(frozen=True)
class Step:
    """The least that runs whole: a layer, one of each of the stacks in step, a module, or a head."""

    parts: tuple[str, ...]
    layer: int | None = None

    @property
    def name(self) -> str:
        """How a spec names it: `decoder.layers.3`, or `logits`."""
        return self.parts[0] if self.layer is None else f"{self.parts[0]}.layers.{self.layer}"

    def names(self) -> Iterator[str]:
        """Every name of it; the first layer of a stack may be called by the stack."""
        for part in self.parts:
            yield part if self.layer is None else f"{part}.layers.{self.layer}"
            if self.layer == 0:
                yield part


def steps(graph: Graph) -> list[Step]:
    """The steps of a graph in the order they run; outputs without a head are none."""
    found: list[Step] = []
    done: set[str] = set()
    for name, part in graph.parts.items():
        if name in done or isinstance(part, Input):
            continue
        if isinstance(part, Stack):
            together = part.lockstep or (name,)
            done |= set(together)
            found += [Step(together, number) for number in range(len(part.layers))]
        elif not isinstance(part, Output) or part.head is not None:
            found.append(Step((name,)))
    return found


def states_of(step: Step, graph: Graph) -> Iterator[State]:
    """What a step reads of other parts and of earlier layers; not what it is given in step."""
    for name in step.parts:
        part = graph.parts[name]
        if isinstance(part, Stack):
            assert step.layer is not None, "stacks run layer by layer"
            yield from _of_layer(part, step.layer)
        else:
            yield from sources(part)


def sources(part: Part) -> Iterator[State]:
    """What a module or an output reads."""
    if isinstance(part, Output):
        yield from part.layers or (part.source,)
    elif not isinstance(part, (Input, Stack)):
        for states in part.reads.values():
            yield from states


def in_step(stack: Stack, state: State) -> bool:
    """Whether a state is that of a stack in step, as it is when a layer of `stack` runs."""
    return state.part in stack.lockstep and state.part != stack.name


def _of_layer(stack: Stack, number: int) -> Iterator[State]:
    yield State(stack.name, number - 1) if number else stack.source
    for argument, state in stack.layers[number].reads.items():
        if not state.part:
            memory = next(m for m in stack.memories if m.argument == argument)
            yield from memory.sources
        elif not in_step(stack, state):
            yield state
