"""Changing the components of a part, each by its path; layers that stay alike stay one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .graph import Body, Branch, LayerKind, Memory, Module, Node, Output, Part, Skip, Stack

Change = Callable[[str, Node], Node]
"""Gives the node that stands at a path instead of the one that stood there."""


def with_nodes(part: Part, change: Change) -> Part:
    """The part with every component changed; tables and masks are made of them as before."""
    if isinstance(part, Stack):
        return _stack(part, change)
    if isinstance(part, Module):
        return replace(part, node=change(part.name, part.node))
    if isinstance(part, Output) and part.head is not None:
        return replace(part, head=change(part.name, part.head))
    return part


def with_layers(stack: Stack, change: Callable[[int, LayerKind], LayerKind]) -> Stack:
    """The stack with the kind of each layer changed; equal kinds of one kind stay one."""
    made: list[tuple[LayerKind, LayerKind]] = []

    def one(index: int, kind: LayerKind) -> LayerKind:
        new = change(index, kind)
        if new == kind:
            return kind
        same = (known for old, known in made if old is kind and known == new)
        known = next(same, None)
        if known is None:
            made.append((kind, new))
        return known or new

    layers = (replace(layer, kind=one(i, layer.kind)) for i, layer in enumerate(stack.layers))
    return replace(stack, layers=tuple(layers))


def _stack(stack: Stack, change: Change) -> Stack:
    def at(node: Node | None) -> Node | None:
        return None if node is None else change(f"{stack.name}.{node.name}", node)

    def layer(index: int, kind: LayerKind) -> LayerKind:
        return _kind(kind, lambda _, n: change(f"{stack.name}.layers.{index}.{n.name}", n))

    def memory(one: Memory) -> Memory:
        return replace(one, mix=at(one.mix), projects=tuple(at(node) for node in one.projects))

    return replace(
        with_layers(stack, layer),
        embed=at(stack.embed),
        final_norm=at(stack.final_norm),
        memories=tuple(memory(one) for one in stack.memories),
    )


def _kind(kind: LayerKind, change: Change) -> LayerKind:
    skips = tuple(_skip(skip, change) for skip in kind.skips)
    return replace(
        kind, skips=skips, branches=tuple(_branch(branch, change) for branch in kind.branches)
    )


def _skip(skip: Skip, change: Change) -> Skip:
    project = None if skip.project is None else change("", skip.project)
    return replace(skip, project=project, combine=change("", skip.combine))


def _branch(branch: Branch, change: Change) -> Branch:
    def at(node: Node | None) -> Node | None:
        return None if node is None else change("", node)

    def body(one: Body) -> Body:
        return replace(one, node=change("", one.node), norm=at(one.norm))

    return replace(
        branch,
        bodies=tuple(body(one) for one in branch.bodies),
        norm=at(branch.norm),
        post_norm=at(branch.post_norm),
        combine=at(branch.combine),
        gate=at(branch.gate),
    )
