"""How the time of each stage grows with the number of layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

import composer
from bench.effort import Effort
from bench.specs import DEEP, deep
from bench.tables import Table, Target
from bench.timing import Action, cpu_seconds, fitted_exponent
from composer.targets.diagram import draw

STAGES = ("check", "draw", "emit", "build on meta")
LINEAR = 1.1
"""The largest exponent that passes for linear."""


def measure(effort: Effort) -> Iterator[Table]:
    """One table for each spec: a row for each stage, a column for each depth."""
    for name in DEEP:
        seconds = {depth: _seconds(name, depth, effort) for depth in effort.layers}
        by_stage = {stage: [seconds[depth][stage] for depth in effort.layers] for stage in STAGES}
        yield _table(name, effort.layers, by_stage)


def _seconds(name: str, depth: int, effort: Effort) -> dict[str, float]:
    """CPU seconds of each stage at one depth."""
    text, overrides = deep(name, depth)
    graph = composer.graph(text, overrides=overrides)
    stages: dict[str, Action] = {
        "check": lambda: composer.graph(text, overrides=overrides),
        "draw": lambda: draw(graph),
        "emit": lambda: composer.source(graph),
        "build on meta": lambda: _on_meta(graph),
    }
    assert tuple(stages) == STAGES
    return {
        stage: cpu_seconds(action, effort.repeats, effort.enough)
        for stage, action in stages.items()
    }


def _on_meta(graph: composer.Graph) -> torch.nn.Module:
    with torch.device("meta"):
        return composer.build(graph)


def _table(name: str, layers: Sequence[int], by_stage: dict[str, list[float]]) -> Table:
    columns = ("stage", *(f"ms_at_{depth}" for depth in layers), "exponent", "exponent_at_end")
    exponents = {stage: _exponents(layers, seconds) for stage, seconds in by_stage.items()}
    rows = tuple(
        (stage, *(1000 * second for second in seconds), *exponents[stage])
        for stage, seconds in by_stage.items()
    )
    worst = max(exponents, key=lambda stage: max(exponents[stage]))
    exponent = max(exponents[worst])
    targets = [Target(f"largest exponent ({worst})", f"<= {LINEAR}", exponent, exponent <= LINEAR)]
    if layers[-1] >= 1000:
        last = by_stage["check"][-1]
        targets.append(
            Target(f"check of {layers[-1]:,} layers, CPU seconds", "< 3", last, last < 3)
        )
    note = (
        "check: load, check and graph; build: emit and construct; milliseconds of CPU time; "
        "exponent: fitted over all depths, and over the last three"
    )
    return Table(f"growth with layers: {name}", columns, rows, tuple(targets), note)


def _exponents(layers: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """The fitted exponent over all depths, and over the last ones, where constants count less."""
    return fitted_exponent(layers, seconds), fitted_exponent(layers[-3:], seconds[-3:])
