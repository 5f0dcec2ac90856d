"""Stacks: from tree to spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from composer.diagnostics import Span

from .defaults import own
from .document import Mapping, Scalar, Tree, get, key_span, merge
from .fields import StackFields, TypeFields
from .layer_types import layer_types, without_order
from .layers import layer_in, listed, norm_in
from .names import name_problem, other_name
from .slots import Checking, component_in, is_none
from .spec import LayerSpec, Placement, StackSpec, Written
from .validate import describe, validate


def stack_in(
    name: str, role: Literal["encoder", "decoder"], tree: Tree, span: Span, check: Checking
) -> StackSpec | None:
    """The stack called `name`, or None with what is wrong added to the problems."""
    fields = validate(
        StackFields,
        tree,
        check.problems,
        where=f"{role} '{name}'",
        dims=check.dims,
        given=without_order(tree),
    )
    if not isinstance(tree, Mapping):
        return None
    norm, placement = norm_in(tree, check)
    types = dict(_types(tree, check))
    _check_slots_used(tree, check)
    final = _final_norm(tree, norm, placement, check)
    embed = get(tree, ("embed",))
    made_embed = None
    if not is_none(embed) and embed is not None:
        made_embed = component_in(
            "embed", embed, check, default=_embed_kind(embed), where="'embed'"
        )
    if fields is None:
        return None
    order = layer_types(fields, types, tree, check)
    if any(layer is None for layer in types.values()):
        return None
    return StackSpec(
        name,
        role,
        fields.from_,
        fields.d_model,
        fields.num_layers,
        made_embed,
        norm,
        placement,
        fields.dropout,
        final,
        order,
        {k: v for k, v in types.items() if v is not None},
        tree,
        span,
    )


def _embed_kind(tree: Tree) -> str:
    """A mapping with a token option is a token embedding; what the input is decides otherwise."""
    tokens = {"vocab_size", "d_model", "scale"}
    named = isinstance(tree, Mapping) and tokens & set(tree.entries)
    return "token_embedding" if named else "sequence_embedding"


def _final_norm(
    tree: Mapping, norm: Written | None, placement: Placement, check: Checking
) -> Written | None:
    written = get(tree, ("final_norm",))
    if written is None:
        return None if placement == "post" else norm
    if is_none(written):
        return None
    if isinstance(written, Scalar) and written.value is True:
        if norm is None and is_none(get(tree, ("norm",))):
            check.problems.add(
                "C115",
                "final_norm is true, but the stack has no norm",
                written.span,
                fix="final_norm: layernorm",
            )
        return norm
    return component_in("norm", written, check, default="layernorm", where="'final_norm'")


def _types(tree: Mapping, check: Checking) -> Iterator[tuple[str, LayerSpec | None]]:
    """The layer of each type; one without a name where there are no types."""
    types = get(tree, ("types",))
    if types is None:
        yield "", layer_in(tree, check)
        return
    if not isinstance(types, Mapping) or not types.entries:
        check.problems.add(
            "C105",
            f"types wants layer types with what they change, not {describe(types)}",
            types.span,
            fix="types: {local: {attention: {window: 128}}, full: {}}",
        )
        return
    for name, entry in types.entries.items():
        if why := name_problem(name):
            check.problems.add("C107", why, entry.key, fix=other_name(name))
        change = Mapping({}, entry.value.span) if is_none(entry.value) else entry.value
        fields = validate(
            TypeFields, change, check.problems, where=f"layer type '{name}'", dims=check.dims
        )
        layer = layer_in(_over(tree, change), check) if isinstance(change, Mapping) else None
        yield name, None if fields is None else layer


def _check_slots_used(tree: Mapping, check: Checking) -> None:
    """A feed-forward that a stack itself describes must be in one of its layers."""
    if own(tree, "feed_forward", check.spec) is None:
        return
    types = get(tree, ("types",))
    changes = types.entries.values() if isinstance(types, Mapping) else ()
    layers = [_over(tree, e.value) for e in changes if isinstance(e.value, Mapping)]
    if not any("feed_forward" in listed(layer) for layer in [tree, *layers]):
        check.problems.add(
            "C118",
            "feed_forward describes a branch that the layer does not have",
            key_span(tree, ("feed_forward",)),
            fix="remove it, or add feed_forward to layer",
        )


def _over(tree: Mapping, change: Mapping) -> Mapping:
    """The stack with what a layer type changes."""
    merged = merge(tree, change)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, tree.span)


def split_layers(text: str) -> int | None:
    """N of `every N`, or None."""
    match = re.fullmatch(r"every +([1-9][0-9]{0,5})", text)
    return int(match[1]) if match else None
