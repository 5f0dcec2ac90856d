"""What a model costs, in words: the setting, the totals, and the parts that cost most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .output import UsageError
from .units import readable

if TYPE_CHECKING:
    from composer.targets.numbers.count import Numbers


def lengths_given(batch: int | None, texts: Iterable[str]) -> dict[str, int]:
    """The lengths that `--batch` and `--set-length` give.

    Raises UsageError for a text that is not NAME=STEPS.
    """
    found = {} if batch is None else {"batch": batch}
    for text in texts:
        name, _, steps = text.partition("=")
        number = steps.strip().replace("_", "")
        if not (number.isascii() and number.isdigit()) or len(number) > 12:  # noqa: PLR2004
            raise UsageError(f"--set-length {text}: wants NAME=STEPS, such as tokens=512")
        if name.strip() in found:
            raise UsageError(f"--set-length {text}: {name.strip()} is given twice")
        found[name.strip()] = int(number)
    return found


def costs_by_part(numbers: Numbers) -> Mapping[str, Mapping[str, str]]:
    """Columns of a table: what they are called, and their text for each part's path."""
    training = numbers.at.mode == "train"
    found = {"forward": {part.row.path: _flops(part.cost.forward) for part in numbers.parts}}
    if training:
        found["backward"] = {part.row.path: _flops(part.cost.backward) for part in numbers.parts}
    else:
        found["cache"] = {part.row.path: _bytes(part.cost.cache) for part in numbers.parts}
    return found


def in_words(numbers: Numbers) -> str:
    """The totals and the largest parts, in lines."""
    from composer.targets.numbers.largest import largest
    from composer.targets.numbers.memory import assumption

    at, whole = numbers.at, numbers.whole
    lines = [at.text(), assumption(at)]
    lines += [f"  {name:<11}  {text}" for name, text in _totals(numbers).items()]
    names = {"parameters": "parameters", "flops": "FLOPs", "memory_bytes": "memory"}
    totals = {
        "parameters": whole.row.parameters, "flops": whole.flops, "memory_bytes": whole.memory
    }  # fmt: skip
    for what, found in largest(numbers).items():
        lines.append(f"most {names[what]}")
        for part, number in found:
            lines.append(f"  {100 * number / totals[what]:4.1f} %  {part.row.path}")
    return "\n".join(lines) + "\n"


def _totals(numbers: Numbers) -> dict[str, str]:
    cost, parameters = numbers.whole.cost, numbers.whole.parameters
    found = {"forward": f"{cost.forward:,} FLOPs"}
    frozen = numbers.summary.parameters - cost.trained
    if frozen:
        found["frozen"] = f"{frozen:,} parameters"
    if numbers.at.mode == "train":
        found["backward"] = f"{cost.backward:,} FLOPs"
    found["weights"] = readable(parameters.weights)
    if numbers.at.mode == "train":
        found["gradients"] = readable(parameters.gradients)
        found["optimizer"] = readable(parameters.optimizer)
    elif cost.cache:
        each = f", {readable(cost.cache_step)} a step" if cost.cache_step else ""
        found["cache"] = f"{readable(cost.cache)}{each}"
    found["memory"] = readable(numbers.whole.memory)
    return found


def _flops(number: int) -> str:
    return f"{number / 1e9:,.1f} G" if number else ""


def _bytes(number: int) -> str:
    return readable(number) if number else ""
