"""Adapting: fine-tuning as a pass over the graph, which adds to what it computes and takes nothing.

A linear map that has several names, being shared, is adapted once, as one thing; where only some of
its names are chosen, or where it is one with something else, the spec is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from composer.components.component import Inputs, OptionError
from composer.components.placed import Adapter, place
from composer.diagnostics import Problems
from composer.language.spec import AdaptSpec, ModelSpec

from .adapted import maps_for
from .graph import Graph, Node
from .linear_maps import FoundMap, LinearMaps
from .mapping import with_nodes
from .tensors import set_owner


def adapt(spec: ModelSpec, graph: Graph, problems: Problems) -> Graph:
    """`graph` with the adapters of a spec; what cannot be adapted is added to the problems."""
    maps = LinearMaps(graph)
    added: dict[str, list[Adapter]] = {}
    anchors: dict[tuple[str, str], str] = {}
    for each in spec.adapt:
        chosen = maps_for(each, maps, problems)
        _check_shared(each, chosen, maps, problems)
        for path in chosen:
            found = maps.found[path]
            if not _add(each, found, added, problems):
                break  # the others of this adapter are wrong for the same reason
            anchors[found.holder, each.made.component.held or found.linear] = path
    if problems:
        return graph

    def change(path: str, node: Node) -> Node:
        new = tuple(added.get(path, ()))
        return replace(node, placed=replace(node.placed, adapters=new)) if new else node

    parts = {name: with_nodes(part, change) for name, part in graph.parts.items()}
    return replace(
        graph, parts=parts, aliases={**graph.aliases, **_aliases(added, anchors, maps, graph)}
    )


def _check_shared(spec: AdaptSpec, chosen: list[str], maps: LinearMaps, problems: Problems) -> None:
    """Adds a problem for each map that is one with something else, or chosen in part."""
    wanted, told = set(chosen), set()
    for path in chosen:
        for other in maps.places(path):
            why, fix = _unlike(path, other, wanted, spec.made.component.held, maps)
            pair = (path.split(".")[0], other.split(".")[0])
            if why and pair not in told:
                problems.add("G213", why, spec.span, fix=fix)
                told |= {pair, pair[::-1]}


def _unlike(
    path: str, other: str, wanted: set[str], held: str, maps: LinearMaps
) -> tuple[str, str]:
    """Why a map cannot be adapted together with another place of its weight, if so."""
    if other == path:
        return "", ""
    said = f"'{path}' is adapted, but its weight is also that of '{other}'"
    if other not in maps.found:
        return f"{said}, which is no linear map", "adapt something else, or share less"
    one, two = maps.found[path], maps.found[other]
    alike = one.linear == two.linear and one.node.component.kind == two.node.component.kind
    names = [{s: maps.first[f"{f.path}.{s}"] for s in f.suffixes} for f in (one, two)]
    if held:
        alike = alike and _heads(one) == _heads(two)
        state = one.node.placed.state
        names = [{s: maps.first.get(f"{f.holder}.{s}", "") for s in state} for f in (one, two)]
    if not alike or names[0] != names[1]:
        return (
            f"{said}, and they are not one in everything",
            "share both whole, or adapt neither",
        )
    if other not in wanted:
        return f"{said}, which is not", f"adapt '{other}' too"
    return "", ""


def _heads(found: FoundMap) -> tuple[object, object]:
    """Heads of keys and their width, where what holds a map has some."""
    axes = found.node.placed.axes
    return axes.get("num_kv_heads"), axes.get("head_dim")


def _add(
    spec: AdaptSpec, found: FoundMap, added: dict[str, list[Adapter]], problems: Problems
) -> bool:
    """Whether an adapter could be put onto a linear map; if not, a problem says why."""
    here = added.setdefault(found.holder, [])
    linear = spec.made.component.held or found.linear
    if any(a.linear == linear and a.name == spec.name for a in here):
        why = f"'{found.path}' is adapted twice by '{spec.name}'"
        problems.add("G212", why, spec.span, fix="give one of them a name: {name: second, ...}")
        return False
    if any(a.linear == linear and _holder(a) != spec.made.component.holder for a in here):
        why = f"'{found.path}' has adapters that do not go together, '{here[-1].name}' and '{spec.name}'"
        fix = "let lora (all with dora, or none), ia3 and adapter be on different linear maps"
        problems.add("G212", why, spec.span, fix=fix)
        return False
    try:
        placed = place(spec.made.component, _ports(found, linear), linear_role=found.map.role)
    except OptionError as error:
        problems.add("G212", error.message, spec.made.option(error.option), fix=error.fix)
        return False
    here.append(Adapter(linear, spec.name, placed))
    return True


def _ports(found: FoundMap, linear: str) -> Inputs:
    """Shapes of what an adapter may read: what a linear map reads and makes, queries and keys."""
    (width, read), rows, axes = found.shape, found.map.rows, found.node.placed.axes
    if linear == "before":
        source = axes.source if "source" in axes else axes.time
        queries = (axes.batch, axes.num_heads, axes.time, axes.head_dim)
        return {"q": queries, "k": (axes.batch, axes.num_kv_heads, source, axes.head_dim)}
    return {"x": (rows, width if linear == "beside" else read), "y": (rows, width)}


def _holder(adapter: Adapter) -> str:
    return adapter.placed.component.holder


def _aliases(
    added: Mapping[str, list[Adapter]], anchors: Mapping[tuple[str, str], str], maps: LinearMaps,
    graph: Graph,
) -> dict[str, str]:  # fmt: skip
    """First names of the adapters' tensors where the maps that hold them are shared."""
    made: dict[str, str] = {}
    for holder, adapters in added.items():
        for adapter in adapters:
            path = anchors[holder, adapter.linear]
            owner = maps.owners[path].removesuffix(maps.found[path].linear) + adapter.linear
            for tensor in adapter.placed.tensors:
                name = set_owner(f"{holder}.{adapter.path}.{tensor}", graph.parts)
                first = f"{owner}.{adapter.name}.{tensor}"
                made |= {} if name == first else {name: first}
    return made
