"""The tensors that paths name, and those that a map of weights fills."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping

from composer.diagnostics import Problems, Span
from composer.language.document import Mapping, get, plain
from composer.language.paths import TensorPath, selected
from composer.language.spec import ModelSpec
from composer.language.validate import guess
from composer.language.wants import listed
from composer.language.weights import WeightMap

from .graph import Graph, Stack
from .tensors import first_names


def check_weights(spec: ModelSpec, graph: Graph, problems: Problems) -> None:
    """Adds a problem for everything that a spec's maps of weights name and the graph does not have."""
    for weight_map in spec.weights.values():
        names = get(weight_map.sections[0], ("names",))
        for entry in names.entries.values() if isinstance(names, Mapping) else ():
            if (word := plain(entry.value)) not in graph.parts:
                _unknown(word, graph.parts, entry.value.span, problems)
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
    paths: tuple[TensorPath, ...], names: AnyMapping[str, str], graph: Graph, problems: Problems,
    what: str = "parameters",
) -> dict[str, str]:  # fmt: skip
    """Of `names`, those that `paths` name; a path that names none is added to the problems."""
    for path in paths:
        if not selected((path,), names):
            _nothing(path, names, graph, problems, what)
    return selected(paths, names)


def _nothing(
    path: TensorPath, names: AnyMapping[str, str], graph: Graph, problems: Problems, what: str
) -> None:
    """A path at which nothing is."""
    word, *rest = path.text.split(".")
    if re.fullmatch(r"\w+", word) and word not in graph.parts:
        _unknown(word, dict.fromkeys(name.split(".")[0] for name in names), path.span, problems)
        return
    stack = graph.parts.get(word)
    number = rest[1] if rest[:1] == ["layers"] and len(rest) > 1 else ""
    if isinstance(stack, Stack) and number.isdecimal() and int(number) >= len(stack.layers):
        last = len(stack.layers) - 1
        why = f"'{word}' has no layer {int(number)}, only 0 to {last}"
        problems.add("G210", why, path.span, fix=f"a layer from 0 to {last}")
        return
    near = guess(re.sub(r"\.layers\.\d+\b", ".layers.*", path.text), _prefixes(names))
    problems.add("G210", f"'{path.text}' names no {what}", path.span, fix=near)


def _unknown(word: str, known: Iterable[str], span: Span, problems: Problems) -> None:
    """A name that nothing has."""
    fix = guess(word, known) or f"names: {listed(known)}"
    problems.add("G201", f"nothing is called '{word}'", span, fix=fix)


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
