"""The third stage: names become references, connections become what each layer reads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import networkx as nx

from composer.diagnostics import Note, Problems, Span
from composer.language.document import get, value_span
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
from composer.language.stacks import split_layers
from composer.language.validate import guess

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
    """Everything that names stand for, before any shape is known."""

    spec: ModelSpec
    parts: dict[str, PartSpec]
    sources: dict[str, dict[str, tuple[State, ...]]] = field(default_factory=dict)
    crosses: dict[str, list[CrossUnit]] = field(default_factory=dict)
    skips: dict[str, list[SkipUnit]] = field(default_factory=dict)
    weights: dict[str, list[tuple[int | None, str]]] = field(default_factory=dict)
    used_layers: dict[str, int | None] = field(default_factory=dict)
    lockstep: dict[str, tuple[str, ...]] = field(default_factory=dict)
    order: tuple[str, ...] = ()


def resolve(spec: ModelSpec, problems: Problems) -> Wires | None:
    """What every name of `spec` stands for and the order in which the parts run.

    None where names or connections are wrong; the reasons are added to `problems`.
    """
    wires = Wires(spec, _parts(spec))
    _resolve_sources(wires, problems)
    for connection in spec.connections:
        if isinstance(connection, CrossSpec):
            _resolve_cross(connection, wires, problems)
        elif isinstance(connection, SkipSpec):
            _resolve_skip(connection, wires, problems)
        elif isinstance(connection, ParallelSpec):
            _resolve_parallel(connection, wires, problems)
    if problems:
        return None
    wires.order = _order(wires, problems)
    _check_used(wires, problems)
    _check_layers_used(wires, problems)
    return None if problems else wires


def _parts(spec: ModelSpec) -> dict[str, PartSpec]:
    named: dict[str, PartSpec] = {}
    groups: tuple[Iterable[PartSpec], ...] = (spec.inputs, spec.stacks, spec.modules, spec.outputs)
    for group in groups:
        named |= {part.name: part for part in group}  # type: ignore[union-attr]  # all are named
    merges = (c for c in spec.connections if isinstance(c, ParallelSpec) and c.output)
    return named | {str(merge.output): merge for merge in merges}


def _resolve_sources(wires: Wires, problems: Problems) -> None:
    for name, part in wires.parts.items():
        if isinstance(part, InputSpec):
            continue
        if isinstance(part, ModuleSpec):
            wanted = {port: (refs, port) for port, refs in part.sources.items()}
            first = next(iter(part.sources))
            wanted[first] = (part.sources[first], "from")
        elif isinstance(part, ParallelSpec):
            wanted = {"xs": (part.stacks, "stacks")}
        else:
            wanted = {"x": ((part.source,), "from")}
        wires.sources[name] = {
            port: tuple(
                state
                for index, ref in enumerate(refs)
                for state in _states(ref, _place(part, key, index), wires, problems)
            )
            for port, (refs, key) in wanted.items()
        }


def _place(part: PartSpec | CrossSpec, key: str, index: int) -> Span:
    assert not isinstance(part, InputSpec)
    return value_span(part.tree, (key, index))


def _states(ref: str, span: Span, wires: Wires, problems: Problems) -> list[State]:
    """The states that a reference stands for; several where it has a `*`."""
    name, _, path = ref.partition(".")
    part = wires.parts.get(name)
    if part is None:
        fix = guess(name, wires.parts) or f"names: {', '.join(wires.parts)}"
        problems.add("G201", f"nothing is called '{name}'", span, fix=fix)
        return []
    if not path:
        return [State(name)]
    if isinstance(part, StackSpec):
        states = _stack_states(part, path, wires)
        if states is not None:
            return states
        known = f"{name}.layers.0 to {name}.layers.{part.num_layers - 1}"
        problems.add(
            "G201", f"'{ref}' is no state of '{name}'", span,
            fix=f"states: {name}, {known}, {name}.layers.N.BRANCH.weights",
        )  # fmt: skip
        return []
    if isinstance(part, ModuleSpec):
        items = [port.name for port in part.made.component.parsed.outputs if port.name]
        if path in items:
            wires.weights.setdefault(name, []).append((None, path))
            return [State(name, item=path)]
    problems.add("G201", f"'{name}' has no part '{path}' to read", span, fix=f"write {name} alone")
    return []


def _stack_states(stack: StackSpec, path: str, wires: Wires) -> list[State] | None:
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
    return [State(stack.name, n, "weights", branch) for n in numbers]


def _stack(name: str, span: Span, wires: Wires, problems: Problems, what: str) -> StackSpec | None:
    part = wires.parts.get(name)
    if isinstance(part, StackSpec):
        return part
    stacks = [n for n, p in wires.parts.items() if isinstance(p, StackSpec)]
    if part is None:
        problems.add("G201", f"nothing is called '{name}'", span, fix=guess(name, stacks))
    else:
        problems.add("G204", f"{what} wants a stack, and '{name}' is none", span, fix=f"stacks: {', '.join(stacks)}")
    return None


def _resolve_cross(cross: CrossSpec, wires: Wires, problems: Problems) -> None:
    to = _stack(cross.to, value_span(cross.tree, ("to",)), wires, problems, "the end of a cross")
    if to is None:
        return
    numbers = _cross_layers(cross, to, problems)
    columns: list[list[State]] = []
    for index, source in enumerate(cross.sources):
        span = value_span(cross.tree, ("from", index))
        if source.split(".")[0] == cross.to:
            problems.add("G204", f"'{cross.to}' cannot attend to itself", span, fix="that is its self-attention")
            continue
        column = _cross_states(cross, source, to, numbers, span, wires, problems)
        if column:
            columns.append(column)
    if len(columns) == len(cross.sources) and numbers:
        layers = {n: tuple(column[i] for column in columns) for i, n in enumerate(numbers)}
        names = tuple(source.split(".")[0] for source in cross.sources)
        wires.crosses.setdefault(to.name, []).append(CrossUnit(cross, names, layers))


def _cross_layers(cross: CrossSpec, to: StackSpec, problems: Problems) -> list[int]:
    span = value_span(cross.tree, ("layers",))
    if isinstance(cross.layers, tuple):
        for index, number in enumerate(cross.layers):
            if number >= to.num_layers:
                problems.add(
                    "G204", f"'{to.name}' has no layer {number}, only 0 to {to.num_layers - 1}",
                    value_span(cross.tree, ("layers", index)),
                )  # fmt: skip
        return sorted({n for n in cross.layers if n < to.num_layers})
    if step := split_layers(cross.layers):
        if step > to.num_layers:
            problems.add("G204", f"every {step} of {to.num_layers} layers is the first alone", span)
        return list(range(0, to.num_layers, step))
    return list(range(to.num_layers))


def _cross_states(
    cross: CrossSpec, source: str, to: StackSpec, numbers: list[int], span: Span,
    wires: Wires, problems: Problems,
) -> list[State]:  # fmt: skip
    """The state that each of the reading layers reads from one source."""
    if cross.layers != "aligned" and cross.read == "last":
        states = _states(source, span, wires, problems)
        return states * len(numbers) if len(states) == 1 else []
    stack = _stack(source, span, wires, problems, f"{'aligned' if cross.layers == 'aligned' else 'weighted'} reading")
    if stack is None:
        return []
    if cross.read == "weighted":
        return [State(stack.name, item="mix")] * len(numbers)
    if stack.num_layers != to.num_layers:
        problems.add(
            "G204", f"aligned layers must be as many: '{stack.name}' has {stack.num_layers}, "
            f"'{to.name}' has {to.num_layers}", value_span(cross.tree, ("layers",)),
            notes=[Note(f"'{stack.name}' is written here", stack.span)], fix="layers: all",
        )  # fmt: skip
        return []
    return [State(stack.name, n) for n in numbers]


_SKIP_END = re.compile(r"(\w+)(?:\.layers\.(\d+))?")


def _resolve_skip(skip: SkipSpec, wires: Wires, problems: Problems) -> None:
    ends = [_skip_end(skip, key, wires, problems) for key in ("from", "to")]
    first, last = ends
    if first is None or last is None:
        return
    (source, start), (to, stop) = first, last
    span = value_span(skip.tree, ("pairs",)) if skip.pairs else skip.tree.span
    if (start is None) != (stop is None) or (start is not None and skip.pairs is not None):
        problems.add("G206", "name a layer at both ends, or two stacks and their pairs", span, fix="pairs: mirror")
        return
    if start is not None and stop is not None:
        pairs = [(start, stop)]
    elif skip.pairs is None:
        problems.add("G206", "a skip between stacks needs pairs", span, fix="pairs: mirror | aligned | [[0, 5]]")
        return
    else:
        pairs = _pairs(skip, source, to, span, problems)
    seen: dict[int, State] = {}
    for begin, end in pairs:
        if _check_pair(source, begin, to, end, span, problems):
            if end in seen:
                problems.add("G206", f"two states of one skip reach layer {end}", span, fix="write two skips")
            seen[end] = State(source.name, begin)
    wires.skips.setdefault(to.name, []).append(SkipUnit(skip, seen))


def _skip_end(
    skip: SkipSpec, key: str, wires: Wires, problems: Problems
) -> tuple[StackSpec, int | None] | None:
    text = skip.source if key == "from" else skip.to
    span = value_span(skip.tree, (key,))
    match = _SKIP_END.fullmatch(text)
    if match is None:
        problems.add("G206", f"'{text}' is neither a stack nor one of its layers", span, fix=f"{key}: STACK.layers.N")
        return None
    stack = _stack(match[1], span, wires, problems, "a skip")
    return None if stack is None else (stack, None if match[2] is None else int(match[2]))


def _pairs(
    skip: SkipSpec, source: StackSpec, to: StackSpec, span: Span, problems: Problems
) -> list[tuple[int, int]]:
    if isinstance(skip.pairs, tuple):
        return list(skip.pairs)
    same = source.name == to.name
    if source.num_layers != to.num_layers or (same and skip.pairs == "aligned"):
        why = "a layer cannot skip to itself" if same else (
            f"'{source.name}' has {source.num_layers} layers, '{to.name}' has {to.num_layers}"
        )  # fmt: skip
        problems.add(
            "G206", f"{skip.pairs} pairs do not fit: {why}", span,
            notes=[Note(f"'{source.name}' is written here", source.span)], fix="pairs: [[0, 1]], as a list",
        )  # fmt: skip
        return []
    count = source.num_layers
    if skip.pairs == "aligned":
        return [(n, n) for n in range(count)]
    return [(n, count - 1 - n) for n in range(count) if not same or n + 1 < count - 1 - n]


def _check_pair(
    source: StackSpec, first: int, to: StackSpec, last: int, span: Span, problems: Problems
) -> bool:
    for stack, number in ((source, first), (to, last)):
        if number >= stack.num_layers:
            problems.add("G206", f"'{stack.name}' has no layer {number}, only 0 to {stack.num_layers - 1}", span)
            return False
    if source.name == to.name and first + 1 >= last:
        why = "backwards" if first >= last else "to the very next layer, which reads that state anyway"
        problems.add(
            "G206", f"a skip from layer {first} to layer {last} of '{to.name}' goes {why}", span,
            fix=f"a later layer: {to.name}.layers.{first + 2}",
        )  # fmt: skip
        return False
    return True


def _resolve_parallel(parallel: ParallelSpec, wires: Wires, problems: Problems) -> None:
    stacks = [
        _stack(name, value_span(parallel.tree, ("stacks", i)), wires, problems, "parallel")
        if parallel.exchange or name in wires.parts and isinstance(wires.parts[name], StackSpec)
        else None
        for i, name in enumerate(parallel.stacks)
    ]
    if parallel.exchange is None or None in stacks:
        return
    members = [stack for stack in stacks if stack is not None]
    if len({stack.num_layers for stack in members}) > 1:
        counts = ", ".join(f"'{s.name}' has {s.num_layers}" for s in members)
        problems.add(
            "G207", f"stacks in step have equally many layers: {counts}", parallel.tree.span,
            notes=[Note(f"'{s.name}' is written here", s.span) for s in members],
        )  # fmt: skip
        return
    names = tuple(stack.name for stack in members)
    for name in names:
        if name in wires.lockstep:
            problems.add("G207", f"'{name}' runs in step with others already", parallel.tree.span)
            return
        wires.lockstep[name] = names
    for reader in members:
        others = [n for n in names if n != reader.name]
        if parallel.direction is not None:
            others = [parallel.direction[0]] if reader.name == parallel.direction[1] else []
        if others:
            back = 0 if parallel.direction else 1  # both ways, each reads what was before the step
            layers = {
                n: tuple(State(other, n - back) for other in others)
                for n in range(reader.num_layers)
            }
            unit = CrossUnit(parallel, tuple(others), layers)
            wires.crosses.setdefault(reader.name, []).append(unit)


def _reads(name: str, wires: Wires) -> Iterator[str]:
    """Names of the parts that a part reads."""
    for states in wires.sources.get(name, {}).values():
        yield from (state.part for state in states)
    for unit in wires.crosses.get(name, []):
        yield from unit.sources
    for skip in wires.skips.get(name, []):
        yield from (state.part for state in skip.layers.values())


def _order(wires: Wires, problems: Problems) -> tuple[str, ...]:
    """The parts so that each comes after what it reads; stacks in step count as one."""
    unit = {name: "+".join(wires.lockstep.get(name, (name,))) for name in wires.parts}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(dict.fromkeys(unit.values()))
    for name in wires.parts:
        for read in _reads(name, wires):
            if unit[read] != unit[name] or read in _direct(name, wires):
                graph.add_edge(unit[read], unit[name])
    loop = next(iter(nx.simple_cycles(graph)), None)
    if loop is not None:
        _report_cycle(loop, wires, problems)
        return ()
    position = {name: i for i, name in enumerate(unit.values())}
    order = nx.lexicographical_topological_sort(graph, key=lambda name: position[name])
    return tuple(name for group in order for name in group.split("+"))


def _direct(name: str, wires: Wires) -> set[str]:
    """Parts that must be ready before a part starts, whether it runs in step with them or not."""
    direct = {s.part for states in wires.sources.get(name, {}).values() for s in states}
    for unit in wires.crosses.get(name, []):
        if isinstance(unit.spec, CrossSpec):
            direct |= set(unit.sources)
    for skip in wires.skips.get(name, []):
        direct |= {state.part for state in skip.layers.values()} - {name}
    return direct


def _report_cycle(loop: list[str], wires: Wires, problems: Problems) -> None:
    names = [name.split("+")[0] for name in loop]
    start = min(range(len(names)), key=lambda i: list(wires.parts).index(names[i]))
    names = names[start:] + names[:start]
    chain = " -> ".join([*names, names[0]])
    notes = []
    for reader, read in zip([*names[1:], names[0]], names, strict=True):
        notes.append(Note(f"'{reader}' reads '{read}'", _span_of(reader, wires)))
    problems.add(
        "G203", f"these parts read each other in a circle: {chain}", _span_of(names[0], wires), notes,
        "let one of them read something else",
    )  # fmt: skip


def _span_of(name: str, wires: Wires) -> Span:
    part = wires.parts[name]
    return part.tree.span if isinstance(part, ParallelSpec) else part.span


def _check_used(wires: Wires, problems: Problems) -> None:
    """Every part must lead to an output."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(wires.parts)
    graph.add_edges_from((read, name) for name in wires.parts for read in _reads(name, wires))
    used = {name for name, part in wires.parts.items() if isinstance(part, OutputSpec)}
    for name in list(used):
        used |= nx.ancestors(graph, name)
    for name in wires.parts:
        if name not in used:
            readers = list(graph.successors(name))
            why = f"only {', '.join(readers)} read it" if readers else "nothing reads it"
            problems.add(
                "G202", f"'{name}' leads to no output: {why}", _span_of(name, wires),
                fix=f"remove it, or add an output that reads it: {{from: {name}}}",
            )  # fmt: skip
    if not any(isinstance(part, OutputSpec) for part in wires.parts.values()):
        span = wires.spec.tree.span
        problems.add("G202", "the spec has no outputs", span, fix="outputs: {states: {from: NAME}}")


def _all_states(wires: Wires) -> Iterator[State]:
    """Every state that some part reads."""
    for ports in wires.sources.values():
        for states in ports.values():
            yield from states
    for units in wires.crosses.values():
        for unit in units:
            for states in unit.layers.values():
                yield from states
    for skips in wires.skips.values():
        for skip in skips:
            yield from skip.layers.values()


def _check_layers_used(wires: Wires, problems: Problems) -> None:
    """Layers after the last one that is read would be there for nothing."""
    read: dict[str, set[int | None]] = {}
    for state in _all_states(wires):
        last = wires.parts.get(state.part)
        if isinstance(last, StackSpec):
            whole = last.num_layers - 1 if state.item == "mix" else state.layer
            read.setdefault(state.part, set()).add(whole)
    for name, numbers in read.items():
        stack = wires.parts[name]
        assert isinstance(stack, StackSpec)
        if None in numbers:
            continue
        top = max(n for n in numbers if n is not None)
        wires.used_layers[name] = top
        if top < stack.num_layers - 1:
            problems.add(
                "G202", f"layers {top + 1} to {stack.num_layers - 1} of '{name}' lead to no output: only "
                f"its state after layer {top} is read", value_span(stack.tree, ("num_layers",)),
                fix=f"num_layers: {top + 1}",
            )  # fmt: skip
        elif get(stack.tree, ("final_norm",)) is not None and stack.final_norm is not None:
            problems.add(
                "G202", f"the final norm of '{name}' leads to no output: only the states of its layers are read",
                value_span(stack.tree, ("final_norm",)), fix="final_norm: false",
            )  # fmt: skip
