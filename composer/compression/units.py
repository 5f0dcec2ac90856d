"""What can be cut out of a component whole: heads, features, experts; and which of them are kept.

Which axes of which tensors belong to them is not written down anywhere: the same model is placed
with fewer, and every axis that has become shorter is cut, in equal blocks. Adapters, norms of heads
and tables of positions are found with the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from composer.graph.graph import Graph, Node, Stack
from composer.graph.tensors import first_names, nodes_of

from .errors import compression_error


@dataclass(frozen=True)
class Unit:
    """Something that components have several of, and may have fewer of.

    `option` is their number, `blocks` the number of those that are cut as one: heads with the same
    keys. `role` is that of components which have some, and `kinds` are those that can be cut. `out`
    are the tensors without which a unit has no effect.
    """

    word: str
    option: str
    blocks: str
    role: str
    kinds: tuple[str, ...]
    out: tuple[str, ...]


HEADS = Unit(
    "heads", "num_heads", "num_kv_heads", "attention", ("attention", "cross_attention"),
    ("o.weight",),
)  # fmt: skip
D_FF = Unit(
    "d_ff", "d_ff", "d_ff", "feed_forward", ("feed_forward", "glu", "moe"), ("down.weight", "down")
)
EXPERTS = Unit("experts", "num_experts", "num_experts", "", ("moe",), ("down", "down_bias"))

Axis = tuple[str, int, int]
"""A tensor by its first name, one of its axes, and the length of a block of it."""


def stack_of(graph: Graph, name: str) -> Stack:
    """The stack of a name; raises CompressionError where there is none."""
    part = graph.parts.get(name)
    if not isinstance(part, Stack):
        known = ", ".join(each.name for each in graph.stacks)
        raise compression_error("Q705", f"no stack is called '{name}'", f"stacks: {known}")
    return part


def holders(graph: Graph, stack: str, unit: Unit) -> dict[str, Node]:
    """The components of a stack that have some of a unit, by path.

    Raises CompressionError where there are none, or where one cannot be cut.
    """
    part = stack_of(graph, stack)
    found = {path: node for path, node in nodes_of(part) if node.component.kind in unit.kinds}
    for path, node in nodes_of(part):
        component = node.component
        if component.role == unit.role and path not in found:
            raise _refused(path, f"'{component.kind}' has no {unit.word} that can be cut")
    if not found:
        raise compression_error("Q705", f"'{stack}' has no {unit.word}")
    for path, node in found.items():
        if why := _obstacle(node, unit):
            raise _refused(path, why)
    return found


def blocks_left(path: str, node: Node, unit: Unit, count: int) -> int:
    """How many blocks a component has left where it has `count` of a unit.

    Raises CompressionError where that is none, more than before, or no whole number of blocks.
    """
    had, blocks = (getattr(node.component, name) for name in (unit.option, unit.blocks))
    if not 1 <= count <= had:
        raise _refused(path, f"it has {had} {unit.word}, so {count} cannot be left")
    if count * blocks % had:
        size = had // blocks
        raise _refused(path, f"{size} heads have the same keys, so {count} are no whole groups")
    left: int = count * blocks // had
    return left


def _obstacle(node: Node, unit: Unit) -> str | None:
    """Why what is left would not compute what it did, if so."""
    component = node.component
    if unit is HEADS and getattr(component, "qk_norm_over", "head") == "full":
        return "its qk_norm is over all heads"
    if unit is HEADS and getattr(getattr(component, "position", None), "kind", "") == "alibi":
        return "the slopes of alibi follow from the number of heads"
    if unit is EXPERTS and getattr(component, "groups", 1) > 1:
        return "its experts are chosen by groups"
    return None


def _refused(path: str, why: str) -> Exception:
    return compression_error("Q705", f"'{path}' cannot be cut: {why}")


class Cutting:
    """Which axes are cut, for components that must keep the same units."""

    def __init__(self, old: Graph, new: Graph, found: Mapping[str, Node], unit: Unit) -> None:
        self.old, self.unit = old, unit
        self.first = first_names(old)
        self.counts = {path: getattr(node.component, unit.blocks) for path, node in found.items()}
        self.axes = {path: list(self._axes(path, found[path], new)) for path in found}
        for path, node in found.items():
            self.axes[path] += self._tables(path, node, new)
        self._check_whole(new)

    def groups(self) -> list[list[str]]:
        """Paths of components in lists of those that have tensors in common."""
        groups: list[tuple[set[str], list[str]]] = []
        for path, axes in self.axes.items():
            names = {name for name, _, _ in axes}
            met = [group for group in groups if group[0] & names]
            groups = [group for group in groups if group not in met]
            joined = [p for _, paths in met for p in paths]
            groups.append((names.union(*(n for n, _ in met)), [*joined, path]))
        for _, paths in groups:
            other = next((p for p in paths if self.counts[p] != self.counts[paths[0]]), None)
            if other is not None:
                raise _refused(other, f"it shares tensors with '{paths[0]}', but not its groups")
        return [paths for _, paths in groups]

    def cut(
        self, kept: Mapping[str, Sequence[int]], tensors: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Tensors with what is kept of each component."""
        made, done = dict(tensors), set()
        for path, axes in self.axes.items():
            for name, axis, block in axes:
                if (name, axis) not in done and name in made:
                    made[name] = _blocks(made[name], axis, block, kept[path])
                    done.add((name, axis))
        return made

    def scores(self, paths: Sequence[str], worth: Mapping[str, Tensor], *, out: bool) -> Tensor:
        """What each unit is worth to some components: the sum over its numbers, without a sign."""
        count = self.counts[paths[0]]
        total = torch.zeros(count, dtype=torch.float64)
        for name, axis, block in sorted({a for path in paths for a in self.axes[path]}):
            if name in worth and (not out or name.endswith(tuple(f".{n}" for n in self.unit.out))):
                whole = worth[name].detach().double().cpu().movedim(axis, 0)
                total += whole.reshape(count, block, -1).sum((1, 2))
        return total.abs()

    def _axes(self, path: str, node: Node, new: Graph) -> Iterator[Axis]:
        made = next(n for p, n in nodes_of(new.parts[_part(path)]) if p == path)
        for name, shape in node.placed.state.items():
            yield from self._shorter(f"{path}.{name}", shape, made.placed.state[name], path)

    def _tables(self, path: str, node: Node, new: Graph) -> list[Axis]:
        """Axes of the table of positions that a stack makes for a component."""
        before, after = self.old.parts[_part(path)], new.parts[_part(path)]
        assert isinstance(before, Stack), "components that are cut stand in stacks"
        assert isinstance(after, Stack), "a smaller spec has the same parts"
        found: list[Axis] = []
        for table in node.component.tables(node.placed.axes).values():
            name = before.table_name(table)
            made = next((t for t in after.tables if t.name == name), None)
            for tensor, shape in table.tensors.items() if made is not None else ():
                assert made is not None, "tables without a name are left out"
                full, short = f"{before.name}.{name}.{tensor}", made.placed.tensors[tensor]
                found += self._shorter(full, shape, short, path)
        return found

    def _shorter(
        self, name: str, shape: Sequence[int], short: Sequence[int], path: str
    ) -> Iterator[Axis]:
        for axis, (size, left) in enumerate(zip(shape, short, strict=True)):
            if size != left:
                yield self.first[name], axis, size // self.counts[path]

    def _check_whole(self, new: Graph) -> None:
        """Raises CompressionError where something else would become shorter too."""
        known = {name for axes in self.axes.values() for name, _, _ in axes}
        for name, shape in self.old.state.items():
            if name not in known and new.state.get(name) != shape:
                raise _refused(name, "it would have another shape, but is no part of what is cut")


def best(scores: Tensor, count: int) -> list[int]:
    """The numbers of the `count` highest scores, in order; of equal ones the first."""
    order = torch.argsort(scores, descending=True, stable=True)
    return sorted(order[:count].tolist())


def _part(path: str) -> str:
    return path.partition(".")[0]


def _blocks(tensor: Tensor, axis: int, block: int, kept: Sequence[int]) -> Tensor:
    """What some blocks of an axis hold."""
    places = torch.arange(tensor.shape[axis], device=tensor.device).reshape(-1, block)
    chosen = places[torch.tensor(kept, device=tensor.device)].flatten()
    return tensor.index_select(axis, chosen).contiguous()
