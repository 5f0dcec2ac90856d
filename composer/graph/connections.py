"""Connections become what each layer reads: cross and parallel here, skips in `skips`."""

from __future__ import annotations

from composer.diagnostics import Note, Problems, Span
from composer.language.document import value_span
from composer.language.spec import CrossSpec, ParallelSpec, SkipSpec, StackSpec
from composer.language.stacks import split_layers

from .graph import State
from .skips import resolve_skip
from .wires import CrossUnit, Wires, stack_called, states_of


def resolve_connections(wires: Wires, problems: Problems) -> None:
    """Adds to `wires` what the layers of each stack read; what is wrong goes to `problems`."""
    for connection in wires.spec.connections:
        if isinstance(connection, CrossSpec):
            _resolve_cross(connection, wires, problems)
        elif isinstance(connection, SkipSpec):
            resolve_skip(connection, wires, problems)
        elif isinstance(connection, ParallelSpec) and connection.exchange is not None:
            _resolve_exchange(connection, wires, problems)


# Cross


def _resolve_cross(cross: CrossSpec, wires: Wires, problems: Problems) -> None:
    to = stack_called(
        cross.to, value_span(cross.tree, ("to",)), wires, problems, "the end of a cross"
    )
    numbers = [] if to is None else _cross_layers(cross, to, problems)
    columns: list[list[State]] = []
    for index, source in enumerate(cross.sources):
        span = value_span(cross.tree, ("from", index))
        name = source.split(".")[0]
        if to is None:
            states_of(source, span, wires, problems)
        elif name == to.name:
            message = f"'{to.name}' cannot attend to itself by a cross connection"
            problems.add("G204", message, span, fix="remove it: self-attention does that")
        else:
            wires.places.setdefault((to.name, name), span)
            columns.append(_cross_states(cross, source, to, numbers, span, wires, problems))
    whole = len(columns) == len(cross.sources) and all(columns)
    if to is not None and numbers and whole:
        layers = {n: tuple(column[i] for column in columns) for i, n in enumerate(numbers)}
        names = tuple(source.split(".")[0] for source in cross.sources)
        wires.crosses.setdefault(to.name, []).append(CrossUnit(cross, names, layers))


def _cross_layers(cross: CrossSpec, to: StackSpec, problems: Problems) -> list[int]:
    """The numbers of the layers that attend."""
    if isinstance(cross.layers, tuple):
        for index, number in enumerate(cross.layers):
            if number >= to.num_layers:
                problems.add(
                    "G204",
                    f"'{to.name}' has no layer {number}, only 0 to {to.num_layers - 1}",
                    value_span(cross.tree, ("layers", index)),
                    fix=f"layers: [{to.num_layers - 1}]",
                )
        return sorted({n for n in cross.layers if n < to.num_layers})
    step = split_layers(cross.layers)
    if step is not None and step > to.num_layers:
        problems.add(
            "G204",
            f"of the {to.num_layers} layers of '{to.name}', {cross.layers} is layer 0 alone",
            value_span(cross.tree, ("layers",)),
            fix="layers: [0]",
        )
    return list(range(0, to.num_layers, step or 1))


def _cross_states(
    cross: CrossSpec,
    source: str,
    to: StackSpec,
    numbers: list[int],
    span: Span,
    wires: Wires,
    problems: Problems,
) -> list[State]:
    """The state that each of the reading layers reads from one source."""
    if cross.layers != "aligned" and cross.read == "last":
        states = states_of(source, span, wires, problems)
        if len(states) > 1:
            problems.add(
                "G204",
                f"a cross reads one state, and '{source}' is {len(states)}",
                span,
                fix=f"from: {source.split('.', maxsplit=1)[0]}, and layers: aligned or read: weighted",
            )
        return states * len(numbers) if len(states) == 1 else []
    what = "aligned reading" if cross.layers == "aligned" else "weighted reading"
    stack = stack_called(source, span, wires, problems, what)
    if stack is None:
        return []
    if cross.layers == "aligned" and cross.read == "weighted":
        problems.add(
            "G204",
            "aligned layers read one state each, so there is nothing to weigh",
            value_span(cross.tree, ("read",)),
            fix="leave out read, or layers",
        )
        return []
    if cross.read == "weighted":
        return [State(stack.name, item="mix")] * len(numbers)
    if stack.num_layers != to.num_layers:
        problems.add(
            "G204",
            f"aligned layers must be as many: '{stack.name}' has {stack.num_layers}, "
            f"'{to.name}' has {to.num_layers}",
            value_span(cross.tree, ("layers",)),
            notes=_written(stack, to),
            fix="layers: all",
        )
        return []
    return [State(stack.name, n) for n in numbers]


# Parallel


def _resolve_exchange(parallel: ParallelSpec, wires: Wires, problems: Problems) -> None:
    """Stacks in step: each layer reads the others' states."""
    found = [
        stack_called(name, value_span(parallel.tree, ("stacks", i)), wires, problems, "exchange")
        for i, name in enumerate(parallel.stacks)
    ]
    members = [stack for stack in found if stack is not None]
    if len(members) < len(found):
        return
    names = tuple(stack.name for stack in members)
    if len({stack.num_layers for stack in members}) > 1:
        counts = ", ".join(f"'{s.name}' has {s.num_layers}" for s in members)
        problems.add(
            "G207",
            f"stacks in step have equally many layers, but {counts}",
            value_span(parallel.tree, ("stacks",)),
            _written(*members),
            "give them one num_layers",
        )
        return
    for index, name in enumerate(names):
        if name in wires.lockstep:
            _report_in_step(
                name, value_span(parallel.tree, ("stacks", index)), parallel, wires, problems
            )
            return
    for reader in members:
        wires.lockstep[reader.name] = names
        _exchange(reader, names, parallel, wires)


def _exchange(
    reader: StackSpec, names: tuple[str, ...], parallel: ParallelSpec, wires: Wires
) -> None:
    others = [name for name in names if name != reader.name]
    if parallel.direction is not None:
        others = [parallel.direction[0]] if reader.name == parallel.direction[1] else []
    if not others:
        return
    back = 0 if parallel.direction else 1  # both ways, each reads what was before the step
    layers = {
        n: tuple(State(other, n - back) for other in others) for n in range(reader.num_layers)
    }
    for other in others:
        span = value_span(parallel.tree, ("stacks", parallel.stacks.index(other)))
        wires.places.setdefault((reader.name, other), span)
    unit = CrossUnit(parallel, tuple(others), layers)
    wires.crosses.setdefault(reader.name, []).append(unit)


def _report_in_step(
    name: str, span: Span, parallel: ParallelSpec, wires: Wires, problems: Problems
) -> None:
    first = next(
        c
        for c in wires.spec.connections
        if isinstance(c, ParallelSpec) and c.exchange and c is not parallel and name in c.stacks
    )
    problems.add(
        "G207",
        f"'{name}' runs in step with others already",
        span,
        [Note("it does so here", value_span(first.tree, ("stacks",)))],
        "write all of them in one list",
    )


def _written(*stacks: StackSpec) -> list[Note]:
    return [Note(f"'{stack.name}' is written here", stack.span) for stack in stacks]
