"""Skips become the earlier state that each layer reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composer.diagnostics import Note, Problems, Span
from composer.language.document import value_span
from composer.language.spec import SkipSpec, StackSpec

from .graph import State
from .wires import SkipUnit, Wires, stack_called

_END = re.compile(r"(\w+)(?:\.layers\.(\d+))?")

Pair = tuple[int, int, Span]
"""From which layer, to which, and where that is written."""


def resolve_skip(skip: SkipSpec, wires: Wires, problems: Problems) -> None:
    """Adds to `wires` what the layers at the end of a skip read."""
    first, last = (_end(skip, key, wires, problems) for key in ("from", "to"))
    if first is None or last is None:
        return
    (source, _), (to, _) = first, last
    wires.places.setdefault((to.name, source.name), value_span(skip.tree, ("from",)))
    seen: dict[int, State] = {}
    for start, stop, span in _pairs(skip, first, last, problems):
        if not _fits(source, start, to, stop, span, problems):
            continue
        if stop in seen:
            message = f"two states of one skip reach layer {stop} of '{to.name}'"
            problems.add("G206", message, span, fix="write two skips")
        seen[stop] = State(source.name, start)
    wires.skips.setdefault(to.name, []).append(SkipUnit(skip, seen))


def _end(
    skip: SkipSpec, key: str, wires: Wires, problems: Problems
) -> tuple[StackSpec, int | None] | None:
    """One end of a skip: a stack, and one of its layers if that is named."""
    text = skip.source if key == "from" else skip.to
    span = value_span(skip.tree, (key,))
    match = _END.fullmatch(text)
    name = text.split(".")[0]
    stack = stack_called(name, span, wires, problems, "a skip")
    if stack is None:
        return None
    if match is None:
        message = f"'{text}' is neither a stack nor one of its layers"
        problems.add("G206", message, span, fix=f"{key}: {name}.layers.0")
        return None
    number = None if match[2] is None else int(match[2])
    if number is not None and number >= stack.num_layers:
        _no_layer(stack, number, span, problems)
        return None
    return stack, number


def _pairs(
    skip: SkipSpec,
    first: tuple[StackSpec, int | None],
    last: tuple[StackSpec, int | None],
    problems: Problems,
) -> Iterator[Pair]:
    """Which layer reaches which; nothing, with the reason as a problem, where that is not clear."""
    (source, start), (to, stop) = first, last
    if start is not None and stop is not None and skip.pairs is None:
        yield start, stop, value_span(skip.tree, ("to",))
    elif start is not None and stop is not None:
        message = "the layers are named at both ends, so there is nothing to pair"
        problems.add("G206", message, value_span(skip.tree, ("pairs",)), fix="leave out pairs")
    elif start is not None or stop is not None:
        key, stack = ("to", to) if stop is None else ("from", source)
        problems.add(
            "G206",
            f"a layer is named at one end only, and '{stack.name}' is a whole stack",
            value_span(skip.tree, (key,)),
            fix=f"{key}: {stack.name}.layers.{stack.num_layers - 1}",
        )
    elif isinstance(skip.pairs, tuple):
        for index, (begin, end) in enumerate(skip.pairs):
            yield begin, end, value_span(skip.tree, ("pairs", index))
    elif skip.pairs is None:
        problems.add(
            "G206",
            "a skip between stacks needs pairs of layers",
            skip.tree.span,
            fix=f"add {_some(source, to)}",
        )
    else:
        yield from _regular(skip.pairs, source, to, value_span(skip.tree, ("pairs",)), problems)


def _some(source: StackSpec, to: StackSpec) -> str:
    """Pairs that fit."""
    if source.name == to.name:
        return f"pairs: [[0, {max(2, to.num_layers - 1)}]]"
    return (
        "pairs: mirror"
        if source.num_layers == to.num_layers
        else f"pairs: [[0, {to.num_layers - 1}]]"
    )


def _regular(
    pairs: str, source: StackSpec, to: StackSpec, span: Span, problems: Problems
) -> list[Pair]:
    """Pairs by a rule: equal numbers, or first with last."""
    same, count = source.name == to.name, source.num_layers
    made: list[Pair] = []
    if pairs == "aligned" and not same:
        made = [(n, n, span) for n in range(count)]
    elif pairs == "mirror":
        made = [(n, count - 1 - n, span) for n in range(count) if not same or n + 1 < count - 1 - n]
    why = ""
    if count != to.num_layers:
        why = f"'{source.name}' has {count} layers, '{to.name}' has {to.num_layers}"
    elif not made:
        why = (
            "a layer cannot skip to itself" if pairs == "aligned" else f"{count} layers are too few"
        )
    if not why:
        return made
    problems.add(
        "G206",
        f"{pairs} pairs do not fit: {why}",
        span,
        notes=[
            Note(f"'{s.name}' is written here", s.span)
            for s in ([source] if same else [source, to])
        ],
        fix=f"name them: pairs: [[0, {to.num_layers - 1}]]"
        if not same or count > 2  # noqa: PLR2004
        else "remove it",
    )
    return []


def _fits(
    source: StackSpec, start: int, to: StackSpec, stop: int, span: Span, problems: Problems
) -> bool:
    for stack, number in ((source, start), (to, stop)):
        if number >= stack.num_layers:
            _no_layer(stack, number, span, problems)
            return False
    if source.name != to.name or start + 1 < stop:
        return True
    why = "to the very next layer, which reads that state anyway"
    if start >= stop:
        why = "to itself" if start == stop else "backwards"
    fix = "remove it"
    if start > stop + 1:
        fix = f"from layer {stop} to layer {start}"
    elif start + 2 < to.num_layers:
        fix = f"to a later layer, such as {start + 2}"
    message = f"a skip from layer {start} to layer {stop} of '{to.name}' goes {why}"
    problems.add("G206", message, span, fix=fix)
    return False


def _no_layer(stack: StackSpec, number: int, span: Span, problems: Problems) -> None:
    message = f"'{stack.name}' has no layer {number}, only 0 to {stack.num_layers - 1}"
    problems.add("G206", message, span, [Note(f"'{stack.name}' is written here", stack.span)])
