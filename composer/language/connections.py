"""Connections: from tree to spec."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

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

Pairs = Literal["mirror", "aligned"] | tuple[tuple[int, int], ...]


def connection_in(item: Tree, check: Checking) -> ConnectionSpec | None:
    """One item of `connections`, or None with what is wrong added to the problems."""
    if not isinstance(item, Mapping) or len(item.entries) != 1:
        several = isinstance(item, Mapping) and len(item.entries) > 1
        check.problems.add(
            "C114",
            f"a connection is one of {', '.join(CONNECTIONS)}, not {describe(item)}",
            item.span,
            fix="start each with a '- ' of its own"
            if several
            else "- cross: {from: encoder, to: decoder}",
        )
        return None
    ((kind, entry),) = item.entries.items()
    readers = {"cross": _cross, "shared": _shared, "skip": _skip, "parallel": _parallel}
    if kind not in readers:
        check.problems.add(
            "C114",
            f"unknown connection '{kind}'",
            entry.key,
            fix=guess(kind, readers) or f"connections: {', '.join(readers)}",
        )
        return None
    return readers[kind](entry.value, check)


def _cross(tree: Tree, check: Checking) -> CrossSpec | None:
    fields = validate(CrossFields, tree, check.problems, where="'cross'", dims=check.dims)
    if not isinstance(tree, Mapping):
        return None
    before = len(check.problems)
    gate = _gate(tree, check)
    if fields is None:
        return None
    sources = (fields.from_,) if isinstance(fields.from_, str) else tuple(fields.from_)
    layers = fields.layers if isinstance(fields.layers, str) else tuple(fields.layers)
    _check_different(sources, "from", tree, check)
    _check_layers(layers, tree, check)
    if len(sources) == 1 and fields.combine != "serial":
        check.problems.add(
            "C114",
            f"combine: {fields.combine} needs several sources, and from names one",
            value_span(tree, ("combine",)),
            fix="leave out combine, or from: [encoder_a, encoder_b]",
        )
    if len(check.problems) > before:
        return None
    return CrossSpec(
        sources, fields.to, layers, gate, fields.combine, fields.read, fields.causal, tree
    )


def _check_layers(layers: str | tuple[int, ...], tree: Mapping, check: Checking) -> None:
    if isinstance(layers, tuple):
        _check_different(layers, "layers", tree, check)
    elif layers not in {"all", "aligned"} and not split_layers(layers):
        check.problems.add(
            "C114",
            f"layers wants all, aligned, every N or a list, not '{layers}'",
            value_span(tree, ("layers",)),
            fix=guess(layers, ["all", "aligned"]) or "layers: every 2",
        )


def _check_different(items: Iterable[object], key: str, tree: Mapping, check: Checking) -> None:
    """Adds a problem where a list is empty or has the same item twice."""
    seen: set[object] = set()
    for index, item in enumerate(items):
        if item in seen:
            span = value_span(tree, (key, index))
            check.problems.add(
                "C114", f"{key} names {_said(item)} twice", span, fix="leave out one of them"
            )
        seen.add(item)
    if not seen:
        check.problems.add("C114", f"{key} names nothing", value_span(tree, (key,)))


def _said(item: object) -> str:
    return f"'{item}'" if isinstance(item, str) else str(item)


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
            "C114",
            "shared wants a list of at least two paths, or {within: ..., every: ...}",
            tree.span,
            fix="- shared: [encoder.embed.tokens, decoder.embed.tokens]",
        )
        return None
    for index, path in enumerate(paths):
        if path in paths[:index]:
            span = value_span(tree, (index,))
            check.problems.add(
                "C114", f"shared names '{path}' twice", span, fix="leave out one of them"
            )
            return None
    return SharedSpec(tuple(paths), None, None, tree)


def _skip(tree: Tree, check: Checking) -> SkipSpec | None:
    fields = validate(SkipFields, tree, check.problems, where="'skip'", dims=check.dims)
    if not isinstance(tree, Mapping):
        return None
    wanted = get(tree, ("combine",)) or Scalar("add", tree.span)
    combine = component_in("combine", wanted, check)
    if fields is None:
        return None
    pairs: Pairs | None = fields.pairs if isinstance(fields.pairs, str) else None
    if isinstance(fields.pairs, list):
        pairs = _listed_pairs(fields.pairs, tree, check)
        if pairs is None:
            return None
    if combine is None:
        return None
    return SkipSpec(fields.from_, fields.to, pairs, combine, tree)


def _listed_pairs(
    pairs: list[list[int]], tree: Mapping, check: Checking
) -> tuple[tuple[int, int], ...] | None:
    if not pairs:
        check.problems.add(
            "C114", "pairs names no layers", value_span(tree, ("pairs",)), fix="pairs: [[0, 1]]"
        )
        return None
    for index, pair in enumerate(pairs):
        if len(pair) != 2:  # noqa: PLR2004 - a pair
            check.problems.add(
                "C114",
                f"a pair is two layer numbers, from which and to which, not {len(pair)}",
                value_span(tree, ("pairs", index)),
                fix="pairs: [[0, 5], [1, 4]]",
            )
            return None
    return tuple((first, last) for first, last in pairs)


def _parallel(tree: Tree, check: Checking) -> ParallelSpec | None:
    fields = validate(ParallelFields, tree, check.problems, where="'parallel'", dims=check.dims)
    if not isinstance(tree, Mapping):
        return None
    before = len(check.problems)
    combine = get(tree, ("combine",))
    made = None if combine is None or is_none(combine) else component_in("combine", combine, check)
    if fields is None:
        return None
    _check_different(fields.stacks, "stacks", tree, check)
    _check_parallel(fields, tree, check)
    direction = None if len(check.problems) > before else _direction(fields, tree, check)
    if len(check.problems) > before:
        return None
    return ParallelSpec(
        tuple(fields.stacks), fields.exchange, direction, fields.causal, made, fields.output, tree
    )


def _check_parallel(fields: ParallelFields, tree: Mapping, check: Checking) -> None:
    """Stacks in step and branches that are merged are two things, with keys of their own."""
    merges = not is_none(get(tree, ("combine",)))
    if fields.exchange is None and not merges:
        check.problems.add(
            "C114",
            "parallel wants exchange (stacks in step) or combine (results merged)",
            tree.span,
            fix="add exchange: cross, or combine: add and output: NAME",
        )
    elif fields.exchange is not None and merges:
        check.problems.add(
            "C114",
            "parallel wants exchange (stacks in step) or combine (results merged), not both",
            value_span(tree, ("combine",)),
            fix="leave out one, or write two connections",
        )
    elif merges and fields.output is None:
        check.problems.add(
            "C114",
            "parallel with combine needs a name for its result",
            tree.span,
            fix="add output: fused",
        )
    else:
        for key in ("direction", "causal") if merges else ("output",):
            if get(tree, (key,)) is not None:
                other = "exchange" if merges else "combine"
                message = f"{key} goes with {other} only"
                check.problems.add(
                    "C114", message, value_span(tree, (key,)), fix=f"leave out {key}"
                )


def _direction(fields: ParallelFields, tree: Mapping, check: Checking) -> tuple[str, str] | None:
    if fields.direction is None:
        return None
    span, names = value_span(tree, ("direction",)), fields.stacks
    if len(names) > 2:  # noqa: PLR2004 - from one to the other
        message = f"a direction is from one stack to another, and there are {len(names)}"
        check.problems.add("C114", message, span, fix="leave out direction")
        return None
    match = re.fullmatch(r"\s*(\w+)\s*->\s*(\w+)\s*", fields.direction)
    if match is None or {match[1], match[2]} != set(names):
        check.problems.add(
            "C114",
            f"direction wants 'a -> b' with the two stacks, not '{fields.direction}'",
            span,
            fix=f"direction: {names[0]} -> {names[1]}",
        )
        return None
    return match[1], match[2]
