"""Component slots: from the tree in a slot to the component that stands there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from typing import Any

from composer.components.component import (
    SLOTS,
    Component,
    component_class,
    kinds_for,
)
from composer.components.options import ExpressionError, calculate
from composer.diagnostics import Problems

from .document import Mapping, Scalar, Sequence, Tree, get, plain
from .spec import Written
from .validate import describe, guess, validate
from .wants import either, expression_fix

NOUNS = {
    "input": "an input",
    "attention_position": "position",
    "layer": "a branch",
    "module": "a module",
    "pool": "a pool",
}
"""What a slot is called in a message, where that is not its key."""


@dataclass(frozen=True)
class Checking:
    """What all checks of one spec share: its numbers, the problems found so far, its tree."""

    dims: AnyMapping[str, float]
    problems: Problems
    spec: Tree | None = None


def without(tree: Mapping, keys: Iterable[str]) -> Mapping:
    """`tree` less some keys."""
    dropped = set(keys)
    kept = {key: entry for key, entry in tree.entries.items() if key not in dropped}
    return Mapping(kept, tree.span)


def only(tree: Mapping, keys: Iterable[str]) -> Mapping:
    """`tree` with nothing but some keys."""
    wanted = set(keys)
    return without(tree, [key for key in tree.entries if key not in wanted])


def is_none(tree: Tree | None) -> bool:
    """Whether a slot is left empty: absent, `none`, `null` or `false`."""
    return tree is None or (
        isinstance(tree, Scalar) and (tree.value in (None, "none") or tree.value is False)
    )


def component_in(
    slot: str, tree: Tree, check: Checking, *, default: str | None = None, where: str | None = None,
    beside: Iterable[str] = (),
) -> Written | None:  # fmt: skip
    """The component that `tree` describes in a slot, or None with the reason as a problem.

    A word alone is its kind; `default` is the kind where none is given. Keys `beside` its options
    are left out of `tree`, but may stand there.
    """
    cls = kind_of(slot, tree, check, default)
    if cls is None:
        return None
    body = tree if isinstance(tree, Mapping) else Mapping({}, tree.span)
    before = len(check.problems)
    what = where or f"'{cls.model_fields['kind'].default}'"
    parts = _inner(cls, body, check)
    inner = {**parts, **_sizes(cls, body, what, check)}
    right = len(check.problems) == before
    kind = cls.model_fields["kind"].default
    made = validate(
        cls,
        without(body, ["kind"]),
        check.problems,
        where=what,
        dims=check.dims,
        given={"kind": kind, **inner},
        told=() if right else parts,
        beside=beside,
    )
    return Written(made, body) if made is not None and right else None


def kind_of(
    slot: str, tree: Tree, check: Checking, default: str | None = None
) -> type[Component] | None:
    """The class of the kind that `tree` names, or None with the reason as a problem."""
    named: Tree | None = tree if isinstance(tree, Scalar) else get(tree, ("kind",))
    choices = kinds_for(slot)
    noun, listed = NOUNS.get(slot, slot), f"kinds: {', '.join(choices)}"
    bare = isinstance(tree, Scalar) and not isinstance(tree.value, str)
    if bare or not isinstance(tree, Scalar | Mapping):
        check.problems.add(
            "C105",
            f"{noun} wants a kind or its options, not {describe(tree)}",
            tree.span,
            fix=listed,
        )
        return None
    if named is None:
        if default is None:
            check.problems.add("C104", f"{noun} needs a kind", tree.span, fix=listed)
            return None
        return component_class(default)
    kind = plain(named)
    if not isinstance(kind, str):
        check.problems.add(
            "C103", f"a kind is a word, not {describe(named)}", named.span, fix=listed
        )
        return None
    cls = component_class(kind)
    if cls is None:
        fix = guess(kind, choices) or f"{listed} (see `composer kinds`)"
        check.problems.add("C103", f"unknown kind '{kind}'", named.span, fix=fix)
        return None
    if slot not in cls.slots:
        places = either([SLOTS[s] for s in cls.slots])
        check.problems.add(
            "C103",
            f"'{kind}' cannot stand {SLOTS[slot]}, only {places}",
            named.span,
            fix=listed,
        )
        return None
    return cls


def _inner(cls: type[Component], body: Mapping, check: Checking) -> dict[str, Any]:
    """Components inside this one, by option; None stands for one that is wrong."""
    made: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        extra = field.json_schema_extra
        tree = get(body, (name,))
        if not isinstance(extra, dict) or "slot" not in extra or tree is None:
            continue
        if is_none(tree):
            made[name] = None
            continue
        default = "layernorm" if extra["slot"] == "norm" else extra.get("default")
        if default is not None and isinstance(tree, Scalar) and tree.value is True:
            tree = Mapping({}, tree.span)
        kind = None if default is None else str(default)
        if extra.get("many"):
            made[name] = _several(name, str(extra["slot"]), tree, check, kind)
            continue
        inner = component_in(str(extra["slot"]), tree, check, default=kind)
        made[name] = None if inner is None else inner.component
    return made


def _several(
    option: str, slot: str, tree: Tree, check: Checking, default: str | None
) -> list[Component] | None:
    """The components of a list, or None with the reasons as problems."""
    if not isinstance(tree, Sequence) or not tree.items:
        found = "an empty one" if isinstance(tree, Sequence) else describe(tree)
        check.problems.add(
            "C105",
            f"{option} wants a list of components, not {found}",
            tree.span,
            fix=f"{option}: [...]",
        )
        return None
    made = [component_in(slot, item, check, default=default) for item in tree.items]
    right = [one.component for one in made if one is not None]
    return right if len(right) == len(made) else None


def _sizes(cls: type[Component], body: Mapping, where: str, check: Checking) -> dict[str, Any]:
    """Sizes of axes that a pattern names, which may be expressions."""
    if cls.model_config.get("extra") != "allow":
        return {}
    pattern = get(body, ("pattern",))
    axes = re.findall(r"[A-Za-z_]\w*", str(pattern.value)) if isinstance(pattern, Scalar) else []
    made: dict[str, Any] = {}
    for name, entry in body.entries.items():
        if name in cls.model_fields:
            continue
        value = made[name] = plain(entry.value)
        if pattern is not None and name not in axes:
            hint = guess(name, [*cls.model_fields, *axes])
            fix = hint or f"axes: {', '.join(dict.fromkeys(axes))}"
            check.problems.add("C102", f"unknown key '{name}' in {where}", entry.key, fix=fix)
        elif isinstance(value, str):
            try:
                made[name] = calculate(value, check.dims)
            except ExpressionError as error:
                problem, span = f"{name}: {error}", entry.value.span
                check.problems.add("C106", problem, span, fix=expression_fix(value, check.dims))
    return made
