"""Sharing in emitted source: as one module where the two are alike, else as one parameter."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from composer.graph.graph import Graph, Node, Stack

from .writing import index_of

Pair = tuple[str, str]
Loops = dict[tuple[str, str, str], dict[int, int]]


def module_ties(graph: Graph, places: Collection[str] | None = None) -> list[str]:
    """Statements that give one module its several places; of all, or of those at `places`."""
    pairs = _modules(graph)[0]
    return list(_statements([p for p in pairs if places is None or p[0] in places], graph))


def held_ties(graph: Graph) -> list[str]:
    """Statements that give adapters that components hold their several places.

    Where components are one module in several places, so is what they hold.
    """
    nodes = dict(graph.nodes())
    pairs: dict[str, str] = {}
    for other, first in graph.aliases.items():
        place = _node_path(other, nodes)
        for adapter in nodes[place].placed.adapters if first in graph.added else ():
            owner = _node_path(first, nodes)
            held = adapter.placed.component.held and other.startswith(f"{place}.{adapter.path}.")
            if held and not _all_shared(place, owner, nodes, graph):
                pairs[f"{place}.{adapter.linear}"] = f"{owner}.{adapter.linear}"
    return list(_statements(list(pairs.items()), graph))


def weight_ties(graph: Graph) -> list[str]:
    """Statements that give one parameter its several names, where modules differ."""
    return list(_statements(_modules(graph)[1], graph))


def _modules(graph: Graph) -> tuple[list[Pair], list[Pair]]:
    """Further places and first places: of modules, and of single parameters."""
    nodes = dict(graph.nodes())
    modules: dict[str, str] = {}
    weights: list[Pair] = []
    for other, first in graph.aliases.items():
        if first in graph.added:
            continue
        place, owner = _node_path(other, nodes), _node_path(first, nodes)
        inner, inner_first = other[len(place) + 1 :], first[len(owner) + 1 :]
        if _all_shared(place, owner, nodes, graph):
            modules[place] = owner
        elif inner == inner_first and nodes[place].component.kind == nodes[owner].component.kind:
            leaf = inner.rpartition(".")[0]
            whole = [t for t in nodes[place].placed.state if t.startswith(leaf + ".")]
            if leaf and all(graph.aliases.get(f"{place}.{t}") == f"{owner}.{t}" for t in whole):
                modules[f"{place}.{leaf}"] = f"{owner}.{leaf}"
            else:
                weights.append((other, first))
        else:
            weights.append((other, first))
    return list(modules.items()), weights


def _node_path(tensor: str, nodes: dict[str, Node]) -> str:
    path = tensor
    while path not in nodes:
        path = path.rpartition(".")[0]
    return path


def _all_shared(place: str, owner: str, nodes: dict[str, Node], graph: Graph) -> bool:
    """Whether two components are equal, and all tensors of one are those of the other."""
    a, b = nodes[place], nodes[owner]
    return a.component == b.component and all(
        graph.aliases.get(f"{place}.{tensor}") == f"{owner}.{tensor}" for tensor in a.placed.state
    )


def _statements(pairs: list[Pair], graph: Graph) -> Iterator[str]:
    loops: Loops = {}
    for other, first in pairs:
        found = [re.fullmatch(r"(\w+)\.layers\.(\d+)\.(.+)", path) for path in (other, first)]
        if found[0] and found[1] and found[0][3] == found[1][3]:
            key = (found[0][1], found[1][1], found[0][3])
            loops.setdefault(key, {})[int(found[0][2])] = int(found[1][2])
        else:
            yield f"{_attribute(other)} = {_attribute(first)}"
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for (to, source, rest), numbers in loops.items():
        grouped.setdefault((to, source, str(numbers)), []).append(rest)
    for (to, source, rest), numbers in loops.items():
        names = grouped.pop((to, source, str(numbers)), None)
        if names is not None:
            yield from _loop(_stack(to, graph), _stack(source, graph), names, numbers)
        del rest


def _stack(name: str, graph: Graph) -> Stack:
    part = graph.parts[name]
    assert isinstance(part, Stack), "only stacks have layers"
    return part


def _loop(into: Stack, owner: Stack, names: list[str], numbers: dict[int, int]) -> Iterator[str]:
    """One loop for everything that the layers of two stacks, or of one, share."""
    count, to, source = len(numbers), into.name, owner.name
    same = all(i == j for i, j in numbers.items()) and list(numbers) == list(range(count))
    if same and count == min(len(into.layers), len(owner.layers)):
        yield f"for layer, other in zip(self.{to}.layers, self.{source}.layers):"
        yield from (f"    {_step('layer', n)} = {_step('other', n)}" for n in names)
        return
    rest = list(range(1, len(into.layers))) if not into.family else []
    if to == source and set(numbers.values()) == {0} and list(numbers) == rest:
        yield f"for layer in self.{to}.layers[1:]:"
        yield from (f"    {_step('layer', n)} = {_step(f'self.{to}.layers[0]', n)}" for n in names)
        return
    yield f"for i in {tuple(numbers) if count > 1 else f'({next(iter(numbers))},)'}:"
    index = index_of(numbers)
    for name in names:
        target = _step(f"self.{to}.layers[i]", name)
        yield f"    {target} = {_step(f'self.{source}.layers[{index}]', name)}"


def _step(holder: str, path: str) -> str:
    return f"{holder}.{path}"


def _attribute(path: str) -> str:
    return "self." + re.sub(r"\.(\d+)", r"[\1]", path)
