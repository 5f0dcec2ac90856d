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

BASE = yaml.safe_load((Path(__file__).parents[1] / "vit.yaml").read_text(encoding="utf-8"))
AFTER, AWARE = "after training", "aware of it"
ROWS = (
    ("int8_weight", AFTER), ("int8_dynamic", AFTER), ("int8_static", AFTER),
    ("int4_group", AFTER), ("int2_group", AFTER), ("int2_group", AWARE),
)  # fmt: skip
STEPS, MORE = 600, 300


def run(seeds: int) -> Table:
    """Accuracy and size by scheme, of models that see the same number of images."""
    data = digits()
    floats = [trained(data, seed) for seed in range(seeds)]
    before = [accuracy(model, data.test) for model in floats]
    size = sum(p.numel() * 4 for p in floats[0].parameters())
    rows: list[tuple[Cell, ...]] = [("none", "", 1.0, mean(before), 0.0)]
    for scheme, when in ROWS:
        found = [rounded(scheme, when, model, data, seed) for seed, model in enumerate(floats)]
        accuracies = [accuracy(model, data.test) for model, _ in found]
        rows.append(
            (scheme, when, found[0][1] / size, mean(accuracies), mean(before) - mean(accuracies))
        )
    return Table(
        "Quantization",
        ("scheme", "rounded", "size_ratio", "accuracy", "drop"),
        tuple(rows),
        tuple(targets(rows)),
        f"The vision Transformer after {STEPS} steps and {MORE} more, which are aware of rounding or "
        "not. Every linear map is rounded but the head and the first; groups are of 32. With these "
        "groups even two bits lose little, so that training has little to get back. The size is "
        f"that of all saved tensors, the accuracy per cent of unseen images, mean of {seeds} seeds.",
    )


def spec(scheme: str, *, aware: bool = False) -> dict[str, Any]:
    """The vision Transformer whose encoder is quantized."""
    return {**BASE, "compress": [{"quantize": {"on": "encoder", "scheme": scheme, "aware": aware}}]}


def trained(data: Digits, seed: int) -> nn.Module:
    """A model of floats after all of its steps."""
    model = fit(composer.build(BASE, seed=seed), data.train, steps=STEPS, lr=1e-3, seed=seed)
    return fit(model, data.train, steps=MORE, lr=1e-3, seed=seed + 1)


def rounded(
    scheme: str, when: str, model: nn.Module, data: Digits, seed: int
) -> tuple[nn.Module, int]:
    """A model that is quantized, and the bytes of its saved tensors."""
    graph = composer.graph(spec(scheme, aware=when == AWARE))
    if when == AWARE:
        made = fit(composer.build(BASE, seed=seed), data.train, steps=STEPS, lr=1e-3, seed=seed)
        prepare(graph, made)
        made = fit(made, data.train, steps=MORE, lr=1e-3, seed=seed + 1)
    else:
        made = copy.deepcopy(model)
    composer.compress(made, graph, data=[{"image": data.train.images[:256]}])
    return made, sum(t.numel() * t.element_size() for t in tensors_of(graph, made).values())


def targets(rows: Sequence[Sequence[Cell]]) -> Iterator[Target]:
    """What is held: eight bits cost next to nothing, and training gets back some of what two cost."""
    found: Mapping[tuple[Cell, Cell], Sequence[Cell]] = {(r[0], r[1]): r[2:] for r in rows}
    for scheme in ("int8_weight", "int8_dynamic", "int8_static"):
        size, _, drop = (float(cell or 0) for cell in found[scheme, AFTER])
        yield Target(f"size with {scheme}", "< 0.30", size, met=size < 0.30)
        yield Target(f"points that {scheme} loses", "< 1", drop, met=drop < 1)
    after, aware = (float(found["int2_group", when][1] or 0) for when in (AFTER, AWARE))
    yield Target(
        "points of int2 that aware training gains", "> 0", aware - after, met=aware > after
    )
