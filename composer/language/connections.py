"""Connections: from tree to spec."""

from __future__ import annotations

import re

from .document import Mapping, Scalar, Sequence, Tree, get, value_span
from .fields import (
    CONNECTIONS,
    CrossFields,
    ParallelFields,
    SkipFields,
    WithinFields,
)
from .slots import Checking, component_in, is_none
from .spec import ConnectionSpec, CrossSpec, ParallelSpec, SharedSpec, SkipSpec, Written
from .stacks import split_layers
from .validate import describe, guess, validate


def connection_in(item: Tree, check: Checking) -> ConnectionSpec | None:
    """One item of `connections`, or None with what is wrong added to the problems."""
    if not isinstance(item, Mapping) or len(item.entries) != 1:
        check.problems.add(
            "C114", f"a connection is one of {', '.join(CONNECTIONS)}, not {describe(item)}", item.span,
            fix="- cross: {from: encoder, to: decoder}",
        )  # fmt: skip
        return None
    ((kind, entry),) = item.entries.items()
    readers = {"cross": _cross, "shared": _shared, "skip": _skip, "parallel": _parallel}
    if kind not in readers:
        check.problems.add(
            "C114", f"unknown connection '{kind}'", entry.key,
            fix=guess(kind, readers) or f"connections: {', '.join(readers)}",
        )  # fmt: skip
        return None
    return readers[kind](entry.value, check)


def _cross(tree: Tree, check: Checking) -> CrossSpec | None:
    fields = validate(CrossFields, tree, check.problems, where="'cross'", dims=check.dims)
    if fields is None or not isinstance(tree, Mapping):
        return None
    sources = (fields.from_,) if isinstance(fields.from_, str) else tuple(fields.from_)
    layers = fields.layers if isinstance(fields.layers, str) else tuple(fields.layers)
    if isinstance(layers, str) and layers not in {"all", "aligned"} and not split_layers(layers):
        check.problems.add(
            "C114", f"layers wants all, aligned, every N or a list, not '{layers}'",
            value_span(tree, ("layers",)), fix="layers: every 2",
        )  # fmt: skip
        return None
    if len(sources) < 2 and fields.combine != "serial":  # noqa: PLR2004 - nothing to combine
        check.problems.add(
            "C114", f"combine: {fields.combine} needs several sources", value_span(tree, ("combine",)),
            fix="from: [encoder_a, encoder_b]",
        )  # fmt: skip
        return None
    if not sources or len(set(sources)) < len(sources):
        check.problems.add("C114", "from wants different names", value_span(tree, ("from",)))
        return None
    return CrossSpec(
        sources, fields.to, layers, _gate(tree, check), fields.combine, fields.read, fields.causal, tree
    )


def _gate(tree: Mapping, check: Checking) -> Written | None:
    gate = get(tree, ("gate",))
    return None if gate is None or is_none(gate) else component_in("gate", gate, check)


def _shared(tree: Tree, check: Checking) -> SharedSpec | None:
    if isinstance(tree, Mapping):
        fields = validate(WithinFields, tree, check.problems, where="'shared'", dims=check.dims)
        return None if fields is None else SharedSpec((), fields.within, fields.every, tree)
    items = tree.items if isinstance(tree, Sequence) else ()
    paths = [i.value for i in items if isinstance(i, Scalar) and isinstance(i.value, str)]
    if len(paths) < 2 or len(paths) < len(items):  # noqa: PLR2004 - sharing takes two
        check.problems.add(
            "C114", "shared wants a list of at least two paths, or {within: ..., every: ...}", tree.span,
            fix="- shared: [encoder.embed.tokens, decoder.embed.tokens]",
        )  # fmt: skip
        return None
    if len(set(paths)) < len(paths):
        check.problems.add("C114", "shared names a path twice", tree.span)
        return None
    return SharedSpec(tuple(paths), None, None, tree)


def _skip(tree: Tree, check: Checking) -> SkipSpec | None:
    fields = validate(SkipFields, tree, check.problems, where="'skip'", dims=check.dims)
    if fields is None or not isinstance(tree, Mapping):
        return None
    pairs = fields.pairs
    if isinstance(pairs, list):
        for index, pair in enumerate(pairs):
            if len(pair) != 2:  # noqa: PLR2004 - a pair
                check.problems.add(
                    "C114", "a pair is two layer numbers: from which, to which",
                    value_span(tree, ("pairs", index)), fix="pairs: [[0, 5], [1, 4]]",
                )  # fmt: skip
                return None
    wanted = get(tree, ("combine",)) or Scalar("add", tree.span)
    combine = component_in("combine", wanted, check)
    if combine is None:
        return None
    listed = tuple((p[0], p[1]) for p in pairs) if isinstance(pairs, list) else pairs
    return SkipSpec(fields.from_, fields.to, listed, combine, tree)


def _parallel(tree: Tree, check: Checking) -> ParallelSpec | None:
    fields = validate(ParallelFields, tree, check.problems, where="'parallel'", dims=check.dims)
    if fields is None or not isinstance(tree, Mapping):
        return None
    if (fields.exchange is None) == (fields.combine is None):
        check.problems.add(
            "C114", "parallel wants either exchange (stacks in step) or combine (branches merged)",
            tree.span, fix="exchange: cross",
        )  # fmt: skip
        return None
    if fields.combine is not None and fields.output is None:
        check.problems.add(
            "C114", "parallel with combine needs a name for its result", tree.span, fix="output: fused"
        )
        return None
    for key in ("direction", "causal") if fields.exchange is None else ("output",):
        if get(tree, (key,)) is not None:
            other = "exchange" if fields.exchange is None else "combine"
            check.problems.add("C114", f"{key} goes with {other} only", value_span(tree, (key,)))
            return None
    direction = _direction(fields, tree, check)
    combine = get(tree, ("combine",))
    made = None if combine is None else component_in("combine", combine, check)
    if combine is not None and made is None:
        return None
    return ParallelSpec(
        tuple(fields.stacks), fields.exchange, direction, fields.causal, made, fields.output, tree
    )


def _direction(
    fields: ParallelFields, tree: Mapping, check: Checking
) -> tuple[str, str] | None:
    if fields.direction is None:
        return None
    match = re.fullmatch(r"\s*(\w+)\s*->\s*(\w+)\s*", fields.direction)
    if match is None or {match[1], match[2]} != set(fields.stacks):
        check.problems.add(
            "C114", "direction wants `a -> b` with the two stacks", value_span(tree, ("direction",)),
            fix=f"direction: {fields.stacks[0]} -> {fields.stacks[1]}",
        )  # fmt: skip
        return None
    return match[1], match[2]
