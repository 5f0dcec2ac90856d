"""The second stage: a tree becomes a checked spec, or all of its problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping as AnyMapping
from typing import Literal

from composer.components.component import Component, component_class
from composer.components.options import ExpressionError, calculate, names_in
from composer.diagnostics import Note, Problems, Span

from .connections import connection_in
from .document import Mapping, Scalar, Sequence, Tree, get, merge, plain
from .fields import ModelFields, ModuleFields, OutputFields
from .names import name_problem
from .slots import Checking, component_in, is_none, kind_of, only, without
from .spec import (
    ConnectionSpec,
    InputSpec,
    ModelSpec,
    ModuleSpec,
    OutputSpec,
    StackSpec,
    Written,
)
from .stacks import stack_in
from .validate import describe, validate
from .weights import weights_in

NAMED_SECTIONS = ("inputs", "encoders", "decoders", "modules", "outputs")


class Dims(dict[str, "int | float"]):
    """The numbers of `dims`, which remember the names that were used."""

    def __init__(self, values: AnyMapping[str, int | float]) -> None:
        super().__init__(values)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> int | float:
        self.used.add(name)
        return super().__getitem__(name)


def check(tree: Tree, size: str | None = None) -> ModelSpec:
    """The spec that `tree` holds, sizes and overrides applied already.

    Raises SpecError with every problem of this stage.
    """
    problems = Problems()
    if isinstance(tree, Mapping):
        tree = _without_defaults(tree)
    dims = Dims(_dims(get(tree, ("dims",)), problems))
    context = Checking(dims, problems)
    fields = validate(ModelFields, tree, problems, where="the spec", dims=dims)
    if not isinstance(tree, Mapping):
        problems.raise_if_any()
        msg = "a tree that is no mapping has a problem"
        raise AssertionError(msg)
    _check_names(tree, problems)
    inputs = tuple(_inputs(tree, context))
    stacks = tuple(_stacks(tree, context))
    modules = tuple(_modules(tree, context))
    connections = tuple(_connections(tree, context))
    outputs = tuple(_outputs(tree, context))
    start = get(tree, ("initialization",)) or Scalar("normal", tree.span)
    initialization = component_in("initialization", start, context)
    weights = weights_in(tree, problems)
    _check_dims_used(tree, dims, problems)
    problems.raise_if_any()
    assert fields is not None
    assert initialization is not None
    return ModelSpec(
        fields.name, fields.title or fields.name, fields.description or "", tuple(fields.cite),
        dict(dims), inputs, stacks, modules, connections, outputs, initialization, tree, size,
        weights=weights,
    )  # fmt: skip


def _without_defaults(tree: Mapping) -> Mapping:
    """The spec with `defaults` merged under every stack."""
    defaults = get(tree, ("defaults",))
    if not isinstance(defaults, Mapping):
        return tree
    entries = dict(tree.entries)
    for section in ("encoders", "decoders"):
        stacks = get(tree, (section,))
        if not isinstance(stacks, Mapping):
            continue
        filled = {
            name: type(entry)(entry.key, _under(defaults, entry.value))
            for name, entry in stacks.entries.items()
        }
        entries[section] = type(entries[section])(
            entries[section].key, Mapping(filled, stacks.span)
        )
    return Mapping(entries, tree.span)


def _under(defaults: Mapping, stack: Tree) -> Tree:
    if not isinstance(stack, Mapping):
        return stack
    merged = merge(defaults, stack)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, stack.span)


def _dims(tree: Tree | None, problems: Problems) -> dict[str, int | float]:
    """The numbers that `dims` names; they may be written with each other."""
    if tree is None:
        return {}
    if not isinstance(tree, Mapping):
        problems.add("C105", f"dims wants names with numbers, not {describe(tree)}", tree.span)
        return {}
    known: dict[str, int | float] = {}
    waiting: dict[str, str] = {}
    for name, entry in tree.entries.items():
        value = plain(entry.value)
        if why := name_problem(name):
            problems.add("C107", why, entry.key)
        elif isinstance(value, str):
            waiting[name] = value
        elif isinstance(value, bool) or not isinstance(value, int | float):
            problems.add("C105", f"dim '{name}' wants a number, not {describe(entry.value)}", entry.value.span)
        else:
            known[name] = value
    while ready := [n for n, text in waiting.items() if not names_in(text) & waiting.keys()]:
        for name in ready:
            try:
                known[name] = calculate(waiting.pop(name), known)
            except ExpressionError as error:
                problems.add("C106", f"dim '{name}': {error}", tree.entries[name].value.span)
    for name, text in waiting.items():
        others = ", ".join(sorted(names_in(text) & waiting.keys()))
        problems.add("C109", f"dim '{name}' depends on itself through {others}", tree.entries[name].value.span)
    return known


def _check_dims_used(tree: Mapping, dims: Dims, problems: Problems) -> None:
    section = get(tree, ("dims",))
    if not isinstance(section, Mapping) or problems:
        return  # with other problems around, a use may not have been reached
    inside = {
        name for entry in section.entries.values() for name in names_in(str(plain(entry.value)))
    }
    for name, entry in section.entries.items():
        if name in dims and name not in dims.used | inside:
            problems.add("C117", f"dim '{name}' is used nowhere", entry.key, fix="remove it, or use it in a size")


def _sections(tree: Mapping, section: str, problems: Problems) -> Iterator[tuple[str, Tree, Span]]:
    """Name, tree and place of every entry of a section."""
    entries = get(tree, (section,))
    if entries is None or is_none(entries):
        return
    if not isinstance(entries, Mapping):
        problems.add("C105", f"{section} wants names with what they are, not {describe(entries)}", entries.span)
        return
    for name, entry in entries.entries.items():
        yield name, entry.value, entry.key


def _check_names(tree: Mapping, problems: Problems) -> None:
    """One namespace: every name fits, and stands for one thing."""
    seen: dict[str, tuple[str, Span]] = {}
    for section in NAMED_SECTIONS:
        for name, _, span in _sections(tree, section, Problems()):
            if why := name_problem(name, variable=section != "outputs"):
                problems.add("C107", why, span, fix="choose another name")
            if name in seen:
                other, place = seen[name]
                problems.add(
                    "C108", f"'{name}' names two things: one of {other} and one of {section}", span,
                    notes=[Note(f"'{name}' is one of {other} here", place)], fix="rename one of them",
                )  # fmt: skip
            seen.setdefault(name, (section, span))
    for name, (_, span) in seen.items():
        mask = f"{name}_mask"
        if mask in seen:
            problems.add("C107", f"'{mask}' is the padding mask of '{name}'", seen[mask][1])
        del span


def _inputs(tree: Mapping, check: Checking) -> Iterator[InputSpec]:
    for name, body, span in _sections(tree, "inputs", check.problems):
        made = component_in("input", body, check, where=f"input '{name}'")
        if made is not None:
            yield InputSpec(name, made, span)


def _stacks(tree: Mapping, check: Checking) -> Iterator[StackSpec]:
    roles: tuple[tuple[str, Literal["encoder", "decoder"]], ...] = (
        ("encoders", "encoder"),
        ("decoders", "decoder"),
    )
    for section, role in roles:
        for name, body, span in _sections(tree, section, check.problems):
            stack = stack_in(name, role, body, span, check)
            if stack is not None:
                yield stack


def _modules(tree: Mapping, check: Checking) -> Iterator[ModuleSpec]:
    for name, body, span in _sections(tree, "modules", check.problems):
        cls = kind_of("module", body, check)
        if cls is None:
            continue
        if not isinstance(body, Mapping):
            check.problems.add("C104", f"module '{name}' needs a 'from'", body.span, fix=f"{{kind: {plain(body)}, from: ...}}")
            continue
        made = _module(name, cls, body, span, check)
        if made is not None:
            yield made


def _module(
    name: str, cls: type[Component], body: Mapping, span: Span, check: Checking
) -> ModuleSpec | None:
    ports = [port.name for port in cls.parsed.inputs][1:]
    wiring = ["from", "mask", *ports]
    fields = validate(
        ModuleFields, only(body, ["from", "mask"]), check.problems, where=f"module '{name}'", dims=check.dims
    )
    made = component_in("module", without(body, wiring), check, where=f"module '{name}'")
    sources: dict[str, tuple[str, ...]] = {}
    for port in ports:
        value = get(body, (port,))
        if not isinstance(value, Scalar) or not isinstance(value.value, str):
            check.problems.add("C104", f"module '{name}' needs a '{port}' to read", body.span if value is None else value.span)
            return None
        sources[port] = (value.value,)
    if fields is None or made is None:
        return None
    first = cls.parsed.inputs[0].name
    read = (fields.from_,) if isinstance(fields.from_, str) else tuple(fields.from_)
    if not read or (len(read) > 1 and not cls.many):
        place = get(body, ("from",))
        check.problems.add("C105", f"'{made.component.kind}' reads one thing, 'from' names {len(read)}", place.span if place else span)
        return None
    return ModuleSpec(name, made, {first: read, **sources}, fields.mask, body, span)


def _connections(tree: Mapping, check: Checking) -> Iterator[ConnectionSpec]:
    items = get(tree, ("connections",))
    if items is None or is_none(items):
        return
    if not isinstance(items, Sequence):
        check.problems.add(
            "C105", f"connections wants a list, not {describe(items)}", items.span,
            fix="- cross: {from: encoder, to: decoder}",
        )  # fmt: skip
        return
    for item in items.items:
        connection = connection_in(item, check)
        if connection is not None:
            yield connection


def _outputs(tree: Mapping, check: Checking) -> Iterator[OutputSpec]:
    for name, body, span in _sections(tree, "outputs", check.problems):
        fields = validate(OutputFields, body, check.problems, where=f"output '{name}'", dims=check.dims)
        head_tree = get(body, ("head",))
        head: Written | None = None
        if head_tree is not None and not is_none(head_tree):
            head = component_in("head", head_tree, check, where=f"the head of '{name}'")
            if head is None:
                continue
        if fields is not None:
            yield OutputSpec(name, fields.from_, head, body, span)


def known_keys(kind: str) -> list[str]:
    """The options of a kind, for hints."""
    cls = component_class(kind)
    return [] if cls is None else list(cls.model_fields)


