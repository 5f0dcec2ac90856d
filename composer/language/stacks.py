"""Stacks and their layers: from tree to spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

from composer.components.component import component_class, kinds_for
from composer.diagnostics import Span, nearest

from .document import (
    Entry,
    Mapping,
    Scalar,
    Sequence,
    Tree,
    get,
    key_span,
    merge,
    plain,
    value_span,
)
from .fields import BranchFields, ParallelBranchFields, StackFields, TypeFields
from .names import name_problem
from .slots import Checking, component_in, is_none, only, put, without
from .spec import BranchSpec, LayerSpec, Placement, StackSpec, Wiring, Written
from .validate import describe, guess, validate

DEFAULT_LAYER = ("attention", "feed_forward")
_SLOTTED = {
    "attention": "attention",
    "cross_attention": "cross_attention",
    "feed_forward": "feed_forward",
}
_PLACEMENTS = ("pre", "post", "sandwich", "branch")


def stack_in(
    name: str, role: Literal["encoder", "decoder"], tree: Tree, span: Span, check: Checking
) -> StackSpec | None:
    """The stack called `name`, or None with what is wrong added to the problems."""
    fields = validate(StackFields, tree, check.problems, where=f"{role} '{name}'", dims=check.dims)
    if not isinstance(tree, Mapping):
        return None
    norm, placement = _norm(tree, check)
    types = dict(_types(tree, check))
    final = _final_norm(tree, norm, placement, check)
    embed = get(tree, ("embed",))
    made_embed = None
    if not is_none(embed) and embed is not None:
        made_embed = component_in(
            "embed", embed, check, default=_embed_kind(embed), where="'embed'"
        )
    if fields is None or any(layer is None for layer in types.values()):
        return None
    order = _layer_types(fields, types, tree, check)
    return StackSpec(
        name, role, fields.from_, fields.d_model, fields.num_layers, made_embed, norm, placement,
        fields.dropout, final, order, {k: v for k, v in types.items() if v is not None}, tree, span,
    )  # fmt: skip


def _embed_kind(tree: Tree) -> str:
    """A mapping with a token option is a token embedding; what the input is decides otherwise."""
    tokens = {"vocab_size", "d_model", "scale"}
    named = isinstance(tree, Mapping) and tokens & set(tree.entries)
    return "token_embedding" if named else "sequence_embedding"


def _norm(tree: Mapping, check: Checking) -> tuple[Written | None, Placement]:
    """The norm of a stack's branches and where it stands."""
    norm = get(tree, ("norm",))
    if norm is None:
        return component_in("norm", Mapping({}, tree.span), check, default="layernorm"), "pre"
    placement: Placement = "pre"
    written = get(norm, ("placement",))
    if written is not None:
        if plain(written) not in _PLACEMENTS:
            check.problems.add(
                "C105", f"placement wants {', '.join(_PLACEMENTS)}, not {describe(written)}", written.span,
                fix=guess(str(plain(written)), _PLACEMENTS),
            )  # fmt: skip
        else:
            placement = plain(written)
    if is_none(norm):
        return None, placement
    body = without(norm, ["placement"]) if isinstance(norm, Mapping) else norm
    return component_in("norm", body, check, default="layernorm", where="'norm'"), placement


def _final_norm(
    tree: Mapping, norm: Written | None, placement: Placement, check: Checking
) -> Written | None:
    written = get(tree, ("final_norm",))
    if written is None:
        return None if placement == "post" else norm
    if is_none(written):
        return None
    if isinstance(written, Scalar) and written.value is True:
        if norm is None:
            check.problems.add(
                "C115", "final_norm is true, but the stack has no norm", written.span,
                fix="final_norm: layernorm",
            )  # fmt: skip
        return norm
    return component_in("norm", written, check, default="layernorm", where="'final_norm'")


def _types(tree: Mapping, check: Checking) -> Iterator[tuple[str, LayerSpec | None]]:
    types = get(tree, ("types",))
    if types is None:
        yield "", _layer(tree, check)
        return
    if not isinstance(types, Mapping) or not types.entries:
        check.problems.add("C105", "types wants a mapping of layer types", types.span)
        return
    for name, entry in types.entries.items():
        if why := name_problem(name):
            check.problems.add("C107", why, entry.key)
        change = Mapping({}, entry.value.span) if is_none(entry.value) else entry.value
        fields = validate(
            TypeFields, change, check.problems, where=f"layer type '{name}'", dims=check.dims
        )
        yield name, None if fields is None else _layer(_over(tree, change), check)


def _over(tree: Mapping, change: Tree) -> Mapping:
    """The stack with what a layer type changes."""
    merged = merge(tree, change)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, tree.span)


def _layer_types(
    fields: StackFields, types: dict[str, LayerSpec | None], tree: Mapping, check: Checking
) -> tuple[str, ...]:
    if fields.layer_types is None:
        if "" in types:
            return ("",)
        span = key_span(tree, ("types",))
        check.problems.add(
            "C116", "types without layer_types: no layer would use them", span,
            fix=f"layer_types: [{', '.join(types)}]",
        )  # fmt: skip
        return tuple(types)
    if not fields.layer_types:
        check.problems.add("C116", "layer_types is empty", value_span(tree, ("layer_types",)))
    for index, name in enumerate(fields.layer_types):
        if name not in types:
            check.problems.add(
                "C116", f"layer type '{name}' is not one of types",
                value_span(tree, ("layer_types", index)),
                fix=guess(name, types) or f"add it under types: {name}: {{}}",
            )  # fmt: skip
    used = set(fields.layer_types[: fields.num_layers])
    for name in types:
        if name and name not in used:
            check.problems.add(
                "C116", f"layer type '{name}' is used by no layer", key_span(tree, ("types", name)),
                fix="remove it, or name it in layer_types",
            )  # fmt: skip
    return tuple(fields.layer_types)


def _layer(tree: Mapping, check: Checking) -> LayerSpec | None:
    """The branches of the layers that `tree`, a stack with one type's changes, describes."""
    before = len(check.problems)
    norm, placement = _norm(tree, check)
    wiring = Wiring(norm, placement)
    items = get(tree, ("layer",))
    if items is None:
        span = tree.span
        items = Sequence(tuple(Scalar(name, span) for name in DEFAULT_LAYER), span)
    if not isinstance(items, Sequence) or not items.items:
        check.problems.add(
            "C105", f"layer wants a list of branches, not {describe(items)}", items.span
        )
        return None
    branches = [b for item in items.items if (b := _branch(item, tree, wiring, check)) is not None]
    cross = _cross_attention(tree, check)
    if len(check.problems) > before:
        return None
    dropout = get(tree, ("dropout",))
    rate = 0.0 if dropout is None else validate(
        TypeFields, only(tree, ["dropout"]), check.problems, where="stack", dims=check.dims
    ).dropout  # type: ignore[union-attr]  # checked with the stack  # fmt: skip
    return LayerSpec(_distinct(branches), cross, wiring, rate)


def _cross_attention(tree: Mapping, check: Checking) -> Written | None:
    """The cross-attention that a connection would add: heads as in the self-attention."""
    cls = component_class("cross_attention")
    assert cls is not None
    own, base = get(tree, ("cross_attention",)), get(tree, ("attention",))
    body = Mapping({}, tree.span)
    if isinstance(base, Mapping):
        shared = [key for key in cls.model_fields if key not in {"kind", "causal"}]
        body = only(base, shared)
    if own is not None:
        merged = merge(body, own)
        body = merged if isinstance(merged, Mapping) else body
    if own is None and "num_heads" not in body.entries:
        return None
    keys = [key for key in body.entries if key not in BranchFields.model_fields]
    return component_in(
        "cross_attention",
        only(body, keys),
        check,
        default="cross_attention",
        where="'cross_attention'",
    )


def _branch(item: Tree, stack: Mapping, wiring: Wiring, check: Checking) -> BranchSpec | None:
    named = _named(item, check)
    if named is None:
        return None
    key, body, span = named
    if key == "parallel":
        return _parallel(body, stack, wiring, span, check)
    base = get(stack, (key,)) if key in _SLOTTED else None
    if key != "cross_attention" and base is None and isinstance(body, Mapping) and not body.entries:
        cls = component_class(key)
        required = [n for n, f in cls.model_fields.items() if f.is_required()] if cls else []
        if required:
            check.problems.add(
                "C104", f"the layer has a branch '{key}' but nothing says what it is like", stack.span,
                fix=f"add {key}: {{{required[0]}: ...}}",
            )  # fmt: skip
            return None
    tree = merge(base, body) if base is not None and not is_none(base) else body
    if isinstance(tree, Scalar):
        tree = Mapping({"kind": Entry(tree.span, tree)}, tree.span)
    made, wired, name = _wired(key, tree, wiring, check)
    written = None
    if key != "cross_attention":
        slot = _SLOTTED.get(key, "layer")
        default = key if component_class(key) is not None else None
        written = component_in(slot, made, check, default=default, where=f"'{key}'")
        if written is None:
            return None
    return BranchSpec(name or key, written, wired, span)


def _named(item: Tree, check: Checking) -> tuple[str, Tree, Span] | None:
    """Key, body and place of a branch that is a word or a mapping of one key."""
    if isinstance(item, Scalar) and isinstance(item.value, str):
        key, body, span = item.value, Mapping({}, item.span), item.span
    elif isinstance(item, Mapping) and len(item.entries) == 1:
        ((key, entry),) = item.entries.items()
        body, span = entry.value, entry.key
        if isinstance(body, Scalar) and body.value is None:
            body = Mapping({}, span)
    else:
        check.problems.add(
            "C105", f"a branch is a kind, or one kind with its options, not {describe(item)}", item.span,
            fix="- feed_forward: {scale: 0.5}",
        )  # fmt: skip
        return None
    choices = [*_SLOTTED, "parallel", *kinds_for("layer")]
    if key not in choices:
        fix = guess(key, choices) or f"branches: {', '.join(sorted(set(choices)))}"
        check.problems.add("C103", f"unknown branch '{key}'", span, fix=fix)
        return None
    return key, body, span


def _wired(
    key: str, tree: Tree, wiring: Wiring, check: Checking,
    fields_class: type[BranchFields] = BranchFields,
) -> tuple[Tree, Wiring, str | None]:  # fmt: skip
    """The component's own options, how it is wired, and its name."""
    if not isinstance(tree, Mapping):
        return tree, wiring, None
    keys = _aliases(fields_class)
    fields = validate(
        fields_class, only(tree, keys), check.problems, where=f"'{key}'", dims=check.dims
    )
    if fields is None:
        return without(tree, keys), wiring, None
    if fields.name is not None and (why := name_problem(fields.name)):
        check.problems.add("C107", why, value_span(tree, ("name",)))
    norm, placement = wiring.norm, wiring.placement
    if (written := get(tree, ("norm",))) is not None:
        under = get(tree, ("norm", "placement"))
        norm, given = _norm(tree, check)
        placement = given if under is not None else placement
        del written
    gate_tree = get(tree, ("gate",))
    gate = (
        None if gate_tree is None or is_none(gate_tree) else component_in("gate", gate_tree, check)
    )
    scale = 1.0 if fields.scale is None else fields.scale
    wired = Wiring(norm, placement, scale, gate, fields.residual)
    return without(tree, keys), wired, fields.name


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _parallel(
    body: Tree, stack: Mapping, wiring: Wiring, span: Span, check: Checking
) -> BranchSpec | None:
    if isinstance(body, Sequence):
        body = Mapping({"branches": Entry(span, body)}, span)
    if not isinstance(body, Mapping):
        check.problems.add(
            "C105", f"parallel wants a list of branches, not {describe(body)}", body.span
        )
        return None
    fields = validate(
        ParallelBranchFields, body, check.problems, where="'parallel'", dims=check.dims
    )
    items = get(body, ("branches",))
    if fields is None or items is None:
        return None
    if not isinstance(items, Sequence) or len(items.items) < 2:  # noqa: PLR2004 - side by side
        check.problems.add("C105", "parallel wants a list of at least two branches", items.span)
        return None
    _, wired, name = _wired("parallel", body, wiring, check, ParallelBranchFields)
    inner = [b for item in items.items if (b := _branch(item, stack, wiring, check)) is not None]
    for branch in inner:
        if branch.branches:
            check.problems.add(
                "C105", "parallel branches cannot hold parallel branches", branch.span
            )
    tree = get(body, ("combine",)) or Scalar("sum", span)
    combine = component_in("combine", tree, check)
    if combine is None or len(inner) < len(items.items):
        return None
    return BranchSpec(
        name or "parallel", None, wired, span, _distinct(inner), combine, fields.norms
    )


def _distinct(branches: list[BranchSpec]) -> tuple[BranchSpec, ...]:
    """Branches with names of their own: the second `feed_forward` is `feed_forward_2`."""
    counts: dict[str, int] = {}
    named: list[BranchSpec] = []
    for branch in branches:
        counts[branch.name] = counts.get(branch.name, 0) + 1
        number = counts[branch.name]
        name = branch.name if number == 1 else f"{branch.name}_{number}"
        named.append(BranchSpec(**{**vars(branch), "name": name}))
    return tuple(named)


def split_layers(text: str) -> int | None:
    """N of `every N`, or None."""
    match = re.fullmatch(r"every +([1-9][0-9]{0,5})", text)
    return int(match[1]) if match else None


__all__ = ["nearest", "put", "split_layers", "stack_in"]
