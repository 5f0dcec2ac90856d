"""Adapting: fine-tuning as a pass over the graph, which adds to what it computes and takes nothing.

A linear map that has several names, being shared, is adapted once, as one thing; where only some of
its names are chosen, or where it is one with something else, the spec is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from composer.components.component import Inputs, LinearMap, OptionError
from composer.components.placed import Adapter, place
from composer.diagnostics import Problems
from composer.language.paths import TensorPath, selected
from composer.language.spec import AdaptSpec, ModelSpec

from .graph import Graph, Node
from .mapping import with_nodes
from .selecting import select
from .tensors import first_names, nodes_of, set_owner


def adapt(spec: ModelSpec, graph: Graph, problems: Problems) -> Graph:
    """`graph` with the adapters of a spec; what cannot be adapted is added to the problems."""
    maps = _Maps(graph)
    added: dict[str, list[Adapter]] = {}
    anchors: dict[tuple[str, str], str] = {}
    for each in spec.adapt:
        chosen = maps.chosen(each, problems)
        maps.check_shared(each, chosen, problems)
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


@dataclass(frozen=True)
class _Found:
    """A linear map in a graph: the component that holds it, by its path, and its attribute."""

    path: str
    holder: str
    node: Node
    linear: str
    map: LinearMap

    @property
    def suffixes(self) -> list[str]:
        """Names of its tensors, below its own."""
        prefix = f"{self.linear}." if self.linear else ""
        names = [n for n in self.node.placed.tensors if n.startswith(prefix)]
        return [n[len(prefix) :] for n in names if "." not in n[len(prefix) :]]

    @property
    def is_result(self) -> bool:
        """Whether its result is that of its attention or feed-forward."""
        own = self.linear in self.node.component.linears(self.node.placed.axes)
        return own and self.map.role in {"o", "ffn_out"}

    @property
    def shape(self) -> tuple[int, ...]:
        """Width of the result, width of what it reads."""
        return self.node.placed.tensors[f"{self.linear}.weight".lstrip(".")]


class _Maps:
    """Every linear map of a graph, each layer with its own, and which of them are one."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.found = {found.path: found for found in _linear_maps(graph)}
        self.first = first_names(graph)
        self.owners = {
            path: self.first[f"{path}.weight"].removesuffix(".weight") for path in self.found
        }
        self.names: dict[str, list[str]] = {}
        for name, first in self.first.items():
            self.names.setdefault(first, []).append(name)

    def chosen(self, spec: AdaptSpec, problems: Problems) -> list[str]:
        """Paths of the linear maps that an adapter is for."""
        what = "linear maps"
        if other := [path for path in spec.paths if self._has_no_maps(path)]:
            for path in other:
                why = f"what '{path.text}' has are no linear maps, which adapters are for"
                fix = f'train it whole: freeze: {{parts: "*", except: {path.text}}}'
                problems.add("G212", why, path.span, fix=fix)
            return []
        inside = select(spec.paths, self.owners, self.graph, problems, what) or {}
        if not spec.paths:
            inside = self.owners
        if spec.slot == "attention_adapter":
            return self._attentions(spec, inside, problems)
        if spec.slot in {"result_adapter", "branch_adapter"}:
            return self._results(spec, inside, problems)
        if not spec.roles or not inside:
            return list(inside)
        for role in spec.roles:
            if all(self.found[path].map.role != role for path in inside):
                why = f"no linear map here is for '{role}'"
                roles = dict.fromkeys(self.found[path].map.role for path in inside)
                problems.add("G212", why, spec.span, fix=f"roles here: {', '.join(roles)}")
        return [path for path in inside if self.found[path].map.role in spec.roles]

    def _has_no_maps(self, path: TensorPath) -> bool:
        """Whether a path names parameters, of which none are of linear maps."""
        return bool(selected((path,), self.first)) and not selected((path,), self.owners)

    def _results(self, spec: AdaptSpec, inside: Mapping[str, str], problems: Problems) -> list[str]:
        """Of linear maps, those whose result is that of the component that holds them."""
        last = [path for path in inside if self.found[path].is_result]
        if spec.slot == "branch_adapter":
            for name in [name for name in last if ".layers." not in name]:
                why = (
                    f"'{self.found[name].holder}' is no branch of a layer, beside which it could be"
                )
                fix = "name attentions or feed-forwards: decoder.layers.*.feed_forward"
                problems.add("G212", why, spec.span, fix=fix)
        for path in spec.paths:
            if selected((path,), inside) and not any(path.names(name) for name in last):
                why = f"what '{path.text}' computes is the result of no linear map"
                fix = "name attentions or feed-forwards: decoder.layers.*.feed_forward"
                problems.add("G212", why, path.span, fix=fix)
        return last

    def _attentions(
        self, spec: AdaptSpec, inside: Mapping[str, str], problems: Problems
    ) -> list[str]:
        """Of linear maps, those that make the keys of an attention that takes such an adapter."""
        keys = [path for path in inside if self.found[path].map.role == "k"]
        weighed = _returning_weights(self.graph)
        told: set[str] = set()
        for name in keys:
            node, holder = self.found[name].node, self.found[name].holder
            kind = node.component.kind
            takes = spec.made.component.held in node.component.takes
            why = "" if takes else f"'{holder}' is a {kind}, whose keys can have no {spec.name}"
            if takes and holder in weighed:
                why = f"the weights of '{holder}' are read, which has no place for a {spec.name}"
            if why and kind not in told:
                problems.add("G212", why, spec.span, fix="leave it out: name other attentions")
                told.add(kind)
        for path in spec.paths:
            if selected((path,), inside) and not any(path.names(name) for name in keys):
                why = f"nothing in '{path.text}' makes the keys of an attention"
                fix = "name attentions: decoder.layers.*.attention"
                problems.add("G212", why, path.span, fix=fix)
        return [] if told else keys

    def check_shared(self, spec: AdaptSpec, chosen: list[str], problems: Problems) -> None:
        """Adds a problem for each map that is one with something else, or chosen in part."""
        wanted, told = set(chosen), set()
        for path in chosen:
            for name in self.names[f"{self.owners[path]}.weight"]:
                other = name.removesuffix(".weight")
                why, fix = self._unlike(path, other, wanted, spec.made.component.held)
                pair = (path.split(".")[0], other.split(".")[0])
                if why and pair not in told:
                    problems.add("G213", why, spec.span, fix=fix)
                    told |= {pair, pair[::-1]}

    def _unlike(self, path: str, other: str, wanted: set[str], held: str) -> tuple[str, str]:
        """Why a map cannot be adapted together with another place of its weight, if so."""
        if other == path:
            return "", ""
        said = f"'{path}' is adapted, but its weight is also that of '{other}'"
        if other not in self.found:
            return f"{said}, which is no linear map", "adapt something else, or share less"
        one, two = self.found[path], self.found[other]
        alike = one.linear == two.linear and one.node.component.kind == two.node.component.kind
        names = [{s: self.first[f"{f.path}.{s}"] for s in f.suffixes} for f in (one, two)]
        if held:
            alike = alike and _heads(one) == _heads(two)
            state = one.node.placed.state
            names = [{s: self.first.get(f"{f.holder}.{s}", "") for s in state} for f in (one, two)]
        if not alike or names[0] != names[1]:
            return (
                f"{said}, and they are not one in everything",
                "share both whole, or adapt neither",
            )
        if other not in wanted:
            return f"{said}, which is not", f"adapt '{other}' too"
        return "", ""


def _heads(found: _Found) -> tuple[object, object]:
    """Heads of keys and their width, where what holds a map has some."""
    axes = found.node.placed.axes
    return axes.get("num_kv_heads"), axes.get("head_dim")


def _linear_maps(graph: Graph) -> Iterator[_Found]:
    for part in graph.parts.values():
        for path, node in nodes_of(part):
            for linear, each in node.placed.linears.items():
                yield _Found(f"{path}.{linear}".rstrip("."), path, node, linear, each)


def _add(
    spec: AdaptSpec, found: _Found, added: dict[str, list[Adapter]], problems: Problems
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


def _ports(found: _Found, linear: str) -> Inputs:
    """Shapes of what an adapter may read: what a linear map reads and makes, queries and keys."""
    (width, read), rows, axes = found.shape, found.map.rows, found.node.placed.axes
    if linear == "before":
        source = axes.source if "source" in axes else axes.time
        queries = (axes.batch, axes.num_heads, axes.time, axes.head_dim)
        return {"q": queries, "k": (axes.batch, axes.num_kv_heads, source, axes.head_dim)}
    return {"x": (rows, width if linear == "beside" else read), "y": (rows, width)}


def _returning_weights(graph: Graph) -> set[str]:
    """Paths of the attentions whose weights are results."""
    modules = {module.name for module in graph.modules if module.returns_weights}
    return modules | {
        f"{stack.name}.layers.{index}.{name}"
        for stack in graph.stacks
        for index, layer in enumerate(stack.layers)
        for name in layer.kind.weights
    }


def _holder(adapter: Adapter) -> str:
    return adapter.placed.component.holder


def _aliases(
    added: Mapping[str, list[Adapter]], anchors: Mapping[tuple[str, str], str], maps: _Maps,
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
