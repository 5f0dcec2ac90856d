"""Which files fill which tensors of a model, settled before a tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from composer.diagnostics import Note, Problem
from composer.graph.graph import Graph
from composer.language.weights import WeightMap

from .errors import WeightError, weight_error
from .files import WeightFiles
from .names import Targets
from .operations import Shape
from .planning import Plan, plan, same

COMPRESSED = "compress"
"""The word in a file's header under which the passes stand that its model went through."""

Maps = Mapping[str, WeightMap]
Weights = str | Path | Mapping[str, str | Path]
"""Where weights lie: one path for the whole model, or one for each of several maps by name."""


@dataclass(frozen=True)
class Reading:
    """What is read from one place; `name` is the map's, or nothing for the spec's own names."""

    name: str
    path: Path
    plan: Plan


def readings(graph: Graph, maps: Maps, weights: Weights) -> tuple[Reading, ...]:
    """How `weights` fill a graph: with its own names, or as its maps say.

    Raises WeightError where they do not fit, or where two of them fill one tensor.
    """
    if isinstance(weights, str | Path):
        return (_whole(graph, maps, Path(weights)),)
    if not weights:
        raise weight_error("W409", "no weights are named", f"names: {', '.join(maps)}")
    found = [_part(graph, map_named(maps, name), Path(at)) for name, at in weights.items()]
    _check_apart(found)
    return tuple(found)


def map_named(maps: Maps, name: str | None) -> WeightMap:
    """One of a spec's maps, the first by default; raises WeightError where there is none."""
    if name is None and maps:
        return next(iter(maps.values()))
    if name is None or name not in maps:
        known = ", ".join(maps) or "there are none"
        raise weight_error(
            "W409", f"the spec has no weights called '{name or 'anything'}' ({known})"
        )
    return maps[name]


def own_plan(graph: Graph, shapes: Mapping[str, Shape]) -> Plan | None:
    """The plan for weights under the graph's own names; None if they are named otherwise.

    They may be those of the model without its adapters.
    """
    targets = Targets(graph)
    owners = {name: targets.owner(name) for name in shapes}
    if targets.shapes.keys() - set(owners.values()) == graph.added:
        targets.shapes = {n: s for n, s in targets.shapes.items() if n not in graph.added}
    if set(owners.values()) != set(targets.shapes):
        return None
    return same(targets, shapes, owners)


def unlike(graph: Graph, shapes: Mapping[str, Shape]) -> WeightError:
    """The refusal of weights whose names nobody knows."""
    theirs, ours = next(iter(shapes), None), next(iter(graph.state), None)
    why = f"the names are not those of '{graph.name}': '{theirs}' instead of names like '{ours}'"
    return weight_error("W409", why, "name a map: `weights: {huggingface: maps/...yaml}`")


def _whole(graph: Graph, maps: Maps, path: Path) -> Reading:
    """The reading of one place for the whole model: its own names, or the first map that fits."""
    with WeightFiles(path) as files:
        if COMPRESSED in files.metadata:
            fix = "give them to composer.build with the spec whose `compress` made them"
            raise weight_error("W409", f"'{path}' holds a compressed model", fix)
        own = own_plan(graph, files.shapes)
        return Reading("", path, own) if own else _foreign(graph, maps, path, files.shapes)


def _foreign(graph: Graph, maps: Maps, path: Path, shapes: Mapping[str, Shape]) -> Reading:
    whole = {name: each for name, each in maps.items() if not each.parts}
    if maps and not whole:
        why = f"the weights of '{graph.name}' are those of parts: {', '.join(maps)}"
        names = ", ".join(f'"{name}": ...' for name in maps)
        raise weight_error("W409", why, f"give each its place: weights={{{names}}}")
    if not maps:
        raise unlike(graph, shapes)
    failures: list[WeightError] = []
    for name, weight_map in whole.items():
        try:
            return Reading(name, path, plan(graph, weight_map, shapes))
        except WeightError as error:  # noqa: PERF203 - each map has a refusal of its own
            failures.append(error)
    raise min(failures, key=lambda error: len(error.problems))


def _part(graph: Graph, weight_map: WeightMap, path: Path) -> Reading:
    """The reading of one map; a refusal says whose weights it is about."""
    try:
        with WeightFiles(path) as files:
            return Reading(weight_map.name, path, plan(graph, weight_map, files.shapes))
    except WeightError as error:
        first, *others = error.problems
        note = Note(f"'{weight_map.name}' reads '{path}'")
        raise WeightError([replace(first, notes=(*first.notes, note)), *others]) from None


def _check_apart(found: list[Reading]) -> None:
    """Raises WeightError where a tensor is filled twice."""
    by: dict[str, str] = {}
    problems = [
        Problem("W404", f"'{by[name]}' and '{each.name}' both fill '{name}'", None,
                fix="name parts that do not overlap")
        for each in found for name in each.plan.targets
        if by.setdefault(name, each.name) != each.name
    ]  # fmt: skip
    if problems:
        raise WeightError(problems)
