"""Parametrization: factors that keep a model's training alike at every width and depth.

The base is the same spec with smaller sizes. Against it each tensor has a ratio of widths, and each
stack a ratio of depths; scores of attention, heads and branches get the factors that follow (Yang
et al., 2022, arXiv:2203.03466; Dey et al., 2025, arXiv:2505.01618), embeddings keep the base's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from composer.components.component import Component
from composer.components.placed import Placed
from composer.diagnostics import Problems
from composer.language.spec import ParametrizationSpec

from .graph import Branch, Graph, LayerKind, Module, Node, Output, Part, Stack

Kind = Literal["embedding", "matrix", "head", "vector"]
Key = tuple[str, str, str]
"""A node in any model of the spec: its part, the type of its layer, its name."""


@dataclass(frozen=True)
class Rule:
    """What a tensor is, and how many times wider and deeper its place is than in the base.

    `width` is the ratio of the axis that is summed over, `growth` that of the widest axis; `factor`
    says whether the component multiplies its result by what `width` asks for.
    """

    kind: Kind
    width: float = 1.0
    growth: float = 1.0
    depth: float = 1.0
    factor: bool = False


def parametrized(graph: Graph, base: Graph, spec: ParametrizationSpec) -> Graph:
    """`graph` with the factors of its parametrization.

    Raises SpecError where the base is another model, not a smaller one.
    """
    _check_alike(graph, base, spec)
    pairs = _Pairs(base)
    parts: dict[str, Part] = {}
    for name, part in graph.parts.items():
        if isinstance(part, Stack):
            parts[name] = _stack(part, pairs, spec)
        elif isinstance(part, Output) and part.head is not None:
            parts[name] = replace(part, head=_head(part.head, pairs.nodes[name, "", "head"]))
        elif isinstance(part, Module):
            small = pairs.nodes[name, "", ""]
            parts[name] = replace(part, node=_scored(_embedded(part.node, small), small))
        else:
            parts[name] = part
    return replace(graph, parts=parts, parametrization=spec.kind, base=base)


def rules(graph: Graph) -> dict[str, Rule]:
    """The rule of every tensor; where there is no base, all ratios are one."""
    pairs = _Pairs(graph if graph.base is None else graph.base)
    made: dict[str, Rule] = {}
    for path, key, node, depth in _placed(graph, pairs):
        small = pairs.nodes[key]
        for name, shape in node.placed.tensors.items():
            if (full := f"{path}.{name}") not in graph.aliases:
                rule = _rule(node.component, shape, small.placed.tensors[name])
                made[full] = replace(rule, depth=depth)
    return made


class _Pairs:
    """The nodes of the base by their keys, and the depths of its stacks."""

    def __init__(self, base: Graph) -> None:
        self.nodes: dict[Key, Node] = {}
        self.branches: dict[Key, Branch] = {}
        self.depths = {stack.name: len(stack.layers) for stack in base.stacks}
        for key, node in _keyed(base):
            self.nodes.setdefault(key, node)
        for stack in base.stacks:
            for kind in stack.kinds:
                for branch in kind.branches:
                    self.branches.setdefault((stack.name, kind.type, branch.name), branch)


def _keyed(graph: Graph) -> Iterator[tuple[Key, Node]]:
    for part in graph.parts.values():
        if isinstance(part, Stack):
            outside = replace(part, layers=())
            yield from (((part.name, "", path), node) for path, node in outside.nodes())
            for kind in part.kinds:
                yield from (((part.name, kind.type, node.name), node) for node in kind.nodes())
        elif isinstance(part, Module):
            yield (part.name, "", ""), part.node
        elif isinstance(part, Output) and part.head is not None:
            yield (part.name, "", "head"), part.head


def _placed(graph: Graph, pairs: _Pairs) -> Iterator[tuple[str, Key, Node, float]]:
    """Path, key and node of every component, and how much deeper its stack is."""
    for part in graph.parts.values():
        if isinstance(part, Stack):
            depth = len(part.layers) / pairs.depths[part.name]
            outside = replace(part, layers=())
            for path, node in outside.nodes():
                yield f"{part.name}.{path}", (part.name, "", path), node, 1.0
            for index, layer in enumerate(part.layers):
                if part.layer_sets[index] == index:
                    for node in layer.kind.nodes():
                        key = (part.name, layer.kind.type, node.name)
                        yield f"{part.name}.layers.{index}.{node.name}", key, node, depth
        elif isinstance(part, Module):
            yield part.name, (part.name, "", ""), part.node, 1.0
        elif isinstance(part, Output) and part.head is not None:
            yield part.name, (part.name, "", "head"), part.head, 1.0


def _check_alike(graph: Graph, base: Graph, spec: ParametrizationSpec) -> None:
    """The base differs in sizes only: each component has one of its kind and its tensors there."""
    small, problems = dict(_keyed(base)), Problems()
    for key, node in _keyed(graph):
        other = small.get(key)
        if other is not None and _fixed_scores(node, other):
            problems.add(
                "C115",
                f"the scores of '{node.component.kind}' cannot follow the width of its heads",
                spec.span,
                fix="give base as many heads less, so that their width stays",
            )
            break
        alike = other is not None and list(other.placed.tensors) == list(node.placed.tensors)
        if not alike or other is None or other.component.kind != node.component.kind:
            name = ".".join(word for word in (key[0], key[2]) if word)
            message = f"the base of the parametrization has no '{name}' like that of the model"
            problems.add("C115", message, spec.span, fix="let base change sizes only")
            break
    problems.raise_if_any()


# Factors


def _stack(stack: Stack, pairs: _Pairs, spec: ParametrizationSpec) -> Stack:
    deeper = len(stack.layers) / pairs.depths[stack.name] if spec.kind == "completep" else 1.0
    made = {id(kind): _kind(kind, stack.name, pairs, deeper) for kind in stack.kinds}
    layers = tuple(replace(layer, kind=made[id(layer.kind)]) for layer in stack.layers)
    embed = stack.embed
    if embed is not None:
        embed = _embedded(embed, pairs.nodes[stack.name, "", embed.name])
    return replace(stack, layers=layers, embed=embed)


def _kind(kind: LayerKind, stack: str, pairs: _Pairs, deeper: float) -> LayerKind:
    branches = []
    for branch in kind.branches:
        small = pairs.branches[stack, kind.type, branch.name]
        bodies = tuple(
            replace(body, node=_scored(body.node, pairs.nodes[stack, kind.type, body.node.name]))
            for body in branch.bodies
        )
        branches.append(replace(branch, bodies=bodies, scale=small.scale / deeper))
    return replace(kind, branches=tuple(branches))


def _scored(node: Node, small: Node) -> Node:
    """An attention whose scores fall with the width of its heads, not with its root."""
    if not hasattr(node.component, "qk_scale"):
        return node
    width, base = _head_width(node.placed), _head_width(small.placed)
    if width == base:
        return node
    start = getattr(small.component, "qk_scale", None) or base**-0.5
    return _changed(node, qk_scale=start * base / width)


def _fixed_scores(node: Node, small: Node) -> bool:
    """Whether heads grow in an attention whose scores have a factor of their own."""
    settled = node.component.role == "attention" and not hasattr(node.component, "qk_scale")
    return settled and _head_width(node.placed) != _head_width(small.placed)


def _head_width(placed: Placed) -> int:
    widths = [placed.axes.get(name, 0) for name in ("head_dim", "rope_dim")]
    return sum(width for width in widths if isinstance(width, int))


def _embedded(node: Node, small: Node) -> Node:
    """An embedding with the factor of the base's, which does not grow with the width."""
    if node.component.role != "embedding" or not hasattr(node.component, "scale"):
        return node
    return _changed(node, scale=getattr(small.component, "scale"))  # noqa: B009


def _head(node: Node, small: Node) -> Node:
    """A head whose results are divided by how much wider it reads."""
    ratios = [
        rule.width
        for name, shape in node.placed.tensors.items()
        if (rule := _rule(node.component, shape, small.placed.tensors[name])).kind == "head"
    ]
    if not ratios or not hasattr(small.component, "scale"):
        return node
    return _changed(node, scale=getattr(small.component, "scale") / max(ratios))  # noqa: B009


def _changed(node: Node, **options: float) -> Node:
    component = node.component.model_copy(update=options)
    return replace(node, placed=replace(node.placed, component=component))


def _rule(component: Component, shape: tuple[int, ...], small: tuple[int, ...]) -> Rule:
    ratios = [wide / narrow for wide, narrow in zip(shape, small, strict=True)]
    growth = max(ratios, default=1.0)
    if len(shape) < 2:  # noqa: PLR2004 - a vector
        return Rule("vector", growth=growth)
    if component.role in {"embedding", "position"}:
        return Rule("embedding", growth=growth)
    # Of stacked matrices (experts, out, in) the last axis is summed over; of a convolution's
    # (out, in, steps), and of a matrix (out, in), the second.
    axis = 2 if len(shape) == 3 and ratios[2] != 1 else 1  # noqa: PLR2004
    if component.role == "projection" and ratios[0] == 1:
        return Rule("head", ratios[axis], growth, factor=hasattr(component, "scale"))
    return Rule("matrix", ratios[axis], growth)
