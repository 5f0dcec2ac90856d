"""`adapt`: fine-tuning as a list of changes, of linear maps and after branches."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from composer.components.component import kinds_for
from composer.diagnostics import Span

from .changes import changes_in
from .chosen import chosen_in
from .document import Entry, Mapping, Scalar, get, key_span, value_span
from .fields import Fields
from .names import name_problem, other_name
from .paths import Chosen, paths_in
from .slots import Checking, component_in, only, without
from .spec import AdaptSpec, Written
from .validate import describe, validate

WHERE = {
    "linear_adapter": "on", "result_adapter": "after", "branch_adapter": "beside",
    "attention_adapter": "on",
}  # fmt: skip
"""The key that says what is adapted, by the slot of the adapter."""
TAKEN = {"weight", "bias", "active"}
"""Attributes of what holds an adapter, which no adapter may be called."""
FIX = "adapt: [{lora: {on: decoder.layers.*.attention.(q|v), rank: 8}}]"


class AdaptFields(Fields):
    """What every adapter has beside the options of its kind."""

    name: Any = Field(default=None, description="Its name. Default: its kind.")
    on: Any = Field(
        default=None,
        description="The linear maps that it changes: paths, or {role: [q, v], in: PATHS}.",
    )
    after: Any = Field(default=None, description="The components that it follows: paths.")
    beside: Any = Field(default=None, description="The components that it stands beside: paths.")


def adapt_in(tree: Mapping, check: Checking) -> tuple[AdaptSpec, ...]:
    """The adapters of a spec, in order; what is wrong is added to the problems."""
    kinds = {kind: slot for slot in WHERE for kind in kinds_for(slot)}
    written = changes_in(tree, "adapt", kinds, check, one="an adapter", many="adapters", fix=FIX)
    made = (_adapter(kind, kinds[kind], entry, check) for kind, entry in written)
    return tuple(adapter for adapter in made if adapter is not None)


def _adapter(kind: str, slot: str, entry: Entry, check: Checking) -> AdaptSpec | None:
    body, where = entry.value, WHERE[slot]
    if not isinstance(body, Mapping):
        message = f"{kind} wants its options, not {describe(body)}"
        check.problems.add("C105", message, body.span, fix=FIX)
        return None
    keys = ("name", where)
    wiring = only(body, keys)
    validate(AdaptFields, wiring, check.problems, where=f"'{kind}'", dims=check.dims)
    options = without(body, [*keys, *_misplaced(where, body)])
    kind_entry = Entry(entry.key, Scalar(kind, entry.key))
    whole = Mapping({"kind": kind_entry, **options.entries}, body.span)
    made = component_in(slot, whole, check, beside=keys)
    name = _name(kind, body, check)
    chosen = _chosen(kind, slot, body, entry.key, check)
    if made is None or name is None or chosen is None:
        return None
    written = Written(made.component, body)
    return AdaptSpec(written, name, chosen, slot, entry.key)


def _misplaced(where: str, body: Mapping) -> list[str]:
    """The key that says, in place of the one that is wanted, where another adapter stands."""
    others = [] if where in body.entries else WHERE.values()
    return [key for key in dict.fromkeys(others) if key in body.entries][:1]


def _name(kind: str, body: Mapping, check: Checking) -> str | None:
    written = get(body, ("name",))
    if written is None:
        return kind
    span = value_span(body, ("name",))
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        check.problems.add("C105", f"a name is a word, not {describe(written)}", span)
        return None
    why = name_problem(written.value, variable=False)
    if why is None and written.value in TAKEN:
        why = f"'{written.value}' is an attribute of every linear map"
    if why is not None:
        check.problems.add("C107", why, span, fix=other_name(written.value))
        return None
    return written.value


def _chosen(kind: str, slot: str, body: Mapping, key: Span, check: Checking) -> Chosen | None:
    """What `on`, `after` or `beside` says."""
    where = WHERE[slot]
    written = get(body, (where,))
    if written is None and (other := _misplaced(where, body)):
        fix, span = f"did you mean '{where}'?", key_span(body, tuple(other))
        check.problems.add("C102", f"'{kind}' wants '{where}', not '{other[0]}'", span, fix=fix)
        return None
    if written is None:
        fix = f"{kind}: {{{where}: decoder.layers.*.{'attention.q' if slot == 'linear_adapter' else 'attention'}}}"
        check.problems.add("C104", f"'{kind}' needs '{where}'", key, fix=fix)
        return None
    if slot == "linear_adapter":
        return chosen_in(written, check)
    paths = paths_in(written, where, check.problems)
    return Chosen(paths) if paths else None
