"""What differs between two models: numbers, parts, connections, sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from composer.graph.graph import Graph, Node
from composer.language.document import get, plain
from composer.language.flow import flow
from composer.language.spec import ModelSpec
from composer.targets.numbers.flops import flops_per_token

from .tensors import Fate, fates


@dataclass(frozen=True)
class Change:
    """Something that is added, removed or changed; `options` are (before, after) by name."""

    path: str
    what: Literal["added", "removed", "changed"]
    kind: str = ""
    options: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Difference:
    """Two models, `a` before and `b` after; FLOPs are those of a forward pass by the step."""

    names: tuple[str, str]
    dims: tuple[Change, ...]
    nodes: tuple[Change, ...]
    connections: tuple[Change, ...]
    parameters: tuple[int, int]
    steps: int
    flops_per_token: tuple[float, float]
    tensors: tuple[Fate, ...]

    @property
    def empty(self) -> bool:
        """Whether the models are the same."""
        moved = any(fate.what != "carried" or fate.source for fate in self.tensors)
        return not (self.dims or self.nodes or self.connections or moved)


def compare(
    a: tuple[ModelSpec, Graph], b: tuple[ModelSpec, Graph], names: tuple[str, str], steps: int
) -> Difference:
    """What differs between two models; FLOPs are counted for inputs of `steps` steps."""
    graphs = a[1], b[1]
    return Difference(
        names,
        tuple(_dims(a[0].dims, b[0].dims)),
        (*_stacks(*graphs), *_nodes(*(dict(_applied(graph)) for graph in graphs))),
        tuple(_connections(a[0], b[0])),
        (graphs[0].parameters, graphs[1].parameters),
        steps,
        (flops_per_token(graphs[0], steps), flops_per_token(graphs[1], steps)),
        tuple(fates(*graphs)),
    )


def _dims(a: Mapping[str, float], b: Mapping[str, float]) -> Iterator[Change]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield Change(name, _what(name in a, name in b), "", {name: (a.get(name), b.get(name))})


def _stacks(a: Graph, b: Graph) -> Iterator[Change]:
    """Stacks by their width and depth."""
    before, after = (
        {s.name: {"width": s.width, "layers": len(s.layers)} for s in graph.stacks}
        for graph in (a, b)
    )
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name, {}), after.get(name, {})
        options = {
            key: (old.get(key), new.get(key))
            for key in ("width", "layers")
            if old.get(key) != new.get(key)
        }
        if options:
            yield Change(name, _what(name in before, name in after), "stack", options)


def _applied(graph: Graph) -> Iterator[tuple[str, Node]]:
    """Every component by its path, inputs among them; layers that share stand under their own."""
    for entry in graph.inputs:
        yield entry.name, entry.node
    yield from graph.nodes()


def _nodes(a: Mapping[str, Node], b: Mapping[str, Node]) -> Iterator[Change]:
    for path in dict.fromkeys([*a, *b]):
        before, after = a.get(path), b.get(path)
        kinds = [node.component.kind for node in (before, after) if node is not None]
        if before is None or after is None:
            yield Change(path, _what(before is not None, after is not None), kinds[0])
            continue
        options = _options(before, after)
        if options:
            yield Change(path, "changed", " -> ".join(dict.fromkeys(kinds)), options)


def _options(a: Node, b: Node) -> dict[str, tuple[Any, Any]]:
    """Options that differ; a width that only follows that of the stack is none."""
    before, after = _values(a), _values(b)
    names = dict.fromkeys([*before, *after])
    return {
        name: (before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    }


def _values(node: Node) -> dict[str, Any]:
    component = node.component
    options = {name: _plain(getattr(component, name)) for name in type(component).model_fields}
    return options | {name: _plain(value) for name, value in (component.model_extra or {}).items()}


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    return value if isinstance(value, int | float | str | list | None) else str(value)


def _connections(a: ModelSpec, b: ModelSpec) -> Iterator[Change]:
    """Connections as they are written, and what each part reads."""
    before, after = list(_wires(a)), list(_wires(b))
    for wire in before:
        if wire not in after:
            yield Change(wire, "removed")
    for wire in after:
        if wire not in before:
            yield Change(wire, "added")


def _wires(spec: ModelSpec) -> Iterator[str]:
    connections = get(spec.tree, ("connections",))
    for connection in plain(connections) or [] if connections is not None else []:
        yield flow(connection)[1:-1]
    for stack in spec.stacks:
        yield f"{stack.name} from {stack.source}"
    for output in spec.outputs:
        yield f"{output.name} from {output.source}"
    for module in spec.modules:
        for port, sources in module.sources.items():
            yield f"{module.name}.{port} from {', '.join(sources)}"


def _what(before: bool, after: bool) -> Literal["added", "removed", "changed"]:
    if before and after:
        return "changed"
    return "removed" if before else "added"
