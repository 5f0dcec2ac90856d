"""The parametrization of a spec: its kind, and the changes that give the model it starts from."""

from __future__ import annotations

from .document import Entry, Mapping, Scalar, Tree, get, merge
from .fields import ParametrizationFields
from .slots import Checking, is_none, without
from .spec import ParametrizationKind
from .validate import describe, validate

FIX = "parametrization: {kind: mup, base: {dims: {d_model: 64}}}"


def parametrization_in(tree: Mapping, check: Checking) -> tuple[ParametrizationKind, Tree] | None:
    """The kind and the tree of the base, or None where it is the standard one."""
    written = get(tree, ("parametrization",))
    if written is None or is_none(written):
        return None
    body = written
    if isinstance(written, Scalar):
        body = _from_word(written)
    fields = validate(
        ParametrizationFields, body, check.problems, where="'parametrization'", dims=check.dims
    )
    if fields is None:
        return None
    base = get(body, ("base",))
    if fields.kind == "standard":
        if base is not None:
            message = "the standard parametrization has no base"
            check.problems.add("C115", message, base.span, fix="remove base")
        return None
    if not isinstance(base, Mapping) or not base.entries:
        found = "nothing" if base is None else describe(base)
        message = f"{fields.kind} wants the changes that give its base, not {found}"
        check.problems.add("C105", message, (base or written).span, fix=FIX)
        return None
    return fields.kind, merge(without(tree, ["parametrization", "weights"]), base)


def _from_word(word: Scalar) -> Mapping:
    """A word alone is the kind."""
    return Mapping({"kind": Entry(word.span, word)}, word.span)
