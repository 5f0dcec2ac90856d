"""The summary of a model: its parts with their shapes and parameters, and the totals.

Nothing here is estimated: shapes and counts are those of the graph, which the module that is built
from it has too. What is shared is counted where it is first named and nowhere else.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from composer.components.placed import Placed
from composer.graph.graph import Graph, LayerKind, Module, Node, Output, Stack
from composer.shapes import Shape, show

from .compressed import Changed, changed

BYTES = {"fp32": 4, "bf16": 2}
"""Bytes of one parameter in each format that totals are given in."""


@dataclass(frozen=True)
class Row:
    """A part of a model.

    `parameters` are those that are counted here, all layers of the row together. `sets` is how
    many of the `layers` have parameters of their own for this part; the others share them.
    `shared` names the owner of parameters that are counted elsewhere. `frozen` is how many of the
    parameters training leaves as they are.
    """

    path: str
    kind: str
    output: Shape
    parameters: int
    depth: int = 0
    label: str = ""
    layers: tuple[int, ...] = ()
    sets: int = 0
    shared: tuple[str, ...] = ()
    frozen: int = 0


@dataclass(frozen=True)
class Summary:
    """A model's parts in the order they run, and its size."""

    name: str
    title: str
    rows: tuple[Row, ...]
    parameters: int
    frozen: int = 0
    compressed: tuple[Changed, ...] = ()

    def bytes(self, number_format: str) -> int:
        """Bytes that the parameters take in `fp32` or `bf16`."""
        return self.parameters * BYTES[number_format]


def summarize(graph: Graph) -> Summary:
    """The summary of a graph."""
    rows = tuple(row for part in graph.parts.values() for row in _part(part, graph))
    frozen = sum(prod(graph.tensors[name]) for name in graph.frozen)
    return Summary(graph.name, graph.title, rows, graph.parameters, frozen, changed(graph))


def to_json(summary: Summary) -> str:
    """The summary as JSON: sizes as numbers, lengths that vary as their names."""
    data = {
        "name": summary.name,
        "title": summary.title,
        "parameters": summary.parameters,
        "frozen": summary.frozen,
        "bytes": {name: summary.bytes(name) for name in BYTES},
        "parts": [record(row) for row in summary.rows],
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def to_csv(summary: Summary) -> str:
    """The rows of the summary as comma-separated values under a line of names."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(record(summary.rows[0])), lineterminator="\n")
    writer.writeheader()
    for row in summary.rows:
        writer.writerow(
            {
                **record(row),
                "output": show(row.output),
                "layers": " ".join(map(str, row.layers)),
                "shared_with": " ".join(row.shared),
            }
        )
    return stream.getvalue()


def record(row: Row) -> dict[str, object]:
    """A row as names and plain values."""
    return {
        "path": row.path,
        "kind": row.kind,
        "label": row.label,
        "output": [size if isinstance(size, int) else str(size) for size in row.output],
        "parameters": row.parameters,
        "frozen": row.frozen,
        "layers": list(row.layers),
        "sets": row.sets,
        "shared_with": list(row.shared),
    }


# Rows


def _part(part: object, graph: Graph) -> Iterator[Row]:
    if isinstance(part, Stack):
        yield from _stack(part, graph)
    elif isinstance(part, Output) and part.head is None:
        yield Row(part.name, "output", part.value.shape, 0)
    else:
        node = getattr(part, "head", None) or getattr(part, "node")  # noqa: B009 - input or module
        yield _single(getattr(part, "name"), node, graph, 0)  # noqa: B009
        if isinstance(part, Module):
            tables = [table for table in part.tables.values() if table.placed.tensors]
            yield from (_single(table.name, table, graph, 0) for table in tables)


def _single(path: str, node: Node, graph: Graph, depth: int) -> Row:
    """The row of a component that is there once."""
    count, shared = _counted(path, node, graph)
    placed = node.placed
    return Row(
        path, placed.component.kind, placed.shape, count, depth, _label(placed), (), 0, shared,
        _frozen(path, node, graph),
    )  # fmt: skip


def _stack(stack: Stack, graph: Graph) -> Iterator[Row]:
    rows = list(_inside(stack, graph))
    total = sum(row.parameters for row in rows if row.depth == 1)
    frozen = sum(row.frozen for row in rows if row.depth == 1)
    yield Row(stack.name, stack.role, stack.value.shape, total, frozen=frozen)
    yield from rows


def _inside(stack: Stack, graph: Graph) -> Iterator[Row]:
    outside = [stack.embed, *(table for table in stack.tables if table.placed.tensors)]
    for memory in stack.memories:
        outside += [memory.mix, *memory.projects]
    for node in outside:
        if node is not None:
            yield _single(f"{stack.name}.{node.name}", node, graph, 1)
    for kind in stack.kinds:
        yield from _layers(stack, kind, graph)
    if stack.final_norm is not None:
        yield _single(f"{stack.name}.{stack.final_norm.name}", stack.final_norm, graph, 1)


def _layers(stack: Stack, kind: LayerKind, graph: Graph) -> Iterator[Row]:
    """One row for all layers of a kind, and one for each of their components."""
    numbers = tuple(i for i, layer in enumerate(stack.layers) if layer.kind is kind)
    own = tuple(i for i in numbers if stack.layer_sets[i] == i)
    rows = [_repeated(stack.name, numbers, own, node, graph) for node in kind.nodes()]
    total = sum(row.parameters for row in rows)
    path = f"{stack.name}.layers.{_ranges(numbers)}"
    label = kind.type.replace("_", " ")
    shared = () if own else (f"{stack.name}.layers.{stack.layer_sets[numbers[0]]}",)
    yield Row(
        path, "layer", stack.value.shape, total, 1, label, numbers, len(own), shared,
        sum(row.frozen for row in rows),
    )  # fmt: skip
    yield from rows


def _repeated(
    stack: str, numbers: tuple[int, ...], own: tuple[int, ...], node: Node, graph: Graph
) -> Row:
    """The row of a component that every layer of a kind has."""
    counts, owners = [], []
    for number in own:
        count, shared = _counted(f"{stack}.layers.{number}.{node.name}", node, graph)
        counts.append(count)
        owners.append(tuple(re.sub(rf"\.layers\.{number}\.", ".layers.*.", p) for p in shared))
    counted = [count for count in counts if count]
    path = f"{stack}.layers.{_ranges(numbers)}.{node.name}"
    placed = node.placed
    same = owners[0] if owners and len(set(owners)) == 1 else _first_others(owners)
    return Row(
        path, placed.component.kind, placed.shape, sum(counts), 2, _label(placed), numbers,
        len(counted) if placed.tensors else 0, same,
        sum(_frozen(f"{stack}.layers.{number}.{node.name}", node, graph) for number in own),
    )  # fmt: skip


def _first_others(owners: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Owners where layers differ: every one that is named, once."""
    return tuple(dict.fromkeys(path for paths in owners for path in paths))


def _counted(path: str, node: Node, graph: Graph) -> tuple[int, tuple[str, ...]]:
    """Parameters that are counted at a place, and who owns those that are not."""
    tensors: Mapping[str, tuple[int, ...]] = node.placed.tensors
    aliased = {t: graph.aliases[f"{path}.{t}"] for t in tensors if f"{path}.{t}" in graph.aliases}
    count = sum(prod(shape) for name, shape in tensors.items() if name not in aliased)
    return count, _owners(aliased)


def _frozen(path: str, node: Node, graph: Graph) -> int:
    """Parameters that are counted at a place and frozen."""
    tensors = node.placed.tensors
    return sum(prod(shape) for name, shape in tensors.items() if f"{path}.{name}" in graph.frozen)


def _owners(aliased: Mapping[str, str]) -> tuple[str, ...]:
    """The parts that own shared tensors: the module of each, or all that they belong to."""
    modules = dict.fromkeys(first.rpartition(".")[0] for first in aliased.values())
    if len(modules) > 1:
        modules = dict.fromkeys(_whole(name, first) for name, first in aliased.items())
    return tuple(modules)


def _whole(tensor: str, first: str) -> str:
    """The path of a tensor's owner without what both names end in."""
    mine, theirs = tensor.split("."), first.split(".")
    while len(theirs) > 1 and mine and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    return ".".join(theirs)


def _label(placed: Placed) -> str:
    label = placed.label
    return f"{label.title}: {label.detail}" if label.detail else label.title


def _ranges(numbers: tuple[int, ...]) -> str:
    """Layer numbers, those in a row by their ends: `0-5`, `0-4,6`; evenly spaced: `0-10:2`."""
    steps = {b - a for a, b in pairwise(numbers)}
    if len(numbers) > 2 and len(steps) == 1 and steps != {1}:  # noqa: PLR2004 - two have one step
        return f"{numbers[0]}-{numbers[-1]}:{steps.pop()}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
