"""Signs: what is done to parameters, such as freezing or rounding, shown on what holds them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from composer.graph.graph import Graph
from composer.graph.linear_maps import LinearMaps
from composer.graph.tensors import first_names

from . import labels
from .sheet import Attributes, Html
from .theme import Palette


@dataclass(frozen=True)
class Sign:
    """A sign and what it means; `color` is that of the palette in which it is drawn.

    What has it whole is drawn with a border of that color, if the sign has a `border`.
    """

    glyph: str
    meaning: str
    color: str
    border: bool = True


FROZEN = Sign("❄", "frozen", "frozen")


class Signs:
    """The signs of a model: how much of what stands at each path has which."""

    def __init__(self, graph: Graph) -> None:
        marked = {FROZEN: _shares(graph, graph.frozen, graph.tensors)} if graph.frozen else {}
        self._shares = {**marked, **_compressed(graph)}

    def __bool__(self) -> bool:
        return bool(self._shares)

    def on(self, paths: Collection[str]) -> str:
        """The signs of what stands at some paths; one that some of it has is in parentheses."""
        return ", ".join(
            sign.glyph if share == 1 else f"({sign.glyph})"
            for sign, shares in self._shares.items()
            if (share := _share(shares, paths)) > 0
        )

    def look(self, paths: Collection[str], palette: Palette) -> Attributes:
        """The border of what has a sign whole."""
        for sign, shares in self._shares.items():
            if sign.border and _share(shares, paths) == 1:
                return {"color": palette.named(sign.color)}
        return {}

    def legend(self, palette: Palette) -> Html:
        """What the signs mean."""
        return labels.keys(
            palette,
            [
                (sign.glyph, palette.named(sign.color), f"{sign.meaning}; ({sign.glyph}) in part")
                for sign in self._shares
            ],
        )


_Shares = Mapping[str, tuple[int, int]]
"""Of the tensors below each path, how many have a sign, and how many there are."""


def _compressed(graph: Graph) -> dict[Sign, _Shares]:
    """What each pass of `compress` does to the weights of linear maps."""
    if not graph.compressions:
        return {}
    weights = {f"{first}.weight" for first in LinearMaps(graph).owners.values()}
    changed: dict[Sign, set[str]] = {}
    for each in graph.compressions:
        sign = Sign(each.options.mark, each.options.done, "frozen", border=False)
        changed.setdefault(sign, set()).update(f"{path}.weight" for path in each.maps)
    return {sign: _shares(graph, names, weights) for sign, names in changed.items()}


def _shares(graph: Graph, marked: Collection[str], among: Collection[str]) -> _Shares:
    """Of the tensors `among` all, the share of those that are marked."""
    shares: dict[str, tuple[int, int]] = {}
    for name, first in first_names(graph).items():
        if first not in among:
            continue
        words = name.split(".")
        for end in range(1, len(words)):
            have, every = shares.get(path := ".".join(words[:end]), (0, 0))
            shares[path] = have + (first in marked), every + 1
    return shares


def _share(shares: _Shares, paths: Iterable[str]) -> float:
    """The part of the tensors below some paths that has a sign."""
    found = [shares.get(path, (0, 0)) for path in paths]
    every = sum(count for _, count in found)
    return sum(have for have, _ in found) / every if every else 0
