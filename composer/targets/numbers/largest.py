"""The parts that cost most."""

from __future__ import annotations

from collections.abc import Callable

from .count import Numbers, Part

COUNT = 5
"""How many parts are named."""

MEASURES: dict[str, Callable[[Part], int]] = {
    "parameters": lambda part: part.row.parameters,
    "flops": lambda part: part.flops,
    "memory_bytes": lambda part: part.memory,
}
"""What parts are compared by."""


def largest(numbers: Numbers) -> dict[str, list[tuple[Part, int]]]:
    """The parts with the most parameters, operations and bytes, the largest first."""
    return {what: _first(numbers, measure) for what, measure in MEASURES.items()}


def _first(numbers: Numbers, measure: Callable[[Part], int]) -> list[tuple[Part, int]]:
    found = sorted(((part, measure(part)) for part in numbers.leaves()), key=lambda pair: -pair[1])
    return [(part, number) for part, number in found[:COUNT] if number]
