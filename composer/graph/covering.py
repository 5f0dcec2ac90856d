"""The fewest paths that say of some tensors that they are chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass
class _Tree:
    """What lies at a path: whether all of it is chosen, and what lies below."""

    chosen: bool = True
    below: dict[str, _Tree] = field(default_factory=dict)


def covering(names: Mapping[str, bool]) -> list[str]:
    """The shortest paths at and below which everything is chosen, in order.

    `names` are those of all tensors, with whether each is chosen; where all are, the path is "".

    >>> covering({"a.x.weight": True, "a.x.bias": True, "a.y.weight": False})
    ['a.x']
    """
    root = _Tree()
    for name, chosen in names.items():
        tree = root
        for word in name.split("."):
            tree.chosen &= chosen
            tree = tree.below.setdefault(word, _Tree())
        tree.chosen = chosen
    return list(_whole(root, ""))


def _whole(tree: _Tree, path: str) -> Iterator[str]:
    if tree.chosen:
        yield path
        return
    for word, below in tree.below.items():
        yield from _whole(below, f"{path}.{word}" if path else word)


def starred(paths: Iterable[str], counts: Mapping[str, int]) -> list[str]:
    """Paths with those that are there for every layer of a stack as one: `decoder.layers.*.norm`.

    `counts` are the numbers of layers by stack.
    """
    every: dict[str, list[str]] = {}
    for path in paths:
        words = path.split(".")
        layered = len(words) > 2 and words[1] == "layers"  # noqa: PLR2004 - stack, layers, number
        key = ".".join([*words[:2], "*", *words[3:]]) if layered else path
        every.setdefault(key, []).append(path)
    return [
        name
        for key, several in every.items()
        for name in ([key] if len(several) == counts.get(key.split(".")[0]) else several)
    ]
