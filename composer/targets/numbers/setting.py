"""What the numbers of a model are asked for: batch, lengths, number format, training or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import Literal

from composer.components.placed import Placed
from composer.diagnostics import nearest
from composer.graph.graph import Graph
from composer.shapes import Dim, Quotient, Size, evaluate, lengths_in

Mode = Literal["train", "inference"]

USUAL_LENGTH = 512
"""Steps of an input whose length the spec leaves open and no learned positions limit."""

BYTES = {"fp32": 4, "bf16": 2}
"""Bytes of a number in each format."""


class SettingError(Exception):
    """A setting that a model cannot have; the text says why and what is near."""


@dataclass(frozen=True)
class Setting:
    """A number for `batch` and for every length, the number format, and what is done."""

    lengths: Mapping[str, int] = field(default_factory=dict)
    dtype: str = "fp32"
    mode: Mode = "train"

    def number(self, size: Size) -> int:
        """A size in numbers."""
        return evaluate(size, self.lengths)

    @property
    def bytes(self) -> int:
        """Bytes of a number."""
        return BYTES[self.dtype]

    def text(self) -> str:
        """The setting in words: `batch 1, source 512, fp32`."""
        return ", ".join([*(f"{name} {size}" for name, size in self.lengths.items()), self.dtype])


def setting(
    graph: Graph, lengths: Mapping[str, int], dtype: str = "fp32", mode: Mode = "train"
) -> Setting:
    """The setting of a graph; lengths that are not given are usual ones.

    Raises SettingError for a length that the model does not have or cannot take.
    """
    names = length_names(graph)
    for name, size in lengths.items():
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(names) or 'none'}"
            raise SettingError(f"the model has no length '{name}': {hint}")
        if size < 1:
            raise SettingError(f"{name} must be at least 1, not {size}")
    given = {name: lengths.get(name) or _usual(name, graph) for name in names}
    _check(graph, given)
    return Setting(given, dtype, mode)


def length_names(graph: Graph) -> list[str]:
    """`batch` and the lengths that the inputs leave open, in the order of the inputs."""
    sizes = [size for item in graph.inputs for size in item.value.shape]
    return list(dict.fromkeys(name for size in sizes for name in lengths_in(size)))


def limits(graph: Graph) -> Iterator[tuple[str, Size, int]]:
    """Sequences that may have so many steps at most: where, how many they have, how many at most."""
    for path, node in graph.nodes():
        waiting: list[Placed] = [node.placed]
        while waiting:
            placed = waiting.pop()
            most = getattr(placed.component, "max_length", None)
            if isinstance(most, int) and "time" in placed.axes:
                yield path, placed.axes["time"], most
            waiting += placed.parts.values()


def divisors(graph: Graph) -> dict[str, int]:
    """Lengths that a pattern splits, and the number that each must be a multiple of."""
    found: dict[str, int] = {}
    for value in graph.values.values():
        for size in value.shape:
            for quotient in _quotients(size):
                for name in lengths_in(quotient.numerator):
                    found[name] = lcm(found.get(name, 1), quotient.denominator)
    return found


def _quotients(size: Size) -> Iterator[Quotient]:
    for atoms, _ in size.terms if isinstance(size, Dim) else ():
        for atom in atoms:
            if isinstance(atom, Quotient):
                yield atom
                yield from _quotients(atom.numerator)


def _usual(name: str, graph: Graph) -> int:
    step = divisors(graph).get(name, 1)
    if name == "batch":
        return step
    known = [most for _, size, most in limits(graph) if str(size) == name]
    usual = min(known, default=USUAL_LENGTH)
    return max(usual // step * step, step)


def _check(graph: Graph, lengths: Mapping[str, int]) -> None:
    for name, step in divisors(graph).items():
        given = lengths[name]
        if given % step:
            below = given // step * step
            near = f"{below} or {below + step}" if below else str(step)
            raise SettingError(f"{name} must be a multiple of {step}, not {given}: try {near}")
    for path, size, most in limits(graph):
        if (found := evaluate(size, lengths)) > most:
            raise SettingError(f"{size} is {found}, but {path} has {most} positions: try {most}")
