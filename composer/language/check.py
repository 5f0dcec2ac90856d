"""The second stage: a tree becomes a checked spec, or all of its problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from composer.components.component import Component
from composer.diagnostics import Note, Problems, Span

from .adapt import adapt_in
from .compress import compress_in
from .connections import connection_in
from .defaults import with_defaults
from .dims import check_dims_used, dims_in
from .distill import distill_in
from .document import Mapping, Scalar, Sequence, Tree, get, key_span, plain, value_span
from .fields import NAMED_SECTIONS, ModelFields, ModuleFields, OutputFields
from .freeze import freeze_in
from .names import name_problem, names_a_constant, other_name
from .parallel import parallel_in
from .parametrization import parametrization_in
from .slots import Checking, component_in, is_none, kind_of, only, without
from .spec import (
    ConnectionSpec,
    InputSpec,
    ModelSpec,
    ModuleSpec,
    OutputSpec,
    ParametrizationKind,
    ParametrizationSpec,
    StackSpec,
    Written,
)
from .stacks import stack_in
from .train import train_in
from .validate import describe, validate
from .weights import weights_in

_EXAMPLES = {
    "inputs": "{tokens: {kind: tokens, vocab_size: 32_000}}",
    "encoders": "{encoder: {from: tokens, d_model: 512, num_layers: 6, attention: {num_heads: 8}}}",
    "decoders": "{decoder: {from: tokens, d_model: 512, num_layers: 6, attention: {num_heads: 8}}}",
    "modules": "{pooled: {kind: pool, from: encoder}}",
    "outputs": "{logits: {from: decoder, head: lm}}",
}


def check(tree: Tree, size: str | None = None) -> ModelSpec:
    """The spec that `tree` holds, sizes and overrides applied already.

    Raises SpecError with every problem of this stage.
    """
    problems = Problems()
    dims = dims_in(get(tree, ("dims",)), problems)
    context = Checking(dims, problems, tree)
    fields = _model_fields(tree, context)
    if not isinstance(tree, Mapping):
        problems.raise_if_any()
        msg = "a tree that is no mapping has a problem"
        raise AssertionError(msg)
    _check_names(tree, problems)
    tree = with_defaults(tree, context)
    inputs = tuple(_inputs(tree, context))
    stacks = tuple(_stacks(tree, context))
    modules = tuple(_modules(tree, context))
    connections = tuple(_connections(tree, context))
    outputs = tuple(_outputs(tree, context))
    parametrized = parametrization_in(tree, context)
    initialization = _initialization(tree, context, parametrized=parametrized is not None)
    weights = weights_in(tree, problems)
    freeze = freeze_in(tree, problems)
    adapt = adapt_in(tree, context)
    compress = compress_in(tree, context)
    train = train_in(tree, dims, problems)
    distill = distill_in(tree, check, problems)
    parallel = parallel_in(tree, dims, problems)
    check_dims_used(tree, dims, problems)
    problems.raise_if_any()
    assert fields is not None
    assert initialization is not None
    return ModelSpec(
        fields.name, fields.title or fields.name, fields.description or "", tuple(fields.cite),
        dict(dims), inputs, stacks, modules, connections, outputs, initialization, tree, size,
        weights=weights, freeze=freeze,
        parametrization=None if parametrized is None else _with_base(tree, *parametrized),
        adapt=adapt, compress=compress, train=train, distill=distill, parallel=parallel,
    )  # fmt: skip


def _model_fields(tree: Tree, check: Checking) -> ModelFields | None:
    """The keys of the spec itself, with a problem for a base and for a name that cannot be one."""
    fields = validate(ModelFields, tree, check.problems, where="the spec", dims=check.dims)
    if (base := get(tree, ("extends",))) is not None:
        check.problems.add("C110", "only a spec in a file can extend another", base.span)
    if fields is not None and names_a_constant(fields.name):
        why, span = f"'{fields.name}' is a word of Python", value_span(tree, ("name",))
        check.problems.add("C107", why, span, fix=other_name(fields.name))
    return fields


def _initialization(tree: Mapping, check: Checking, *, parametrized: bool) -> Written | None:
    """How parameters start; where learning rates follow the width, so do starts."""
    written = get(tree, ("initialization",))
    if written is None:
        written = Scalar("fan_in" if parametrized else "normal", tree.span)
    start = component_in("initialization", written, check)
    if parametrized and start is not None:
        _check_start(start, check.problems)
    return start


def _with_base(tree: Mapping, kind: ParametrizationKind, base: Tree) -> ParametrizationSpec:
    """The parametrization with its base checked, too."""
    return ParametrizationSpec(kind, check(base), key_span(tree, ("parametrization",)))


def _check_start(start: Written, problems: Problems) -> None:
    """Where learning rates follow the width, so do starts."""
    if start.component.kind != "fan_in":
        problems.add(
            "C115",
            f"'{start.component.kind}' starts every width alike, which no parametrization wants",
            start.tree.span,
            fix="initialization: fan_in",
        )


def _sections(tree: Mapping, section: str, problems: Problems) -> Iterator[tuple[str, Tree, Span]]:
    """Name, tree and place of every entry of a section."""
    entries = get(tree, (section,))
    if entries is None or is_none(entries):
        return
    if not isinstance(entries, Mapping):
        problems.add(
            "C105",
            f"{section} wants names with what they are, not {describe(entries)}",
            entries.span,
            fix=f"{section}: {_EXAMPLES[section]}",
        )
        return
    for name, entry in entries.entries.items():
        yield name, entry.value, entry.key


def _check_names(tree: Mapping, problems: Problems) -> None:
    """One namespace: every name fits, and stands for one thing."""
    seen: dict[str, tuple[str, Span]] = {}
    for section, name, span in _named(tree):
        masked = section in {"inputs", "modules", "the results of parallel"}
        if why := name_problem(name, variable=section != "outputs", masked=masked):
            problems.add("C107", why, span, fix=other_name(name))
        if name in seen:
            other, place = seen[name]
            problems.add(
                "C108",
                f"'{name}' names two things: one of {other} and one of {section}",
                span,
                notes=[Note(f"'{name}' is one of {other} here", place)],
                fix="rename one of them",
            )
        seen.setdefault(name, (section, span))
    for name, (_, place) in seen.items():
        mask = f"{name}_mask"
        if mask in seen:
            problems.add(
                "C107",
                f"'{mask}' is the padding mask of '{name}'",
                seen[mask][1],
                notes=[Note(f"'{name}' is written here", place)],
                fix=other_name(mask),
            )


def _named(tree: Mapping) -> Iterator[tuple[str, str, Span]]:
    """Section, name and place of everything that has a name."""
    for section in NAMED_SECTIONS:
        for name, _, span in _sections(tree, section, Problems()):
            yield section, name, span
    connections = get(tree, ("connections",))
    for item in connections.items if isinstance(connections, Sequence) else ():
        output = get(item, ("parallel", "output"))
        if isinstance(output, Scalar) and isinstance(output.value, str):
            yield "the results of parallel", output.value, output.span


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
            check.problems.add(
                "C104",
                f"module '{name}' needs 'from'",
                body.span,
                fix=f"{{kind: {plain(body)}, from: ...}}",
            )
            continue
        made = _module(name, cls, body, span, check)
        if made is not None:
            yield made


def _module(
    name: str, cls: type[Component], body: Mapping, span: Span, check: Checking
) -> ModuleSpec | None:
    first, *ports = [port.name for port in cls.parsed.inputs]
    where = f"module '{name}'"
    fields = validate(
        ModuleFields, only(body, ["from", "mask"]), check.problems, where=where, dims=check.dims
    )
    made = component_in("module", without(body, ["from", "mask", *ports]), check, where=where)
    sources = {port: _port(port, body, where, check) for port in ports}
    if fields is None or made is None:
        return None
    read = (fields.from_,) if isinstance(fields.from_, str) else tuple(fields.from_)
    if not read or (len(read) > 1 and not cls.many):
        found = f"names {len(read)}" if read else "names nothing"
        many = "something" if cls.many else "one thing"
        place = value_span(body, ("from",))
        check.problems.add("C105", f"'{made.component.kind}' reads {many}, but from {found}", place)
        return None
    known = {port: (source,) for port, source in sources.items() if source is not None}
    if len(known) < len(sources):
        return None
    return ModuleSpec(name, made, {first: read, **known}, fields.mask, body, span)


def _port(port: str, body: Mapping, where: str, check: Checking) -> str | None:
    """What a port beside the first one reads."""
    value = get(body, (port,))
    if isinstance(value, Scalar) and isinstance(value.value, str):
        return value.value
    if value is None:
        check.problems.add(
            "C104", f"{where} needs '{port}', what it reads", body.span, fix=f"add {port}: NAME"
        )
    else:
        check.problems.add("C105", f"{port} wants a name, not {describe(value)}", value.span)
    return None


def _connections(tree: Mapping, check: Checking) -> Iterator[ConnectionSpec]:
    items = get(tree, ("connections",))
    if items is None or is_none(items):
        return
    if not isinstance(items, Sequence):
        check.problems.add(
            "C105",
            f"connections wants a list, not {describe(items)}",
            items.span,
            fix="- cross: {from: encoder, to: decoder}",
        )
        return
    for item in items.items:
        connection = connection_in(item, check)
        if connection is not None:
            yield connection


def _outputs(tree: Mapping, check: Checking) -> Iterator[OutputSpec]:
    for name, body, span in _sections(tree, "outputs", check.problems):
        fields = validate(
            OutputFields, body, check.problems, where=f"output '{name}'", dims=check.dims
        )
        head_tree = get(body, ("head",))
        head: Written | None = None
        if head_tree is not None and not is_none(head_tree):
            head = component_in("head", head_tree, check, where=f"the head of '{name}'")
            if head is None:
                continue
        if fields is not None:
            yield OutputSpec(name, fields.from_, head, body, span)
