"""Which layer of a stack is of which type."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from itertools import cycle, islice
from typing import Any

from .document import Loc, Mapping, Tree, get, key_span, plain, value_span
from .fields import LayerTypesFields, StackFields
from .slots import Checking
from .spec import LayerSpec
from .validate import guess, validate


def without_order(tree: Tree) -> dict[str, Any]:
    """`layer_types` as a key that is checked here, where it is no plain list."""
    return {"layer_types": None} if isinstance(get(tree, ("layer_types",)), Mapping) else {}


def layer_types(
    fields: StackFields, types: AnyMapping[str, LayerSpec | None], tree: Mapping, check: Checking
) -> tuple[str, ...]:
    """The types of the layers in order, to be cycled over the depth."""
    written = get(tree, ("layer_types",))
    first: list[str] = []
    then = fields.layer_types
    if isinstance(written, Mapping):
        order = validate(
            LayerTypesFields, written, check.problems, where="'layer_types'", dims=check.dims
        )
        if order is None:
            return ()
        first, then = order.first, order.then
    if then is None:
        if types and "" not in types:
            check.problems.add(
                "C116",
                "types without layer_types: no layer would use them",
                key_span(tree, ("types",)),
                fix=f"layer_types: [{', '.join(types)}]",
            )
        return tuple(types)
    whole = [*first, *islice(cycle(then), max(fields.num_layers - len(first), 0))]
    if _can_be_checked([*first, *then], types, tree, check):
        _check_types(set(whole[: fields.num_layers]), fields.num_layers, types, tree, check)
    return tuple(whole[: fields.num_layers]) if first else tuple(then)


def _can_be_checked(
    names: list[str], types: AnyMapping[str, LayerSpec | None], tree: Mapping, check: Checking
) -> bool:
    """Whether there are both names and types; says so where one is missing."""
    span = value_span(tree, ("layer_types",))
    if not names:
        check.problems.add(
            "C116", "layer_types is empty", span, fix=f"layer_types: [{', '.join(types)}]"
        )
    elif "" in types:
        check.problems.add(
            "C116",
            "layer_types without types: nothing says what they are",
            span,
            fix=f"types: {{{', '.join(f'{name}: {{}}' for name in dict.fromkeys(names))}}}",
        )
    return bool(names and types and "" not in types)


def _check_types(
    used: set[str],
    num_layers: int,
    types: AnyMapping[str, LayerSpec | None],
    tree: Mapping,
    check: Checking,
) -> None:
    """Every type that is named exists, and every type that exists is used."""
    written = dict(_names(tree))
    for place, name in written.items():
        if name not in types:
            hint = guess(name, [known for known in types if known not in written.values()])
            used |= {hint.split("'")[1]} if hint else set()
            check.problems.add(
                "C116",
                f"layer type '{name}' is not one of types",
                value_span(tree, place),
                fix=hint or f"types: {{{name}: {{}}}}",
            )
    for name in (name for name in types if name not in used):
        beyond = name in written.values()
        why = f"the stack has {num_layers} layers" if beyond else "layer_types does not name it"
        check.problems.add(
            "C116",
            f"layer type '{name}' is used by no layer: {why}",
            key_span(tree, ("types", name)),
            fix="remove it, or name it earlier"
            if beyond
            else f"remove it, or add {name} to layer_types",
        )


def _names(tree: Mapping) -> Iterator[tuple[Loc, str]]:
    """The types that are named, each with its place."""
    written = get(tree, ("layer_types",))
    keys = [(key,) for key in written.entries] if isinstance(written, Mapping) else [()]
    for key in keys:
        found = get(tree, ("layer_types", *key))
        names = [] if found is None else plain(found)
        for index, name in enumerate(names):
            yield ("layer_types", *key, index), name
