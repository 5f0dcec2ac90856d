"""What scales in a spec and what each number becomes.

A number scales by what it is: a width, a count of heads, a depth. Its name says which, since one
name has one meaning everywhere in the language; a component whose option has a name of its own
says so in `scales`. Numbers may stand as they are or as `dims`, which take the meaning of what is
written with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from math import exp, gcd, hypot, lcm, log
from typing import Any

from composer.components.component import KINDS, Scale
from composer.components.options import calculate, names_in
from composer.graph.graph import Graph, Node
from composer.language.document import Loc, Mapping, Scalar, Sequence, Tree, get
from composer.language.spec import ModelSpec, SharedSpec

ROLES: AnyMapping[str, Scale] = {
    "d_model": "width",
    "d_ff": "inner",
    "num_heads": "heads",
    "num_kv_heads": "groups",
    "num_layers": "depth",
    "max_length": "length",
    "length": "length",
    "head_dim": "kept",
    "vocab_size": "kept",
    "num_experts": "kept",
    "num_classes": "kept",
}
SECTIONS = ("defaults", "inputs", "encoders", "decoders", "modules", "outputs")
MULTIPLE = 64
ALPHA, BETA = 1.2, 1.29
"""Factors of depth and width for each doubling of the cost: 1.2 * 1.29^2 = 2.0."""


@dataclass(frozen=True)
class Factors:
    """How much larger each kind of number becomes; `inner` is on top of `width`."""

    width: float = 1.0
    depth: float = 1.0
    inner: float = 1.0
    length: float = 1.0

    def off_the_line(self) -> float:
        """How far depth and width are from growing together as in compound scaling, in logs."""
        across = log(self.depth) * log(BETA) - log(self.width) * log(ALPHA)
        return abs(across) / hypot(log(ALPHA), log(BETA))


def depth_for(width: float) -> float:
    """The factor of depth that belongs to a factor of width on the compound line."""
    return exp(log(width) * log(ALPHA) / log(BETA))


@dataclass(frozen=True)
class Number:
    """A number of the spec that scales: where it stands, what it is, and its value."""

    loc: Loc
    role: Scale
    value: int
    heads: int | None = None  # of `groups`: the heads that they must divide


@dataclass(frozen=True)
class Plan:
    """Everything that scales in a spec.

    `units` are widths of heads, by the width of the states that they add up to; `steps` the number
    of layers that belong together, by depth; `orders` are lists with one layer type a layer.
    """

    tree: Mapping
    numbers: tuple[Number, ...]
    inner: tuple[Number, ...]
    units: AnyMapping[int, int]
    steps: AnyMapping[int, int]
    orders: tuple[tuple[Loc, tuple[str, ...]], ...]
    multiple: int | None = None
    trouble: AnyMapping[str, str] = None  # type: ignore[assignment]  # set by plan_of

    def values(self, role: Scale) -> list[int]:
        """The different values of a role, the largest first."""
        return sorted({n.value for n in self.numbers if n.role == role}, reverse=True)

    def width(self, value: int, factor: float) -> int:
        """What a width becomes: whole heads where heads add up to it, else a round number."""
        unit = self.units.get(value) or self._multiple(value)
        return unit * max(1, round(value * factor / unit))

    def inner_width(self, value: int, factor: float, multiple: int | None = None) -> int:
        """What a width inside a feed-forward becomes."""
        unit = multiple or self._multiple(value)
        return unit * max(1, round(value * factor / unit))

    def depth(self, value: int, factor: float) -> int:
        """What a number of layers becomes: whole groups of those that belong together."""
        step = self.steps.get(value, 1)
        return step * max(1, round(value * factor / step))

    def changes(self, by: Factors, multiple: int | None = None) -> dict[Loc, Any]:
        """Every number that becomes another one, by its place."""
        made: dict[Loc, Any] = {}
        for number in self.numbers:
            new = self._scaled(number, by)
            if new != number.value:
                made[number.loc] = new
        if by.inner != 1:
            for number in self.inner:
                width = self.inner_width(number.value, by.width * by.inner, multiple)
                made[number.loc] = width
        for loc, order in self.orders:
            count = self.depth(len(order), by.depth)
            if count != len(order):
                made[loc] = [order[i * len(order) // count] for i in range(count)]
        return made

    def regrouped(self, by: Factors) -> float:
        """How far key and value heads get from their share of the heads, in logs."""
        groups = [number for number in self.numbers if number.role == "groups" and number.value > 1]
        return sum(abs(log(self._scaled(n, by) / (n.value * by.width))) for n in groups)

    def _scaled(self, number: Number, by: Factors) -> int:
        value = number.value
        if number.role == "width":
            return self.width(value, by.width)
        if number.role == "inner":
            return self.inner_width(value, by.width * by.inner)
        if number.role == "heads":
            return max(1, round(value * by.width))
        if number.role == "groups":
            return _groups(value, number.heads or value, by.width)
        if number.role == "depth":
            return self.depth(value, by.depth)
        return max(1, round(value * by.length)) if number.role == "length" else value

    def _multiple(self, value: int) -> int:
        """What a width is a multiple of: as asked, or as it is, at most 64."""
        return self.multiple or gcd(value, MULTIPLE)


def _groups(value: int, heads: int, factor: float) -> int:
    """Key and value heads: all of them, or the divisor of the heads that is nearest."""
    many = max(1, round(heads * factor))
    if value == heads:
        return many
    if value == 1:
        return 1
    divisors = [n for n in range(1, many + 1) if many % n == 0]
    return min(divisors, key=lambda n: abs(log(n / (value * factor))))


def plan_of(tree: Mapping, spec: ModelSpec, graph: Graph, multiple: int | None = None) -> Plan:
    """What scales in a spec; `tree` is its text with a size applied, `spec` and `graph` are of it."""
    places = list(_places(tree, spec.dims))
    roles, clashes = _roles_of_dims(places, tree)
    numbers = [
        Number(loc, role, scalar.value)
        for loc, role, scalar in places
        if type(scalar.value) is int and role != "kept"
    ]
    for name, role in roles.items():
        literal = get(tree, ("dims", name))
        if isinstance(literal, Scalar) and type(literal.value) is int and role != "kept":
            numbers.append(Number(("dims", name), role, literal.value))
    whole = [_with_heads(number, places, spec) for number in numbers]
    return Plan(
        tree, tuple(whole), tuple(_inner(places, tree, spec, graph)), _units(graph),
        _steps(spec), tuple(_orders(tree, spec)), multiple, clashes,
    )  # fmt: skip


Place = tuple[Loc, Scale, Scalar]


def _places(tree: Mapping, dims: AnyMapping[str, float]) -> Iterator[Place]:
    """Every number or expression whose key says what it is."""
    named = dict(ROLES)
    for kind in KINDS.values():
        named |= kind.scales
    for section in SECTIONS:
        below = get(tree, (section,))
        if below is not None:
            yield from _below(below, (section,), named, set(dims))


def _below(tree: Tree, loc: Loc, named: AnyMapping[str, Scale], dims: set[str]) -> Iterator[Place]:
    if isinstance(tree, Sequence):
        for index, item in enumerate(tree.items):
            yield from _below(item, (*loc, index), named, dims)
    if not isinstance(tree, Mapping):
        return
    for key, entry in tree.entries.items():
        value = entry.value
        if not isinstance(value, Scalar):
            yield from _below(value, (*loc, key), named, dims)
        elif key in named and (type(value.value) is int or _uses(value) & dims):
            yield (*loc, key), named[key], value


def _uses(scalar: Scalar) -> set[str]:
    return names_in(scalar.value) if isinstance(scalar.value, str) else set()


def _roles_of_dims(places: list[Place], tree: Mapping) -> tuple[dict[str, Scale], dict[str, str]]:
    """What each dim is, by what is written with it, and those that would have to be two things."""
    alone: dict[str, list[tuple[Scale, str]]] = {}
    inside: list[tuple[Scale, set[str]]] = []
    waiting = [(role, str(loc[-1]), scalar) for loc, role, scalar in places]
    while waiting:
        role, key, scalar = waiting.pop()
        used = _uses(scalar)
        if scalar.value in used:
            alone.setdefault(str(scalar.value), []).append((role, key))
            below = get(tree, ("dims", str(scalar.value)))
            if isinstance(below, Scalar) and isinstance(below.value, str):
                waiting.append((role, key, below))
        elif used:
            inside.append((role, used))
    roles: dict[str, Scale] = {
        name: _strongest([r for r, _ in uses]) for name, uses in alone.items()
    }
    for role, used in inside:
        scaling = any(roles.get(name, "kept") != "kept" for name in used)
        for name in used - roles.keys():
            roles[name] = "kept" if scaling else role
    clashes = {
        name: " and ".join(sorted({key for _, key in uses}))
        for name, uses in alone.items()
        if len({r == "kept" for r, _ in uses}) > 1 or len({r == "depth" for r, _ in uses}) > 1
    }
    return roles, clashes


def _strongest(roles: list[Scale]) -> Scale:
    order: tuple[Scale, ...] = ("width", "heads", "groups", "inner", "depth", "length", "kept")
    return min(roles, key=order.index)


def _with_heads(number: Number, places: list[Place], spec: ModelSpec) -> Number:
    """Key and value heads with the number of heads beside them."""
    if number.role != "groups":
        return number
    text = number.loc[1] if number.loc[0] == "dims" else None
    for loc, role, scalar in places:
        if role != "groups" or (loc != number.loc and (text is None or scalar.value != text)):
            continue
        beside = (*loc[:-1], "num_heads")
        for other, _, value in places:
            if other == beside:
                return Number(number.loc, "groups", number.value, _value(value, spec))
    return number


def _value(scalar: Scalar, spec: ModelSpec) -> int:
    value = scalar.value
    return int(calculate(value, spec.dims) if isinstance(value, str) else value or 0)


def _inner(places: list[Place], tree: Mapping, spec: ModelSpec, graph: Graph) -> Iterator[Number]:
    """Where the width of each feed-forward stands or, left to its default, would stand."""
    found = [(loc, scalar) for loc, role, scalar in places if role == "inner" and loc[-1] == "d_ff"]
    for loc, scalar in found:
        name = str(scalar.value)
        if isinstance(get(tree, ("dims", name)), Scalar):
            loc = ("dims", name)  # noqa: PLW2901 - the dim stands for what is written with it
        yield Number(loc, "inner", _value(scalar, spec))
    if any(loc[0] == "defaults" for loc, _ in found):
        return
    for stack in graph.stacks:
        section = f"{stack.role}s"
        if any(loc[:2] == (section, stack.name) for loc, _ in found):
            continue
        widths = {node.placed.axes["d_ff"] for _, node in stack.nodes() if _is_feed_forward(node)}
        if len(widths) == 1 and isinstance(width := widths.pop(), int):
            yield Number((section, stack.name, "feed_forward", "d_ff"), "inner", width)


def _is_feed_forward(node: Node) -> bool:
    return node.component.role == "feed_forward" and "d_ff" in node.placed.axes


def _units(graph: Graph) -> dict[int, int]:
    """Widths of heads by the width of the states that they add up to."""
    units: dict[int, int] = {}
    for stack in graph.stacks:
        for _, node in stack.nodes():
            heads, each = (getattr(node.component, n, None) for n in ("num_heads", "head_dim"))
            if heads and each and heads * each == stack.width:
                units[stack.width] = lcm(units.get(stack.width, 1), each)
    return units


def _steps(spec: ModelSpec) -> dict[int, int]:
    """Layers that belong together, by depth: a round of layer types, a group that shares."""
    steps: dict[int, int] = {}
    for stack in spec.stacks:
        whole = [len(stack.layer_types)]
        for shared in spec.connections:
            within = isinstance(shared, SharedSpec) and (shared.within or "").split(".")[0]
            if within == stack.name and isinstance(shared, SharedSpec):
                whole.append(shared.every if isinstance(shared.every, int) else 1)
        for step in whole:
            if 1 < step < stack.num_layers and stack.num_layers % step == 0:
                steps[stack.num_layers] = lcm(steps.get(stack.num_layers, 1), step)
    return steps


def _orders(tree: Mapping, spec: ModelSpec) -> Iterator[tuple[Loc, tuple[str, ...]]]:
    """Lists that name the type of each layer of a stack one by one."""
    for stack in spec.stacks:
        for loc in ((f"{stack.role}s", stack.name, "layer_types"), ("defaults", "layer_types")):
            if get(tree, loc) is not None and len(stack.layer_types) == stack.num_layers > 1:
                yield loc, stack.layer_types
                break
