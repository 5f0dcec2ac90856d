"""`defaults`: options of every stack, merged under what each stack says itself."""

from __future__ import annotations

from .document import Entry, Mapping, Scalar, Tree, get, merge
from .fields import StackFields
from .slots import Checking, is_none, without
from .validate import describe, validate

STACKS = ("encoders", "decoders")


def with_defaults(tree: Mapping, check: Checking) -> Mapping:
    """The spec with `defaults` merged under every stack; what is wrong with them is told once."""
    defaults = get(tree, ("defaults",))
    if defaults is None or is_none(defaults):
        return tree
    if not isinstance(defaults, Mapping):
        message = f"defaults wants options of stacks, not {describe(defaults)}"
        check.problems.add(
            "C105", message, defaults.span, fix="defaults: {d_model: 512, dropout: 0.1}"
        )
        return without(tree, STACKS)
    stacks = [s for section in STACKS if isinstance(s := get(tree, (section,)), Mapping)]
    if not any(stack.entries for stack in stacks):
        check.problems.add(
            "C118",
            "defaults are the options of stacks, and there are none",
            tree.entries["defaults"].key,
            fix="remove them, or add encoders or decoders",
        )
    validate(StackFields, defaults, check.problems, where="defaults", dims=check.dims, partial=True)
    known = {field.alias or name for name, field in StackFields.model_fields.items()}
    usable = without(defaults, defaults.entries.keys() - known)
    entries = dict(tree.entries)
    for section in STACKS:
        if isinstance(stack := get(tree, (section,)), Mapping):
            entries[section] = Entry(entries[section].key, _filled(usable, stack))
    return Mapping(entries, tree.span)


def own(stack: Tree, key: str, spec: Tree | None) -> Tree | None:
    """What a stack says of `key` itself; None where that is left to `defaults`."""
    defaults = None if spec is None else get(spec, ("defaults",))
    if not isinstance(stack, Mapping) or key not in stack.entries:
        return None
    entry = stack.entries[key]
    given = defaults.entries.get(key) if isinstance(defaults, Mapping) else None
    return None if given is entry else entry.value


def _filled(defaults: Mapping, section: Mapping) -> Mapping:
    """A section with the defaults under each of its stacks."""
    filled = {name: Entry(e.key, _under(defaults, e.value)) for name, e in section.entries.items()}
    return Mapping(filled, section.span)


def _under(defaults: Mapping, stack: Tree) -> Tree:
    if isinstance(stack, Scalar) and stack.value is None:
        stack = Mapping({}, stack.span)
    if not isinstance(stack, Mapping):
        return stack
    merged = merge(defaults, stack)
    assert isinstance(merged, Mapping)
    return Mapping(merged.entries, stack.span)
