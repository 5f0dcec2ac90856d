"""Component slots: from the tree in a slot to the component that stands there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping as AnyMapping
from dataclasses import dataclass
from typing import Any

from composer.components.component import (
    SLOTS,
    Component,
    OptionError,
    component_class,
    kinds_for,
)
from composer.diagnostics import Problems

from .document import Entry, Mapping, Scalar, Tree, get, plain, value_span
from .spec import Written
from .validate import describe, guess, validate


@dataclass(frozen=True)
class Checking:
    """What all checks of one spec share: its numbers, and the problems found so far."""

    dims: AnyMapping[str, float]
    problems: Problems


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
    slot: str, tree: Tree, check: Checking, *, default: str | None = None, where: str | None = None
) -> Written | None:
    """The component that `tree` describes in a slot, or None with the reason as a problem.

    A word alone is its kind; `default` is the kind where none is given.
    """
    cls = kind_of(slot, tree, check, default)
    if cls is None:
        return None
    body = tree if isinstance(tree, Mapping) else Mapping({}, tree.span)
    inner = _inner(cls, body, check)
    if inner is None:
        return None
    kind = cls.model_fields["kind"].default
    made = validate(
        cls, without(body, ["kind"]), check.problems,
        where=where or f"'{kind}'", dims=check.dims, given={"kind": kind, **inner},
    )  # fmt: skip
    return None if made is None else Written(made, body)


def kind_of(
    slot: str, tree: Tree, check: Checking, default: str | None = None
) -> type[Component] | None:
    """The class of the kind that `tree` names, or None with the reason as a problem."""
    named: Tree | None = tree if isinstance(tree, Scalar) else get(tree, ("kind",))
    if not isinstance(tree, Scalar | Mapping):
        check.problems.add(
            "C105", f"a component is a kind or a mapping, not {describe(tree)}", tree.span
        )
        return None
    choices = kinds_for(slot)
    if named is None:
        if default is None:
            check.problems.add(
                "C104", "a component needs a 'kind'", tree.span, fix=f"kinds: {', '.join(choices)}"
            )
            return None
        return component_class(default)
    kind = plain(named)
    if not isinstance(kind, str):
        check.problems.add(
            "C103",
            f"a kind is a word, not {describe(named)}",
            named.span,
            fix=f"kinds: {', '.join(choices)}",
        )
        return None
    cls = component_class(kind)
    if cls is None:
        fix = guess(kind, choices) or f"kinds: {', '.join(choices)} (see `composer kinds`)"
        check.problems.add("C103", f"unknown kind '{kind}'", named.span, fix=fix)
        return None
    if slot not in cls.slots:
        places = " or ".join(SLOTS[s] for s in cls.slots)
        check.problems.add(
            "C103", f"'{kind}' cannot stand {SLOTS[slot]}, only {places}", named.span,
            fix=f"kinds: {', '.join(choices)}",
        )  # fmt: skip
        return None
    return cls


def _inner(cls: type[Component], body: Mapping, check: Checking) -> dict[str, Any] | None:
    """Components inside this one, by option; None if one of them is wrong."""
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
        inner = component_in(str(extra["slot"]), tree, check, default=default)  # type: ignore[arg-type]  # a kind
        if inner is None:
            return None
        made[name] = inner.component
    return made


def report(error: OptionError, written: Written, check_problems: Problems) -> None:
    """An option that cannot hold in its place, as a problem at the option."""
    span = value_span(written.tree, (error.option,))
    check_problems.add("C115", error.message, span, fix=error.fix)


def put(tree: Mapping, key: str, value: Tree) -> Mapping:
    """`tree` with one key set, keeping the place of the key where it had one."""
    place = tree.entries[key].key if key in tree.entries else value.span
    return Mapping({**tree.entries, key: Entry(place, value)}, tree.span)
