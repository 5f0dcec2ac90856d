"""Layers and their branches: from tree to spec."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydantic import BaseModel

from composer.components.component import Component, component_class, kinds_for
from composer.diagnostics import Problems, Span

from .document import Entry, Mapping, Scalar, Sequence, Tree, get, merge, plain, value_span
from .fields import BranchFields, ParallelBranchFields, TypeFields
from .names import name_problem, other_name
from .slots import Checking, component_in, is_none, only, without
from .spec import BranchSpec, LayerSpec, Placement, Wiring, Written
from .validate import describe, guess, validate

DEFAULT_LAYER = ("attention", "feed_forward")
PLACEMENTS = ("pre", "post", "sandwich", "branch")
_SLOTTED = ("attention", "cross_attention", "feed_forward")


def layer_in(stack: Mapping, check: Checking) -> LayerSpec | None:
    """The layer that a stack, with the changes of one layer type, describes."""
    before = len(check.problems)
    norm, placement = norm_in(stack, check)
    wiring = Wiring(norm, placement)
    items = get(stack, ("layer",))
    if items is None:
        items = Sequence(tuple(Scalar(name, stack.span) for name in DEFAULT_LAYER), stack.span)
    if not isinstance(items, Sequence) or not items.items:
        found = "an empty one" if isinstance(items, Sequence) else describe(items)
        check.problems.add(
            "C105",
            f"layer wants a list of branches, not {found}",
            items.span,
            fix=f"layer: [{', '.join(DEFAULT_LAYER)}]",
        )
        return None
    branches = [_branch(item, stack, wiring, check) for item in items.items]
    cross, cross_wiring = _cross_attention(stack, items.items, wiring, check)
    made = [branch for branch in branches if branch is not None]
    _check_cross_once(made, check)
    rate = validate(
        TypeFields, only(stack, ["dropout"]), Problems(), where="the stack", dims=check.dims
    )  # what is wrong with it is told with the stack
    if len(check.problems) > before or len(made) < len(branches) or rate is None:
        return None
    return LayerSpec(_distinct(made), wiring, cross, cross_wiring, rate.dropout)


def norm_in(tree: Mapping, check: Checking) -> tuple[Written | None, Placement]:
    """The norm that a stack or branch names, and where it stands."""
    norm = get(tree, ("norm",))
    if norm is None:
        return component_in("norm", Mapping({}, tree.span), check, default="layernorm"), "pre"
    if isinstance(norm, Scalar) and norm.value in PLACEMENTS:
        message = f"norm wants a kind or its options, and '{norm.value}' is a placement"
        check.problems.add("C103", message, norm.span, fix=f"norm: {{placement: {norm.value}}}")
        return None, "pre"
    placement: Placement = "pre"
    written = get(norm, ("placement",))
    if written is not None:
        if plain(written) in PLACEMENTS:
            placement = plain(written)
        else:
            check.problems.add(
                "C105",
                f"placement wants {', '.join(PLACEMENTS)}, not {describe(written)}",
                written.span,
                fix=guess(str(plain(written)), PLACEMENTS),
            )
    if is_none(norm):
        return None, placement
    body = without(norm, ["placement"]) if isinstance(norm, Mapping) else norm
    return component_in("norm", body, check, default="layernorm", where="'norm'"), placement


def listed(stack: Mapping) -> set[str]:
    """The keys of the branches that a layer has, those side by side included."""
    items = get(stack, ("layer",))
    if items is None:
        return set(DEFAULT_LAYER)
    found: set[str] = set()
    trees = [items]
    for tree in trees:
        if isinstance(tree, Sequence):
            trees += tree.items
        elif isinstance(tree, Mapping):
            found |= tree.entries.keys()
            trees += [inner for path in _INNER if (inner := get(tree, path)) is not None]
        elif isinstance(tree.value, str):
            found.add(tree.value)
    return found


_INNER = (("parallel",), ("branches",))


# Branches


def _branch(item: Tree, stack: Mapping, wiring: Wiring, check: Checking) -> BranchSpec | None:
    named = _named(item, check)
    if named is None:
        return None
    key, body, span = named
    if key == "parallel":
        return _parallel(body, stack, wiring, span, check)
    tree = _options(key, body, stack, span, check)
    if tree is None:
        return None
    made, wired, name = _wired(key, tree, wiring, check)
    if key == "cross_attention":
        return BranchSpec(key, None, wired, span)
    default = key if component_class(key) is not None else None
    slot = key if key in _SLOTTED else "layer"
    written = component_in(slot, made, check, default=default, where=f"'{key}'")
    return None if written is None else BranchSpec(name or key, written, wired, span)


def _named(item: Tree, check: Checking) -> tuple[str, Tree, Span] | None:
    """Key, body and place of a branch that is a word or a mapping of one key."""
    body: Tree
    if isinstance(item, Scalar) and isinstance(item.value, str):
        key, body, span = item.value, Mapping({}, item.span), item.span
    elif isinstance(item, Mapping) and len(item.entries) == 1:
        ((key, entry),) = item.entries.items()
        body, span = entry.value, entry.key
        if isinstance(body, Scalar) and body.value is None:
            body = Mapping({}, span)
    else:
        check.problems.add(
            "C105",
            f"a branch is a kind, or one kind with its options, not {describe(item)}",
            item.span,
            fix="- feed_forward: {scale: 0.5}",
        )
        return None
    choices = [*_SLOTTED, "parallel", *kinds_for("layer")]
    if key not in choices:
        fix = guess(key, choices) or f"branches: {', '.join(sorted(set(choices)))}"
        check.problems.add("C103", f"unknown branch '{key}'", span, fix=fix)
        return None
    return key, body, span


def _options(key: str, body: Tree, stack: Mapping, span: Span, check: Checking) -> Tree | None:
    """The options of a branch: its own over those that the stack has for it."""
    base = get(stack, (key,)) if key in _SLOTTED else None
    if base is not None and is_none(base):
        check.problems.add(
            "C105",
            f"{key} is {describe(base)}, but it is a branch of the layer",
            base.span,
            fix=f"layer: [{', '.join(name for name in DEFAULT_LAYER if name != key)}]",
        )
        return None
    body = _as_mapping(body)
    bare = isinstance(body, Mapping) and not body.entries
    if base is not None:
        base = _as_mapping(base)
        merged = merge(base, body) if isinstance(base, Mapping) else base
        return (
            Mapping(merged.entries, base.span) if bare and isinstance(merged, Mapping) else merged
        )
    cls = component_class(key)
    required = _required(cls) if cls is not None and bare and key != "cross_attention" else {}
    if required:
        options = ", ".join(f"{name}: {value}" for name, value in required.items())
        check.problems.add(
            "C104",
            f"the layer has a branch '{key}', but nothing says its {' and '.join(required)}",
            span,
            fix=f"add {key}: {{{options}}}" if key in _SLOTTED else f"- {key}: {{{options}}}",
        )
        return None
    return body


def _required(cls: type[Component]) -> dict[str, object]:
    """The options that a kind must have, as in its first example."""
    example = cls.examples[0] if cls.examples else {}
    return {n: example.get(n, "...") for n, f in cls.model_fields.items() if f.is_required()}


def _as_mapping(tree: Tree) -> Tree:
    """A word alone is a kind."""
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        return Mapping({"kind": Entry(tree.span, tree)}, tree.span)
    return tree


def _wired(
    key: str,
    tree: Tree,
    wiring: Wiring,
    check: Checking,
    fields_class: type[BranchFields] = BranchFields,
) -> tuple[Tree, Wiring, str | None]:
    """The component's own options, how it is wired, and its name."""
    if not isinstance(tree, Mapping):
        return tree, wiring, None
    keys = _aliases(fields_class)
    fields = validate(
        fields_class, only(tree, keys), check.problems, where=f"'{key}'", dims=check.dims
    )
    if fields is None:
        return without(tree, keys), wiring, None
    if fields.name is not None:
        _check_name(key, fields.name, value_span(tree, ("name",)), check)
    norm, placement = wiring.norm, wiring.placement
    if get(tree, ("norm",)) is not None:
        norm, given = norm_in(tree, check)
        placement = placement if get(tree, ("norm", "placement")) is None else given
    gate = get(tree, ("gate",))
    made_gate = None if gate is None or is_none(gate) else component_in("gate", gate, check)
    scale = 1.0 if fields.scale is None else fields.scale
    wired = Wiring(norm, placement, scale, made_gate, fields.residual)
    return without(tree, keys), wired, fields.name


def _check_name(key: str, name: str, span: Span, check: Checking) -> None:
    if key == "cross_attention":
        check.problems.add(
            "C107", "a cross-attention is named after what it reads", span, fix="leave out name"
        )
    elif why := name_problem(name):
        check.problems.add("C107", why, span, fix=other_name(name))


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _parallel(
    body: Tree, stack: Mapping, wiring: Wiring, span: Span, check: Checking
) -> BranchSpec | None:
    if isinstance(body, Sequence):
        body = Mapping({"branches": Entry(span, body)}, span)
    if not isinstance(body, Mapping):
        message = f"parallel wants a list of branches, not {describe(body)}"
        check.problems.add("C105", message, body.span, fix="- parallel: [attention, feed_forward]")
        return None
    fields = validate(
        ParallelBranchFields, body, check.problems, where="'parallel'", dims=check.dims
    )
    tree = get(body, ("combine",)) or Scalar("sum", span)
    combine = component_in("combine", tree, check)
    items = get(body, ("branches",))
    if items is None:
        return None
    if not isinstance(items, Sequence) or len(items.items) < 2:  # noqa: PLR2004 - side by side
        check.problems.add(
            "C105",
            "parallel wants a list of at least two branches",
            items.span,
            fix="parallel: [attention, feed_forward]",
        )
        return None
    inner = [_branch(item, stack, wiring, check) for item in items.items]
    made = [branch for branch in inner if branch is not None]
    for branch in made:
        _check_inside_parallel(branch, wiring, fields is None or fields.norms == "each", check)
    _, wired, name = _wired(
        "parallel", body, wiring, Checking(check.dims, Problems()), ParallelBranchFields
    )
    if fields is None or combine is None or len(made) < len(inner):
        return None
    if fields.name is not None:
        _check_name("parallel", fields.name, value_span(body, ("name",)), check)
    return BranchSpec(name or "parallel", None, wired, span, _distinct(made), combine, fields.norms)


def _check_inside_parallel(
    branch: BranchSpec, outer: Wiring, own_norms: bool, check: Checking
) -> None:
    """Branches side by side are wired as one; what they may not have is refused."""
    if branch.branches:
        message = "parallel branches cannot hold parallel branches"
        check.problems.add("C105", message, branch.span, fix="write all of them in one list")
    elif branch.made is None:
        check.problems.add(
            "C105",
            "cross_attention cannot stand inside parallel",
            branch.span,
            fix="put it before or after: [attention, cross_attention, feed_forward]",
        )
    elif branch.wiring.scale != 1 or branch.wiring.gate or not branch.wiring.residual:
        check.problems.add(
            "C105",
            "scale, gate and residual belong to the parallel, whose branches are one",
            branch.span,
            fix="parallel: {branches: [...], scale: 0.5}",
        )
    elif branch.wiring.norm is not outer.norm and not own_norms:
        check.problems.add(
            "C105",
            "branches inside parallel have one norm, and this one asks for its own",
            branch.span,
            fix="parallel: {branches: [...], norms: each}",
        )


# Cross-attention


def _cross_attention(
    stack: Mapping, items: Iterable[Tree], wiring: Wiring, check: Checking
) -> tuple[Written | None, Wiring]:
    """The cross-attention that a connection would add, its heads as in the self-attention."""
    cls = component_class("cross_attention")
    assert cls is not None
    slot = get(stack, ("cross_attention",))
    own = None if slot is None or is_none(slot) else _as_mapping(slot)
    for item in items:
        listed = get(item, ("cross_attention",))
        if isinstance(listed, Mapping):
            own = listed if own is None else merge(own, listed)
    base = get(stack, ("attention",))
    inherited = [key for key in cls.model_fields if key not in {"kind", "causal"}]
    heads = only(base, inherited) if isinstance(base, Mapping) else Mapping({}, stack.span)
    if own is None and "num_heads" not in heads.entries:
        return None, wiring
    body: Tree = heads
    if own is not None:
        made, wiring, _ = _wired("cross_attention", own, wiring, check)
        body = merge(body, made)
    causal = get(body, ("causal",))
    if causal is not None:
        check.problems.add(
            "C115",
            "whether a cross-attention is causal is said where it is connected",
            causal.span,
            fix=f"- cross: {{from: ..., to: ..., causal: {describe(causal)}}}",
        )
    written = component_in(
        "cross_attention", body, check, default="cross_attention", where="'cross_attention'"
    )
    return written, wiring


def _check_cross_once(branches: list[BranchSpec], check: Checking) -> None:
    listed = [b for b in branches if b.made is None and not b.branches]
    for branch in listed[1:]:
        check.problems.add(
            "C105",
            "cross_attention stands in the layer twice",
            branch.span,
            fix="leave out one of them",
        )


def _distinct(branches: list[BranchSpec]) -> tuple[BranchSpec, ...]:
    """Branches with names of their own: the second `feed_forward` is `feed_forward_2`."""
    counts: dict[str, int] = {}
    named: list[BranchSpec] = []
    for branch in branches:
        counts[branch.name] = counts.get(branch.name, 0) + 1
        number = counts[branch.name]
        name = branch.name if number == 1 else f"{branch.name}_{number}"
        named.append(replace(branch, name=name))
    return tuple(named)
