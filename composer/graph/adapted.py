"""Which linear maps an adapter is for, by what stands in its `on`, `after` or `beside`."""

from __future__ import annotations

from collections.abc import Mapping

from composer.diagnostics import Problems
from composer.language.paths import TensorPath, selected
from composer.language.spec import AdaptSpec

from .graph import Graph
from .linear_maps import LinearMaps


def maps_for(spec: AdaptSpec, maps: LinearMaps, problems: Problems) -> list[str]:
    """Paths of the linear maps that an adapter is for; what it cannot be for is a problem."""
    if other := [path for path in spec.chosen.paths if _has_no_maps(path, maps)]:
        for path in other:
            why = f"what '{path.text}' has are no linear maps, which adapters are for"
            fix = f'train it whole: freeze: {{parts: "*", except: {path.text}}}'
            problems.add("G212", why, path.span, fix=fix)
        return []
    if spec.slot == "linear_adapter":
        return maps.chosen(spec.chosen, spec.span, problems)
    inside = maps.at(spec.chosen, problems)
    if spec.slot == "attention_adapter":
        return _attentions(spec, inside, maps, problems)
    return _results(spec, inside, maps, problems)


def _has_no_maps(path: TensorPath, maps: LinearMaps) -> bool:
    """Whether a path names parameters, of which none are of linear maps."""
    return bool(selected((path,), maps.first)) and not selected((path,), maps.owners)


def _results(
    spec: AdaptSpec, inside: Mapping[str, str], maps: LinearMaps, problems: Problems
) -> list[str]:
    """Of linear maps, those whose result is that of the component that holds them."""
    last = [path for path in inside if maps.found[path].is_result]
    if spec.slot == "branch_adapter":
        for name in [name for name in last if ".layers." not in name]:
            why = f"'{maps.found[name].holder}' is no branch of a layer, beside which it could be"
            fix = "name attentions or feed-forwards: decoder.layers.*.feed_forward"
            problems.add("G212", why, spec.span, fix=fix)
    for path in spec.chosen.paths:
        if selected((path,), inside) and not any(path.names(name) for name in last):
            why = f"what '{path.text}' computes is the result of no linear map"
            fix = "name attentions or feed-forwards: decoder.layers.*.feed_forward"
            problems.add("G212", why, path.span, fix=fix)
    return last


def _attentions(
    spec: AdaptSpec, inside: Mapping[str, str], maps: LinearMaps, problems: Problems
) -> list[str]:
    """Of linear maps, those that make the keys of an attention that takes such an adapter."""
    keys = [path for path in inside if maps.found[path].map.role == "k"]
    weighed = _returning_weights(maps.graph)
    told: set[str] = set()
    for name in keys:
        node, holder = maps.found[name].node, maps.found[name].holder
        kind = node.component.kind
        takes = spec.made.component.held in node.component.takes
        why = "" if takes else f"'{holder}' is a {kind}, whose keys can have no {spec.name}"
        if takes and holder in weighed:
            why = f"the weights of '{holder}' are read, which has no place for a {spec.name}"
        if why and kind not in told:
            problems.add("G212", why, spec.span, fix="leave it out: name other attentions")
            told.add(kind)
    for path in spec.chosen.paths:
        if selected((path,), inside) and not any(path.names(name) for name in keys):
            why = f"nothing in '{path.text}' makes the keys of an attention"
            fix = "name attentions: decoder.layers.*.attention"
            problems.add("G212", why, path.span, fix=fix)
    return [] if told else keys


def _returning_weights(graph: Graph) -> set[str]:
    """Paths of the attentions whose weights are results."""
    modules = {module.name for module in graph.modules if module.returns_weights}
    return modules | {
        f"{stack.name}.layers.{index}.{name}"
        for stack in graph.stacks
        for index, layer in enumerate(stack.layers)
        for name in layer.kind.weights
    }
