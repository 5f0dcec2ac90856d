"""Budgets of bytes or operations: whether a model is within one, and what would be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from composer.diagnostics import nearest
from composer.graph.graph import Graph

from .count import Numbers, Part, count
from .setting import Setting, SettingError, divisors

_BYTES = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for unit, base, prefixes in (("B", 1000, "kMGTP"), ("iB", 1024, "KMGTP"))
    for power, prefix in enumerate(prefixes)
}
_FLOPS = {f"{prefix}FLOPs": 1000**power for power, prefix in enumerate(["", *"kMGTPEZ"])}
UNITS = {**_BYTES, **_FLOPS}
"""Units of a budget and what each is in bytes or operations."""

_FORM = re.compile(r"\s*(\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Budget:
    """The most bytes, or operations of one step, that a model may take."""

    most: float
    measure: str
    text: str

    def of(self, part: Part) -> int:
        """What a part takes of it."""
        return part.flops if self.measure == "flops" else part.memory


def budget(text: str) -> Budget:
    """The budget that a text such as `24GB` or `1e15 FLOPs` says.

    Raises SettingError for one without a unit, or with one that is not known.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise SettingError(f"'{text}' is no budget: write 24GB, or 1e15 FLOPs")
    number, unit = float(match[1].replace("_", "")), match[2]
    if not unit:
        raise SettingError(
            f"a budget needs a unit: {match[1]}GB are bytes, {match[1]} FLOPs operations"
        )
    known = {name.lower(): name for name in UNITS} | {"flop": "FLOPs"}
    known |= {name.lower().removesuffix("s"): name for name in _FLOPS}
    name = unit if unit in UNITS else known.get(unit.lower())
    if name is None:
        near = nearest(unit, UNITS)
        hint = (
            f"did you mean {near[0]}?" if near else "it has kB, MB, GB, KiB, MiB, GiB, FLOPs, ..."
        )
        raise SettingError(f"unit '{unit}' is not known: {hint}")
    measure = "flops" if name in _FLOPS else "bytes"
    if not 0 < number * UNITS[name] < float("inf"):
        raise SettingError(f"a budget must be a number above 0, not {match[1]}")
    return Budget(number * UNITS[name], measure, f"{match[1]} {name}")


def contributors(numbers: Numbers, most: Budget) -> list[tuple[Part, int]]:
    """The five parts that take most of a budget."""
    found = sorted(((p, most.of(p)) for p in numbers.leaves()), key=lambda pair: -pair[1])
    return [(part, taken) for part, taken in found[:5] if taken]


def fitting(graph: Graph, at: Setting, most: Budget) -> Iterator[Setting]:
    """Settings that are within a budget, each with one thing changed.

    The largest batch and the largest of each length below those of `at`; then a smaller format.
    """
    steps = divisors(graph)
    for name in at.lengths:
        step = steps.get(name, 1)
        size = _largest(graph, at, most, name, step)
        if size:
            yield _with(at, name, size)
    small = replace(at, dtype="bf16")
    if at.dtype != "bf16" and _fits(graph, small, most):
        yield small


def _largest(graph: Graph, at: Setting, most: Budget, name: str, step: int) -> int:
    """The largest multiple of `step` that fits, below what is given; 0 where none does."""
    fits, too_large = 0, at.lengths[name] // step
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if _fits(graph, _with(at, name, middle * step), most):
            fits = middle
        else:
            too_large = middle
    return fits * step


def _with(at: Setting, name: str, size: int) -> Setting:
    return replace(at, lengths={**at.lengths, name: size})


def _fits(graph: Graph, at: Setting, most: Budget) -> bool:
    return most.of(count(graph, at).whole) <= most.most
