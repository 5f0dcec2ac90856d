"""What a model costs, in words: the setting, the totals, and the parts that cost most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .output import UsageError
from .units import readable

if TYPE_CHECKING:
    from composer.graph.graph import Graph
    from composer.targets.numbers.budget import Budget
    from composer.targets.numbers.count import Numbers
    from composer.targets.numbers.formula import Formula
    from composer.targets.numbers.setting import Setting


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
        found["kept"] = {part.row.path: _bytes(part.cost.activations) for part in numbers.parts}
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


def over_budget(graph: Graph, numbers: Numbers, most: Budget) -> str:
    """Why a model is refused: what it takes, which parts take most, and what would fit."""
    from composer.targets.numbers.budget import contributors, fitting

    at, whole = numbers.at, most.of(numbers.whole)
    said = f"{whole:,} FLOPs" if most.measure == "flops" else readable(whole)
    doing = "training" if at.mode == "train" else "inference"
    lines = [f"{doing} with {at.text()} takes {said}, more than {most.text}"]
    for part, taken in contributors(numbers, most):
        lines.append(f"      = {100 * taken / whole:4.1f} %  {part.row.path}")
    fits = [_change(at, other) for other in fitting(graph, at, most)]
    lines += [f"      = fix: {', or '.join(fits)}"] if fits else ["      = nothing smaller fits"]
    return "\n".join(lines)


def _change(at: Setting, other: Setting) -> str:
    """The option that makes one setting of another."""
    if other.dtype != at.dtype:
        return f"--dtype {other.dtype}"
    changed = {n: size for n, size in other.lengths.items() if at.lengths[n] != size}
    ((name, size),) = changed.items()
    return f"--batch {size}" if name == "batch" else f"--set-length {name}={size}"


def formulas_in_words(found: Iterable[Formula]) -> str:
    """Closed forms, part by part."""
    lines = []
    for one in found:
        lines.append(one.row.path)
        lines += [f"  forward   {one.forward} FLOPs", f"  backward  {one.backward} FLOPs"]
        lines += [f"  cache     {one.cache} numbers"] if one.cache != "0" else []
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
        found["activations"] = readable(cost.activations)
        found["outputs"] = f"{readable(cost.outputs)} with their gradients"
    elif cost.cache:
        each = f", {readable(cost.cache_step)} a step" if cost.cache_step else ""
        found["cache"] = f"{readable(cost.cache)}{each}"
    found["memory"] = readable(numbers.whole.memory)
    return found


def _flops(number: int) -> str:
    return f"{number / 1e9:,.1f} G" if number else ""


def _bytes(number: int) -> str:
    return readable(number) if number else ""
