"""Stacks: their layers are put together from types, cross connections and skips."""

from __future__ import annotations

from composer.components.component import Component
from composer.components.embedding import SequenceEmbedding, TokenEmbedding
from composer.components.inputs import Tokens
from composer.diagnostics import Note
from composer.language.document import Mapping as MappingTree
from composer.language.document import Tree, value_span
from composer.language.spec import (
    StackSpec,
    Written,
)
from composer.shapes import Shape, show

from .graph import Input, Layer, Node, Stack, State, Value
from .layers import LayerBuilder
from .leaks import sees
from .placing import Placing, placed_norm, report_ids, said


def stack_of(spec: StackSpec, placing: Placing) -> Stack | None:
    """The stack with all of its layers, or None with the reasons as problems."""
    (source,) = placing.wires.sources[spec.name]["x"]
    value = placing.value(source)
    if value is None:
        return None
    before = len(placing.problems)
    if len(value.shape) > 1:  # what comes out, should something be wrong inside
        assumed = Value((*value.shape[:2], spec.d_model), value.mask)
        placing.values[State(spec.name)] = assumed
    embed, shape = _embedded(spec, source, value, placing)
    if shape is None:
        return None
    builder = LayerBuilder(spec, shape, placing)
    layers = builder.layers()
    final = None
    result_read = spec.name not in placing.wires.used_layers
    if spec.final_norm is not None and result_read:
        final = placed_norm(spec.final_norm, "norm", shape, spec.name, placing)
    if len(placing.problems) > before or len(layers) < spec.num_layers:
        return None  # in the second case, what they read is wrong
    kinds = {id(layer.kind): layer.kind for layer in layers}.values()
    inside = [body.node.component for kind in kinds for b in kind.branches for body in b.bodies]
    causal = not any(component.sees_future for component in inside)
    guarded = causal and (spec.role == "decoder" or any(part.mixes_time for part in inside))
    seen = sees(spec, value, builder, causal=causal, guarded=guarded)
    _weights_values(spec.name, layers, placing)
    return Stack(
        spec.name,
        spec.role,
        source,
        spec.d_model,
        causal,
        embed,
        layers,
        final,
        tuple(builder.memories.values()),
        tuple(range(len(layers))),
        Value(shape, value.mask, seen),
        spec.span,
        placing.wires.lockstep.get(spec.name, ()),
        spec.layer_types,
        result_read,
    )


def _embedded(
    spec: StackSpec, source: State, value: Value, placing: Placing
) -> tuple[Node | None, Shape | None]:
    """The embedding, if there is one, and the shape of the states."""
    part = placing.parts.get(source.part)
    tokens = part.node.component if isinstance(part, Input) else None
    states = None if len(value.shape) < 2 else (*value.shape[:2], spec.d_model)  # noqa: PLR2004
    if isinstance(tokens, Tokens):
        node = _token_embedding(spec, source, value, tokens, placing)
        return node, states
    if source.part in placing.ids:
        report_ids(spec.name, source, placing)
        return None, states
    if len(value.shape) != 3 or value.shape[2] != spec.d_model:  # noqa: PLR2004 - batch, time, width
        _report_width(spec, source, value, placing)
        return None, states
    if spec.embed is None:
        return None, states
    if isinstance(spec.embed.component, TokenEmbedding):
        placing.problems.add(
            "C115",
            f"'{spec.name}' embeds tokens, but '{said(source)}' is vectors already",
            spec.embed.tree.span,
            fix="leave out vocab_size, d_model and scale",
        )
        return None, states
    given = {"d_model": spec.d_model, "dropout": spec.dropout}
    node = placing.put(
        "embed", spec.embed, {"x": value.shape}, spec.name, spec.embed.tree.span, **given
    )
    return node, states


def _token_embedding(
    spec: StackSpec, source: State, value: Value, tokens: Tokens, placing: Placing
) -> Node | None:
    """One vector a token, as wide as the stack and for at least as many tokens as come in."""
    component: Component = TokenEmbedding()
    tree: Tree = MappingTree({}, spec.span)
    if spec.embed is not None:
        component, tree = spec.embed.component, spec.embed.tree
        if isinstance(component, SequenceEmbedding):
            component = TokenEmbedding(
                position=component.position, norm=component.norm, dropout=component.dropout
            )
    assert isinstance(component, TokenEmbedding)
    if component.d_model not in {None, spec.d_model}:
        placing.problems.add(
            "C115",
            f"'{spec.name}' has d_model {spec.d_model}, but its embed has {component.d_model}",
            value_span(tree, ("d_model",)),
            fix="leave out the d_model of embed",
        )
        return None
    if component.vocab_size is not None and component.vocab_size < tokens.vocab_size:
        placing.problems.add(
            "C115",
            f"'{source.part}' has {tokens.vocab_size} different tokens, "
            f"but the embed of '{spec.name}' has {component.vocab_size}",
            value_span(tree, ("vocab_size",)),
            fix="leave out the vocab_size of embed",
        )
        return None
    return placing.put(
        "embed",
        Written(component, tree),
        {"tokens": value.shape},
        spec.name,
        tree.span,
        {"tokens": (source,)},
        d_model=spec.d_model,
        dropout=spec.dropout,
        vocab_size=tokens.vocab_size,
    )


def _report_width(spec: StackSpec, source: State, value: Value, placing: Placing) -> None:
    wanted = f"[batch time {spec.d_model}]"
    fix = f"read something that makes {wanted}"
    if len(value.shape) == 3:  # noqa: PLR2004 - batch, time, width
        fix = f"put a module between: {{kind: project, from: {said(source)}, d_model: {spec.d_model}}}"
    placing.problems.add(
        "S201",
        f"'{spec.name}' wants {wanted}, but '{said(source)}' is {show(value.shape)}",
        value_span(spec.tree, ("from",)),
        [Note(f"'{said(source)}' makes {show(value.shape)}", placing.wires.span_of(source.part))],
        fix,
    )


def _weights_values(name: str, layers: tuple[Layer, ...], placing: Placing) -> None:
    """Shapes of the attention weights that are read from outside."""
    for number, branch in placing.wires.weights.get(name, []):
        assert number is not None
        for found in layers[number].kind.branches:
            for body in found.bodies:
                if body.node.name == branch:
                    shape = body.node.placed.outputs["weights"]
                    placing.values[State(name, number, "weights", branch)] = Value(shape)
