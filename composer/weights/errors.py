"""What is wrong with weights: every problem by the names of both sides."""

from __future__ import annotations

import re
from collections.abc import Iterable

from composer.diagnostics import Problem, SpecError


class WeightError(SpecError):
    """Weights that a spec cannot take, or could not give back."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Show one problem for those that differ in numbers only, such as those of every layer."""
        alike: dict[tuple[str, str], list[Problem]] = {}
        for problem in problems:
            alike.setdefault((problem.code, re.sub(r"\d+", "0", problem.message)), []).append(
                problem
            )
        super().__init__(_one(group) for group in alike.values())


def weight_error(code: str, message: str, fix: str | None = None) -> WeightError:
    """An error of one problem without a place."""
    return WeightError([Problem(code, message, None, fix=fix)])


def _one(group: list[Problem]) -> Problem:
    first, *others = group
    more = f" (and {len(others)} more like it)" if others else ""
    return Problem(first.code, first.message + more, first.span, first.notes, first.fix)
