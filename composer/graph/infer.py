"""The fourth stage: every component is put in its place, part by part, and shapes follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from composer.components.component import Component
from composer.components.embedding import TokenEmbedding
from composer.components.inputs import Tokens
from composer.diagnostics import Problems
from composer.language.document import value_span
from composer.language.spec import (
    InputSpec,
    ModuleSpec,
    OutputSpec,
    ParallelSpec,
    StackSpec,
    Written,
)
from composer.shapes import Shape, show

from .graph import Input, Module, Output, Part, Stack, State, Value
from .placing import Placing, report_ids, said
from .wires import PartSpec, Wires

How = Literal["past", "all"]
Sees = dict[str, How]


def infer(wires: Wires, problems: Problems) -> Placing:
    """All parts in their places; where one is wrong, those that read it are left out."""
    from .stacks import stack_of

    placing = Placing(wires, problems)
    for name in wires.order:
        spec = wires.parts[name]
        if isinstance(spec, StackSpec):
            made: Part | None = stack_of(spec, placing)
        else:
            made = _part(name, spec, placing)
        if made is not None:
            placing.parts[name] = made
            placing.values[State(name)] = made.value
    for state in dict.fromkeys(state for name in wires.order for state in wires.reads(name)):
        if (value := placing.value(state)) is not None:
            placing.values.setdefault(state, value)
    return placing


def _part(name: str, spec: PartSpec, placing: Placing) -> Part | None:
    if isinstance(spec, InputSpec):
        return _input(spec, placing)
    if isinstance(spec, OutputSpec):
        return _output(spec, placing)
    assert isinstance(spec, ModuleSpec | ParallelSpec)
    return _module(name, spec, placing)


def _input(spec: InputSpec, placing: Placing) -> Input | None:
    node = placing.put(spec.name, spec.made, {}, spec.name, spec.span, name=spec.name)
    if node is None:
        return None
    if getattr(node.component, "dtype", "float") == "int64":
        placing.ids.add(spec.name)
    padding = getattr(node.component, "padding", None)
    mask = None if padding is None else f"{spec.name}_mask"
    return Input(spec.name, node, Value(node.placed.shape, mask, {spec.name: "past"}), padding)


def _module(name: str, spec: ModuleSpec | ParallelSpec, placing: Placing) -> Module | None:
    sources = placing.wires.sources[name]
    values = {port: [placing.value(s) for s in states] for port, states in sources.items()}
    if any(value is None for found in values.values() for value in found):
        return None  # reported where it is made
    known = {port: [v for v in found if v is not None] for port, found in values.items()}
    if isinstance(spec, ParallelSpec):
        assert spec.combine is not None
        written, span, merges = spec.combine, value_span(spec.tree, ("combine",)), True
    else:
        written, span, merges = spec.made, spec.span, False
    if not _check_ids(name, written.component, sources, placing):
        return None
    if not _check_vocabulary(name, written, sources, placing):
        return None
    many = written.component.many
    inputs: dict[str, Shape | tuple[Shape, ...]] = {
        port: tuple(v.shape for v in found) if many and port == "xs" else found[0].shape
        for port, found in known.items()
    }
    node = placing.put(name, written, inputs, name, span, sources, **_vocabulary(sources, placing))
    if node is None:
        return None
    shape = node.placed.shape
    mask = _mask_after(name, spec, node.component, known, shape, placing)
    sees = _sees_after(node.component, known, shape)
    for item, item_shape in list(node.placed.outputs.items())[1:]:
        placing.values[State(name, item=item)] = Value(item_shape, None, see_all(sees))
    weights = any(item for _, item in placing.wires.weights.get(name, []))
    return Module(name, node, sources, Value(shape, mask, sees), merges, weights)


def _check_vocabulary(
    name: str, written: Written, sources: Mapping[str, tuple[State, ...]], placing: Placing
) -> bool:
    """Whether a module that embeds tokens has a vector for each of them."""
    size = getattr(written.component, "vocab_size", None)
    if not isinstance(written.component, TokenEmbedding) or size is None:
        return True
    for source, tokens in _tokens_in(sources["tokens"], placing):
        if size < tokens.vocab_size:
            placing.problems.add(
                "C115",
                f"'{source}' has {tokens.vocab_size} different tokens, but '{name}' has {size}",
                value_span(written.tree, ("vocab_size",)),
                fix=f"vocab_size: {tokens.vocab_size}",
            )
            return False
    return True


def _tokens_in(states: tuple[State, ...], placing: Placing) -> Iterator[tuple[str, Tokens]]:
    """The inputs of tokens that token ids come from, moved about or not."""
    for state in states:
        part = placing.parts.get(state.part)
        if isinstance(part, Input) and isinstance(part.node.component, Tokens):
            yield part.name, part.node.component
        elif isinstance(part, Module) and part.name in placing.ids:
            for read in part.reads.values():
                yield from _tokens_in(read, placing)


def _vocabulary(sources: Mapping[str, tuple[State, ...]], placing: Placing) -> dict[str, int]:
    """The `vocab_size` of the tokens that a module reads, if it reads an input of tokens."""
    for state in sources.get("tokens", ()):
        part = placing.parts.get(state.part)
        if isinstance(part, Input) and isinstance(part.node.component, Tokens):
            return {"vocab_size": part.node.component.vocab_size}
    return {}


def _mask_after(
    name: str,
    spec: ModuleSpec | ParallelSpec,
    component: Component,
    inputs: Mapping[str, list[Value]],
    shape: Shape,
    placing: Placing,
) -> str | None:
    """The name of the padding mask that a module's result has."""
    main = next(iter(inputs.values()))
    masked = [value for value in main if value.mask is not None]
    if not masked or component.ends_mask or (isinstance(spec, ModuleSpec) and spec.mask == "drop"):
        return None
    if component.mask_after([str(value.mask) for value in main], [""] * len(main)) is not None:
        return f"{name}_mask"
    masks = {value.mask for value in masked}
    if len(masks) == 1 and len(shape) > 1 and shape[:2] == masked[0].shape[:2]:
        return masked[0].mask
    which = " and ".join(f"'{mask}'" for mask in sorted(str(m) for m in masks))
    why = (
        f"its inputs have different padding ({which})"
        if len(masks) > 1
        else f"it changes {show(masked[0].shape)} to {show(shape)}, and {which} cannot follow"
    )
    fix = "add mask: drop, if every step counts from here on"
    if isinstance(spec, ParallelSpec):
        kind, read = component.kind, ", ".join(spec.stacks)
        fix = f"merge them in a module: {{kind: {kind}, from: [{read}], mask: drop}}"
    span = value_span(spec.tree, ("stacks" if isinstance(spec, ParallelSpec) else "from",))
    placing.problems.add("G209", f"'{name}' loses track of padding: {why}", span, fix=fix)
    return None


def _check_ids(
    name: str, component: Component, sources: Mapping[str, tuple[State, ...]], placing: Placing
) -> bool:
    """Whether token ids come only where they can: to what looks them up or moves them about."""
    moves = component.kind in {"rearrange", "repeat"} or (
        component.kind == "concat" and getattr(component, "d_model", None) is None
    )
    for port, states in sources.items():
        ids = [state for state in states if state.part in placing.ids]
        if moves and len(ids) == len(states):
            placing.ids.add(name)
        elif ids and port != "tokens" and component.kind != "latents":
            report_ids(name, ids[0], placing)
            return False
        elif port == "tokens" and len(ids) < len(states):
            value = placing.value(states[0])
            shape = (
                ""
                if value is None
                else f", but '{said(states[0])}' is numbers of {show(value.shape)}"
            )
            span = placing.wires.places.get((name, states[0].part), placing.wires.span_of(name))
            placing.problems.add(
                "S201", f"'{name}' wants token ids{shape}", span, fix="read an input of kind tokens"
            )
            return False
    return True


def _sees_after(component: Component, inputs: Mapping[str, list[Value]], shape: Shape) -> Sees:
    """What a module's result depends on."""
    sees: Sees = {}
    for index, found in enumerate(inputs.values()):
        for value in found:
            aligned = value.shape[:2] == shape[:2] and not component.sees_future
            causal = bool(getattr(component, "causal", False))
            keeps = aligned if index == 0 or component.many else causal
            merge_sees(sees, value.sees if keeps else see_all(value.sees))
    return sees


def merge_sees(sees: Sees, more: Mapping[str, How]) -> None:
    """Adds what another value depends on."""
    for name, how in more.items():
        sees[name] = "all" if "all" in (how, sees.get(name)) else "past"


def see_all(sees: Mapping[str, How]) -> Sees:
    """The same inputs, every step of each."""
    return dict.fromkeys(sees, "all")


def _output(spec: OutputSpec, placing: Placing) -> Output | None:
    states = placing.wires.sources[spec.name]["x"]
    value = placing.value(states[0])
    if value is None:
        return None
    if spec.head is None:
        return Output(
            spec.name, states[0], None, value, spec.span, states if len(states) > 1 else ()
        )
    if states[0].part not in placing.parts:
        return None  # reported where it is made
    if states[0].part in placing.ids:
        report_ids(spec.name, states[0], placing)
        return None
    span = value_span(spec.tree, ("head",))
    vocab = _vocab_size(states[0], placing)
    given = {} if vocab is None else {"vocab_size": vocab}
    component = spec.head.component
    if (
        "vocab_size" in type(component).model_fields
        and vocab is None
        and getattr(component, "vocab_size", None) is None
    ):
        placing.problems.add(
            "C104",
            f"the head of '{spec.name}' needs 'vocab_size', for '{states[0].part}' reads no tokens",
            span,
            fix=f"head: {{kind: {component.kind}, vocab_size: 32_000}}",
        )
        return None
    node = placing.put(
        spec.name, spec.head, {"x": value.shape}, spec.name, span, {"x": states}, **given
    )
    if node is None:
        return None
    shape = node.placed.shape
    mask = value.mask if shape[:2] == value.shape[:2] else None
    return Output(spec.name, states[0], node, Value(shape, mask, value.sees), spec.span)


def _vocab_size(state: State, placing: Placing) -> int | None:
    """The vocabulary of the tokens that a value comes from in one line."""
    part = placing.parts.get(state.part)
    while part is not None:
        if isinstance(part, Stack):
            embed = part.embed
            if embed is not None and isinstance(embed.component, TokenEmbedding):
                return embed.component.vocab_size
            part = placing.parts.get(part.source.part)
        elif isinstance(part, Module) and isinstance(part.node.component, TokenEmbedding):
            return part.node.component.vocab_size
        elif isinstance(part, Module):
            part = placing.parts.get(next(iter(part.reads.values()))[0].part)
        else:
            return None
    return None
