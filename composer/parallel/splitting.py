"""What of a graph is split along `tp`: components that can be, and parameters that are one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from composer.components.splits import Split
from composer.diagnostics import Problems
from composer.graph.graph import Graph, Module, Node, Stack
from composer.language.parallel import Parallelism


@dataclass(frozen=True)
class Splitting:
    """What is split: components by their paths, and the axis of each parameter by its first name.

    `whole` says of components with parameters why each device computes all of them. `steps` are
    the stacks whose states are split by steps, too, and `unsplit` says why others are not.
    """

    split: Mapping[str, Split] = field(default_factory=dict)
    axes: Mapping[str, int] = field(default_factory=dict)
    whole: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    unsplit: Mapping[str, str] = field(default_factory=dict)


def splitting(graph: Graph, asked: Parallelism) -> Splitting:
    """How the components of a graph are split over the `tp` devices of a mesh.

    Raises SpecError where heads or widths do not divide.
    """
    if asked.mesh.tp == 1:
        return Splitting()
    nodes = dict(graph.nodes())
    found = {path: _split(path, node, graph) for path, node in nodes.items()}
    while ties := _unlike(found, nodes, graph):
        found |= {path: Split(why=why) for path, why in ties.items()}
    split = {path: one for path, one in found.items() if one.styles}
    _check(split, nodes, asked.mesh.tp)
    axes = {
        first: axis
        for path, one in split.items()
        for tensor in nodes[path].placed.tensors
        if (axis := one.axis(tensor)) is not None
        for first in [_first(f"{path}.{tensor}", graph)]
    }
    whole = {
        path: "a norm" if nodes[path].component.role == "norm" else one.why
        for path, one in found.items()
        if not one.styles and nodes[path].placed.tensors
    }
    unsplit = _unsplit(graph) if asked.tp.sequence else {}
    steps = [s.name for s in graph.stacks] if asked.tp.sequence and not unsplit else []
    return Splitting(split, axes, whole, tuple(steps), unsplit)


def _split(path: str, node: Node, graph: Graph) -> Split:
    """How one component is split, as far as it alone says."""
    placed = node.placed
    if placed.adapters:
        return Split(why="it is adapted")
    if _returns_weights(path, node, graph):
        return Split(why="its weights are an output")
    return placed.component.split(placed.axes)


def _returns_weights(path: str, node: Node, graph: Graph) -> bool:
    part = graph.parts[path.split(".", maxsplit=1)[0]]
    if isinstance(part, Module):
        return part.returns_weights
    if not isinstance(part, Stack):
        return False
    bodies = (b for kind in part.kinds for branch in kind.branches for b in branch.bodies)
    return any(body.node is node and body.returns_weights for body in bodies)


def _unlike(found: Mapping[str, Split], nodes: Mapping[str, Node], graph: Graph) -> dict[str, str]:
    """Split components with a parameter that another place has whole or splits another way."""
    places: dict[str, list[tuple[str, int | None]]] = {}
    for path, node in nodes.items():
        for tensor in node.placed.tensors:
            first = _first(f"{path}.{tensor}", graph)
            places.setdefault(first, []).append((path, found[path].axis(tensor)))
    return {
        path: f"it shares '{first}' with what is whole"
        for first, group in places.items()
        if len({axis for _, axis in group}) > 1
        for path, _ in group
        if found[path].styles
    }


def _first(name: str, graph: Graph) -> str:
    return graph.aliases.get(name, name)


def _check(split: Mapping[str, Split], nodes: Mapping[str, Node], tp: int) -> None:
    """Every device gets as many heads as any other."""
    problems = Problems()
    told: set[tuple[object, ...]] = set()
    for path, one in split.items():
        for option, size in one.units.items():
            place = (option, size, nodes[path].span)
            if not isinstance(size, int) or size % tp == 0 or place in told:
                continue
            told.add(place)
            fits = [str(n) for n in range(1, tp + 1) if size % n == 0][-2:]
            problems.add(
                "P601",
                f"{option} {size} of '{path}' cannot be split over tp: {tp}",
                nodes[path].span,
                fix=f"tp: {' or '.join(fits)}",
            )
    problems.raise_if_any()


def _unsplit(graph: Graph) -> dict[str, str]:
    """Why states are not split by steps: the stacks that keep them whole."""
    inner = {state.part for state in graph.values if state.layer is not None}
    why = {stack.name: _obstacle(stack, inner) for stack in graph.stacks}
    return {name: text for name, text in why.items() if text}


def _obstacle(stack: Stack, inner: set[str]) -> str:
    if stack.embed is None:
        return "it has no embedding"
    if stack.name in inner:
        return "states between its layers are read elsewhere"
    if stack.lockstep:
        return "it runs in step with another stack"
    for kind in stack.kinds:
        if kind.skips:
            return "it has skips"
        for branch in kind.branches:
            if len(branch.bodies) > 1 or branch.gate is not None:
                return f"'{branch.name}' has several branches or a gate"
    return ""
