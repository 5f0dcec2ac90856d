"""Freezing in emitted source: one statement for each largest module that is frozen whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from composer.graph.covering import covering
from composer.graph.graph import Graph, Stack
from composer.graph.tensors import first_names

Loops = dict[tuple[str, tuple[int, ...]], list[str]]
"""What is frozen in several layers: of a stack, in these layers, the parts of each."""


def freeze(graph: Graph) -> list[str]:
    """The statements that freeze what a graph says, for the end of the model's `__init__`."""
    if not graph.frozen:
        return []
    names = first_names(graph).items()
    own = graph.tensors.keys() - graph.added
    chosen = {name: first in graph.frozen for name, first in names if first in own}
    return list(_statements(covering(chosen), graph))


def _statements(paths: list[str], graph: Graph) -> Iterator[str]:
    """One statement a path, and one loop for what is frozen in several layers."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for path in paths:
        found = re.fullmatch(r"(\w+)\.layers\.(\d+)(.*)", path)
        if found and isinstance(graph.parts[found[1]], Stack):
            numbers.setdefault((found[1], found[3]), []).append(int(found[2]))
        else:
            yield f"self{attribute(path)}.requires_grad_(False)"
    loops: Loops = {}
    for (stack, inner), layers in numbers.items():
        loops.setdefault((stack, tuple(layers)), []).append(inner)
    for (name, chosen), parts in loops.items():
        part = graph.parts[name]
        assert isinstance(part, Stack), "only stacks have layers"
        yield f"for layer in {layers_of(part, chosen)}:"
        yield from (f"    layer{attribute(inner)}.requires_grad_(False)" for inner in parts)


def layers_of(stack: Stack, numbers: tuple[int, ...]) -> str:
    """The text of some of a stack's layers: all, a range, or one by one."""
    layers, first, last, count = (
        f"self.{stack.name}.layers",
        numbers[0],
        numbers[-1],
        len(stack.layers),
    )
    if len(numbers) == count:
        return layers
    if stack.family or numbers != tuple(range(first, last + 1)):
        one = ", ".join(f"{layers}[{number}]" for number in numbers)
        return f"({one}{',' if len(numbers) == 1 else ''})"
    return f"{layers}[{first or ''}:{'' if last + 1 == count else last + 1}]"


def attribute(path: str) -> str:
    """A path as attributes: `.embed.tokens`, and numbers as places in a list."""
    dotted = f".{path.lstrip('.')}" if path else ""
    return re.sub(r"\.(\d+)", r"[\1]", dotted)
