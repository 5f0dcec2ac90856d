"""The third stage: names become references, connections become what each layer reads."""

from __future__ import annotations

from collections.abc import Iterable

from composer.diagnostics import Problems, Span
from composer.language.document import key_span, value_span
from composer.language.spec import InputSpec, ModelSpec, ModuleSpec, OutputSpec, ParallelSpec

from .connections import resolve_connections
from .graph import State
from .order import ordered
from .used import check_layers_used, check_used
from .wires import PartSpec, Wires, states_of


def resolve(spec: ModelSpec, problems: Problems) -> Wires | None:
    """What every name of `spec` stands for and the order in which the parts run.

    None where names or connections are wrong; the reasons are added to `problems`.
    """
    wires = Wires(spec, _parts(spec))
    if not spec.outputs:
        span = key_span(spec.tree, ("outputs",))
        problems.add("G202", "the spec has no outputs", span, fix="outputs: {states: {from: NAME}}")
    _resolve_sources(wires, problems)
    resolve_connections(wires, problems)
    if problems:
        return None
    wires.order = ordered(wires, problems)
    if not problems:
        check_used(wires, problems)
        check_layers_used(wires, problems)
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
        if not isinstance(part, InputSpec):
            wires.sources[name] = {
                port: tuple(_port(name, part, refs, key, wires, problems))
                for port, (refs, key) in _references(part).items()
            }


def _references(part: PartSpec) -> dict[str, tuple[tuple[str, ...], str]]:
    """What each port of a part reads, and the key that says so."""
    assert not isinstance(part, InputSpec)
    if isinstance(part, ModuleSpec):
        first = next(iter(part.sources))
        return {
            port: (refs, "from" if port == first else port) for port, refs in part.sources.items()
        }
    if isinstance(part, ParallelSpec):
        return {"xs": (part.stacks, "stacks")}
    return {"x": ((part.source,), "from")}


def _port(
    name: str, part: PartSpec, refs: tuple[str, ...], key: str, wires: Wires, problems: Problems
) -> list[State]:
    """The states at one port of a part."""
    assert not isinstance(part, InputSpec)
    found: list[State] = []
    for index, ref in enumerate(refs):
        span = value_span(part.tree, (key, index))
        states = states_of(ref, span, wires, problems)
        if len(states) > 1 and not _takes_many(part):
            _too_many(name, part, ref, len(states), span, problems)
        for state in states:
            wires.places.setdefault((name, state.part), span)
        found += states
    return found


def _takes_many(part: PartSpec) -> bool:
    if isinstance(part, OutputSpec):
        return part.head is None
    if isinstance(part, ModuleSpec):
        return part.made.component.many
    return isinstance(part, ParallelSpec)


def _too_many(
    name: str, part: PartSpec, ref: str, count: int, span: Span, problems: Problems
) -> None:
    who = f"the head of '{name}'" if isinstance(part, OutputSpec) else f"'{name}'"
    problems.add(
        "G201",
        f"{who} reads one state, and '{ref}' is {count}",
        span,
        fix=f"{ref.replace('*', '0')}, or a module that joins them: {{kind: mean, from: {ref}}}",
    )
