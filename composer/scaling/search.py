"""From factors or a number of parameters to the spec that has them, counted by its graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import gcd, isfinite, log
from typing import Any

from composer.components.component import Scale
from composer.diagnostics import Span, SpecError
from composer.graph.build import build_graph
from composer.graph.graph import Graph
from composer.language.check import check
from composer.language.document import Loc, Mapping, merge

from .obstacles import depth_obstacle
from .overlay import overlay, to_tree
from .rules import MULTIPLE, Factors, Plan, depth_for

Count = Callable[[Graph], int]

TOLERANCE = 0.01
LARGEST = (1_000_000, 10_000)
"""The largest width and depth that the language has."""

_TRIES = 60  # exact counts of one search; each takes milliseconds
_INNER = (0.5, 2.0)  # how far feed-forward may leave its proportion to reach a number
_TUNED = 0.1  # of cost: a feed-forward in its proportion is worth a slightly odd shape
_WIDTHS, _DEPTHS = (1.0, 2.0, 3.0), (1.0, 2.0)  # where exact counts fix the closed form
_SHALLOW = 8  # times fewer layers than well proportioned is as wide as a search goes
_FINER = (None, 32, 16, 8)


class ScalingError(Exception):
    """What cannot be scaled: why, and the nearest that can."""

    def __init__(self, why: str, fix: str | None = None) -> None:
        super().__init__(why if fix is None else f"{why}; {fix}")
        self.why, self.fix = why, fix


@dataclass(frozen=True)
class Candidate:
    """A scaled spec: the factors it was asked for, what changes in its text, and its graph."""

    factors: Factors
    changes: dict[Loc, Any]
    data: dict[str, Any]
    graph: Graph

    @cached_property
    def parameters(self) -> int:
        """Number of parameters, each shared one counted once."""
        return self.graph.parameters


def made(plan: Plan, by: Factors, multiple: int | None = None) -> Candidate:
    """The spec with every number scaled.

    Raises SpecError where the spec does not hold with these numbers.
    """
    changes = plan.changes(by, multiple)
    data = overlay(plan.tree, changes)
    tree = merge(plan.tree, to_tree(data))
    assert isinstance(tree, Mapping)
    graph = build_graph(check(Mapping(tree.entries, plan.tree.span)))
    return Candidate(by, changes, data, graph)


def scaled(plan: Plan, by: Factors) -> Candidate:
    """The spec with its widths and depths times factors, rounded to what its heads allow.

    Raises ScalingError where its structure forbids that.
    """
    _check_factors(plan, by)
    found = _made_or_refused(plan, by)
    if not found.changes:
        raise ScalingError(
            "these factors change nothing after rounding",
            f"the next width is {smallest_step(plan):.3g} times this one",
        )
    return found


def sized_to(
    plan: Plan, target: float, count: Count, *, width: float | None = None,
    depth: float | None = None, tolerance: float = TOLERANCE,
) -> Candidate:  # fmt: skip
    """The spec whose `count` is within `tolerance` of `target`, of those the best proportioned.

    A factor of width or depth that is given is kept. Raises ScalingError with the nearest possible.
    """
    _check_factors(plan, Factors(2.0 if width is None else width, 1.0 if depth is None else depth))
    search = _Search(plan, target, count, tolerance, width, depth)
    if search.target < search.smallest() * (1 - tolerance):
        raise search.refusal()
    for multiple in _FINER if plan.multiple is None else (None,):
        found = search.best(multiple)
        if found is not None:
            return found
    raise search.refusal()


def smallest_step(plan: Plan) -> float:
    """The least factor above 1 that gives whole heads."""
    return 1 + 1 / _grid(plan)


class _Search:
    """One search: closed forms narrow it, graphs decide."""

    def __init__(
        self, plan: Plan, target: float, count: Count, tolerance: float,
        width: float | None, depth: float | None,
    ) -> None:  # fmt: skip
        self.plan, self.target, self.count, self.tolerance = plan, target, count, tolerance
        self.width, self.depth = width, depth
        self.deep = max(plan.values("depth"), default=1)
        self.fixed_depth = depth_obstacle(plan.tree) is not None or not plan.values("depth")
        self.seen: dict[tuple[Any, ...], Candidate] = {}
        widths = _WIDTHS if width is None else (width,)
        depths = _DEPTHS if depth is None and not self.fixed_depth else (depth or 1.0,)
        self.estimate = _fitted(plan, count, widths, depths)

    def best(self, multiple: int | None) -> Candidate | None:
        """The first of the best candidates that is near enough."""
        ranked = sorted(self._ranked(multiple), key=lambda pair: pair[0])
        for _, by in ranked[:_TRIES]:
            found = self._made(by, multiple)
            if found is not None and self._error(found) <= self.tolerance:
                return found
        return None

    def smallest(self) -> int:
        """The count of the smallest spec of this shape."""
        by = Factors(next(self._widths()), self._shallowest(), _INNER[0])
        multiple = _FINER[-1] if self.plan.multiple is None else None
        for inner in (by.inner, 1.0):
            found = self._made(Factors(by.width, by.depth, inner), multiple)
            if found is not None:
                return self.count(found.graph)
        return 0

    def refusal(self) -> ScalingError:
        """That nothing is near enough, and what is nearest."""
        nearest = min(self.seen.values(), key=self._error, default=None)
        if nearest is None:
            return ScalingError("no other size of this spec holds")
        counts = f"{self.count(nearest.graph):,}"
        if self.target < min(self.count(one.graph) for one in self.seen.values()):
            why = f"{self.target:,.0f} parameters are fewer than the smallest of this shape has"
        else:
            why = f"nothing of this shape is within {self.tolerance:.1%} of {self.target:,.0f}"
        return ScalingError(why, f"the nearest possible is {counts} parameters")

    def _made(self, by: Factors, multiple: int | None) -> Candidate | None:
        try:
            found = made(self.plan, by, multiple)
        except SpecError:
            return None
        self.seen[by.width, by.depth, by.inner, multiple] = found
        return found

    def _error(self, found: Candidate) -> float:
        return abs(self.count(found.graph) / self.target - 1)

    def _ranked(self, multiple: int | None) -> Iterator[tuple[float, Factors]]:
        """Factors with their cost: how odd the shape is, and how far the count is off."""
        for by in self._factors(multiple):
            off = abs(self.estimate(by) / self.target - 1)
            odd = by.off_the_line() + abs(log(by.inner)) + self.plan.regrouped(by)
            cost = odd + (_TUNED if by.inner != 1 else 0) + 20 * off
            yield cost + (100 * off if off > self.tolerance else 0), by

    def _factors(self, multiple: int | None) -> Iterator[Factors]:
        for width in self._widths():
            for depth in self._depths(width):
                by = Factors(width, depth)
                yield by
                inner = self._inner(by, multiple)
                if inner is not None:
                    yield inner

    def _widths(self) -> Iterator[float]:
        """Factors that give whole heads and widths of the right multiple, up to twice the target."""
        if self.width is not None:
            yield self.width
            return
        grid, widest = _grid(self.plan), max(self.plan.values("width"), default=1)
        for step in range(1, LARGEST[0] * grid // widest + 1):
            factor = step / grid
            if not all(
                self.plan.width(w, factor) % (self.plan.multiple or gcd(w, MULTIPLE)) == 0
                for w in self.plan.values("width")
            ):
                continue
            yield factor
            shallow = max(self._shallowest(), depth_for(factor) / _SHALLOW)
            if self.estimate(Factors(factor, shallow, _INNER[0])) > 2 * self.target:
                return

    def _shallowest(self) -> float:
        """The least factor of depth."""
        if self.depth is not None or self.fixed_depth:
            return self.depth or 1.0
        return self.plan.steps.get(self.deep, 1) / self.deep

    def _depths(self, width: float) -> Iterator[float]:
        """Depths that reach the target at a width, and those that are well proportioned."""
        if self.depth is not None or self.fixed_depth:
            yield self.depth or 1.0
            return
        step = self.plan.steps.get(self.deep, 1)
        low, high = (self.estimate(Factors(width, depth)) for depth in (1.0, 2.0))
        wanted = {max(1, round(self.deep * depth_for(width) / step)) + n for n in (-1, 0, 1)}
        if high > low:
            exact = (1 + (self.target - low) / (high - low)) * self.deep / step
            wanted |= {int(exact), int(exact) + 1}
        for groups in sorted(wanted):
            if 1 <= groups * step <= LARGEST[1]:
                yield groups * step / self.deep

    def _inner(self, by: Factors, multiple: int | None) -> Factors | None:
        """The same with a feed-forward that makes up for what is missing."""
        if not self.plan.inner:
            return None
        low, high = (self.estimate(Factors(by.width, by.depth, inner)) for inner in (1.0, 2.0))
        if high <= low:
            return None
        inner = min(max(1 + (self.target - low) / (high - low), _INNER[0]), _INNER[1])
        first = max(number.value for number in self.plan.inner)
        width = self.plan.inner_width(first, by.width * inner, multiple)
        return Factors(by.width, by.depth, width / (first * by.width))


def _grid(plan: Plan) -> int:
    """Into how many steps the given width divides: whole heads, or whole multiples."""
    heads = gcd(*plan.values("heads"))
    if heads and plan.units:
        return heads
    widest = max(plan.values("width"), default=1)
    return max(1, widest // (plan.multiple or gcd(widest, MULTIPLE)))


def _fitted(
    plan: Plan, count: Count, widths: tuple[float, ...], depths: tuple[float, ...]
) -> Callable[[Factors], float]:
    """The polynomial through exact counts: of width squared, of depth and feed-forward linear."""
    inners = (1.0, 2.0) if plan.inner else (1.0,)
    exact = {
        point: count(_made_or_refused(plan, Factors(*point)).graph)
        for point in product(widths, depths, inners)
    }

    def estimate(by: Factors) -> float:
        return sum(
            value
            * _weight(by.width, width, widths)
            * _weight(by.depth, depth, depths)
            * _weight(by.inner, inner, inners)
            for (width, depth, inner), value in exact.items()
        )

    return estimate


def _weight(at: float, point: float, points: tuple[float, ...]) -> float:
    """Lagrange's polynomial that is 1 at `point` and 0 at the other points."""
    weight = 1.0
    for other in points:
        if other != point:
            weight *= (at - other) / (point - other)
    return weight


def _made_or_refused(plan: Plan, by: Factors) -> Candidate:
    try:
        return made(plan, by)
    except SpecError as error:
        problem = error.problems[0]
        raise ScalingError(
            f"its structure forbids these factors: {problem.message}", _way_out(problem.span)
        ) from error


def _check_factors(plan: Plan, by: Factors) -> None:
    for name in ("width", "depth", "length"):
        factor = getattr(by, name)
        if not (isfinite(factor) and factor > 0):
            raise ScalingError(f"a factor of {name} is a number above 0, not {factor:g}")
    limits: tuple[tuple[Scale, float, int], ...] = (
        ("width", by.width, LARGEST[0]),
        ("depth", by.depth, LARGEST[1]),
    )
    for role, factor, most in limits:
        largest = max(plan.values(role), default=0)
        if largest * factor > most:
            raise ScalingError(
                f"a {role} of {largest * factor:,.0f} is too much",
                f"the most is {most:,}, {most / largest:.4g} times this one",
            )
    if by.width != 1:
        if not plan.values("width"):
            raise ScalingError("no width of the spec is a number that scales")
        for name, keys in plan.trouble.items():
            raise ScalingError(
                f"dim '{name}' is {keys} at once, which do not grow together",
                "give each of them a dim of its own",
            )
    if by.depth != 1 and (why := depth_obstacle(plan.tree)):
        raise ScalingError(*why)


def _way_out(span: Span | None) -> str | None:
    """What to write where one width is fixed by what comes in."""
    return (
        None
        if span is None
        else (f"look at line {span.line}: a `project` module lets the widths beside it differ")
    )
