"""What names stand for: parts, their states, and who reads what, before any shape is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from composer.diagnostics import Problems, Span
from composer.language.spec import (
    CrossSpec,
    InputSpec,
    ModelSpec,
    ModuleSpec,
    OutputSpec,
    ParallelSpec,
    SkipSpec,
    StackSpec,
)
from composer.language.validate import guess
from composer.language.wants import listed

from .graph import State

PartSpec = InputSpec | StackSpec | ModuleSpec | OutputSpec | ParallelSpec


@dataclass(frozen=True)
class CrossUnit:
    """A cross connection as its reader sees it: which layers read which states."""

    spec: CrossSpec | ParallelSpec
    sources: tuple[str, ...]
    layers: Mapping[int, tuple[State, ...]]


@dataclass(frozen=True)
class SkipUnit:
    """A skip connection as its reader sees it: which layers read which state."""

    spec: SkipSpec
    layers: Mapping[int, State]


@dataclass
class Wires:
    """Everything that names stand for, before any shape is known.

    `places` says where a part (first) is told to read another (second).
    """

    spec: ModelSpec
    parts: dict[str, PartSpec]
    sources: dict[str, dict[str, tuple[State, ...]]] = field(default_factory=dict)
    crosses: dict[str, list[CrossUnit]] = field(default_factory=dict)
    skips: dict[str, list[SkipUnit]] = field(default_factory=dict)
    weights: dict[str, list[tuple[int | None, str]]] = field(default_factory=dict)
    used_layers: dict[str, int | None] = field(default_factory=dict)
    lockstep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    places: dict[tuple[str, str], Span] = field(default_factory=dict)
    weight_places: dict[tuple[str, str], Span] = field(default_factory=dict)

    def span_of(self, name: str) -> Span:
        """The place where a part is written."""
        part = self.parts[name]
        return part.tree.span if isinstance(part, ParallelSpec) else part.span

    def reads(self, name: str) -> Iterator[State]:
        """The states that a part reads."""
        for states in self.sources.get(name, {}).values():
            yield from states
        for unit in self.crosses.get(name, []):
            for states in unit.layers.values():
                yield from states
        for skip in self.skips.get(name, []):
            yield from skip.layers.values()


def states_of(ref: str, span: Span, wires: Wires, problems: Problems) -> list[State]:
    """The states that a reference stands for; several where it has a `*`."""
    name, _, path = ref.partition(".")
    part = wires.parts.get(name)
    if part is None:
        unknown(name, span, wires, problems)
        return []
    if not path:
        return [State(name)]
    if isinstance(part, StackSpec):
        states = _stack_states(part, path, span, wires)
        if states is None:
            _no_state(part, ref, span, problems)
        return states or []
    if isinstance(part, ModuleSpec):
        items = [port.name for port in part.made.component.parsed.outputs if port.name]
        if path in items:
            wires.weights.setdefault(name, []).append((None, path))
            return [State(name, item=path)]
    problems.add("G201", f"'{name}' has no part '{path}' to read", span, fix=f"write {name} alone")
    return []


def stack_called(
    ref: str, span: Span, wires: Wires, problems: Problems, what: str
) -> StackSpec | None:
    """The stack of that name; None, with the reason as a problem, if there is none."""
    name, dot, _ = ref.partition(".")
    part = wires.parts.get(name)
    stacks = [n for n, p in wires.parts.items() if isinstance(p, StackSpec)]
    if part is None:
        unknown(name, span, wires, problems, stacks)
    elif not isinstance(part, StackSpec):
        known = f"stacks: {listed(stacks)}"
        problems.add("G204", f"{what} wants a stack, and '{name}' is none", span, fix=known)
    elif dot:
        message = f"{what} wants a stack, and '{ref}' is a part of one"
        problems.add("G204", message, span, fix=f"write {name} alone")
    else:
        return part
    return None


def unknown(
    name: str, span: Span, wires: Wires, problems: Problems, choices: list[str] | None = None
) -> None:
    """Adds the problem that a name stands for nothing."""
    known = choices or list(wires.parts)
    hint = guess(name, known) if len(problems) < _GUESSED else None
    problems.add("G201", f"nothing is called '{name}'", span, fix=hint or f"names: {listed(known)}")


_GUESSED = 50  # problems; more are not shown, and a guess among thousands of names takes time


def _no_state(stack: StackSpec, ref: str, span: Span, problems: Problems) -> None:
    number = re.match(r"\w+\.layers\.(\d+)", ref)
    layers = f"0 to {stack.num_layers - 1}"
    if number is not None and int(number[1]) >= stack.num_layers:
        message = f"'{stack.name}' has no layer {int(number[1])}, only {layers}"
        problems.add("G201", message, span, fix=f"{stack.name}.layers.{stack.num_layers - 1}")
        return
    problems.add(
        "G201",
        f"'{ref}' is no state of '{stack.name}'",
        span,
        fix=f"{stack.name}, {stack.name}.layers.N (N from {layers}), or {stack.name}.layers.N.attention.weights",
    )


def _stack_states(stack: StackSpec, path: str, span: Span, wires: Wires) -> list[State] | None:
    match = re.fullmatch(r"layers\.(\d+|\*)(?:\.(\w+)\.weights)?", path)
    if match is None:
        return None
    which, branch = match[1], match[2]
    numbers = range(stack.num_layers) if which == "*" else [int(which)]
    if which != "*" and int(which) >= stack.num_layers:
        return None
    if branch is None:
        return [State(stack.name, n) for n in numbers]
    found = wires.weights.setdefault(stack.name, [])
    found += [(n, branch) for n in numbers]
    wires.weight_places.setdefault((stack.name, branch), span)
    return [State(stack.name, n, "weights", branch) for n in numbers]
