"""Compressing: which linear maps each pass changes, as a pass over the graph.

A linear map that has several names, being shared, is changed once, as one thing; a spec that names
some of its places only is refused. Where a weight is also something else, such as an embedding, the
map is left as it is. A path or a role that names nothing but such maps is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from composer.diagnostics import Problems
from composer.language.paths import Chosen
from composer.language.spec import CompressSpec, ModelSpec

from .graph import Compression, Graph
from .linear_maps import LinearMaps


def compress(spec: ModelSpec, graph: Graph, problems: Problems) -> Graph:
    """`graph` with the passes of a spec; what none can change is added to the problems."""
    if not spec.compress:
        return graph
    maps = LinearMaps(graph)
    made: list[Compression] = []
    for each in spec.compress:
        made.append(_compression(each, maps, problems))
        _check_order(each, made, problems)
    return replace(graph, compressions=tuple(made))


def _compression(spec: CompressSpec, maps: LinearMaps, problems: Problems) -> Compression:
    before = len(problems)
    chosen = maps.chosen(spec.chosen, spec.span, problems)
    left = {path: why for path in chosen if (why := _obstacle(path, spec, maps))}
    changed = [path for path in chosen if path not in left]
    if chosen and len(problems) == before:
        _check_paths(spec, chosen, left, problems)
        _check_shared(spec, changed, maps, problems)
    return Compression(spec.options, {path: maps.owners[path] for path in changed}, left)


def _obstacle(path: str, spec: CompressSpec, maps: LinearMaps) -> str | None:
    """Why a linear map stays as it is, if so."""
    found = maps.found[path]
    if any(adapter.linear == found.linear for adapter in found.node.placed.adapters):
        return "it has adapters; merge them first"
    other = next((place for place in maps.places(path) if place not in maps.found), None)
    if other is not None:
        return f"its weight is also that of '{other}', which is no linear map"
    return spec.options.obstacle(found.shape)


def _check_paths(
    spec: CompressSpec, chosen: list[str], left: Mapping[str, str], problems: Problems
) -> None:
    """Adds a problem for each path, or for the whole, that names only what stays as it is."""
    done = spec.options.done
    for path in spec.chosen.paths:
        named = [each for each in chosen if path.names(each)]
        if named and all(each in left for each in named):
            why = f"'{named[0]}' cannot be {done}: {left[named[0]]}"
            problems.add("G214", why, path.span, fix="remove it, or name something else")
    if not spec.chosen.paths and all(each in left for each in chosen):
        why = f"'{chosen[0]}' cannot be {done}: {left[chosen[0]]}"
        problems.add("G214", why, spec.span, fix="name something else")


def _check_shared(
    spec: CompressSpec, changed: list[str], maps: LinearMaps, problems: Problems
) -> None:
    """Adds a problem for each two parts that share a linear map of which one is changed only."""
    wanted, told = set(changed), set()
    for path in changed:
        for other in maps.places(path):
            pair = (path.split(".")[0], other.split(".")[0])
            if other not in wanted and pair not in told:
                done = spec.options.done
                why = f"'{path}' is {done}, but its weight is also that of '{other}', which is not"
                problems.add("G215", why, spec.span, fix=_name_too(other, spec.chosen))
                told.add(pair)


def _name_too(other: str, chosen: Chosen) -> str:
    paths = ", ".join([*(path.text for path in chosen.paths), other])
    return f"on: [{paths}]" if chosen.paths and not chosen.roles else f"name '{other}' too"


def _check_order(spec: CompressSpec, made: list[Compression], problems: Problems) -> None:
    """Adds a problem where the newest pass comes twice, or too late, on a linear map."""
    *before, new = made
    for earlier in before:
        both = [path for path in new.maps if path in set(earlier.maps)]
        if both and earlier.options.kind == new.options.kind:
            why = f"'{both[0]}' is {new.options.done} twice"
            problems.add("G216", why, spec.span, fix="let each pass name other paths")
        elif both and earlier.options.last:
            why = f"'{both[0]}' is {earlier.options.done} already, so it cannot be changed"
            problems.add("G216", why, spec.span, fix=f"put {earlier.options.kind} last")
