"""Marks of shared parameters: one letter for each set, on everything that has a part in it."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from composer.graph.graph import Graph


@dataclass(frozen=True)
class _Path:
    """A path of a `shared` connection: a part, which of its layers (-1 is all), and what of it."""

    part: str
    layer: int | None
    below: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> _Path:
        part, *rest = text.split(".")
        if rest[:1] != ["layers"]:
            return cls(part, None, tuple(rest))
        number, below = (rest[1], rest[2:]) if _is_layer(rest[1:]) else ("*", rest[1:])
        return cls(part, -1 if number == "*" else int(number), tuple(below))


def _is_layer(rest: list[str]) -> bool:
    return bool(rest) and (rest[0] == "*" or rest[0].isdigit())


class Marks:
    """Which letters stand on what, in the order of the `shared` connections."""

    def __init__(self, graph: Graph) -> None:
        self._paths = list(_lettered([[_Path.parse(p) for p in s.paths] for s in graph.shares]))

    def __bool__(self) -> bool:
        return bool(self._paths)

    def on_part(self, part: str, *below: str) -> str:
        """Letters of a module, of a head, or of something of a stack beside its layers."""
        return _joined(
            letter
            for letter, path in self._paths
            if path.part == part and path.layer is None and _meet(path.below, below)
        )

    def on_layers(self, stack: str, numbers: Collection[int]) -> str:
        """Letters of whole layers."""
        return _joined(
            letter
            for letter, path in self._paths
            if path.part == stack and not path.below and path.layer in (None, -1, *numbers)
        )

    def in_layers(self, stack: str, numbers: Collection[int], name: str) -> str:
        """Letters of a component of these layers; whole layers have theirs on the block."""
        return _joined(
            letter
            for letter, path in self._paths
            if path.part == stack and path.below[:1] == (name,) and path.layer in (-1, *numbers)
        )

    def of_layer(self, stack: str, number: int, names: Iterable[str]) -> tuple[str, ...]:
        """Letters of one layer, and of each of its components."""
        inside = (self.in_layers(stack, (number,), name) for name in names)
        return self.on_layers(stack, (number,)), *inside


def _lettered(shares: list[list[_Path]]) -> Iterator[tuple[str, _Path]]:
    """Every path with its letter; connections with a path in common share one set."""
    groups: list[list[_Path]] = []
    for share in shares:
        met = [group for group in groups if set(group) & set(share)]
        groups = [group for group in groups if group not in met]
        groups.append([path for group in [*met, share] for path in group])
    first = {path: index for index, share in reversed([*enumerate(shares)]) for path in share}
    groups.sort(key=lambda group: min(first[path] for path in group))
    for index, group in enumerate(groups):
        again, number = divmod(index, len(string.ascii_uppercase))
        letter = string.ascii_uppercase[number] + (str(again) if again else "")
        for path in dict.fromkeys(group):
            yield letter, path


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path holds the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _joined(letters: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(letters))
