"""What is known of every part of a model: where it is written, options, shapes, sizes, source."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from composer.components.placed import Placed
from composer.diagnostics import Span
from composer.graph.graph import Graph, Input, LayerKind, Node, Output, Part, Stack
from composer.shapes import Size, show
from composer.targets.diagram import words
from composer.targets.diagram.folds import folds_of
from composer.targets.diagram.marks import Marks

from .sources import Sources

_LINES = 40
"""The most lines of a spec that are shown of one part."""


@dataclass(frozen=True)
class Detail:
    """One part: its name, and facts, options and tensors as pairs of name and value."""

    name: str
    kind: str
    facts: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    tensors: tuple[tuple[str, str], ...]
    place: str
    lines: str
    source: str


def details(graph: Graph) -> Mapping[str, Detail]:
    """What is known of each part, by the first line of what a drawing shows when one points at it.

    Of layers that are drawn once there is one entry.
    """
    sources = Sources(graph)
    return dict(pair for part in graph.parts.values() for pair in _part(part, graph, sources))


def _part(part: Part, graph: Graph, sources: Sources) -> Iterator[tuple[str, Detail]]:
    if isinstance(part, Stack):
        yield part.name, _stack(part, graph, sources)
        yield from _stack_parts(part, graph, sources)
    elif isinstance(part, Output):
        yield part.name, _output(part, graph, sources)
    elif isinstance(part, Input):
        yield part.name, _node(part.name, part.node, graph, sources, ())
    else:
        yield part.name, _node(part.name, part.node, graph, sources, (part.name,))


# Stacks


def _stack(stack: Stack, graph: Graph, sources: Sources) -> Detail:
    held = [stack.name + "." + path for path, _ in stack.nodes()]
    sets = len(set(stack.layer_sets))
    layers = words.number(len(stack.layers)) + (
        f" of {sets} sets" if sets < len(stack.layers) else ""
    )
    work = [node.placed.flops() for layer in stack.layers for node in layer.kind.nodes()]
    facts = [
        ("layers", layers),
        ("width", words.number(stack.width)),
        ("makes", show(stack.value.shape)),
        ("causal", "yes" if stack.causal else "no"),
        *_size(graph, held),
        *_flops(_total(work), "of all layers"),
    ]
    return Detail(
        stack.name, stack.role, tuple(facts), (), (), *_written(stack.span),
        sources.of_stack(stack),
    )  # fmt: skip


def _stack_parts(stack: Stack, graph: Graph, sources: Sources) -> Iterator[tuple[str, Detail]]:
    """Components of a stack, and its layers where they differ."""
    for path, node in stack.nodes():
        if not path.startswith("layers."):
            name = f"{stack.name}.{path}"
            yield name, _node(name, node, graph, sources, (name,))
            for part, placed in node.placed.parts.items():
                yield f"{name}.{part}", _inner(f"{name}.{part}", placed, node.span, sources)
    for fold in folds_of(stack, Marks(graph)):
        which = f"{stack.name}: {words.layers(fold.numbers)}"
        yield which, _layers(which, fold.kind, stack, fold.numbers, graph, sources)
        star = str(fold.numbers[0]) if len(fold.numbers) == 1 else "*"
        for node in fold.kind.nodes():
            held = tuple(f"{stack.name}.layers.{n}.{node.name}" for n in fold.numbers)
            name = f"{stack.name}.layers.{star}.{node.name}"
            yield name, _node(name, node, graph, sources, held)


def _layers(
    which: str, kind: LayerKind, stack: Stack, numbers: tuple[int, ...], graph: Graph,
    sources: Sources,
) -> Detail:  # fmt: skip
    held = [f"{stack.name}.layers.{n}.{node.name}" for n in numbers for node in kind.nodes()]
    work = _total([node.placed.flops() for node in kind.nodes()])
    facts = [
        ("layers", ", ".join(map(str, numbers))),
        ("makes", show(stack.value.shape)),
        *_size(graph, held),
        *_flops(work, "of each"),
    ]
    return Detail(
        which, kind.type or "layer", tuple(facts), (), (), *_written(stack.span),
        sources.of_layer(stack, kind),
    )  # fmt: skip


# Components


def _output(output: Output, graph: Graph, sources: Sources) -> Detail:
    if output.head is not None:
        return _node(output.name, output.head, graph, sources, (output.name,))
    facts = (("makes", show(output.value.shape)),)
    return Detail(output.name, "output", facts, (), (), *_written(output.span), "")


def _node(name: str, node: Node, graph: Graph, sources: Sources, held: tuple[str, ...]) -> Detail:
    """A component; `held` are the paths of its copies, one for each layer."""
    detail = _inner(name, node.placed, node.span, sources)
    facts = [fact for fact in detail.facts if fact[0] != "parameters"]
    if node.placed.tensors:
        after = len(node.placed.outputs)
        facts[after:after] = _size(graph, held)
    if len(held) > 1:
        facts.insert(0, ("copies", str(len(held))))
    return Detail(
        name, detail.kind, tuple(facts), detail.options, detail.tensors, detail.place,
        detail.lines, detail.source,
    )  # fmt: skip


def _inner(name: str, placed: Placed, span: Span, sources: Sources) -> Detail:
    """A component that may stand inside another one."""
    component = placed.component
    facts = [(f"makes {key}".strip(), show(shape)) for key, shape in placed.outputs.items()]
    if placed.parameters:
        facts.append(("parameters", words.number(placed.parameters)))
    facts += _flops(placed.flops(), "of each pass")
    options = [(key, _option(value)) for key, value in component.model_dump().items()]
    tensors = [(key, " × ".join(map(str, shape))) for key, shape in placed.tensors.items()]
    kept = [(key, value) for key, value in options if key != "kind" and value]
    return Detail(
        name, component.kind, tuple(facts), tuple(kept), tuple(tensors), *_written(span),
        sources.of_component(component.half),
    )  # fmt: skip


def _option(value: object) -> str:
    """The value of an option as a spec would say it; nothing for one that is not there."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        inner = [f"{key}: {text}" for key, each in value.items() if (text := _option(each))]
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_option, value)) + "]"
    return str(value)


# Sizes


def _size(graph: Graph, paths: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    """Parameters that are counted at these places, and the owners of those that are not."""
    own = [prod(s) for name, s in graph.tensors.items() if name.startswith(_below(paths))]
    shared = [first for name, first in graph.aliases.items() if name.startswith(_below(paths))]
    owners = [first for first in dict.fromkeys(shared) if not first.startswith(_below(paths))]
    facts = [("parameters", words.number(sum(own)))]
    return (
        [*facts, ("shared with", ", ".join(owners[:4]) + ("…" if owners[4:] else ""))]
        if owners
        else facts
    )


def _below(paths: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{path}." for path in paths)


def _flops(work: Size, of: str) -> list[tuple[str, str]]:
    return [("FLOPs", f"{words.size_text(work, {})} {of}")] if work != 0 else []


def _total(sizes: list[Size]) -> Size:
    total: Size = 0
    for size in sizes:
        total = total + size
    return total


# The spec


def _written(span: Span) -> tuple[str, str]:
    """Where something is written, and its lines: the first, and those that are indented below it."""
    place = f"{Path(span.file).name}:{span.line}"
    try:
        every = Path(span.file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        every = []
    if not 0 < span.line <= len(every):
        return place, span.text
    first = every[span.line - 1]
    lines = [first]
    for line in every[span.line : span.line + _LINES]:
        if line.strip() and _indent(line) <= _indent(first):
            break
        lines.append(line)
    return place, textwrap.dedent("\n".join(lines)).rstrip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
