"""The tensors that paths name, and those that a map of weights fills."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from composer.diagnostics import Problems
from composer.language.paths import TensorPath, selected
from composer.language.spec import ModelSpec
from composer.language.validate import guess
from composer.language.wants import listed
from composer.language.weights import WeightMap

from .graph import Graph
from .tensors import first_names


def check_weights(spec: ModelSpec, graph: Graph, problems: Problems) -> None:
    """Adds a problem for every path of a spec's maps of weights that names nothing."""
    for weight_map in spec.weights.values():
        if weight_map.parts or weight_map.new:
            filled(graph, weight_map, problems)


def filled(
    graph: Graph, weight_map: WeightMap, problems: Problems
) -> tuple[frozenset[str], frozenset[str]]:
    """First names of the tensors in the parts of a map, and of those among them that are new.

    A shared tensor is what any of its names is.
    """
    names = first_names(graph)
    inside = select(weight_map.parts, names, graph, problems) if weight_map.parts else names
    owners = set(inside.values())
    below = {name: first for name, first in names.items() if first in owners}
    new = select(weight_map.new, names, graph, problems)
    for path in weight_map.new if below else ():
        if selected((path,), names) and not selected((path,), below):
            why = f"'{path.text}' lies outside the parts that '{weight_map.name}' fills"
            problems.add("G210", why, path.span, fix="remove it, or add it to parts")
    return frozenset(owners), frozenset(new.values()) & frozenset(owners)


def select(
    paths: tuple[TensorPath, ...], names: Mapping[str, str], graph: Graph, problems: Problems
) -> dict[str, str]:
    """Of `names`, those that `paths` name; a path that names none is added to the problems."""
    for path in paths:
        if not selected((path,), names):
            _nothing(path, names, graph, problems)
    return selected(paths, names)


def _nothing(path: TensorPath, names: Mapping[str, str], graph: Graph, problems: Problems) -> None:
    """A path at which nothing is."""
    word = path.text.split(".")[0]
    if re.fullmatch(r"\w+", word) and word not in graph.parts:
        known = dict.fromkeys(name.split(".")[0] for name in names)
        fix = guess(word, known) or f"names: {listed(known)}"
        problems.add("G201", f"nothing is called '{word}'", path.span, fix=fix)
        return
    near = guess(re.sub(r"\.layers\.\d+\b", ".layers.*", path.text), _prefixes(names))
    problems.add("G210", f"'{path.text}' names no parameters", path.span, fix=near)


def _prefixes(names: Iterable[str]) -> dict[str, None]:
    """Every path that names something, layers of a stack as one."""
    return dict.fromkeys(
        prefix
        for name in names
        for prefix in _beginnings(re.sub(r"\.layers\.\d+\b", ".layers.*", name).split("."))
    )


def _beginnings(words: list[str]) -> Iterator[str]:
    for count in range(1, len(words) + 1):
        yield ".".join(words[:count])
