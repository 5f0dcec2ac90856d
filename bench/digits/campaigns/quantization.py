"""Quantization: rounded after training, or with training that is aware of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from torch import nn

import composer
from bench.digits.data import Digits, digits
from bench.digits.fitting import accuracy, fit
from bench.tables import Cell, Table, Target
from composer.compression import prepare, tensors_of
from composer.graph.graph import Graph

BASE = yaml.safe_load((Path(__file__).parents[1] / "vit.yaml").read_text(encoding="utf-8"))
AFTER, AWARE = "after training", "aware of it"
ENCODER, ALL = "encoder", "*"
ROWS = (
    ("int8_weight", 32, ENCODER, AFTER), ("int8_dynamic", 32, ENCODER, AFTER),
    ("int8_static", 32, ENCODER, AFTER), ("int4_group", 32, ENCODER, AFTER),
    ("int2_group", 32, ENCODER, AFTER), ("int2_group", "row", ALL, AFTER),
    ("int2_group", "row", ALL, AWARE),
)  # fmt: skip
"""Scheme, group, which maps, and when they are rounded."""
STEPS, MORE = 600, 300


def run(seeds: int) -> Table:
    """Accuracy and size by scheme, of models that see the same number of images."""
    data = digits()
    starts = [started(data, seed) for seed in range(seeds)]
    floats = [more(copy.deepcopy(model), data, seed) for seed, model in enumerate(starts)]
    before = [accuracy(model, data.test) for model in floats]
    size = sum(p.numel() * 4 for p in floats[0].parameters())
    rows: list[tuple[Cell, ...]] = [("none", "", "", "", 1.0, mean(before), 0.0)]
    for scheme, group, on, when in ROWS:
        graph = composer.graph(spec(scheme, group, on, aware=when == AWARE))
        models = starts if when == AWARE else floats
        found = [rounded(graph, model, data, seed) for seed, model in enumerate(models)]
        accuracies = [accuracy(model, data.test) for model, _ in found]
        shown = group if "group" in scheme else "row"
        cells = (scheme, str(shown), "all" if on == ALL else on, when, found[0][1] / size)
        rows.append((*cells, mean(accuracies), mean(before) - mean(accuracies)))
    return Table(
        "Quantization",
        ("scheme", "group", "maps", "rounded", "size_ratio", "accuracy", "drop"),
        tuple(rows),
        tuple(targets(rows)),
        f"The vision Transformer after {STEPS} steps and {MORE} more, which are aware of rounding or "
        "not. The encoder is rounded, or every linear map. In groups of 32 even two bits lose little; "
        "with one scale a row, and in the head, they lose what training gets back. The size is "
        f"that of all saved tensors, the accuracy per cent of unseen images, mean of {seeds} seeds.",
    )


def spec(
    scheme: str, group: int | str = 32, on: str = ENCODER, *, aware: bool = False
) -> dict[str, Any]:
    """The vision Transformer with some of its linear maps quantized."""
    options = {"on": on, "scheme": scheme, "group": group, "aware": aware}
    return {**BASE, "compress": [{"quantize": options}]}


def started(data: Digits, seed: int) -> nn.Module:
    """A model of floats after its first steps."""
    return fit(composer.build(BASE, seed=seed), data.train, steps=STEPS, lr=1e-3, seed=seed)


def more(model: nn.Module, data: Digits, seed: int) -> nn.Module:
    """A model after further steps."""
    return fit(model, data.train, steps=MORE, lr=1e-3, seed=seed + 1)


def rounded(graph: Graph, model: nn.Module, data: Digits, seed: int) -> tuple[nn.Module, int]:
    """A model that is quantized, and the bytes of its saved tensors.

    Where the graph says so, it takes its further steps before that, aware of rounding.
    """
    made = copy.deepcopy(model)
    if any(getattr(each.options, "aware", False) for each in graph.compressions):
        prepare(graph, made)
        more(made, data, seed)
    composer.compress(made, graph, data=[{"image": data.train.images[:256]}])
    return made, sum(t.numel() * t.element_size() for t in tensors_of(graph, made).values())


def targets(rows: Sequence[Sequence[Cell]]) -> Iterator[Target]:
    """What is held: eight bits cost next to nothing, and training gets back some of what two cost."""
    found: Mapping[tuple[Cell, ...], Sequence[Cell]] = {(r[0], r[2], r[3]): r[4:] for r in rows}
    for scheme in ("int8_weight", "int8_dynamic", "int8_static"):
        size, _, drop = (float(cell or 0) for cell in found[scheme, ENCODER, AFTER])
        yield Target(f"size with {scheme}", "< 0.30", size, met=size < 0.30)
        yield Target(f"points that {scheme} loses", "< 1", drop, met=drop < 1)
    after, aware = (float(found["int2_group", "all", when][1] or 0) for when in (AFTER, AWARE))
    won = aware - after
    yield Target("points of int2 that aware training gains", ">= 2", won, met=won >= 2)
