"""The fourth stage: every component is put in its place, part by part, and shapes follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from composer.components.component import Component, Inputs, OptionError, Placed, place
from composer.components.embedding import TokenEmbedding
from composer.diagnostics import Note, Problems, Span
from composer.language.document import key_span, value_span
from composer.language.spec import InputSpec, ModuleSpec, OutputSpec, ParallelSpec, StackSpec, Written
from composer.shapes import Shape, ShapeError, show

from .graph import Input, Module, Node, Output, Part, Stack, State, Value
from .resolve import PartSpec, Wires

How = Literal["past", "all"]
Sees = dict[str, How]


class Placing:
    """What the placing of all parts shares: references, the values known so far, problems."""

    def __init__(self, wires: Wires, problems: Problems) -> None:
        self.wires = wires
        self.problems = problems
        self.values: dict[State, Value] = {}
        self.parts: dict[str, Part] = {}

    def value(self, state: State) -> Value | None:
        """What is known of a state; None where its part is wrong."""
        if state in self.values:
            return self.values[state]
        if state.layer is not None and not state.item:
            return self.values.get(State(state.part))
        return self.values.get(State(state.part)) if state.item == "mix" else None

    def span_of(self, name: str) -> Span:
        """The place where a part is written."""
        part = self.wires.parts[name]
        return part.tree.span if isinstance(part, ParallelSpec) else part.span

    def put(
        self, name: str, written: Written, inputs: Inputs, owner: str, span: Span,
        sources: Mapping[str, tuple[State, ...]] | None = None, /, **given: object,
    ) -> Node | None:  # fmt: skip
        """A component in its place, or None with the reason as a problem."""
        try:
            return Node(name, place(written.component, inputs, **given), span)
        except OptionError as error:
            where = key_span(written.tree, (error.option,))
            self.problems.add("C115", f"{owner}: {error.message}", where, fix=error.fix)
        except ShapeError as error:
            self._mismatch(error, owner, span, sources or {})
        return None

    def _mismatch(
        self, error: ShapeError, owner: str, span: Span, sources: Mapping[str, tuple[State, ...]]
    ) -> None:
        notes = []
        for state in sources.get(error.port, ())[error.index : error.index + 1]:
            notes.append(Note(f"'{state.part}' makes {show(error.got)}", self.span_of(state.part)))
        self.problems.add(
            "S201", f"{owner}: {error}", span, notes, f"connect '{error.port}' to something that makes {error.want}"
        )  # fmt: skip


def infer(wires: Wires, problems: Problems) -> Placing:
    """All parts in their places; where one is wrong, those that read it are left out."""
    from .stacks import stack_of  # noqa: PLC0415 - the two build each other

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
    return placing


def _part(name: str, spec: PartSpec, placing: Placing) -> Part | None:
    if isinstance(spec, InputSpec):
        return _input(spec, placing)
    if isinstance(spec, OutputSpec):
        return _output(spec, placing)
    assert isinstance(spec, ModuleSpec | ParallelSpec)
    return _module(name, spec, placing)


def _input(spec: InputSpec, placing: Placing) -> Input | None:
    node = placing.put(spec.name, spec.made, {}, f"input '{spec.name}'", spec.span, name=spec.name)
    if node is None:
        return None
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
        written, span, merges = spec.combine, spec.tree.span, True
    else:
        written, span, merges = spec.made, spec.span, False
    many = written.component.many
    inputs: dict[str, Shape | tuple[Shape, ...]] = {
        port: tuple(v.shape for v in found) if many and port == "xs" else found[0].shape
        for port, found in known.items()
    }
    node = placing.put(name, written, inputs, f"'{name}'", span, sources)
    if node is None:
        return None
    shape = node.placed.shape
    mask = _mask_after(name, spec, node.component, known, shape, placing)
    sees = _sees_after(node.component, known, shape)
    for item, item_shape in list(node.placed.outputs.items())[1:]:
        placing.values[State(name, item=item)] = Value(item_shape, None, see_all(sees))
    weights = any(item for _, item in placing.wires.weights.get(name, []))
    return Module(name, node, sources, Value(shape, mask, sees), merges, weights)


def _mask_after(
    name: str, spec: ModuleSpec | ParallelSpec, component: Component,
    inputs: Mapping[str, list[Value]], shape: Shape, placing: Placing,
) -> str | None:  # fmt: skip
    """The name of the padding mask that a module's result has."""
    main = next(iter(inputs.values()))
    masked = [value for value in main if value.mask is not None]
    if not masked or component.ends_mask or (isinstance(spec, ModuleSpec) and spec.mask == "drop"):
        return None
    if getattr(component, "axis", None) == "time":
        return f"{name}_mask"
    masks = {value.mask for value in masked}
    if len(masks) == 1 and len(shape) > 1 and shape[:2] == masked[0].shape[:2]:
        return masked[0].mask
    span = spec.tree.span
    which = " and ".join(f"'{mask}'" for mask in sorted(str(m) for m in masks))
    why = (
        f"its inputs have different padding ({which})"
        if len(masks) > 1
        else f"it changes {show(masked[0].shape)} to {show(shape)}, and {which} cannot follow"
    )
    placing.problems.add(
        "G208", f"'{name}' loses track of padding: {why}", span,
        fix="say `mask: drop` if every step counts from here on",
    )  # fmt: skip
    return None


def _sees_after(
    component: Component, inputs: Mapping[str, list[Value]], shape: Shape
) -> Sees:
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
        return Output(spec.name, states[0], None, value, spec.span, states if len(states) > 1 else ())
    span = value_span(spec.tree, ("head",))
    vocab = _vocab_size(states[0], placing)
    given = {} if vocab is None else {"vocab_size": vocab}
    component = spec.head.component
    if "vocab_size" in type(component).model_fields and vocab is None and getattr(component, "vocab_size") is None:  # noqa: B009
        placing.problems.add(
            "C104", f"the head of '{spec.name}' needs a 'vocab_size': '{states[0].part}' reads no tokens", span,
            fix="head: {kind: lm, vocab_size: 32_000}",
        )  # fmt: skip
        return None
    node = placing.put(
        spec.name, spec.head, {"x": value.shape}, f"the head of '{spec.name}'", span, {"x": states}, **given
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
        elif isinstance(part, Module):
            part = placing.parts.get(next(iter(part.reads.values()))[0].part)
        else:
            return None
    return None


def placed_norm(norm: Written, name: str, shape: Shape, owner: str, placing: Placing) -> Node | None:
    """A norm over the width of `shape`."""
    return placing.put(name, norm, {"x": shape}, owner, norm.tree.span)


__all__ = ["Placed", "Placing", "Sees", "infer", "merge_sees", "placed_norm"]
